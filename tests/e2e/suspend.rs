//! Clients that are suspended, and go on.

use bo_tests::{
    Actor, Answer, Checked, Control, Ended, Order, PAGE, Slot, Station, User, by_each_user,
};

use crate::{PROGRAMS, SEED, small, small_pool, start_pressure};

/// Threads that wait at one time.
const THREADS: u64 = 4;

/// A client with an object of half the pool, filled, and its id.
fn client(station: &Station, control: &Control, user: User) -> (Actor, String, Slot) {
    let (mut actor, id) = control.client(station, user);
    let (_, mapping) = actor.allocate_and_map(small() / 2);
    actor.fill(mapping, SEED);
    (actor, id, mapping)
}

/// Bytes in the pool that only this client holds, once nothing of it is on its way.
fn resident(control: &Control, id: &str) -> u64 {
    let shown = control.get(&format!("/api/v1/clients/{id}"));
    shown["resident_bytes"].as_u64().expect("a number")
}

fn parked(control: &Control, id: &str) -> u64 {
    let shown = control.get(&format!("/api/v1/clients/{id}"));
    shown["parked_faults"].as_u64().expect("a number")
}

by_each_user! {
    fn a_suspended_client_waits_and_goes_on_with_its_bytes(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let control = Control::of(&station);
        let (mut other, _, others) = client(&station, &control, user);
        for prefetch in [false, true] {
            let (mut actor, id, mapping) = client(&station, &control, user);
            control.suspend(&id);
            assert_eq!(resident(&control, &id), 0);
            let pages = small() / 2 / PAGE;
            let checks: Vec<_> = (0..THREADS)
                .map(|at| {
                    let first = at * pages / THREADS;
                    let pages = pages / THREADS;
                    actor.spawn(Order::Check { mapping, seed: SEED, first, pages })
                })
                .collect();
            actor.until_blocked(THREADS);
            other.check(others, SEED);
            other.fill(others, SEED);
            assert_eq!(actor.blocked(), THREADS, "nobody was answered");
            assert!(THREADS <= parked(&control, &id));
            let answer = control.resume(&id, prefetch);
            assert!(THREADS <= answer["woken_faults"].as_u64().expect("a number"));
            assert_eq!(answer["prefetch_pages"].as_u64().expect("a number") > 0, prefetch);
            for check in checks {
                assert_eq!(actor.join(check), Answer::Checked(Checked::default()));
            }
            assert_eq!(parked(&control, &id), 0);
            actor.must(&Order::Disconnect);
        }
    }

    fn who_waits_in_a_suspended_client_can_be_killed(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let control = Control::of(&station);
        let (mut other, _, others) = client(&station, &control, user);
        let (mut actor, id, mapping) = client(&station, &control, user);
        control.suspend(&id);
        actor.spawn(Order::Check { mapping, seed: SEED, first: 0, pages: 1 });
        actor.until_blocked(1);
        actor.kill();
        assert_eq!(actor.wait(), Ended::Signalled(9));
        station.wait_until("it is seen off", |books| {
            books.population()[0] == 1 && books.gauge("clients_suspended") == 0
        });
        assert_eq!(station.books().gauge("faults_parked"), 0);
        other.check(others, SEED);
    }

    fn a_client_suspended_over_and_over_loses_nothing(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let control = Control::of(&station);
        let _pressure = start_pressure(&station);
        let (mut actor, id, mapping) = client(&station, &control, user);
        let (_, counted) = actor.allocate_and_map(small());
        let adders: Vec<_> = (0..THREADS)
            .map(|at| {
                let offset = at * small() / THREADS;
                let between = Some(mapping);
                actor.spawn(Order::Add { mapping: counted, offset, between })
            })
            .collect();
        for round in 0..40 {
            control.suspend(&id);
            assert_eq!(resident(&control, &id), 0);
            control.resume(&id, round % 2 == 0);
        }
        let books = station.books();
        assert_eq!((books.counter("suspensions"), books.counter("resumes")), (40, 40));
        for (at, adder) in (0..THREADS).zip(adders) {
            let Answer::Number(added) = actor.finish(adder) else { panic!("it counts") };
            let offset = at * small() / THREADS;
            assert_eq!(actor.number(&Order::Load { mapping: counted, offset }), added);
        }
    }

    fn what_others_use_stays_and_is_right(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let control = Control::of(&station);
        let (mut maker, id) = control.client(&station, user);
        let (object, mapping) = maker.allocate_and_map(small() / 4);
        maker.fill(mapping, SEED);
        let (mut other, second) = control.client(&station, user);
        let token = maker.export(object, false);
        let shared = other.import(&token, false);
        let others = other.map(shared);
        control.suspend(&id);
        assert_ne!(maker_bytes(&station), 0, "they are in use by another");
        other.check(others, SEED);
        other.fill(others, SEED + 1);
        control.suspend(&second);
        assert_eq!(maker_bytes(&station), 0, "nobody uses them now");
        control.resume(&id, false);
        maker.check(mapping, SEED + 1);
        control.resume(&second, true);
        other.check(others, SEED + 1);
    }

    fn what_would_bring_pages_is_refused_and_the_rest_goes_on(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let control = Control::of(&station);
        let (mut actor, id) = control.client(&station, user);
        let object = actor.allocate(small() / 4);
        control.suspend(&id);
        let refused = actor.refused(&Order::Prefetch { object, offset: 0, bytes: PAGE });
        assert!(refused.is("is_suspended"), "{refused:?}");
        let mapping = actor.map(object);
        assert_eq!(actor.stat(object).resident_bytes, 0);
        actor.must(&Order::DropMapping { mapping });
        let (another, _) = actor.allocate_and_map(PAGE);
        actor.must(&Order::DropObject { object: another });
        control.resume(&id, false);
        assert_ne!(actor.number(&Order::Prefetch { object, offset: 0, bytes: PAGE }), 0);
    }

    fn a_daemon_that_stops_serves_those_who_were_suspended(user) {
        let mut station = Station::embedded(&PROGRAMS, small_pool());
        let control = Control::of(&station);
        let (mut actor, id, mapping) = client(&station, &control, user);
        control.suspend(&id);
        let check = actor.spawn(Order::Check { mapping, seed: SEED, first: 0, pages: 1 });
        actor.until_blocked(1);
        station.stop();
        assert_eq!(actor.join(check), Answer::Checked(Checked::default()));
        assert!(!control.path().exists());
    }
}

/// Bytes in the pool of the only object.
fn maker_bytes(station: &Station) -> u64 {
    station.books().gauge("vram_used_bytes")
}
