//! Evictions: what they cost, what calls them off, what is kept.

use bo_core::{Action, Copied, Outcome};

use crate::desk::{Desk, names};

/// A pool of 16 pages full of stored-to pages of one object of `count`.
fn full(count: u64, ram: u64) -> (Desk, bo_units::MappingId) {
    let mut desk = Desk::new(16, ram);
    let client = desk.client();
    let object = desk.object(client, count);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..16);
    (desk, mapping)
}

#[test]
fn a_dirty_page_is_copied_then_punched_then_its_room_is_used() {
    let (mut desk, mapping) = full(20, 16);
    desk.load(mapping, 16);
    assert_eq!(names(&desk.settle()), ["copy", "punch", "fill"]);
    assert_eq!(desk.manager.stats().evictions_copied, 1);
}

#[test]
fn a_write_calls_an_eviction_off() {
    let (mut desk, mapping) = full(20, 16);
    desk.load(mapping, 16);
    let copy = desk.next();
    desk.store_protected(mapping, 0);
    assert!(desk.todo.is_empty(), "the writer waits for the copy");
    desk.finish(&copy);
    let done = names(&desk.settle());
    assert_eq!(done[0], "unprotect");
    assert!(done.contains(&"fill"), "another page left instead");
    assert_eq!(desk.manager.stats().evictions_rescued, 1);
}

#[test]
fn a_write_after_the_copy_cannot_call_the_eviction_off() {
    let (mut desk, mapping) = full(20, 16);
    desk.load(mapping, 16);
    let copy = desk.next();
    desk.finish(&copy);
    desk.store_protected(mapping, 0);
    assert_eq!(names(&desk.settle()), ["punch", "wake", "fill"]);
    assert_eq!(desk.manager.stats().evictions_rescued, 0);
}

/// The coldest pages are two dirty ones, then those that came back from the store, from 0 on.
fn with_clean_pages() -> (Desk, bo_units::MappingId) {
    let (mut desk, mapping) = full(40, 40);
    for page in (16..32).chain(0..14) {
        desk.load(mapping, page);
        desk.settle();
    }
    assert_eq!(desk.manager.stats().evictions_clean, 0);
    (desk, mapping)
}

#[test]
fn a_clean_page_leaves_by_a_punch_alone() {
    let (mut desk, mapping) = with_clean_pages();
    desk.load(mapping, 32);
    assert_eq!(names(&desk.settle()), ["punch", "fill"]);
    assert_eq!(desk.manager.stats().evictions_clean, 1);
}

#[test]
fn a_clean_page_that_was_written_to_cannot_leave_without_a_copy() {
    let (mut desk, mapping) = with_clean_pages();
    for page in 0..14 {
        desk.store_protected(mapping, page);
        assert_eq!(names(&desk.settle()), ["unprotect"]);
    }
    for page in 32..40 {
        desk.load(mapping, page);
        assert_eq!(names(&desk.settle()), ["copy", "punch", "fill"]);
    }
}

#[test]
fn a_page_that_is_being_answered_cannot_be_evicted() {
    let (mut desk, mapping) = full(20, 16);
    desk.load(mapping, 0);
    let install = desk.next();
    for page in 1..16 {
        desk.load(mapping, page);
        desk.work();
    }
    desk.load(mapping, 16);
    let Action::CopyOut { range, .. } = desk.next().action else { panic!("no eviction") };
    assert_eq!(range.first().get(), 1);
    assert!(matches!(install.action, Action::Install { .. }));
}

#[test]
fn a_page_of_zeros_takes_no_slot() {
    let (mut desk, mapping) = full(20, 16);
    desk.same = Some(0);
    desk.load(mapping, 16);
    desk.settle();
    assert_eq!(desk.manager.stats().evictions_zero, 1);
    assert_eq!(desk.manager.gauges().store_held_bytes, 0);
}

#[test]
fn a_copy_that_is_kept_gives_way_when_the_store_is_full() {
    let (mut desk, mapping) = full(30, 16);
    desk.dirty(mapping, 16..30);
    // The store has room for two more. Each page read back keeps its slot.
    for page in 0..6 {
        desk.load(mapping, page);
        desk.settle();
    }
    let (stats, gauges) = (desk.manager.stats().clone(), desk.manager.gauges());
    assert!(stats.copies_dropped > 0);
    assert!(gauges.store_held_bytes <= gauges.ram_capacity_bytes);
}

#[test]
fn a_failed_copy_leaves_the_page_where_it_was() {
    let (mut desk, mapping) = full(20, 16);
    desk.load(mapping, 16);
    let copy = desk.next();
    desk.store_protected(mapping, 0);
    desk.report(&copy, Outcome::CopiedOut(Copied::Failed));
    let done = names(&desk.settle());
    assert!(done.contains(&"unprotect") && done.contains(&"fill"));
    assert_eq!(desk.manager.stats().evictions_failed, 1);
}

#[test]
fn a_refused_punch_leaves_the_page_clean() {
    let (mut desk, mapping) = full(20, 16);
    desk.load(mapping, 16);
    let copy = desk.next();
    desk.finish(&copy);
    let punch = desk.next();
    desk.report(&punch, Outcome::Punched { done: false });
    desk.settle();
    desk.store_protected(mapping, 0);
    assert_eq!(names(&desk.settle()), ["unprotect"]);
    assert_eq!(desk.manager.stats().evictions_failed, 1);
}

#[test]
fn a_full_promise_makes_progress_with_pages_of_three_sizes() {
    let mut desk = Desk::new(64, 64);
    let client = desk.client();
    let sizes = [(4096_u64, 40_u64), (8192, 20), (16384, 10)];
    let mappings = sizes.map(|(bytes, count)| {
        let object = desk.object_of(client, count, bytes);
        (desk.map(client, object), u32::try_from(count).expect("small"))
    });
    let gauges = desk.manager.gauges();
    assert_eq!(gauges.committed_bytes, gauges.commit_limit_bytes);
    for round in 0..7 {
        for (mapping, count) in mappings {
            for page in 0..count {
                desk.store(mapping, (page * 7 + round) % count);
                desk.settle();
            }
        }
    }
    assert!(desk.manager.stats().evictions_copied > 100);
}
