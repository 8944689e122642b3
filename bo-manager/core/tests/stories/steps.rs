//! Long work is made in steps, and what happens between two of them breaks nothing.

use bo_core::{Access, Action, AllocRequest, CoreConfig, FaultKind, HoldSums, Placement, Refusal};
use bo_units::{ByteCount, PageRange};

use crate::desk::{Desk, NOW, SMALL, names, pages, range, size};

/// A desk whose long walks look at so many pages in a step.
fn desk_with_steps(vram: u64, ram: u64, step_pages: u32) -> Desk {
    let mut config = CoreConfig::new(pages(vram), pages(ram));
    config.fault_around = ByteCount::new(0);
    config.marks.reclaim_start_free = ByteCount::new(0);
    config.marks.reclaim_stop_free = ByteCount::new(0);
    config.step_pages = step_pages;
    Desk::with(config)
}

/// Walks every table, where the feature is on.
fn check(desk: &Desk) {
    #[cfg(feature = "verify")]
    desk.manager.assert_valid();
    assert!(desk.manager.gauges().vram_used_bytes <= desk.manager.gauges().vram_capacity_bytes);
}

#[test]
fn a_large_object_is_forgotten_a_leaf_at_a_time_before_its_file_goes() {
    let mut desk = Desk::new(128, 128);
    let client = desk.client();
    let (large, other) = (desk.object(client, 100), desk.object(client, 1));
    let mapping = desk.map(client, large);
    desk.dirty(mapping, 0..100);
    desk.manager.detach(NOW, client, mapping).expect("it is mapped");
    desk.settle();
    desk.manager.release(NOW, client, large).expect("it has a handle");
    desk.take();
    let step = desk.next();
    assert_eq!(step.action, Action::Yield);
    check(&desk);
    // Its file is still there, so its room is nobody's.
    assert_eq!(desk.manager.gauges().vram_used_bytes, pages(100).get());
    // Others are served between two steps.
    let mapping = desk.map(client, other);
    desk.load(mapping, 0);
    desk.work();
    check(&desk);
    assert_eq!(desk.manager.gauges().vram_used_bytes, pages(101).get());
    desk.finish(&step);
    assert_eq!(names(&desk.settle()), ["yield", "yield", "yield", "destroy", "freed"]);
    check(&desk);
    let gauges = desk.manager.gauges();
    assert_eq!((gauges.vram_used_bytes, gauges.committed_bytes), (SMALL, SMALL));
}

#[test]
fn slots_of_a_large_object_are_free_before_its_file_goes() {
    let mut desk = Desk::new(16, 128);
    let client = desk.client();
    let object = desk.object(client, 100);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..100);
    assert_eq!(desk.manager.gauges().store_held_bytes, pages(84).get());
    desk.manager.client_gone(NOW, client);
    desk.take();
    while desk.todo.front().is_some_and(|effect| effect.action == Action::Yield) {
        let step = desk.next();
        desk.finish(&step);
        check(&desk);
    }
    assert_eq!(desk.manager.gauges().store_held_bytes, 0);
    assert_eq!(names(&desk.settle()), ["destroy", "freed"]);
    assert_eq!(desk.manager.gauges().vram_used_bytes, 0);
}

#[test]
fn a_fault_that_needs_room_looks_past_a_dying_object_in_steps() {
    let mut desk = Desk::new(256, 256);
    let (client, leaver) = (desk.client(), desk.client());
    let dying = desk.object(leaver, 200);
    let mapping = desk.map(leaver, dying);
    desk.dirty(mapping, 0..200);
    let living = desk.object(client, 100);
    let other = desk.map(client, living);
    desk.dirty(other, 0..56);
    // An answer in flight keeps it from being forgotten.
    desk.store_protected(mapping, 199);
    let unprotect = desk.next();
    desk.manager.client_gone(NOW, leaver);
    desk.load(other, 60);
    // Two hundred of them are older than any that may leave; 64 are passed in a step.
    let steps: Vec<&str> = names(&desk.work());
    assert_eq!(steps, ["yield", "yield", "yield", "copy", "punch", "fill"]);
    desk.finish(&unprotect);
    desk.settle();
    check(&desk);
    assert_eq!(desk.manager.gauges().vram_used_bytes, pages(56).get());
}

#[test]
fn a_new_mapping_is_guarded_in_steps_as_things_stand_at_each() {
    let mut desk = desk_with_steps(32, 64, 8);
    let client = desk.client();
    let object = desk.object(client, 40);
    let mapping = desk.map(client, object);
    // The pages 0 to 7 are in the store after this.
    desk.dirty(mapping, 0..40);
    let attached = desk.manager.attach(client, object, range(0, 40), Access::ReadWrite);
    let attached = attached.expect("it may be mapped");
    assert_eq!(attached.guard.runs, [range(0, 8)]);
    assert_eq!(attached.guard.rest, Some(range(8, 32)));
    // Meanwhile page 8 leaves, and the new mapping is protected with the others.
    desk.load(mapping, 0);
    let copy = desk.next();
    let Action::CopyOut { range: leaving, guards, .. } = &copy.action else { panic!("{copy:?}") };
    assert_eq!((*leaving, guards.len()), (range(8, 1), 2));
    assert!(guards.contains(&attached.mapping));
    let guard = desk.manager.guard_more(attached.mapping, range(8, 32));
    assert_eq!((guard.runs, guard.rest), (vec![range(8, 1)], Some(range(16, 24))));
    desk.finish(&copy);
    desk.settle();
    // What is written to before its step comes needs no guard.
    desk.store_protected(mapping, 20);
    desk.settle();
    let mut rest = Some(range(16, 24));
    while let Some(part) = rest {
        let guard = desk.manager.guard_more(attached.mapping, part);
        assert!(guard.runs.is_empty());
        rest = guard.rest;
    }
}

#[test]
fn a_mapping_that_went_while_it_was_guarded_needs_no_more() {
    let mut desk = desk_with_steps(32, 64, 1);
    let client = desk.client();
    let object = desk.object(client, 4);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..4);
    let attached = desk.manager.attach(client, object, range(0, 4), Access::ReadWrite);
    let attached = attached.expect("it may be mapped");
    let rest = attached.guard.rest.expect("one page is looked at in a step");
    desk.manager.client_gone(NOW, client);
    desk.settle();
    assert_eq!(desk.manager.guard_more(attached.mapping, rest), bo_core::Guard::default());
}

#[test]
fn a_client_with_much_is_seen_off_in_steps() {
    let mut desk = Desk::new(64, 64);
    let (client, other) = (desk.client(), desk.client());
    let objects: Vec<_> = (0..10).map(|_| desk.object(client, 1)).collect();
    let mut mappings = Vec::new();
    for object in &objects {
        mappings.push(desk.map(client, *object));
        mappings.push(desk.map(client, *object));
    }
    desk.manager.hold(other, objects[3], Access::ReadWrite).expect("it was handed over");
    let mut gone = Vec::new();
    let mut steps = 0;
    loop {
        let farewell = desk.manager.see_off(NOW, client);
        desk.work();
        check(&desk);
        steps += 1;
        gone.extend(farewell.mappings);
        if !farewell.more {
            break;
        }
        assert_eq!(desk.manager.gauges().clients, 2);
    }
    assert!(steps > 3, "{steps} steps");
    mappings.sort_unstable();
    gone.sort_unstable();
    assert_eq!(gone, mappings);
    let gauges = desk.manager.gauges();
    assert_eq!((gauges.clients, gauges.objects, gauges.mappings), (1, 1, 0));
    assert!(!desk.manager.see_off(NOW, client).more);
    assert_eq!(desk.manager.stats().disconnects, 1);
}

#[test]
fn a_long_range_is_touched_in_steps() {
    let mut desk = desk_with_steps(16, 64, 2);
    let client = desk.client();
    let object = desk.object(client, 1 << 4);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..8);
    let mut rest = Some(range(0, 16));
    let mut steps: Vec<PageRange> = Vec::new();
    while let Some(part) = rest {
        steps.push(part);
        rest = desk.manager.touch_some(client, object, part).expect("it holds it");
    }
    assert_eq!(steps, (0..8).map(|at| range(2 * at, 16 - 2 * at)).collect::<Vec<_>>());
    let stranger = desk.client();
    let refused = desk.manager.touch_some(stranger, object, range(0, 1));
    assert_eq!(refused, Err(Refusal::Gone));
}

#[test]
fn ram_for_an_object_is_cleared_in_steps() {
    let mut desk = Desk::new(128, 128);
    let client = desk.client();
    let object = desk.object(client, 200);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..200);
    // Pages that are read back keep their slots.
    for page in 0..100 {
        desk.load(mapping, page);
        desk.settle();
    }
    let held = desk.manager.gauges().store_held_bytes;
    assert!(held > pages(100).get(), "{held}");
    let request = AllocRequest {
        bytes: pages(40),
        page_size: Some(size(SMALL)),
        placement: Placement::Ram,
        label: String::new(),
    };
    let mut steps = 0;
    while desk.manager.prepare(&request) {
        desk.settle();
        check(&desk);
        steps += 1;
    }
    assert!(steps > 1, "{steps} steps");
    let made = desk.manager.allocate(client, &request).expect("there is room");
    assert_eq!(made.placement, Placement::Ram);
    desk.take();
    assert!(desk.todo.is_empty(), "nothing is left to clear");
    assert!(!desk.manager.prepare(&AllocRequest { placement: Placement::Vram, ..request }));
}

#[test]
fn lists_are_made_in_steps_and_leave_nobody_out() {
    let mut desk = Desk::new(128, 128);
    let clients: Vec<_> = (0..40).map(|_| desk.client()).collect();
    let objects: Vec<_> = (0..100).map(|_| desk.object(clients[7], 1)).collect();
    desk.manager.hold(clients[8], objects[50], Access::ReadOnly).expect("it was handed over");
    desk.manager.release(NOW, clients[7], objects[3]).expect("it has a handle");
    desk.settle();
    let (mut next, mut listed) = (Some(0), Vec::new());
    while let Some(slot) = next {
        let (views, then) = desk.manager.object_views(slot);
        listed.extend(views.into_iter().map(|view| view.id));
        next = then;
    }
    let expected: Vec<_> = objects.iter().copied().filter(|id| *id != objects[3]).collect();
    assert_eq!(listed, expected);
    let (mut next, mut count) = (Some(0), 0);
    while let Some(slot) = next {
        let (views, then) = desk.manager.client_views(slot);
        count += views.len();
        next = then;
    }
    assert_eq!(count, 40);
    let (mut next, mut sums, mut steps) = (Some(0), HoldSums::default(), 0);
    while let Some(slot) = next {
        next = desk.manager.add_holds(clients[7], slot, &mut sums);
        steps += 1;
    }
    assert!(steps > 2, "{steps} steps");
    assert_eq!((sums.total_bytes, sums.shared_bytes), (99 * SMALL, SMALL));
    let view = desk.manager.client_view(clients[7]).expect("it lives");
    assert_eq!(view.sums, sums);
}

#[test]
fn what_waits_for_room_is_added_up_as_it_comes_and_goes() {
    let mut desk = Desk::new(16, 64);
    let client = desk.client();
    let object = desk.object(client, 60);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..16);
    for page in 16..40 {
        assert_eq!(desk.hear(mapping, page, false, FaultKind::Missing), bo_core::Heard::Noted);
        check(&desk);
    }
    assert_eq!(desk.manager.gauges().starved, 24);
    while let Some(effect) = desk.todo.pop_front() {
        desk.finish(&effect);
        check(&desk);
    }
    assert_eq!(desk.manager.gauges().starved, 0);
}
