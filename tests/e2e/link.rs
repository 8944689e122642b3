//! A simulated link between pool and store: slow, and in nobody's way.
//!
//! What happens *during* a transfer is shown by states: the transfer is seen on the link before and
//! after. A machine that stalls for the whole second of one transfer has shown nothing, so there
//! are a few rounds, of which one must show it.

use std::time::{Duration, Instant};

use bo_manager::{LinkConfig, Percent};
use bo_tests::{
    Actor, Answer, Books, Checked, Control, Order, PAGE, Pool, Slot, Station, Task, User, until,
};
use bo_units::{ByteCount, ByteRate};

use crate::shared_writes::{assert_nothing_was_lost, storm_with_pages};
use crate::{PROGRAMS, SEED};

/// Sixteen pages are a pool.
const POOL_PAGES: u64 = 16;
const PAGE_KIB: u64 = 64;
const BIG: u64 = PAGE_KIB << 10;

/// Pages of the pattern in one such page.
const SMALL_PAGES: u64 = BIG / PAGE;

/// Pages that each client has on the other side of the link.
const ROUNDS: u64 = 4;

const NONE: [u64; 0] = [];

fn link(bytes_per_second: ByteCount, latency: Duration, queues: u32) -> LinkConfig {
    let bandwidth = ByteRate::per_second(bytes_per_second).expect("not zero");
    LinkConfig { bandwidth, latency, queues }
}

fn station_with(pool_kib: u64, link: LinkConfig) -> Station {
    Station::embedded_with(&PROGRAMS, Pool::kib(pool_kib), |config| bo_manager::Config {
        link: Some(link),
        // If this one slept for a transfer, nobody else would be answered.
        fault_threads: Some(1),
        // Nothing crosses but what the stories let cross.
        clean_start: None,
        fault_around: ByteCount::new(0),
        reclaim_start: Percent::new(97),
        reclaim_stop: Percent::new(94),
        ..config
    })
}

/// A daemon whose transfers take more than a second each.
fn slow_station() -> Station {
    station_with(POOL_PAGES * PAGE_KIB, link(ByteCount::mib(1), Duration::from_secs(1), 1))
}

fn allocate(actor: &mut Actor, pages: u64, page_bytes: u64) -> (Slot, Slot) {
    let bytes = pages * page_bytes;
    let object = actor.object(&Order::Allocate { bytes, page_bytes: Some(page_bytes) });
    (object, actor.map(object))
}

/// Stores to each page, all at the same time.
fn store_at_once(actor: &mut Actor, mapping: Slot, pages: u64, page_bytes: u64) -> Vec<Task> {
    (0..pages)
        .map(|page| actor.spawn(Order::Store { mapping, offset: page * page_bytes, value: 1 }))
        .collect()
}

/// Clients with an object of [`ROUNDS`] pages each, none of them present, and an empty pool.
fn clients_with_absent_pages(station: &Station, clients: u64) -> Vec<(Actor, Slot, Slot)> {
    let control = Control::of(station);
    let found = (0..clients).map(|number| {
        let (mut actor, id) = control.client(station, User::Nobody);
        let (object, mapping) = allocate(&mut actor, ROUNDS, BIG);
        actor.fill(mapping, SEED + number);
        // What is still on its way in cannot leave yet.
        until("all of it has left", || {
            control.order(&format!("/api/v1/clients/{id}/evict"), "");
            (actor.stat(object).resident_bytes == 0).then_some(())
        });
        (actor, object, mapping)
    });
    let mut found: Vec<_> = found.collect();
    assert_eq!(station.books().gauge("vram_used_bytes"), 0);
    for (actor, object, _) in &mut found {
        assert_eq!(actor.stat(*object).resident_bytes, 0);
    }
    found
}

fn check_of(mapping: Slot, seed: u64, page: u64) -> Order {
    Order::Check { mapping, seed, first: page * SMALL_PAGES, pages: SMALL_PAGES }
}

/// Returns when `count` transfers are on their way in, true, or have been, false.
#[track_caller]
fn seen_in_flight(station: &Station, before: u64, count: u64) -> bool {
    let look = |books: &Books| match books.link("in", "in_flight") {
        0 if before + count <= books.link("in", "transfers") => Some(false),
        found if found == count => Some(true),
        _ => None,
    };
    until("transfers are on their way in", || look(&station.books())).0
}

#[test]
fn no_write_is_lost_over_a_slow_link() {
    let link = link(ByteCount::mib(128), Duration::from_micros(100), 2);
    let (station, users) = (station_with(256, link), [User::Root, User::Nobody]);
    let outcome = storm_with_pages(&station, users, (1 << 20, PAGE), 4);
    assert_nothing_was_lost(&outcome);
}

#[test]
fn bytes_cross_whole_and_never_faster_than_the_link() {
    let bandwidth = ByteCount::mib(64);
    let start = Instant::now();
    let station = station_with(1024, link(bandwidth, Duration::from_micros(20), 1));
    let mut actors: Vec<_> = [4096, 16 << 10, 64 << 10]
        .into_iter()
        .map(|page_bytes| {
            let mut actor = station.client(User::Nobody);
            let (_, mapping) = allocate(&mut actor, (2 << 20) / page_bytes, page_bytes);
            (actor, mapping)
        })
        .collect();
    for seed in SEED..SEED + 2 {
        for (actor, mapping) in &mut actors {
            let pages = u64::MAX;
            actor.order(&Order::Fill { mapping: *mapping, seed, first: 0, pages });
        }
        for (actor, mapping) in &mut actors {
            assert_eq!(actor.answer(), Answer::Done);
            let pages = u64::MAX;
            actor.order(&Order::Check { mapping: *mapping, seed, first: 0, pages });
        }
        for (actor, _) in &mut actors {
            assert_eq!(actor.answer(), Answer::Checked(Checked::default()));
        }
    }
    let books = station.books();
    let metrics = station.metrics();
    let took = start.elapsed().as_nanos();
    for direction in ["in", "out"] {
        let bytes = books.link(direction, "bytes");
        println!("{direction}: {bytes} bytes in {} ms", took / 1_000_000);
        // Each client's object is twice the pool, and was gone through four times.
        assert!(6 << 20 < bytes, "{bytes}");
        let least = u128::from(bytes) * 1_000_000_000 / u128::from(bandwidth.get());
        assert!(least <= took, "{bytes} bytes {direction} in {took} ns");
        let scraped = metrics[&format!("bo_link_bytes_total{{direction=\"{direction}\"}}")];
        assert!(bytes <= scraped, "{bytes}, then {scraped}");
    }
}

#[test]
fn a_fault_that_needs_no_transfer_is_answered_during_one() {
    let station = slow_station();
    let mut found = clients_with_absent_pages(&station, 1);
    let (reader, _, mapping) = &mut found[0];
    let mut other = station.client(User::Nobody);
    let shown = (0..ROUNDS).any(|page| {
        let before = station.books().link("in", "transfers");
        let check = reader.spawn(check_of(*mapping, SEED, page));
        let seen = seen_in_flight(&station, before, 1);
        // A page of zeros, and a page that is there, through a mapping that has no entry for it.
        let (object, first) = other.allocate_and_map(PAGE);
        other.must(&Order::Store { mapping: first, offset: 0, value: 7 });
        let second = other.map(object);
        assert_eq!(other.number(&Order::Load { mapping: second, offset: 0 }), 7);
        let still = station.books().link("in", "in_flight");
        assert_eq!(reader.join(check), Answer::Checked(Checked::default()));
        seen && still == 1
    });
    assert!(shown, "no fault was ever answered while a transfer was on its way");
}

#[test]
fn prefetches_that_wait_for_the_link_hold_up_no_request() {
    let station = slow_station();
    // One more than there are control threads.
    let mut found = clients_with_absent_pages(&station, 3);
    let mut other = station.client(User::Nobody);
    let shown = (0..ROUNDS).any(|page| {
        let before = station.books().link("in", "transfers");
        let prefetch = |(actor, object, _): &mut (Actor, Slot, Slot)| {
            actor.spawn(Order::Prefetch { object: *object, offset: page * BIG, bytes: BIG })
        };
        let tasks: Vec<_> = found.iter_mut().map(prefetch).collect();
        let seen = seen_in_flight(&station, before, 3);
        other.allocate(PAGE);
        let still = station.books().link("in", "in_flight");
        for ((actor, _, _), task) in found.iter_mut().zip(tasks) {
            // Answered when it is there.
            assert_eq!(actor.join(task), Answer::Number(BIG));
        }
        seen && still == 3
    });
    assert!(shown, "no request was ever answered while prefetches were on their way");
    for (seed, (actor, _, mapping)) in (SEED..).zip(&mut found) {
        actor.check(*mapping, seed);
    }
}

#[test]
fn a_client_killed_in_its_transfers_gives_everything_back() {
    let station = slow_station();
    let mut found = clients_with_absent_pages(&station, 1);
    let (mut reader, _, mapping) = found.remove(0);
    let before = station.books().link("in", "transfers");
    for page in 0..ROUNDS {
        reader.spawn(check_of(mapping, SEED, page));
    }
    seen_in_flight(&station, before, ROUNDS);
    reader.kill();
    station.wait_until("everything is given back", |books| {
        books.population() == [0, 0, 0]
            && books.gauge("vram_used_bytes") == 0
            && books.gauge("store_held_bytes") == 0
            && books.gauge("moves") == 0
            && books.link("in", "in_flight") == 0
    });
    let mut next = station.client(User::Nobody);
    let (_, mapping) = allocate(&mut next, POOL_PAGES, BIG);
    next.fill(mapping, SEED + 1);
    next.check_pages(mapping, SEED + 1, 0, SMALL_PAGES);
}

#[test]
fn who_waits_for_a_transfer_in_is_served_by_a_stop() {
    let mut station = slow_station();
    let mut found = clients_with_absent_pages(&station, 1);
    let (reader, _, mapping) = &mut found[0];
    let before = station.books().link("in", "transfers");
    let checks: Vec<_> =
        (0..ROUNDS).map(|page| reader.spawn(check_of(*mapping, SEED, page))).collect();
    seen_in_flight(&station, before, ROUNDS);
    station.stop();
    for check in checks {
        assert_eq!(reader.join(check), Answer::Checked(Checked::default()));
    }
    assert_eq!(reader.peek(*mapping, SEED).wrong, NONE);
}

/// The link has eight seconds of work before it. A stop that waited for it would lose patience
/// after two, and give SIGBUS to whoever is blocked.
#[test]
fn who_waits_for_transfers_out_is_served_by_a_stop_before_their_time() {
    const HUGE: u64 = 512 << 10;
    let link = link(ByteCount::mib(1), Duration::from_secs(1), 1);
    let mut station = station_with(POOL_PAGES * (HUGE >> 10), link);
    let mut actor = station.client(User::Nobody);
    let (_, old) = allocate(&mut actor, POOL_PAGES - 1, HUGE);
    actor.fill(old, SEED);
    let (_, new) = allocate(&mut actor, POOL_PAGES, HUGE);
    let stores = store_at_once(&mut actor, new, POOL_PAGES, HUGE);
    actor.until_blocked(POOL_PAGES - 2);
    station.wait_until("copies are on their way out", |books| {
        books.link("out", "in_flight") >= POOL_PAGES - 2
    });
    station.stop();
    for store in stores {
        assert_eq!(actor.join(store), Answer::Done);
    }
    assert_eq!(actor.peek(old, SEED).wrong, NONE);
}

#[test]
fn without_a_link_there_is_none_to_see() {
    let station = Station::process(&PROGRAMS, Pool::kib(256));
    let metrics = station.metrics();
    assert!(!metrics.keys().any(|name| name.starts_with("bo_link")), "{metrics:?}");
    let log = station.log().join("\n");
    assert!(log.contains("\"link\":\"off\""), "{log}");
}
