//! What the core's tables cost in bytes, counted by the allocator.
#![forbid(unsafe_code)]

use bo_core::FaultKind;
use bo_sys::heap::{CountingAllocator, live_bytes};

#[path = "../src/scale/driver.rs"]
mod driver;

use driver::{Driver, config};

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator;

const PAGES: u32 = 1_000_000;

/// The bar, and a byte for what the allocator adds: 16 bytes to each leaf of 32 pages and each
/// piece of a table come to little more than half of that.
const BYTES_PER_PAGE: i64 = 48 - 1;

#[track_caller]
fn assert_page_bytes(before: i64, when: &str) {
    let bytes = live_bytes() - before;
    let each = bytes * 10 / i64::from(PAGES);
    println!("{when}: {}.{} bytes a page", each / 10, each % 10);
    assert!(bytes <= BYTES_PER_PAGE * i64::from(PAGES), "{when}: {bytes} bytes");
}

#[test]
fn a_page_takes_at_most_48_bytes_wherever_it_has_been() {
    let pages = u64::from(PAGES);
    let mut config = config(pages + 64, pages + 64);
    // Reclaim goes on until the pool is empty.
    config.marks.reclaim_start_free = config.vram;
    config.marks.reclaim_stop_free = config.vram;
    let mut driver = Driver::new(config, 1000, PAGES / 1000);
    let before = live_bytes();
    driver.bring_all();
    assert_page_bytes(before, "present");
    while driver.reclaim() {
        driver.finish();
    }
    assert_eq!(driver.manager.gauges().store_held_bytes, pages * 4096);
    assert_page_bytes(before, "in the store");
    driver.bring_all();
    let gauges = driver.manager.gauges();
    assert_eq!((gauges.vram_used_bytes, gauges.store_held_bytes), (pages * 4096, pages * 4096));
    assert_page_bytes(before, "present, with a copy in the store");
    driver.map();
    for object in 0..1000 {
        for page in 0..PAGES / 1000 {
            driver.decide(object, page, true, FaultKind::WriteProtected);
            driver.finish();
        }
    }
    assert_eq!(driver.manager.gauges().store_held_bytes, 0);
    assert_page_bytes(before, "present, with a free slot for each");
}

#[test]
fn an_object_takes_less_than_half_a_kilobyte_besides_its_pages() {
    let count = 100_000;
    let before = live_bytes();
    let mut driver = Driver::new(config(count + 64, count + 64), 100_000, 1);
    driver.map();
    let objects = i64::try_from(count).expect("it is small");
    let each = (live_bytes() - before) / objects;
    println!("an object with its hold and a mapping: {each} bytes");
    // The daemon adds its part: see the test of its tables.
    assert!(each < 512, "{each} bytes");
    driver.bring_all();
    let each = (live_bytes() - before) / objects;
    println!("the same with its only page: {each} bytes");
    assert!(each < 512 + 48, "{each} bytes");
}
