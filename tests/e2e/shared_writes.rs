//! Two processes, four threads each, one object, and eviction without end.

use bo_tests::{Actor, Answer, Census, Order, Pool, Station, Tally, User, by_each_user, scale};

use crate::{PROGRAMS, small, small_pool};

const THREADS: u64 = 4;

/// Loads and stores of each thread. With pages of 2 MiB each miss moves 512 times as much.
fn steps() -> u64 {
    if scale() == 1 { 6_000 } else { 400 }
}

/// What two processes saw, and what each of them finds at the end.
pub(crate) struct Outcome {
    tally: Tally,
    censuses: [Census; 2],
    evictions: u64,
}

fn storm(station: &Station, users: [User; 2], seed: u64) -> Outcome {
    storm_with_pages(station, users, (4 * small(), station.page_bytes()), seed)
}

pub(crate) fn storm_with_pages(
    station: &Station,
    users: [User; 2],
    (bytes, page_bytes): (u64, u64),
    seed: u64,
) -> Outcome {
    let mut actors = users.map(|user| station.client(user));
    let object = actors[0].object(&Order::Allocate { bytes, page_bytes: Some(page_bytes) });
    let token = actors[0].export(object, false);
    let imported = actors[1].import(&token, false);
    let mappings = [actors[0].map(object), actors[1].map(imported)];
    for (actor, (mapping, first_writer)) in actors.iter_mut().zip(mappings.into_iter().zip([0, 4]))
    {
        let (writers, threads, steps) = (2 * THREADS, THREADS, steps());
        actor.order(&Order::Storm { mapping, first_writer, writers, threads, steps, seed });
    }
    let tallies = actors.each_mut().map(tally);
    let writers = 2 * THREADS;
    let mut censuses = actors
        .iter_mut()
        .zip(mappings)
        .map(|(actor, mapping)| census(actor, &Order::Census { mapping, writers }));
    let censuses = [censuses.next().expect("two"), censuses.next().expect("two")];
    let [mut all, other] = tallies;
    all.steps += other.steps;
    all.lost += other.lost;
    all.stale += other.stale;
    all.torn += other.torn;
    all.written.extend(other.written);
    Outcome { tally: all, censuses, evictions: station.books().counter("evictions") }
}

fn tally(actor: &mut Actor) -> Tally {
    let answer = actor.answer();
    let Answer::Tally(tally) = answer else { panic!("{answer:?}") };
    tally
}

fn census(actor: &mut Actor, order: &Order) -> Census {
    let answer = actor.ask(order);
    let Answer::Sums(census) = answer else { panic!("{answer:?}") };
    census
}

#[track_caller]
pub(crate) fn assert_nothing_was_lost(outcome: &Outcome) {
    let Tally { steps, lost, stale, torn, written } = &outcome.tally;
    println!("{steps} loads and stores, {} evictions", outcome.evictions);
    assert_eq!((*lost, *stale, *torn), (0, 0, 0));
    // Both processes find what every writer says that it wrote.
    assert_eq!(outcome.censuses.each_ref().map(|each| &each.sums), [written, written]);
    // The storm was one.
    assert!(self::steps() / 6 < outcome.evictions, "{}", outcome.evictions);
}

by_each_user! {
    fn no_write_is_lost_stale_or_torn_under_constant_eviction(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        assert_nothing_was_lost(&storm(&station, [user, user], 1));
    }
}

#[test]
fn no_write_is_lost_in_larger_pages() {
    let station = Station::embedded(&PROGRAMS, Pool::kib(16 * 64));
    let users = [User::Nobody, User::Nobody];
    assert_nothing_was_lost(&storm_with_pages(&station, users, (4 << 20, 64 << 10), 3));
}

/// The cleaner is in every writer's way here, and every writer in the cleaner's.
#[test]
fn no_write_is_lost_when_everything_is_cleaned() {
    let station = Station::embedded_with(&PROGRAMS, small_pool(), |config| {
        let clean_start = Some(bo_manager::Percent::new(0));
        bo_manager::Config { clean_start, reclaim_yield: false, ..config }
    });
    assert_nothing_was_lost(&storm(&station, [User::Root, User::Nobody], 4));
    let books = station.books();
    let (cleaned, wasted) = (books.counter("cleaned"), books.counter("cleaned_wasted"));
    println!("{cleaned} cleaned, {wasted} for nothing");
    assert!(100 < cleaned, "{cleaned}");
}

#[test]
fn users_of_two_kinds_share_an_object_as_well() {
    let station = Station::embedded(&PROGRAMS, small_pool());
    assert_nothing_was_lost(&storm(&station, [User::Root, User::Nobody], 2));
}

#[test]
fn without_write_protection_writes_are_lost() {
    let lossy = |seed| {
        let station = Station::embedded_with(&PROGRAMS, small_pool(), |config| {
            bo_manager::Config { skip_protect: true, ..config }
        });
        storm(&station, [User::Root, User::Root], seed).tally.lost
    };
    let lost: Vec<u64> = (1..=20)
        .map(lossy)
        .scan(0, |sum, lost| {
            // One lost write is enough.
            let before = *sum;
            *sum += lost;
            (before == 0).then_some(lost)
        })
        .collect();
    println!("writes lost, storm by storm: {lost:?}");
    assert!(lost.iter().any(|lost| *lost != 0), "the storms are too weak to show anything");
}
