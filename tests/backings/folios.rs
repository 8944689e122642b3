//! A host that gives ordinary shared memory huge folios.

use bo_manager::Backing;
use bo_sys::hugepages::ShmemHuge;
use bo_tests::{Host, PAGE, User};

use super::*;

/// Settings under which a write makes huge folios.
const WILLING: [ShmemHuge; 2] = [ShmemHuge::WithinSize, ShmemHuge::Always];

#[test]
fn objects_of_all_page_sizes_keep_their_bytes_and_no_page_takes_a_neighbour_along() {
    for setting in WILLING {
        for backing in [Backing::Thp, Backing::Pages] {
            let _host = Host::alone().with_shmem(setting);
            assert_two_clients_keep_their_bytes(&station(backing));
        }
    }
}

#[test]
fn a_page_that_is_evicted_leaves_a_hole_whatever_its_size() {
    let _host = Host::alone().with_shmem(ShmemHuge::Always);
    for backing in [Backing::Thp, Backing::Pages] {
        for page_bytes in [PAGE, 64 << 10, HUGE] {
            let station = station(backing);
            let mut actor = station.client(User::Root);
            // Zeros first, then bytes, then bytes that come back.
            let (object, mapping) = object(&mut actor, 2 * VRAM, page_bytes);
            let sweep = actor.spawn(Order::Sweep { mapping, write: false });
            station.wait_until("zeros come and go", |books| 50 < books.counter("evictions"));
            actor.finish(sweep);
            assert_books_are_right(&station);
            actor.fill(mapping, SEED);
            actor.check(mapping, SEED);
            assert_ne!(actor.stat(object).evictions, 0);
            assert_books_are_right(&station);
        }
    }
}

#[test]
fn auto_takes_folios_where_huge_pages_are_not_to_be_had() {
    let host = Host::alone().with_shmem(ShmemHuge::WithinSize);
    let vram = ByteCount::new((host.pool().available() + 16) * HUGE);
    let station = Station::process(&PROGRAMS, Pool { vram, ..pool() });
    assert_eq!(station.metrics()["bo_backing_info{backing=\"thp\"}"], 1);
    let log = station.log().join("\n");
    assert!(log.contains("shmem_enabled is within_size; not huge: "), "{log}");
}
