//! Prefetches, and progress when everything is promised.

use bo_core::{CoreConfig, Prefetch};
use bo_units::{ByteCount, ClientId, ObjectId};

use crate::desk::{Desk, NOW, names, pages, range};

/// Takes all steps, each carried out before the next, and says how the last one ended.
fn prefetch(
    desk: &mut Desk,
    client: ClientId,
    object: ObjectId,
    numbers: std::ops::Range<u32>,
) -> Prefetch {
    let start = desk.manager.start_prefetch();
    let mut first = numbers.start;
    for _ in 0..1000 {
        let rest = range(first, numbers.end - first);
        let step = desk.manager.prefetch(NOW, client, object, rest, start).expect("a good range");
        desk.take();
        desk.settle();
        match step {
            Prefetch::Started { run } if run.end().get() == numbers.end => return Prefetch::Done,
            Prefetch::Started { run } => first = run.end().get(),
            Prefetch::MakingRoom => {}
            Prefetch::Full | Prefetch::Done => return step,
        }
    }
    panic!("it never ends");
}

/// Which pages of an object are present.
fn resident(desk: &Desk, client: ClientId, object: ObjectId, count: u32) -> Vec<u32> {
    let is_there = |page: &u32| {
        let there = desk.manager.resident_pages(client, object, range(*page, 1));
        there.expect("a good range").get() == 1
    };
    (0..count).filter(is_there).collect()
}

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
    assert_eq!(prefetch(&mut desk, client, object, 0..64), Prefetch::Done);
    desk.dirty(mapping, 200..300);
    assert_eq!(desk.manager.gauges().starved, 0, "nobody waits for room that cannot be had");
}

#[test]
fn a_prefetch_brings_a_run_where_there_is_room() {
    let mut desk = Desk::new(256, 16);
    let client = desk.client();
    let object = desk.object(client, 100);
    let start = desk.manager.start_prefetch();
    let started = desk.manager.prefetch(NOW, client, object, range(10, 50), start);
    assert_eq!(started, Ok(Prefetch::Started { run: range(10, 50) }));
    desk.take();
    assert_eq!(names(&desk.settle()), ["fill"]);
    assert_eq!(desk.manager.stats().fills_prefetch_pages, 50);
}

#[test]
fn a_prefetched_run_arrives_until_its_fill_is_reported() {
    let mut desk = Desk::new(64, 64);
    let client = desk.client();
    let object = desk.object(client, 40);
    desk.map(client, object);
    let start = desk.manager.start_prefetch();
    let started = desk.manager.prefetch(NOW, client, object, range(20, 8), start);
    assert_eq!(started, Ok(Prefetch::Started { run: range(20, 8) }));
    desk.take();
    let mut arriving = Vec::new();
    while !desk.todo.is_empty() {
        arriving.push(desk.manager.is_arriving(client, object, range(20, 1)));
        let effect = desk.next();
        desk.finish(&effect);
    }
    let done = desk.manager.is_arriving(client, object, range(20, 1));
    // The last thing done is the entry, for a page that is there.
    assert_eq!(arriving, [Ok(true), Ok(false)]);
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

#[test]
fn a_prefetch_larger_than_the_pool_keeps_what_it_has_brought() {
    let mut desk = Desk::new(16, 64);
    let client = desk.client();
    let (old, object) = (desk.object(client, 16), desk.object(client, 40));
    let mapping = desk.map(client, old);
    desk.dirty(mapping, 0..16);
    assert_eq!(prefetch(&mut desk, client, object, 0..40), Prefetch::Full);
    assert_eq!(resident(&desk, client, object, 40), (0..16).collect::<Vec<_>>());
    assert_eq!(desk.manager.gauges().starved, 0);
    assert_eq!(desk.manager.stats().prefetches_cut, 1);
    // The next one is younger than those.
    assert_eq!(prefetch(&mut desk, client, object, 30..40), Prefetch::Done);
    assert_eq!(resident(&desk, client, object, 40), (10..16).chain(30..40).collect::<Vec<_>>());
}

#[test]
fn what_is_used_while_a_prefetch_runs_does_not_make_way_for_it() {
    let mut desk = Desk::new(16, 64);
    let client = desk.client();
    let (old, object) = (desk.object(client, 16), desk.object(client, 40));
    let mapping = desk.map(client, old);
    desk.dirty(mapping, 0..16);
    let start = desk.manager.start_prefetch();
    // Seen in use, by request and by a fault on an entry that somebody took away.
    desk.manager.touch(client, old, range(3, 2)).expect("a good range");
    desk.load(mapping, 7);
    desk.settle();
    let mut first = 0;
    loop {
        let rest = range(first, 40 - first);
        let step = desk.manager.prefetch(NOW, client, object, rest, start).expect("a good range");
        desk.take();
        desk.settle();
        match step {
            Prefetch::Started { run } => first = run.end().get(),
            Prefetch::MakingRoom => {}
            Prefetch::Full | Prefetch::Done => break,
        }
    }
    assert_eq!(resident(&desk, client, old, 16), [3, 4, 7]);
    assert_eq!(first, 13);
}

#[test]
fn whoever_faults_comes_before_a_prefetch() {
    let mut desk = Desk::new(16, 64);
    let client = desk.client();
    let object = desk.object(client, 60);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..16);
    desk.load(mapping, 50);
    let start = desk.manager.start_prefetch();
    let step = desk.manager.prefetch(NOW, client, object, range(30, 4), start);
    assert_eq!(step, Ok(Prefetch::MakingRoom));
    let fills: Vec<_> = desk.settle();
    let first = fills.iter().find(|action| matches!(action, bo_core::Action::Fill { .. }));
    assert!(
        matches!(first, Some(bo_core::Action::Fill { range: run, .. }) if *run == range(50, 1))
    );
    assert_eq!(desk.manager.stats().fills_prefetch_pages, 0);
}
