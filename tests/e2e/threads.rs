//! Many threads that fault at once, and the threads that answer them.

use std::time::Duration;

use bo_tests::{
    Answer, Checked, Ended, Lost, Order, PAGE, Peeked, Pool, Station, User, by_each_user,
};

use crate::shared_writes::{assert_nothing_was_lost, storm_with_pages};
use crate::{PROGRAMS, SEED, SMALL, SMALL_KIB};

const THREADS: u64 = 64;
const SIGBUS: i32 = 7;

/// Long enough for every userfaultfd of a client to watch a part of its own.
const LONG: u64 = 16 << 20;
const LONG_POOL_KIB: u64 = 4 << 10;

by_each_user! {
    fn sixty_four_threads_on_one_page_are_one_fill(user) {
        let station = Station::process(&PROGRAMS, Pool::kib(SMALL_KIB));
        let mut actor = station.client(user);
        let (_, mapping) = actor.allocate_and_map(PAGE);
        actor.fill(mapping, SEED);
        let (_, others) = actor.allocate_and_map(2 * SMALL);
        actor.fill(others, SEED + 1);
        let read = |name: &str| station.metrics()[name];
        let faults = || read(r#"bo_faults_total{kind="read"}"#);
        let before = (faults(), read("bo_refaults_total"));
        station.freeze();
        let checks: Vec<_> = (0..THREADS)
            .map(|_| actor.spawn(Order::Check { mapping, seed: SEED, first: 0, pages: 1 }))
            .collect();
        actor.until_blocked(THREADS);
        station.thaw();
        for check in checks {
            assert_eq!(actor.join(check), Answer::Checked(Checked::default()));
        }
        assert_eq!(faults() - before.0, THREADS);
        assert_eq!(read("bo_refaults_total") - before.1, 1);
        // Each met the fill, or came late and found the page there.
        let joined = read("bo_faults_coalesced_total") + read("bo_faults_present_total");
        assert!(THREADS - 1 <= joined, "{joined}");
    }

    fn what_several_userfaultfds_watch_and_pollers_serve_is_never_lost(user) {
        let busy_poll = Duration::from_millis(1);
        let station = Station::embedded_with(&PROGRAMS, Pool::kib(LONG_POOL_KIB), |config| {
            bo_manager::Config { uffd_shards: 4, busy_poll, busy_poll_threads: 2, ..config }
        });
        assert_nothing_was_lost(&storm_with_pages(&station, [user, User::Root], (LONG, PAGE), 5));
        let metrics = station.metrics();
        let polls = |result| metrics[&format!("bo_fault_polls_total{{result=\"{result}\"}}")];
        assert_ne!(polls("hit") + polls("missed"), 0);
    }

    fn one_reader_listens_to_a_thread_that_stays_on_its_cpu(user) {
        let station = Station::embedded(&PROGRAMS, Pool::kib(SMALL_KIB));
        let mut actor = station.client(user);
        let (_, mapping) = actor.allocate_and_map(4 * SMALL);
        actor.fill(mapping, SEED);
        actor.spawn(Order::Sweep { mapping, write: false });
        let changes = r#"bo_fault_listener_changes_total{to="one"}"#;
        if bo_sys::thread::allowed_cpus().expect("there are some").len() > 1 {
            bo_tests::until("one reader listens", || {
                (station.metrics()[changes] > 0).then_some(())
            });
        }
        // Others come and go meanwhile, and nobody is forgotten.
        for round in 0..4 {
            let mut other = station.client(user);
            let (_, there) = other.allocate_and_map(2 * SMALL);
            other.fill(there, SEED + round);
            other.check(there, SEED + round);
        }
        actor.check(mapping, SEED);
    }

    fn one_reader_on_one_chosen_cpu_serves_everybody(user) {
        let cpu = bo_sys::thread::allowed_cpus().expect("there are some")[0];
        let station = Station::embedded_with(&PROGRAMS, Pool::kib(SMALL_KIB), |config| {
            let fault_cpus = Some(cpu.to_string().parse().expect("a number is a list"));
            bo_manager::Config { fault_cpus, uffd_shards: 1, ..config }
        });
        let mut actor = station.client(user);
        let (_, mapping) = actor.allocate_and_map(4 * SMALL);
        actor.fill(mapping, SEED);
        actor.check(mapping, SEED);
    }

    fn a_killed_daemon_leaves_no_page_of_any_part_unanswered(user) {
        let mut station = Station::process(&PROGRAMS, Pool::kib(LONG_POOL_KIB));
        let mut actor = station.client_who(user, Lost::Sigbus);
        let (_, mapping) = actor.allocate_and_map(LONG);
        actor.fill(mapping, SEED);
        station.freeze();
        // One waits in each part, wherever the borders are.
        let blocked: Vec<_> = (0..8)
            .map(|part| {
                let first = part * (LONG / PAGE / 8);
                actor.spawn(Order::Peek { mapping, seed: SEED, first, pages: 1 })
            })
            .collect();
        actor.until_blocked(4);
        station.kill();
        for peek in blocked {
            let Answer::Peeked(Peeked { wrong, .. }) = actor.join(peek) else {
                panic!("a peek finds something or nothing")
            };
            assert!(wrong.is_empty(), "{wrong:?}");
        }
        let Peeked { right, lost, wrong } = actor.peek(mapping, SEED);
        println!("{} pages present, {} lost", right.len(), lost.len());
        assert!(wrong.is_empty() && !right.is_empty() && !lost.is_empty(), "{wrong:?}");
        actor.order(&Order::Load { mapping, offset: lost[0] * PAGE });
        assert_eq!(actor.wait(), Ended::Signalled(SIGBUS));
    }
}

#[test]
fn a_cpu_that_may_not_be_used_is_refused_by_name() {
    let config = bo_manager::Config {
        fault_cpus: Some("1023".parse().expect("a number is a list")),
        ..bo_manager::Config::new(
            bo_units::ByteCount::mib(1),
            bo_units::ByteCount::mib(1),
            "/nowhere/socket".into(),
        )
    };
    let error = bo_manager::Daemon::start(config).expect_err("no host has so many CPUs");
    assert!(error.to_string().contains("CPU 1023"), "{error}");
}
