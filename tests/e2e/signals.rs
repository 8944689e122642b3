//! Signals to threads that are blocked in a fault. The fault takes as long as the story wants: the
//! daemon is stopped meanwhile.

use std::time::{Duration, Instant};

use bo_tests::{
    Answer, Checked, Ended, Order, PAGE, Station, Task, by_each_user, pattern_page, raw, scale,
    until,
};

use crate::{PROGRAMS, SEED, small, small_pool};

const KILLS: usize = 200;

/// Far more than it takes, and far less than a bug would.
const GENEROUS: Duration = Duration::from_secs(2);

fn first_word(seed: u64) -> u64 {
    let page = pattern_page(seed, 0);
    u64::from_ne_bytes(*page.first_chunk().expect("a page has eight bytes"))
}

fn interrupt(actor: &bo_tests::Actor, task: Task) {
    raw::signal_thread(actor.pid(), task.tid).expect("the thread lives");
}

by_each_user! {
    fn a_handler_runs_while_its_thread_is_blocked_in_a_fault(user) {
        let station = Station::process(&PROGRAMS, small_pool());
        let mut actor = station.client(user);
        let (_, mapping) = actor.allocate_and_map(4 * small());
        actor.fill(mapping, SEED);
        actor.must(&Order::CountSignals);

        station.freeze();
        let task = actor.spawn(Order::Load { mapping, offset: 0 });
        actor.until_blocked(1);
        interrupt(&actor, task);
        until("the handler has run", || (actor.number(&Order::Signals) == 1).then_some(()));
        assert_eq!(actor.number(&Order::SignalledThread), u64::from(task.tid.unsigned_abs()));
        // And the thread waits again.
        actor.until_blocked(1);
        interrupt(&actor, task);
        until("the handler has run again", || (actor.number(&Order::Signals) == 2).then_some(()));
        actor.until_blocked(1);
        station.thaw();

        assert_eq!(actor.join(task), Answer::Number(first_word(SEED)));
    }

    fn a_signal_during_a_fault_in_a_system_call_is_handled_after_it(user) {
        let station = Station::process(&PROGRAMS, small_pool());
        let mut actor = station.client(user);
        let (_, mapping) = actor.allocate_and_map(4 * small());
        actor.fill(mapping, SEED);
        actor.must(&Order::CountSignals);

        station.freeze();
        let task = actor.spawn(Order::Peek { mapping, seed: SEED, first: 0, pages: 1 });
        actor.until_blocked(1);
        interrupt(&actor, task);
        station.thaw();

        let expected = bo_tests::Peeked { right: vec![0], ..Default::default() };
        assert_eq!(actor.join(task), Answer::Peeked(expected));
        until("the handler has run", || (actor.number(&Order::Signals) == 1).then_some(()));
        actor.check(mapping, SEED);
    }

    fn who_is_killed_in_a_fault_is_gone_at_once_and_gives_everything_back(user) {
        let station = Station::process(&PROGRAMS, small_pool());
        let mut witness = station.client(user);
        let (_, kept) = witness.allocate_and_map(small() / 2);
        witness.fill(kept, SEED);
        let (population, descriptors) = (station.books().population(), station.descriptors());
        let (mut reaping, mut returning) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..KILLS {
            let mut actor = station.client(user);
            let (_, mapping) = actor.allocate_and_map(small() / 2);
            actor.must(&Order::Fill { mapping, seed: SEED, first: 0, pages: 4 * scale() });
            station.freeze();
            let last = (small() / 2) - PAGE;
            actor.spawn(Order::Load { mapping, offset: last });
            actor.until_blocked(1);

            let start = Instant::now();
            actor.kill();
            reaping = reaping.max(start.elapsed());
            station.thaw();
            let took = station.wait_until("everything is back", |books| {
                books.population() == population
            });
            returning = returning.max(took);
        }
        println!("{KILLS} kills: dead after {reaping:?}, everything back after {returning:?}");
        assert!(reaping < GENEROUS && returning < GENEROUS);
        until("descriptors are closed", || (station.descriptors() <= descriptors).then_some(()));
        station.wait_until("only the witness has anything", |books| {
            books.gauge("committed_bytes") == small() / 2
                && books.gauge("vram_used_bytes") <= small() / 2
        });
        witness.check(kept, SEED);
    }

    fn who_is_killed_in_a_storm_harms_nobody_who_shares(user) {
        let station = Station::process(&PROGRAMS, small_pool());
        let mut witness = station.client(user);
        let (object, kept) = witness.allocate_and_map(4 * small());
        witness.fill(kept, SEED);
        let token = witness.export(object, false);
        let population = station.books().population();
        for _ in 0..20 {
            let mut actor = station.client(user);
            let imported = actor.import(&token, false);
            let mapping = actor.map(imported);
            for write in [true, false, true] {
                actor.spawn(Order::Sweep { mapping, write });
            }
            witness.check(kept, SEED);
            actor.kill();
            station.wait_until("everything is back", |books| books.population() == population);
            let answer = witness.ask(&Order::Check {
                mapping: kept,
                seed: SEED,
                first: 0,
                pages: u64::MAX,
            });
            assert_eq!(answer, Answer::Checked(Checked::default()));
        }
    }

    fn a_client_that_waits_in_vain_can_be_terminated(user) {
        let mut station = Station::process(&PROGRAMS, small_pool());
        let mut actor = station.client(user);
        let (_, mapping) = actor.allocate_and_map(4 * small());
        actor.fill(mapping, SEED);
        station.kill();
        actor.spawn(Order::Load { mapping, offset: 0 });
        actor.until_blocked(1);
        actor.signal(rustix::process::Signal::TERM);
        assert_eq!(actor.wait(), Ended::Signalled(15));
    }
}
