//! The cleaner: what it makes cheap, what calls it off, what it leaves alone.

use bo_core::{Access, Action, Copied, CoreConfig, Outcome, Protection};
use bo_units::MappingId;

use crate::desk::{Desk, NOW, names, pages, range};

/// A pool of 64 pages, a store of as many, the cleaner at work from the first page on; `count`
/// pages of one object were stored to.
fn dirty(count: u32) -> (Desk, MappingId) {
    let mut config = CoreConfig::new(pages(64), pages(64));
    config.fault_around = pages(0);
    config.marks.reclaim_start_free = pages(0);
    config.marks.reclaim_stop_free = pages(32);
    config.marks.clean_start = Some(pages(0));
    let mut desk = Desk::with(config);
    let client = desk.client();
    let object = desk.object(client, 100);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..count);
    (desk, mapping)
}

fn clean(desk: &mut Desk) -> bool {
    let more = desk.manager.handle_clean(NOW);
    desk.take();
    more
}

/// As much as the cleaner does when it is called.
fn clean_all(desk: &mut Desk) -> Vec<Action> {
    let mut done = Vec::new();
    while clean(desk) {
        done.extend(desk.settle());
    }
    done
}

#[test]
fn the_coldest_pages_are_copied_in_one_run_and_stay() {
    let (mut desk, _) = dirty(64);
    assert!(desk.manager.wants_clean());
    let done = clean_all(&mut desk);
    assert_eq!(names(&done), ["copy"]);
    assert!(matches!(&done[0], Action::CopyOut { range: run, .. } if *run == range(0, 8)));
    assert!(!desk.manager.wants_clean());
    let gauges = desk.manager.gauges();
    assert_eq!(desk.manager.stats().cleaned, 8);
    assert_eq!(gauges.vram_used_bytes, pages(64).get());
    assert_eq!(gauges.store_held_bytes, pages(8).get());
}

#[test]
fn a_page_that_was_cleaned_leaves_by_a_punch_alone() {
    let (mut desk, mapping) = dirty(64);
    clean_all(&mut desk);
    desk.store(mapping, 64);
    assert_eq!(names(&desk.settle()), ["punch", "fill"]);
    let stats = desk.manager.stats();
    assert_eq!((stats.evictions_clean, stats.cleaned_used), (1, 1));
}

#[test]
fn pages_that_leave_clean_widen_the_window_up_to_one_round_of_reclaim() {
    let (mut desk, mapping) = dirty(64);
    for page in 64..90 {
        clean_all(&mut desk);
        desk.store(mapping, page);
        desk.settle();
    }
    let window = desk.manager.gauges().clean_window_bytes;
    assert!(pages(16).get() < window && window <= pages(32).get(), "{window}");
    assert_eq!(desk.manager.stats().evictions_copied, 0);
}

#[test]
fn a_writer_calls_the_cleaning_off_and_does_not_wait_for_it() {
    let (mut desk, mapping) = dirty(64);
    clean(&mut desk);
    let copy = desk.next();
    desk.store_protected(mapping, 3);
    assert_eq!(names(&desk.work()), ["unprotect"]);
    desk.finish(&copy);
    desk.settle();
    let stats = desk.manager.stats();
    assert_eq!((stats.cleaned, stats.cleanings_called_off), (7, 1));
    assert_eq!(desk.manager.gauges().store_held_bytes, pages(7).get());
}

#[test]
fn a_reader_of_a_page_that_is_being_cleaned_gets_an_entry_that_reports_its_first_write() {
    let (mut desk, mapping) = dirty(64);
    clean(&mut desk);
    let copy = desk.next();
    desk.load(mapping, 3);
    let install = desk.work();
    assert!(matches!(install[0], Action::Install { protection: Protection::WriteProtected, .. }));
    desk.finish(&copy);
    desk.settle();
    assert_eq!(desk.manager.stats().cleaned, 8);
}

#[test]
fn a_mapping_that_is_made_during_a_cleaning_is_guarded_too() {
    let (mut desk, mapping) = dirty(64);
    clean(&mut desk);
    let copy = desk.next();
    let view = desk.manager.mapping_view(mapping).expect("it lives");
    let attached = desk.manager.attach(view.client, view.object, range(2, 20), Access::ReadWrite);
    assert_eq!(attached.expect("it may be mapped").guard.runs, [range(2, 6)]);
    desk.finish(&copy);
    desk.settle();
}

#[test]
fn a_page_that_is_being_cleaned_cannot_be_evicted() {
    let (mut desk, mapping) = dirty(64);
    clean(&mut desk);
    let copy = desk.next();
    desk.store(mapping, 64);
    let Action::CopyOut { range: run, .. } = &desk.todo[0].action else { panic!("no eviction") };
    assert_eq!(run.first().get(), 8);
    desk.finish(&copy);
    desk.settle();
}

#[test]
fn a_mapping_cannot_go_while_it_is_being_protected() {
    let (mut desk, mapping) = dirty(64);
    clean(&mut desk);
    let copy = desk.next();
    let client = desk.manager.mapping_view(mapping).expect("it lives").client;
    desk.manager.detach(NOW, client, mapping).expect("it is attached");
    desk.take();
    assert!(desk.todo.is_empty(), "the copy names it");
    desk.finish(&copy);
    assert_eq!(names(&desk.settle()), ["detached"]);
}

#[test]
fn an_object_that_dies_while_it_is_cleaned_takes_everything_with_it() {
    let (mut desk, mapping) = dirty(64);
    clean(&mut desk);
    let copy = desk.next();
    let client = desk.manager.mapping_view(mapping).expect("it lives").client;
    desk.manager.client_gone(NOW, client);
    desk.take();
    assert!(desk.todo.is_empty());
    desk.finish(&copy);
    // Its pages are forgotten a part at a time.
    assert_eq!(names(&desk.settle()), ["yield", "yield", "destroy", "freed"]);
    let gauges = desk.manager.gauges();
    assert_eq!((gauges.vram_used_bytes, gauges.store_held_bytes), (0, 0));
}

#[test]
fn a_page_that_was_cleaned_for_nothing_is_left_alone_until_the_pool_has_turned_over() {
    let (mut desk, mapping) = dirty(64);
    clean_all(&mut desk);
    for page in 0..64 {
        desk.store_protected(mapping, page);
        desk.settle();
        clean_all(&mut desk);
    }
    let wasted = desk.manager.stats().cleaned_wasted;
    assert_eq!(wasted, 64, "each page once");
    for page in 0..64 {
        desk.store_protected(mapping, page);
        desk.settle();
        assert!(clean_all(&mut desk).is_empty());
    }
    assert!(!desk.manager.wants_clean());
    assert_eq!(desk.manager.stats().cleaned_wasted, wasted);
}

#[test]
fn a_cleaning_that_fails_leaves_the_pages_dirty_and_is_not_tried_again() {
    let (mut desk, mapping) = dirty(64);
    clean(&mut desk);
    let copy = desk.next();
    desk.report(&copy, Outcome::CopiedOut(Copied::Failed));
    assert!(clean_all(&mut desk).is_empty());
    assert_eq!(desk.manager.stats().cleanings_failed, 8);
    assert_eq!(desk.manager.gauges().store_held_bytes, 0);
    desk.store(mapping, 64);
    assert_eq!(names(&desk.settle()), ["copy", "punch", "fill"]);
}

#[test]
fn a_nearly_full_store_cannot_be_filled_by_the_cleaner() {
    let (mut desk, mapping) = dirty(64);
    for page in 64..100 {
        desk.store(mapping, page);
        desk.settle();
    }
    for page in 0..20 {
        desk.store(mapping, page);
        desk.settle();
    }
    while clean(&mut desk) {
        desk.settle();
    }
    let gauges = desk.manager.gauges();
    assert!(gauges.store_held_bytes <= gauges.ram_capacity_bytes);
    assert_eq!(desk.manager.stats().copies_dropped, 0);
}

#[test]
fn nothing_is_cleaned_below_the_mark_nor_by_who_drains() {
    let mut config = CoreConfig::new(pages(64), pages(64));
    config.fault_around = pages(0);
    config.marks.clean_start = Some(pages(40));
    let mut desk = Desk::with(config);
    let client = desk.client();
    let object = desk.object(client, 64);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..40);
    assert!(!desk.manager.wants_clean() && !clean(&mut desk));
    desk.dirty(mapping, 40..41);
    assert!(desk.manager.wants_clean());
    desk.manager.drain();
    assert!(!desk.manager.wants_clean() && !clean(&mut desk));
}

#[test]
fn pages_that_are_one_word_over_and_over_are_cleaned_without_a_slot() {
    let (mut desk, _) = dirty(64);
    desk.same = Some(0x0123_4567_89ab_cdef);
    clean_all(&mut desk);
    let gauges = desk.manager.gauges();
    assert_eq!((desk.manager.stats().cleaned, gauges.store_patterns), (8, 1));
    assert_eq!(gauges.store_held_bytes, 0);
}
