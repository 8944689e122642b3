//! Stories of real processes against the real kernel. The harness is `bo_tests`.

mod accounting;
mod atomics;
mod cleaning;
mod isolation;
mod limits;
mod protocol;
mod rough;
mod shared_writes;
mod sharing;
mod signals;
mod sigstop;
mod stop;
mod syscalls;

use bo_tests::{Programs, Station, User};

/// The programs that Cargo has built for this test.
const PROGRAMS: Programs =
    Programs { actor: env!("CARGO_BIN_EXE_actor"), daemon: env!("CARGO_BIN_EXE_daemon") };

/// A client that touches four times the pool of [`SMALL`] bytes, for ever, so that pages of all
/// others are evicted for ever.
fn start_pressure(station: &Station) -> bo_tests::Actor {
    let mut actor = station.client(User::Root);
    let (_, mapping) = actor.allocate_and_map(4 * SMALL);
    actor.spawn(bo_tests::Order::Sweep { mapping, write: true });
    actor
}

/// A pool in which everything is evicted soon.
const SMALL_KIB: u64 = 256;

/// The same in bytes.
const SMALL: u64 = SMALL_KIB << 10;

/// Any seed is as good; a story with two patterns adds to it.
const SEED: u64 = 0x5eed;
