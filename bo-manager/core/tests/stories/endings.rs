//! How things end: mappings, objects, clients, the day's work.

use bo_core::{Access, Action, Copied, Outcome, Placement, Prefetch, Refusal};

use crate::desk::{Desk, NOW, names, pages, range};

#[test]
fn a_detach_waits_for_what_is_in_flight() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 2);
    let mapping = desk.map(client, object);
    desk.load(mapping, 0);
    let fill = desk.next();
    desk.manager.detach(NOW, client, mapping).expect("it is mapped");
    desk.take();
    assert!(desk.todo.is_empty(), "the fill still names it");
    desk.finish(&fill);
    assert_eq!(names(&desk.settle()), ["detached"]);
}

#[test]
fn an_idle_mapping_is_detached_at_once_and_only_once() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 2);
    let mapping = desk.map(client, object);
    assert_eq!(desk.manager.detach(NOW, client, mapping), Ok(()));
    assert_eq!(names(&desk.settle()), ["detached"]);
    assert_eq!(desk.manager.detach(NOW, client, mapping), Err(Refusal::Gone));
}

#[test]
fn a_mapping_that_is_protected_for_an_eviction_cannot_go_before_it_is_done() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 20);
    let (mapping, other) = (desk.map(client, object), desk.map(client, object));
    desk.dirty(mapping, 0..16);
    desk.load(mapping, 16);
    let copy = desk.next();
    desk.manager.detach(NOW, client, other).expect("it is mapped");
    desk.take();
    assert!(desk.todo.is_empty());
    desk.finish(&copy);
    assert!(names(&desk.settle()).contains(&"detached"));
}

#[test]
fn a_client_that_goes_gives_everything_back() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 20);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..20);
    assert_eq!(desk.manager.client_gone(NOW, client), [mapping]);
    assert_eq!(names(&desk.settle()), ["destroy", "freed"]);
    let gauges = desk.manager.gauges();
    assert_eq!((gauges.vram_used_bytes, gauges.ram_used_bytes), (0, 0));
    assert_eq!((gauges.committed_bytes, gauges.objects, gauges.clients), (0, 0, 0));
    assert!(desk.manager.client_gone(NOW, client).is_empty());
}

#[test]
fn a_shared_object_lives_as_long_as_its_last_holder() {
    let mut desk = Desk::new(16, 16);
    let (maker, other) = (desk.client(), desk.client());
    let object = desk.object(maker, 2);
    desk.manager.hold(other, object, Access::ReadOnly).expect("it was handed over");
    desk.manager.client_gone(NOW, maker);
    assert!(desk.settle().is_empty());
    assert_eq!(desk.manager.access(other, object), Ok(Access::ReadOnly));
    desk.manager.release(NOW, other, object).expect("it has a handle");
    assert_eq!(names(&desk.settle()), ["destroy", "freed"]);
}

#[test]
fn a_mapping_keeps_its_object_after_the_last_handle() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 2);
    let mapping = desk.map(client, object);
    desk.manager.release(NOW, client, object).expect("it has a handle");
    assert_eq!(desk.manager.release(NOW, client, object), Err(Refusal::Gone));
    desk.load(mapping, 1);
    assert_eq!(names(&desk.settle()), ["fill"]);
    desk.manager.detach(NOW, client, mapping).expect("it is mapped");
    assert_eq!(names(&desk.settle()), ["destroy", "detached", "freed"]);
}

#[test]
fn a_dying_object_waits_for_what_is_in_flight() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 20);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..16);
    desk.load(mapping, 17);
    let copy = desk.next();
    desk.manager.client_gone(NOW, client);
    desk.take();
    assert!(desk.todo.is_empty(), "a copy of it is under way");
    desk.finish(&copy);
    let punch = desk.next();
    assert!(matches!(punch.action, Action::Punch { .. }));
    assert!(desk.todo.is_empty());
    desk.finish(&punch);
    assert_eq!(names(&desk.settle()), ["destroy", "freed"]);
}

#[test]
fn a_client_that_dies_in_the_queue_for_room_frees_its_place() {
    let mut desk = Desk::new(16, 16);
    let (one, two) = (desk.client(), desk.client());
    let (first, second) = (desk.object(one, 16), desk.object(two, 4));
    let (first, second) = (desk.map(one, first), desk.map(two, second));
    desk.dirty(first, 0..16);
    desk.load(second, 0);
    assert_eq!(desk.manager.gauges().starved, 1);
    desk.manager.client_gone(NOW, two);
    desk.settle();
    assert_eq!(desk.manager.gauges().starved, 0);
    assert_eq!(desk.manager.stats().verdicts_gone, 1);
}

#[test]
fn a_prefetch_goes_on_where_it_stopped_until_all_is_there() {
    let mut desk = Desk::new(64, 64);
    let client = desk.client();
    let object = desk.object(client, 8);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 2..3);
    let mut starts = Vec::new();
    let start = desk.manager.start_prefetch();
    while let Ok(Prefetch::Started { run }) =
        desk.manager.prefetch(NOW, client, object, range(0, 8), start)
    {
        starts.push(run.end().get());
        desk.settle();
    }
    assert_eq!(starts, [2, 8]);
    assert_eq!(desk.manager.gauges().vram_used_bytes, 8 * 4096);
}

#[test]
fn who_is_draining_serves_faults_and_nothing_else() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 20);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..16);
    desk.manager.drain();
    assert_eq!(desk.manager.connect("late"), Err(Refusal::Draining));
    let attached = desk.manager.attach(client, object, range(0, 1), Access::ReadOnly);
    assert_eq!(attached, Err(Refusal::Draining));
    assert!(!desk.manager.wants_reclaim() && !desk.manager.handle_reclaim(NOW));
    desk.load(mapping, 17);
    assert_eq!(names(&desk.settle()), ["copy", "punch", "fill"]);
}

#[test]
fn a_sealed_manager_takes_no_fault_and_moves_nothing() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 20);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..16);
    desk.manager.seal();
    let heard = desk.hear(mapping, 18, false, bo_core::FaultKind::Missing);
    assert_eq!(heard, bo_core::Heard::Unknown);
    assert!(desk.todo.is_empty() && desk.manager.is_idle(), "nobody's page is evicted any more");
}

#[test]
fn an_object_that_dies_in_the_queue_gives_its_frames_to_who_waits_before_it() {
    let mut desk = Desk::new(16, 16);
    let (leaving, staying) = (desk.client(), desk.client());
    let (large, small) = (desk.object(leaving, 20), desk.object(staying, 1));
    let (theirs, ours) = (desk.map(leaving, large), desk.map(staying, small));
    desk.dirty(theirs, 0..16);
    // Both wait for evictions, which then fail, and the object goes first.
    desk.load(ours, 0);
    desk.load(theirs, 17);
    let evictions = std::mem::take(&mut desk.todo);
    desk.manager.client_gone(NOW, leaving);
    desk.take();
    for eviction in &evictions {
        assert!(matches!(eviction.action, Action::CopyOut { .. }), "{eviction:?}");
        desk.report(eviction, Outcome::CopiedOut(Copied::Failed));
    }
    desk.settle();
    assert_eq!(desk.manager.stats().verdicts_refault, 16 + 1);
    assert!(desk.manager.is_idle(), "who waits has the frames of who went");
}

#[test]
fn the_last_release_says_so_and_its_room_follows_when_nothing_is_in_flight() {
    let mut desk = Desk::new(16, 16);
    let (client, other) = (desk.client(), desk.client());
    let object = desk.object(client, 24);
    desk.manager.hold(other, object, Access::ReadOnly).expect("it was handed over");
    let mapping = desk.map(client, object);
    desk.load(mapping, 0);
    assert_eq!(desk.manager.release(NOW, other, object), Ok(false), "another holds it");
    desk.manager.detach(NOW, client, mapping).expect("it is its own");
    assert_eq!(desk.manager.release(NOW, client, object), Ok(false), "it is still mapped");
    let done = desk.settle();
    assert_eq!(names(&done), ["fill", "detached", "destroy", "freed"]);
    assert!(desk.ask(client, pages(24), 4096, Placement::Vram).is_ok(), "its room is free");
}

#[test]
fn a_page_in_flight_keeps_the_room_of_an_object_that_was_released() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 24);
    let start = desk.manager.start_prefetch();
    desk.manager.prefetch(NOW, client, object, range(0, 1), start).expect("it holds it");
    desk.take();
    assert_eq!(desk.manager.release(NOW, client, object), Ok(true));
    assert!(desk.ask(client, pages(24), 4096, Placement::Vram).is_err(), "it is not free yet");
    assert_eq!(names(&desk.settle()), ["fill", "destroy", "freed"]);
    assert!(desk.ask(client, pages(24), 4096, Placement::Vram).is_ok());
}
