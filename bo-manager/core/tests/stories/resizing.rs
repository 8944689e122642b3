//! A pool that takes another size while it is in use.

use bo_core::{ControlRefusal, Manager, PoolFloor, Watermarks};
use bo_units::{ByteCount, MappingId};

use crate::desk::{Desk, NOW, pages, size};

fn marks() -> Watermarks {
    let none = pages(0);
    Watermarks {
        reclaim_start_free: none,
        reclaim_stop_free: none,
        reserve: none,
        clean_start: None,
    }
}

/// A pool of 32 pages that an object of 64 fills.
fn desk() -> (Desk, MappingId) {
    let mut desk = Desk::new(32, 64);
    let client = desk.client();
    let object = desk.object(client, 64);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..32);
    (desk, mapping)
}

fn shown(manager: &Manager) -> (u64, u64, u64) {
    let gauges = manager.gauges();
    let page = |bytes: u64| bytes / 4096;
    (page(gauges.vram_used_bytes), page(gauges.vram_capacity_bytes), page(gauges.vram_target_bytes))
}

#[test]
fn a_pool_grows_at_once_and_who_waited_for_room_has_it() {
    let (mut desk, mapping) = desk();
    desk.load(mapping, 40);
    assert_eq!(desk.manager.gauges().starved, 1);
    desk.manager.resize(NOW, pages(64), marks()).expect("it may grow");
    assert_eq!(desk.manager.gauges().starved, 0);
    desk.work();
    desk.take();
    desk.dirty(mapping, 41..60);
    let (used, capacity, target) = shown(&desk.manager);
    assert_eq!((capacity, target), (64, 64));
    assert!(32 < used, "{used}");
}

#[test]
fn a_pool_shrinks_step_by_step_and_its_capacity_falls_with_what_leaves() {
    let (mut desk, mapping) = desk();
    let resized = desk.manager.resize(NOW, pages(16), marks()).expect("it may shrink");
    assert_eq!((resized.target, resized.capacity), (pages(16), pages(32)));
    assert_eq!(shown(&desk.manager), (32, 32, 16));
    let mut last = 32;
    while desk.manager.wants_reclaim() && desk.manager.handle_reclaim(desk.now) {
        desk.settle();
        let (used, capacity, _) = shown(&desk.manager);
        assert!(used <= capacity && capacity <= last);
        last = capacity;
    }
    assert_eq!(shown(&desk.manager), (16, 16, 16));
    assert_eq!(desk.manager.stats().resizes, 1);
    // And it is no larger from now on.
    desk.dirty(mapping, 32..64);
    assert_eq!(shown(&desk.manager), (16, 16, 16));
}

#[test]
fn a_fault_while_the_pool_shrinks_waits_until_it_has() {
    let (mut desk, mapping) = desk();
    desk.manager.resize(NOW, pages(16), marks()).expect("it may shrink");
    desk.load(mapping, 50);
    assert_eq!(desk.manager.gauges().starved, 1);
    desk.settle();
    let (used, capacity, _) = shown(&desk.manager);
    assert_eq!((used, capacity), (16, 16), "its own evictions have made the room");
}

#[test]
fn a_shrink_that_is_taken_back_ends_at_once() {
    let (mut desk, _) = desk();
    desk.manager.resize(NOW, pages(16), marks()).expect("it may shrink");
    desk.manager.resize(NOW, pages(32), marks()).expect("and grow");
    assert!(!desk.manager.wants_reclaim());
    assert_eq!(shown(&desk.manager), (32, 32, 32));
}

#[test]
fn what_is_promised_is_kept() {
    let mut desk = Desk::new(32, 32);
    let client = desk.client();
    desk.object(client, 50);
    let refused = desk.manager.resize(NOW, pages(19), marks());
    let floor = PoolFloor::Committed { committed: pages(50), store: pages(32) };
    let (asked, possible) = (pages(19), pages(20));
    assert_eq!(refused, Err(ControlRefusal::PoolTooSmall { asked, possible, floor }));
    assert_eq!(shown(&desk.manager), (0, 32, 32));
    assert!(desk.manager.resize(NOW, pages(20), marks()).is_ok());
    let refused = desk.manager.resize(NOW, pages(15), marks()).expect_err("too small for anything");
    assert!(matches!(refused, ControlRefusal::PoolTooSmall { .. }));
}

#[test]
fn sixteen_of_the_largest_pages_in_use_must_fit() {
    let mut desk = Desk::new(512, 512);
    let client = desk.client();
    desk.object_of(client, 2, 65536);
    let refused = desk.manager.resize(NOW, pages(255), marks());
    let floor = PoolFloor::Pages { largest: ByteCount::new(size(65536).bytes()) };
    let (asked, possible) = (pages(255), pages(256));
    assert_eq!(refused, Err(ControlRefusal::PoolTooSmall { asked, possible, floor }));
    assert!(desk.manager.resize(NOW, pages(256), marks()).is_ok());
}

#[test]
fn a_shrunk_pool_promises_less() {
    let (mut desk, mapping) = desk();
    let client = desk.manager.mapping_view(mapping).expect("it is attached").client;
    desk.manager.resize(NOW, pages(16), marks()).expect("it may shrink");
    // 16 and 64, less two pages to move, less what is promised.
    assert_eq!(desk.manager.gauges().commit_limit_bytes, pages(78).get());
    let refused = desk.ask(client, pages(15), 4096, bo_core::Placement::Vram);
    assert!(refused.is_err());
    assert!(desk.ask(client, pages(14), 4096, bo_core::Placement::Vram).is_ok());
}
