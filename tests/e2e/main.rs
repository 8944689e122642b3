//! Stories of real processes against the real kernel. The harness is `bo_tests`.

mod accounting;
mod ahead;
mod atomics;
mod cleaning;
mod control;
mod isolation;
mod limits;
mod link;
mod many_objects;
mod protocol;
mod recording;
mod resize;
mod rough;
mod shared_writes;
mod shares;
mod sharing;
mod signals;
mod sigstop;
mod stop;
mod suspend;
mod syscalls;
mod threads;

use bo_tests::{Pool, Programs, Station, User, scale};

/// The programs that Cargo has built for this test.
const PROGRAMS: Programs =
    Programs { actor: env!("CARGO_BIN_EXE_actor"), daemon: env!("CARGO_BIN_EXE_daemon") };

/// A client that touches four times the pool, for ever, so that pages of all others are evicted for
/// ever.
fn start_pressure(station: &Station) -> bo_tests::Actor {
    let mut actor = station.client(User::Root);
    let (_, mapping) = actor.allocate_and_map(4 * station.vram());
    actor.spawn(bo_tests::Order::Sweep { mapping, write: true });
    actor
}

/// A pool in which everything is evicted soon.
const SMALL_KIB: u64 = 256;

/// The same in bytes.
const SMALL: u64 = SMALL_KIB << 10;

/// Such a pool for a story that is as good with pages of 2 MiB.
fn small_pool() -> Pool {
    Pool::scaled_kib(SMALL_KIB)
}

/// The size of [`small_pool`] in bytes.
fn small() -> u64 {
    SMALL * scale()
}

/// Kernel pages in four times as much.
fn pages() -> u64 {
    4 * small() / bo_tests::PAGE
}

/// Any seed is as good; a story with two patterns adds to it.
const SEED: u64 = 0x5eed;
