//! Clients that break the protocol lose their connection; nobody else loses anything.

use bo_tests::{Abuse, Answer, Checked, Lost, Order, Pool, Station, by_each_user, until};

use crate::{PROGRAMS, SEED, SMALL, SMALL_KIB};

/// Descriptors by which the daemon looks up where threads of the bystander run: two for each of its
/// userfaultfds, opened when it first needs to know.
const PLACES: usize = 4;

const ABUSES: [Abuse; 24] = [
    Abuse::CloseAtOnce,
    Abuse::CloseAfterHello,
    Abuse::NoHello,
    Abuse::HelloTwice,
    Abuse::UffdFirst,
    Abuse::HelloLater,
    Abuse::Garbage,
    Abuse::GarbageLater,
    Abuse::Truncated(1),
    Abuse::Truncated(15),
    Abuse::Truncated(16),
    Abuse::Truncated(17),
    Abuse::Truncated(usize::MAX),
    Abuse::Extended,
    Abuse::Oversized,
    Abuse::Reply,
    Abuse::Surplus(1),
    Abuse::Surplus(2),
    Abuse::Surplus(253),
    Abuse::AttachNothing,
    Abuse::AttachMany(2),
    Abuse::AttachMany(253),
    Abuse::AttachPipe,
    Abuse::ImportNothing,
];

by_each_user! {
    fn who_breaks_the_protocol_is_sent_away_and_nobody_else_notices(user) {
        let station = Station::process(&PROGRAMS, Pool::kib(SMALL_KIB));
        let mut bystander = station.client(user);
        let (_, mapping) = bystander.allocate_and_map(4 * SMALL);
        bystander.fill(mapping, SEED);
        let population = station.books().population();
        let descriptors = station.descriptors() + PLACES;
        let sweep = bystander.spawn(Order::Sweep { mapping, write: true });
        let mut vandal = station.actor(user);
        for abuse in ABUSES {
            let socket = station.socket().to_owned();
            let answer = vandal.ask(&Order::Abuse { socket, abuse });
            assert_eq!(answer, Answer::Flag(true), "{abuse:?}");
            bystander.check_pages(mapping, SEED, 0, 64);
        }
        vandal.kill();
        assert!(matches!(bystander.finish(sweep), Answer::Number(1..)));
        bystander.check(mapping, SEED);
        station.wait_until("all is as before", |books| books.population() == population);
        until("descriptors are closed", || (station.descriptors() <= descriptors).then_some(()));
        let metrics = station.metrics();
        let errors = |kind| metrics[&format!("bo_protocol_errors_total{{kind=\"{kind}\"}}")];
        println!("{} malformed, {} misuses", errors("malformed"), errors("misuse"));
        assert!(9 <= errors("malformed") && 9 <= errors("misuse"));
    }

    fn who_never_reads_answers_harms_nobody(user) {
        let station = Station::process(&PROGRAMS, Pool::kib(SMALL_KIB));
        let mut bystander = station.client(user);
        let (_, mapping) = bystander.allocate_and_map(4 * SMALL);
        bystander.fill(mapping, SEED);
        let population = station.books().population();
        let descriptors = station.descriptors() + PLACES;
        for _ in 0..4 {
            let mut vandal = station.actor(user);
            let abuse = Abuse::NeverRead;
            vandal.order(&Order::Abuse { socket: station.socket().to_owned(), abuse });
            bystander.check(mapping, SEED);
            assert_eq!(vandal.answer(), Answer::Flag(true));
            bystander.check(mapping, SEED);
        }
        station.wait_until("all is as before", |books| books.population() == population);
        until("descriptors are closed", || (station.descriptors() <= descriptors).then_some(()));
    }

    fn connections_that_end_cost_nothing_while_their_process_lives(user) {
        let station = Station::process(&PROGRAMS, Pool::kib(SMALL_KIB));
        let mut fickle = station.client(user);
        let population = station.books().population();
        let descriptors = station.descriptors() + PLACES;
        for _ in 0..50 {
            fickle.must(&Order::Disconnect);
            fickle.connect(station.socket(), Lost::Wait);
        }
        station.wait_until("one client is left", |books| books.population() == population);
        until("descriptors are closed", || (station.descriptors() <= descriptors).then_some(()));
    }

    fn who_says_hello_and_nothing_more_is_forgotten(user) {
        let station = Station::process(&PROGRAMS, Pool::kib(SMALL_KIB));
        let mut bystander = station.client(user);
        let (_, mapping) = bystander.allocate_and_map(2 * SMALL);
        bystander.fill(mapping, SEED);
        let population = station.books().population();
        let descriptors = station.descriptors() + PLACES;
        let mut silent = station.actor(user);
        let socket = station.socket().to_owned();
        let answer = silent.ask(&Order::Abuse { socket, abuse: Abuse::StayAfterHello });
        assert_eq!(answer, Answer::Flag(true));
        let check = Order::Check { mapping, seed: SEED, first: 0, pages: u64::MAX };
        assert_eq!(bystander.ask(&check), Answer::Checked(Checked::default()));
        station.wait_until("it is forgotten", |books| books.population() == population);
        until("descriptors are closed", || (station.descriptors() <= descriptors).then_some(()));
    }

    fn a_userfaultfd_that_is_made_blocking_blocks_nobody(user) {
        let station = Station::process(&PROGRAMS, Pool::kib(SMALL_KIB));
        let (mut bystander, mut vandal) = (station.client(user), station.actor(user));
        let (_, mapping) = bystander.allocate_and_map(4 * SMALL);
        vandal.must(&Order::RawConnect { socket: station.socket().to_owned() });
        vandal.must(&Order::RawBlock);
        bystander.fill(mapping, SEED);
        bystander.check(mapping, SEED);
        vandal.kill();
        bystander.check(mapping, SEED);
    }
}
