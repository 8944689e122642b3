//! When pages leave: watermarks, which go first, and a host that refuses.

use bo_core::{Action, CoreConfig, Source};
use bo_units::{MappingId, Tick};

use crate::desk::{Desk, names, pages};

/// A pool of 100 pages with the usual marks, and an object of 200.
fn desk(change: impl FnOnce(&mut CoreConfig)) -> (Desk, MappingId) {
    let mut config = CoreConfig::new(pages(100), pages(200));
    config.fault_around = pages(0);
    config.marks.clean_start = None;
    change(&mut config);
    let mut desk = Desk::with(config);
    let client = desk.client();
    let object = desk.object(client, 200);
    let mapping = desk.map(client, object);
    (desk, mapping)
}

fn used(desk: &Desk) -> u64 {
    desk.manager.gauges().vram_used_bytes / 4096
}

/// What the thread does when it is rung for.
fn reclaim(desk: &mut Desk) {
    while desk.manager.wants_reclaim() && desk.manager.handle_reclaim(desk.now) {
        desk.settle();
    }
}

#[test]
fn reclaim_begins_above_one_mark_and_goes_on_to_the_other() {
    let (mut desk, mapping) = desk(|_| {});
    desk.dirty(mapping, 0..90);
    assert!(!desk.manager.wants_reclaim(), "90 % is not above 90 %");
    assert!(!desk.manager.handle_reclaim(desk.now), "whoever calls, and for what");
    desk.dirty(mapping, 90..91);
    assert!(desk.manager.wants_reclaim());
    reclaim(&mut desk);
    assert_eq!(used(&desk), 70);
    let stats = desk.manager.stats();
    assert_eq!((stats.evictions_background, stats.evictions_direct), (21, 0));
    desk.dirty(mapping, 91..106);
    assert!(!desk.manager.wants_reclaim() && !desk.manager.handle_reclaim(desk.now));
    assert_eq!(used(&desk), 85);
}

#[test]
fn a_fault_evicts_only_when_no_room_is_left() {
    let (mut desk, mapping) = desk(|_| {});
    desk.dirty(mapping, 0..100);
    assert_eq!(desk.manager.stats().evictions_direct, 0);
    desk.dirty(mapping, 100..101);
    assert_eq!(desk.manager.stats().evictions_direct, 1);
}

#[test]
fn dirty_pages_give_way_to_clean_ones_once_and_not_for_ever() {
    let (mut desk, mapping) = desk(|config| config.marks.reclaim_start_free = pages(0));
    let load_all = |desk: &mut Desk, pages: std::ops::Range<u32>| {
        for page in pages {
            desk.load(mapping, page);
            desk.settle();
        }
    };
    load_all(&mut desk, 0..200);
    load_all(&mut desk, 0..200);
    load_all(&mut desk, 0..100);
    let copied = desk.manager.stats().evictions_copied;
    assert_eq!(copied, 200, "each has been in the store");
    desk.dirty(mapping, 100..103);
    // From here on only loads: there is always a clean page that can leave instead.
    load_all(&mut desk, 103..200);
    load_all(&mut desk, 0..200);
    assert_eq!(desk.manager.stats().evictions_copied, copied + 3);
}

/// Uses 95 of 100 pages over and over.
fn go_round(desk: &mut Desk, mapping: MappingId, rounds: u32) -> u64 {
    for _ in 0..rounds {
        for page in 0..95 {
            // What is present is used without a word.
            let absent = desk.manager.absent_runs(mapping);
            if absent.iter().any(|run| run.contains(bo_units::PageIndex::new(page))) {
                desk.store(mapping, page);
                desk.settle();
                reclaim(desk);
            }
        }
    }
    desk.manager.stats().refaults
}

#[test]
fn the_marks_yield_to_a_working_set_that_fits() {
    let reserve = |config: &mut CoreConfig| config.marks.reserve = pages(2);
    let (mut desk, mapping) = desk(reserve);
    let at_first = go_round(&mut desk, mapping, 10);
    assert_eq!(go_round(&mut desk, mapping, 50), at_first, "it came to rest");
    assert_eq!(used(&desk), 95);
    assert!(desk.manager.gauges().reclaim_start_bytes >= pages(95).get());
}

#[test]
fn marks_that_do_not_yield_evict_what_is_in_use_for_ever() {
    let (mut desk, mapping) = desk(|config| {
        config.marks.reserve = pages(2);
        config.reclaim_yields = false;
    });
    let at_first = go_round(&mut desk, mapping, 10);
    assert!(go_round(&mut desk, mapping, 50) > 5 * at_first);
}

#[test]
fn marks_that_have_yielded_come_back_when_nothing_is_wanted_back() {
    let (mut desk, mapping) = desk(|config| config.marks.reserve = pages(2));
    go_round(&mut desk, mapping, 10);
    let raised = desk.manager.gauges().reclaim_stop_bytes;
    let client = desk.manager.mapping_view(mapping).expect("it lives").client;
    for _ in 0..20 {
        let object = desk.object(client, 40);
        let stream = desk.map(client, object);
        for page in 0..40 {
            desk.store(stream, page);
            desk.settle();
            reclaim(&mut desk);
        }
        desk.manager.detach(desk.now, client, stream).expect("it is attached");
        desk.manager.release(desk.now, client, object).expect("it is held");
        desk.settle();
    }
    assert!(desk.manager.gauges().reclaim_stop_bytes < raised);
}

#[test]
fn clean_pages_leave_before_dirty_ones_that_are_about_as_cold() {
    let (mut desk, mapping) = desk(|_| {});
    desk.dirty(mapping, 0..100);
    for page in 100..108 {
        desk.load(mapping, page);
        desk.settle();
    }
    // 0 to 7 are in the store. They come back clean, and 8 to 15 leave for them.
    for page in 0..8 {
        desk.load(mapping, page);
        desk.settle();
    }
    // From the cold end: 16 to 99 and 100 to 107, dirty, then 0 to 7, clean. A touch leaves three
    // dirty ones in front of these.
    let client = desk.manager.mapping_view(mapping).expect("it lives").client;
    let object = desk.manager.mapping_view(mapping).expect("it lives").object;
    desk.manager.touch(client, object, crate::desk::range(16, 89)).expect("it is held");
    desk.load(mapping, 120);
    let done = desk.settle();
    assert!(matches!(&done[0], Action::Punch { runs, .. } if runs[0].first().get() == 0));
    assert_eq!(names(&done), ["punch", "fill"]);
}

#[test]
fn a_host_that_refuses_is_not_asked_for_ever_and_asked_again_later() {
    let (mut desk, mapping) = desk(|_| {});
    desk.dirty(mapping, 0..100);
    desk.refuses = true;
    desk.store(mapping, 100);
    let tries = desk.work().len();
    assert!(tries <= 16, "{tries} tries without a pause");
    assert_eq!(desk.manager.stats().eviction_pauses, 1);
    assert!(!desk.manager.wants_reclaim() && !desk.manager.handle_reclaim(desk.now));
    let wakeup = desk.manager.next_wakeup().expect("somebody waits for room");
    // A fault in the pause joins the queue and begins nothing.
    desk.store(mapping, 101);
    assert!(desk.work().is_empty());
    desk.now = wakeup;
    desk.manager.handle_reclaim(desk.now);
    desk.work();
    assert_eq!(desk.manager.stats().eviction_pauses, 2);
    let later = desk.manager.next_wakeup().expect("somebody still waits");
    assert!(wakeup < later);
    desk.refuses = false;
    desk.now = Tick::from_nanos(later.nanos());
    desk.manager.handle_reclaim(desk.now);
    desk.settle();
    assert_eq!(desk.manager.gauges().starved, 0);
    assert_eq!(desk.manager.next_wakeup(), None);
}

#[test]
fn who_drains_still_asks_a_host_that_refused() {
    let (mut desk, mapping) = desk(|_| {});
    desk.dirty(mapping, 0..100);
    desk.refuses = true;
    desk.store(mapping, 100);
    desk.work();
    desk.manager.drain();
    desk.refuses = false;
    desk.now = desk.manager.next_wakeup().expect("somebody waits for room");
    assert!(!desk.manager.handle_reclaim(desk.now), "nothing ahead of need");
    desk.settle();
    assert_eq!(desk.manager.gauges().starved, 0);
}

#[test]
fn a_page_that_is_one_word_over_and_over_is_filled_with_the_word() {
    let (mut desk, mapping) = desk(|config| config.limits.patterns = 1);
    desk.dirty(mapping, 0..100);
    desk.same = Some(7);
    desk.store(mapping, 100);
    desk.settle();
    desk.same = Some(8);
    desk.store(mapping, 101);
    desk.settle();
    let stats = desk.manager.stats();
    assert_eq!((stats.evictions_same, stats.evictions_copied), (1, 1), "the table is full");
    desk.load(mapping, 0);
    let done = desk.settle();
    let fill = done.iter().find(|action| matches!(action, Action::Fill { .. }));
    let Some(Action::Fill { sources, .. }) = fill else { panic!("no fill") };
    assert_eq!(sources[..], [Source::Same(7)]);
    assert_eq!(desk.manager.stats().fills_same_pages, 1);
    desk.store_protected(mapping, 0);
    desk.settle();
    assert_eq!(desk.manager.gauges().store_patterns, 0, "no page is full of it any more");
}
