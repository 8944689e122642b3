//! Stories of pools of all three kinds of frames, which change settings of the host.
//!
//! They need root, about 200 MiB of memory in pieces of 2 MiB, and a kernel with hugetlb and huge
//! folios (CONFIG_HUGETLBFS, CONFIG_TRANSPARENT_HUGEPAGE), and fail without.

mod folios;
mod huge;
mod refused;
mod reserve;

use bo_manager::{Backing, Config};
use bo_tests::{Actor, Order, Pool, Programs, Slot, Station, until};
use bo_units::ByteCount;

/// The programs that Cargo has built for this test.
const PROGRAMS: Programs =
    Programs { actor: env!("CARGO_BIN_EXE_actor"), daemon: env!("CARGO_BIN_EXE_daemon") };

const HUGE: u64 = bo_sys::HUGE_PAGE_BYTES;

/// The smallest pool that pages of 2 MiB fit into: sixteen of them.
const VRAM: u64 = 16 * HUGE;

/// Any seed is as good; a story with two patterns adds to it.
const SEED: u64 = 0x5eed;

fn pool() -> Pool {
    Pool { vram: ByteCount::new(VRAM), ram: ByteCount::mib(256), ..Pool::kib(0) }
}

/// A daemon in this process, with huge pages that it takes from the host if it needs any.
fn station(backing: Backing) -> Station {
    Station::embedded_with(&PROGRAMS, pool(), |config| Config {
        backing,
        reserve: backing == Backing::Huge,
        ..config
    })
}

/// An object with pages of this size, mapped.
#[track_caller]
fn object(actor: &mut Actor, bytes: u64, page_bytes: u64) -> (Slot, Slot) {
    let object = actor.object(&Order::Allocate { bytes, page_bytes: Some(page_bytes) });
    (object, actor.map(object))
}

/// Compares what the kernel counts with the books, once nothing moves.
#[track_caller]
fn assert_books_are_right(station: &Station) {
    until("nothing moves, and the accounts agree", || {
        let before = station.books();
        let populated = station.populated();
        let after = station.books();
        let quiet = before.gauge("moves") == 0
            && ["filled_bytes", "evicted_bytes"]
                .iter()
                .all(|name| before.counter(name) == after.counter(name));
        (quiet && populated == before.used()).then_some(())
    });
    assert!(station.books().gauge("vram_peak_bytes") <= VRAM);
}

/// Two clients share an object of twice the pool, and one has small objects of the size of a pool
/// beside it; every byte is right, and the books too.
#[track_caller]
fn assert_two_clients_keep_their_bytes(station: &Station) {
    let (mut maker, mut heir) =
        (station.client(bo_tests::User::Root), station.client(bo_tests::User::Nobody));
    let (shared, here) = object(&mut maker, 2 * VRAM, HUGE);
    let (_, small) = object(&mut heir, VRAM / 2, bo_tests::PAGE);
    let (_, middle) = object(&mut heir, VRAM / 2, 64 << 10);
    let token = maker.export(shared, false);
    let imported = heir.import(&token, false);
    let there = heir.map(imported);
    heir.fill(small, SEED + 7);
    heir.fill(middle, SEED + 8);
    for round in 0..3 {
        maker.fill(here, SEED + round);
        heir.check(there, SEED + round);
        heir.check(small, SEED + 7);
        heir.check(middle, SEED + 8);
        let (objects, _) = station.populated();
        assert!(objects <= VRAM, "{objects} bytes are populated");
        assert_books_are_right(station);
    }
    assert_ne!(maker.stat(shared).evictions, 0);
    // By turns at one time.
    let tasks = [true, false].map(|write| heir.spawn(Order::Sweep { mapping: there, write }));
    maker.check(here, SEED + 2);
    maker.fill(here, SEED + 2);
    for task in tasks {
        heir.finish(task);
    }
    heir.check(there, SEED + 2);
    assert_books_are_right(station);
    drop((maker, heir));
    station.wait_until("all is freed", |books| books.gauge("objects") == 0);
    until("no frame is left", || (station.populated().0 == 0).then_some(()));
}
