//! Prefetches, and progress when everything is promised.

use bo_core::{CoreConfig, Prefetch};
use bo_units::ByteCount;

use crate::desk::{Desk, NOW, names, pages, range};

#[test]
fn a_prefetch_at_full_commitment_leaves_room_to_be_made_for_faults() {
    // 256 pages of VRAM, 256 of RAM, and one object of all that may be promised.
    let mut config = CoreConfig::new(pages(256), pages(256));
    config.fault_around = ByteCount::new(0);
    let mut desk = Desk::with(config);
    let client = desk.client();
    let object = desk.object(client, 510);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..510);
    let mut rest = range(0, 64);
    while let Prefetch::Started { run } =
        desk.manager.prefetch(NOW, client, object, rest).expect("a good range")
    {
        desk.take();
        desk.settle();
        rest = range(run.end().get(), 64 - run.end().get());
        if rest.is_empty() {
            break;
        }
    }
    desk.dirty(mapping, 200..300);
    assert_eq!(desk.manager.gauges().starved, 0, "nobody waits for room that cannot be had");
}

#[test]
fn a_prefetch_brings_a_run_where_there_is_room() {
    let mut desk = Desk::new(256, 16);
    let client = desk.client();
    let object = desk.object(client, 100);
    let started = desk.manager.prefetch(NOW, client, object, range(10, 50));
    assert_eq!(started, Ok(Prefetch::Started { run: range(10, 50) }));
    desk.take();
    assert_eq!(names(&desk.settle()), ["fill"]);
    assert_eq!(desk.manager.stats().fills_prefetch_pages, 50);
}

#[test]
fn a_prefetched_run_arrives_until_its_fill_is_reported() {
    let mut desk = Desk::new(16, 64);
    let client = desk.client();
    let object = desk.object(client, 40);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..16);
    // No room: the run waits for the copy, for the punch, and for its own bytes.
    let started = desk.manager.prefetch(NOW, client, object, range(20, 8));
    assert_eq!(started, Ok(Prefetch::Started { run: range(20, 1) }));
    desk.take();
    let mut arriving = Vec::new();
    while !desk.todo.is_empty() {
        arriving.push(desk.manager.is_arriving(client, object, range(20, 1)));
        let effect = desk.next();
        desk.finish(&effect);
    }
    let done = desk.manager.is_arriving(client, object, range(20, 1));
    // The last thing done is the entry, for a page that is there.
    assert_eq!(arriving, [Ok(true), Ok(true), Ok(true), Ok(false)]);
    assert_eq!(done, Ok(false));
    assert_eq!(desk.manager.is_arriving(client, object, range(0, 40)), Ok(false));
    let stranger = desk.client();
    let refused = desk.manager.is_arriving(stranger, object, range(0, 1));
    assert_eq!(refused, Err(bo_core::Refusal::Gone));
}

#[test]
fn writers_cannot_call_every_page_back_while_a_fill_waits() {
    let mut desk = Desk::new(16, 64);
    let client = desk.client();
    let object = desk.object(client, 40);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..16);
    desk.load(mapping, 30);
    let mut evictions = 0;
    // Whatever is copied out, somebody writes to it before the copy is done.
    while desk.manager.gauges().starved > 0 {
        let effect = desk.next();
        if let bo_core::Action::CopyOut { range, .. } = &effect.action {
            evictions += 1;
            assert!(evictions < 100, "the fill never gets its room");
            desk.store_protected(mapping, range.first().get());
        }
        desk.finish(&effect);
    }
    desk.settle();
}
