//! The daemon's end: in order, and not.

use bo_tests::{
    Actor, Answer, Checked, Ended, Lost, Order, PAGE, Peeked, Slot, Station, User, by_each_user,
};
use rustix::process::Signal;

use crate::{PROGRAMS, SEED, small, small_pool};

const SIGBUS: i32 = 7;

/// No pages.
const NONE: [u64; 0] = [];

/// Threads that are at work when the daemon is stopped.
const CHECKS: u64 = 16;

/// A client with an object of twice the pool.
fn client(station: &Station, user: User, on_lost: Lost) -> (Actor, Slot) {
    let mut actor = station.client_who(user, on_lost);
    let (_, mapping) = actor.allocate_and_map(2 * small());
    actor.fill(mapping, SEED);
    (actor, mapping)
}

/// What a client finds that gets SIGBUS for what is lost; says how many pages are present.
#[track_caller]
fn assert_present_is_right_and_absent_is_lost(actor: &mut Actor, mapping: Slot) -> usize {
    let refused = actor.refused(&Order::Allocate { bytes: 1, page_bytes: None });
    assert!(refused.is("is_gone"), "{refused:?}");
    let Peeked { right, lost, wrong } = actor.peek(mapping, SEED);
    println!("{} pages present, {} lost", right.len(), lost.len());
    assert_eq!(wrong, NONE);
    for page in &right {
        actor.check_pages(mapping, SEED, *page, 1);
        let offset = page * PAGE;
        actor.must(&Order::Store { mapping, offset, value: 1 });
        assert_eq!(actor.number(&Order::Load { mapping, offset }), 1);
    }
    // Asked again, nothing has come back as zeros.
    assert_eq!(actor.peek(mapping, SEED).lost, lost);
    let first = lost.first().expect("the object is larger than the pool");
    actor.order(&Order::Load { mapping, offset: first * PAGE });
    assert_eq!(actor.wait(), Ended::Signalled(SIGBUS));
    right.len()
}

by_each_user! {
    fn who_is_blocked_when_the_daemon_is_told_to_stop_is_served(user) {
        let mut station = Station::process(&PROGRAMS, small_pool());
        let (mut actor, mapping) = client(&station, user, Lost::Wait);
        station.freeze();
        // What is present is right, what is absent blocks; at least half of it is absent.
        let pages = 2 * small() / PAGE;
        let checks: Vec<_> = (0..CHECKS)
            .map(|at| {
                // One fault each: what comes after that may meet the end.
                let first = at * pages / CHECKS;
                actor.spawn(Order::Check { mapping, seed: SEED, first, pages: 1 })
            })
            .collect();
        actor.until_blocked(CHECKS / 2);
        station.signal(Signal::TERM);
        station.thaw();

        for check in checks {
            assert_eq!(actor.join(check), Answer::Checked(Checked::default()));
        }
        station.stop();
        assert_ne!(assert_present_is_right_and_absent_is_lost(&mut actor, mapping), 0);
    }

    fn a_stop_under_load_shows_nobody_a_zero(user) {
        for _ in 0..5 {
            let mut station = Station::embedded(&PROGRAMS, small_pool());
            let (mut actor, mapping) = client(&station, user, Lost::Wait);
            let (mut sweeper, swept) = client(&station, user, Lost::Sigbus);
            sweeper.spawn(Order::Sweep { mapping: swept, write: true });
            actor.order(&Order::Peek { mapping, seed: SEED, first: 0, pages: u64::MAX });
            station.stop();
            let Answer::Peeked(peeked) = actor.answer() else { panic!("nothing to see") };
            assert_eq!(peeked.wrong, NONE);
            assert_eq!(actor.peek(mapping, SEED).wrong, NONE);
            assert_eq!(sweeper.wait(), Ended::Signalled(SIGBUS));
        }
    }

    fn a_killed_daemon_leaves_present_pages_and_sigbus_to_who_asked_for_it(user) {
        let mut station = Station::process(&PROGRAMS, small_pool());
        let (mut actor, mapping) = client(&station, user, Lost::Sigbus);
        station.kill();
        assert_ne!(assert_present_is_right_and_absent_is_lost(&mut actor, mapping), 0);
    }

    fn who_is_blocked_when_the_daemon_is_killed_gets_sigbus_if_it_asked_for_it(user) {
        let mut station = Station::process(&PROGRAMS, small_pool());
        let (mut actor, mapping) = client(&station, user, Lost::Sigbus);
        station.freeze();
        // The first pages went long ago, but for those that were in use when it was their turn.
        let blocked = actor.spawn(Order::Peek { mapping, seed: SEED, first: 0, pages: 8 });
        actor.until_blocked(1);
        station.kill();
        let Answer::Peeked(Peeked { lost, wrong, .. }) = actor.join(blocked) else {
            panic!("it was peeked at")
        };
        assert!(!lost.is_empty() && wrong.is_empty(), "lost {lost:?}, wrong {wrong:?}");
        assert_ne!(assert_present_is_right_and_absent_is_lost(&mut actor, mapping), 0);
    }

    fn a_killed_daemon_leaves_who_wants_to_wait_waiting(user) {
        let mut station = Station::process(&PROGRAMS, small_pool());
        let (mut actor, mapping) = client(&station, user, Lost::Wait);
        station.kill();
        let refused = actor.refused(&Order::Allocate { bytes: 1, page_bytes: None });
        assert!(refused.is("is_gone"), "{refused:?}");
        // The first page went long ago; the last was written last.
        actor.spawn(Order::Load { mapping, offset: 0 });
        actor.until_blocked(1);
        actor.check_pages(mapping, SEED, 2 * small() / PAGE - 1, 1);
        assert_eq!(actor.blocked(), 1);
        actor.kill();
    }

    fn a_daemon_killed_in_a_storm_shows_nobody_a_zero(user) {
        for _ in 0..5 {
            let mut station = Station::process(&PROGRAMS, small_pool());
            let (mut actor, mapping) = client(&station, user, Lost::Sigbus);
            let (mut sweeper, swept) = client(&station, user, Lost::Sigbus);
            sweeper.spawn(Order::Sweep { mapping: swept, write: true });
            actor.order(&Order::Peek { mapping, seed: SEED, first: 0, pages: u64::MAX });
            station.kill();
            let Answer::Peeked(peeked) = actor.answer() else { panic!("nothing to see") };
            assert_eq!(peeked.wrong, NONE);
            assert_eq!(actor.peek(mapping, SEED).wrong, NONE);
            assert_eq!(sweeper.wait(), Ended::Signalled(SIGBUS));
        }
    }
}

#[test]
fn a_daemon_that_has_stopped_can_be_followed_by_another() {
    let mut station = Station::embedded(&PROGRAMS, small_pool());
    let (mut actor, mapping) = client(&station, User::Nobody, Lost::Wait);
    station.stop();
    assert!(!station.socket().exists());
    let next = Station::embedded(&PROGRAMS, small_pool());
    actor.connect(next.socket(), Lost::Wait);
    let (_, anew) = actor.allocate_and_map(2 * small());
    actor.fill(anew, SEED + 1);
    actor.check(anew, SEED + 1);
    assert_eq!(actor.peek(mapping, SEED).wrong, NONE);
}
