//! Reclaim ahead of need: pages are made clean while they stay, and take no room if they can.

use bo_manager::Config;
use bo_tests::{Order, PAGE, Pool, Station, by_each_user};

use crate::{PROGRAMS, SEED};

const POOL_KIB: u64 = 1024;
const POOL_PAGES: u64 = POOL_KIB / 4;

/// What one round of reclaim evicts at the least: from 90 % down to 70 %. How much is in use
/// afterwards nobody knows, since the client may still be filling when the round is over.
const ROUND_PAGES: u64 = POOL_PAGES / 5;

fn station(change: impl FnOnce(Config) -> Config) -> Station {
    Station::embedded_with(&PROGRAMS, Pool::kib(POOL_KIB), change)
}

by_each_user! {
    fn dirty_pages_become_clean_and_then_leave_by_a_punch_alone(user) {
        let station = station(|config| config);
        let mut actor = station.client(user);
        // More than the cleaner's mark, less than reclaim's.
        let (_, mapping) = actor.allocate_and_map(POOL_PAGES * 3 / 4 * PAGE);
        actor.fill(mapping, SEED);
        station.wait_until("the cold end is clean", |books| {
            books.counter("cleaned") * PAGE >= books.gauge("clean_window_bytes")
        });
        assert_eq!(station.books().counter("evictions"), 0);
        let cleaned = station.books().counter("cleaned");
        let (_, other) = actor.allocate_and_map(POOL_PAGES / 4 * PAGE);
        actor.fill(other, SEED + 1);
        station.wait_until("reclaim has come to its lower mark", |books| {
            ROUND_PAGES <= books.counter("evictions_background")
        });
        let books = station.books();
        let (clean, used) = (books.counter("evictions_clean"), books.counter("cleaned_used"));
        println!("{cleaned} cleaned at first, {clean} left clean, {used} of them cleaned");
        assert!(cleaned <= used && used <= clean);
        assert_eq!(books.counter("cleaned_wasted"), 0);
        actor.check(mapping, SEED);
        actor.check(other, SEED + 1);
    }

    fn reclaim_leaves_room_before_anybody_needs_it(user) {
        let station = station(|config| Config { clean_start: None, ..config });
        let mut actor = station.client(user);
        let (_, mapping) = actor.allocate_and_map(POOL_PAGES * 95 / 100 * PAGE);
        actor.fill(mapping, SEED);
        station.wait_until("reclaim has come to its lower mark", |books| {
            ROUND_PAGES <= books.counter("evictions_background")
        });
        let books = station.books();
        assert_eq!((books.counter("evictions_direct"), books.counter("cleaned")), (0, 0));
        // It stopped there: the last pages may have come after it.
        assert!(books.counter("evictions_background") <= 2 * ROUND_PAGES);
        actor.check(mapping, SEED);
    }

    fn bytes_stay_right_under_a_writer_that_dirties_what_was_cleaned(user) {
        let station = station(|config| Config { clean_start: Some(percent("0%")), ..config });
        let mut actor = station.client(user);
        // Everything fits: what is cleaned is cleaned for nothing.
        let (_, mapping) = actor.allocate_and_map(POOL_PAGES / 2 * PAGE);
        for round in 0..20 {
            actor.fill(mapping, SEED + round);
            actor.check(mapping, SEED + round);
        }
        let books = station.books();
        let (cleaned, wasted) = (books.counter("cleaned"), books.counter("cleaned_wasted"));
        println!("{cleaned} cleaned, {wasted} for nothing");
        // Each page is cleaned for nothing once in a while, and not round after round.
        assert!(wasted <= 2 * POOL_PAGES, "{wasted}");
    }

    fn pages_that_are_one_word_over_and_over_take_no_room(user) {
        let station = station(|config| Config {
            reclaim_start: percent("2%"),
            reclaim_stop: percent("0%"),
            ..config
        });
        let mut actor = station.client(user);
        let (_, mapping) = actor.allocate_and_map(8 * PAGE);
        let word = 0x0123_4567_89ab_cdef;
        for offset in (0..8 * PAGE).step_by(8) {
            actor.must(&Order::Store { mapping, offset, value: word });
        }
        station.wait_until("some are gone", |books| 0 < books.counter("evictions_same"));
        station.wait_until("nothing moves", |books| books.gauge("moves") == 0);
        for offset in (0..8 * PAGE).step_by(504) {
            assert_eq!(actor.number(&Order::Load { mapping, offset }), word);
        }
        station.wait_until("one came back", |books| 0 < books.counter("fills_same_pages"));
        let books = station.books();
        println!("{} left, {} came back", books.counter("evictions_same"),
            books.counter("fills_same_pages"));
        actor.must(&Order::Disconnect);
        station.wait_until("all is freed", |books| books.gauge("objects") == 0);
        assert_eq!(station.books().gauge("store_patterns"), 0);
    }
}

fn percent(text: &str) -> bo_manager::Percent {
    text.parse().expect("a percentage")
}

#[test]
fn a_store_of_nothing_but_words_stays_empty() {
    let station = station(|config| Config {
        reclaim_start: percent("2%"),
        reclaim_stop: percent("0%"),
        clean_start: None,
        ..config
    });
    let mut actor = station.client(bo_tests::User::Nobody);
    let (_, mapping) = actor.allocate_and_map(64 * PAGE);
    // One word of each page is enough to make it dirty; what it writes is what is there: zero.
    for page in 0..64 {
        actor.must(&Order::Store { mapping, offset: page * PAGE, value: 0 });
    }
    station.wait_until("most are gone", |books| 32 < books.counter("evictions_zero"));
    station.wait_until("nothing moves", |books| books.gauge("moves") == 0);
    assert_eq!(station.books().gauge("store_held_bytes"), 0);
    assert_eq!(station.books().counter("evictions_copied"), 0);
}
