//! What is recorded of what happens.

use bo_core::journal::{Event, FillCause, What};
use bo_core::{CoreConfig, Events, FaultKind, Placement};
use bo_units::ByteCount;

use crate::desk::{Desk, NOW, SMALL, pages, range};

fn recording(vram: u64, ram: u64) -> Desk {
    let mut config = CoreConfig::new(pages(vram), pages(ram));
    config.fault_around = pages(4);
    config.marks.reclaim_start_free = ByteCount::ZERO;
    config.marks.reclaim_stop_free = ByteCount::ZERO;
    config.marks.clean_start = None;
    config.prefer_clean = false;
    config.record = true;
    Desk::with(config)
}

fn take(desk: &mut Desk) -> Vec<Event> {
    let mut taken = Events::default();
    desk.manager.take_events(&mut taken);
    assert_eq!(taken.lost, 0);
    taken.events
}

fn whats(events: &[Event]) -> Vec<(What, u32, u32)> {
    let part = |event: &Event| (event.pages.first().get(), event.pages.count().get());
    events.iter().map(|event| (event.what, part(event).0, part(event).1)).collect()
}

const READ: What = What::Fault { write: false, kind: FaultKind::Missing };
const DEMAND: What = What::Filled(FillCause::Demand);
const AROUND: What = What::Filled(FillCause::Around);

#[test]
fn a_fault_and_the_pages_around_it_are_told_apart() {
    let mut desk = recording(32, 64);
    let client = desk.client();
    let object = desk.object(client, 8);
    let mapping = desk.map(client, object);
    desk.load(mapping, 5);
    desk.settle();
    let events = take(&mut desk);
    assert_eq!(whats(&events), [(READ, 5, 1), (AROUND, 4, 1), (DEMAND, 5, 1), (AROUND, 6, 2)]);
    for event in &events {
        assert_eq!((event.client, event.object), (Some(client), object));
        assert_eq!(event.page_size.bytes(), SMALL);
    }
    assert!(take(&mut desk).is_empty(), "each is taken once");
}

#[test]
fn evictions_say_why_and_whether_there_was_a_copy() {
    let mut desk = recording(16, 64);
    let client = desk.client();
    let object = desk.object(client, 20);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..16);
    take(&mut desk);
    desk.load(mapping, 16);
    desk.settle();
    let copied = What::Evicted { background: false, clean: false };
    assert_eq!(whats(&take(&mut desk)), [(READ, 16, 1), (copied, 0, 1), (DEMAND, 16, 1)]);
    // Page 0 comes back with its copy, and goes again without another.
    for page in [0, 17] {
        desk.load(mapping, page);
        desk.settle();
    }
    desk.manager.touch(client, object, range(2, 14)).expect("the client holds it");
    for page in [18, 19, 1] {
        desk.load(mapping, page);
        desk.settle();
    }
    let clean = What::Evicted { background: false, clean: true };
    assert!(whats(&take(&mut desk)).contains(&(clean, 0, 1)));
}

#[test]
fn an_object_is_freed_as_a_whole() {
    let mut desk = recording(32, 64);
    let client = desk.client();
    let object = desk.object(client, 8);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..2);
    take(&mut desk);
    desk.manager.client_gone(NOW, client);
    desk.settle();
    let events = take(&mut desk);
    assert_eq!(whats(&events), [(What::Freed, 0, 8)]);
    assert_eq!((events[0].client, events[0].object), (None, object));
}

#[test]
fn objects_in_ram_are_not_recorded() {
    let mut desk = recording(32, 64);
    let client = desk.client();
    let made = desk.ask(client, pages(4), SMALL, Placement::Ram).expect("there is room");
    let mapping = desk.map(client, made.object);
    desk.dirty(mapping, 0..4);
    assert!(take(&mut desk).is_empty());
}

#[test]
fn a_queue_that_nobody_empties_ends_and_says_how_much_is_missing() {
    let mut desk = recording(32, 64);
    let client = desk.client();
    let object = desk.object(client, 1);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..1);
    take(&mut desk);
    let (full, more) = (1_u64 << 16, 10);
    for number in 0..full + more {
        assert_eq!(desk.manager.wants_recording(), full / 2 <= number.min(full));
        desk.load(mapping, 0);
        desk.work();
    }
    let mut taken = Events::default();
    desk.manager.take_events(&mut taken);
    assert_eq!((taken.events.len() as u64, taken.lost), (full, more));
    assert!(!desk.manager.wants_recording());
    desk.load(mapping, 0);
    desk.work();
    assert_eq!(take(&mut desk).len(), 1, "it goes on");
}

#[test]
fn nothing_is_recorded_unasked_or_after_the_end() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 1);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..1);
    assert!(take(&mut desk).is_empty());
    let mut desk = recording(16, 16);
    let client = desk.client();
    let object = desk.object(client, 1);
    let mapping = desk.map(client, object);
    desk.load(mapping, 0);
    desk.settle();
    assert_eq!(desk.manager.stop_recording(), 2);
    desk.load(mapping, 0);
    desk.settle();
    assert!(take(&mut desk).is_empty());
}
