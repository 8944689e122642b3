//! Faults: how many fills they cost, who waits for what, in which order.

use bo_core::{
    Action, CoreConfig, Fault, FaultKind, Heard, InstallEnd, Outcome, Protection, Source,
};
use bo_units::PageIndex;

use crate::desk::{Desk, NOW, names, pages, range};

#[test]
fn sixty_four_threads_on_one_page_are_one_fill() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 1);
    let (left, right) = (desk.map(client, object), desk.map(client, object));
    for _ in 0..32 {
        desk.load(left, 0);
        desk.load(right, 0);
    }
    assert_eq!(names(&desk.settle()), ["fill", "install", "wake"]);
    let stats = desk.manager.stats();
    assert_eq!((stats.faults_read, stats.faults_coalesced), (64, 63));
    assert_eq!(stats.verdicts_refault, 64);
}

#[test]
fn a_fault_on_a_page_that_is_present_is_answered_all_the_same() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 1);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..1);
    desk.load(mapping, 0);
    assert_eq!(names(&desk.settle()), ["install"]);
    assert_eq!(desk.manager.stats().faults_present, 1);
}

#[test]
fn neighbours_that_fault_together_get_their_entries_in_one_call() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 8);
    let (left, right) = (desk.map(client, object), desk.map(client, object));
    desk.dirty(left, 0..8);
    for page in [0, 1, 1, 2, 4] {
        let page = PageIndex::new(page);
        let fault = Fault { mapping: right, page, write: false, kind: FaultKind::Missing };
        assert_eq!(desk.manager.handle_fault(NOW, fault), Heard::Noted);
    }
    desk.take();
    let done = desk.settle();
    let runs: Vec<_> = (done.iter())
        .filter_map(|action| {
            let Action::Install { mapping, range, .. } = action else { return None };
            Some((*mapping, *range))
        })
        .collect();
    assert_eq!(names(&done), ["install", "install"]);
    assert_eq!(runs, [(right, range(0, 3)), (right, range(4, 1))]);
    // Each of the five faults was answered, and none of the pages stays busy.
    assert_eq!(desk.manager.stats().verdicts_refault, 5 + 8);
}

#[test]
fn a_fault_outside_its_mapping_cannot_be_noted() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 1);
    let mapping = desk.map(client, object);
    let heard = desk.hear(mapping, 1, false, FaultKind::Missing);
    assert_eq!(heard, Heard::Unknown);
    assert!(desk.settle().is_empty());
}

#[test]
fn starved_faults_are_served_in_the_order_they_came() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 30);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..16);
    for page in [20, 18, 25] {
        desk.load(mapping, page);
    }
    let filled: Vec<u32> = (desk.settle().iter())
        .filter_map(|action| {
            let Action::Fill { range, .. } = action else { return None };
            Some(range.first().get())
        })
        .collect();
    assert_eq!(filled, [20, 18, 25]);
    assert_eq!(desk.manager.stats().faults_starved, 3);
}

#[test]
fn a_small_fill_cannot_overtake_a_large_one_that_waits() {
    let mut desk = Desk::new(32, 32);
    let client = desk.client();
    let (small, large) = (desk.object(client, 34), desk.object_of(client, 2, 8192));
    let (small, large) = (desk.map(client, small), desk.map(client, large));
    desk.dirty(small, 0..31);
    desk.load(large, 0);
    desk.load(small, 33);
    assert_eq!(desk.manager.gauges().starved, 2);
    let fills: Vec<_> = desk.settle();
    let first = fills.iter().find(|action| matches!(action, Action::Fill { .. }));
    assert!(matches!(first, Some(Action::Fill { install: Some(install), .. })
        if install.mapping == large));
}

#[test]
fn a_lone_fault_brings_absent_neighbours_and_a_stream_looks_ahead() {
    let mut config = CoreConfig::new(pages(64), pages(64));
    config.fault_around = pages(4);
    config.marks.reserve = pages(0);
    let mut desk = Desk::with(config);
    let client = desk.client();
    let object = desk.object(client, 40);
    let mapping = desk.map(client, object);
    desk.load(mapping, 6);
    let Action::Fill { range: around, .. } = desk.settle().remove(0) else { panic!("no fill") };
    assert_eq!(around, range(4, 4));
    for page in [8, 12] {
        desk.load(mapping, page);
        desk.settle();
    }
    desk.load(mapping, 17);
    let Action::Fill { range: lone, .. } = desk.settle().remove(0) else { panic!("no fill") };
    assert_eq!(lone, range(16, 4));
}

#[test]
fn neighbours_never_cost_anybody_a_page() {
    let mut config = CoreConfig::new(pages(16), pages(64));
    config.fault_around = pages(16);
    config.marks.reserve = pages(2);
    let mut desk = Desk::with(config);
    let client = desk.client();
    let object = desk.object(client, 40);
    let mapping = desk.map(client, object);
    desk.load(mapping, 0);
    desk.settle();
    desk.load(mapping, 20);
    let done = desk.settle();
    assert_eq!(names(&done), ["fill"]);
    assert!(desk.manager.gauges().vram_used_bytes <= pages(16).get());
}

#[test]
fn a_hole_that_a_client_punched_is_patched_and_the_stores_copy_forgotten() {
    let mut desk = Desk::new(16, 32);
    let client = desk.client();
    let object = desk.object(client, 20);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..17);
    desk.load(mapping, 0);
    desk.settle();
    desk.load(mapping, 0);
    let install = desk.next();
    assert!(matches!(install.action, Action::Install { protection, .. }
        if protection == Protection::WriteProtected));
    let stored = desk.manager.gauges().store_held_bytes;
    desk.report(&install, Outcome::Installed(InstallEnd::Absent));
    assert_eq!(desk.manager.gauges().store_held_bytes, stored - 4096);
    assert_eq!(names(&desk.settle()), ["patch"]);
    assert_eq!(desk.manager.stats().holes_patched, 1);
}

#[test]
fn a_fill_without_a_frame_poisons_its_accessors_and_keeps_what_others_may_have_written() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 1);
    let mapping = desk.map(client, object);
    desk.load(mapping, 0);
    let fill = desk.next();
    desk.report(&fill, Outcome::FillFailed);
    assert_eq!(names(&desk.settle()), ["poison"]);
    assert_eq!(desk.manager.stats().verdicts_oom, 1);
    // Somebody who met no mark may have stored into it: it cannot become a hole again.
    assert_eq!(desk.manager.gauges().vram_used_bytes, 4096);
    desk.load(mapping, 0);
    assert_eq!(names(&desk.settle()), ["install"]);
}

#[test]
fn a_failed_fill_from_the_store_leaves_the_bytes_in_the_store() {
    let mut desk = Desk::new(16, 32);
    let client = desk.client();
    let object = desk.object(client, 20);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..17);
    desk.load(mapping, 0);
    while !matches!(desk.todo[0].action, Action::Fill { .. }) {
        let effect = desk.next();
        desk.finish(&effect);
    }
    let fill = desk.next();
    desk.report(&fill, Outcome::FillFailed);
    desk.settle();
    desk.load(mapping, 0);
    let Action::Fill { sources, .. } = desk.settle().remove(0) else { panic!("no fill") };
    assert!(matches!(sources[0], Source::Stored(_)));
}
