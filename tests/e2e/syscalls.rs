//! System calls on evicted memory.

use bo_tests::{Actor, Answer, Order, Pool, Rounds, Station, SystemCall, User, by_each_user};
use bo_units::ByteCount;

use crate::{PROGRAMS, SEED, SMALL_KIB, small, small_pool, start_pressure};

const ROUNDS: u64 = 1_000;

/// How often calls that pin pages meet a whole object that has been evicted.
const TURNS: u64 = 4;

/// While somebody else evicts everything all the time.
fn race(user: User, call: SystemCall) {
    let station = Station::embedded(&PROGRAMS, small_pool());
    let _pressure = start_pressure(&station);
    let mut actor = station.client(user);
    let (object, mapping) = actor.allocate_and_map(4 * small());
    actor.fill(mapping, SEED);
    let before = actor.stat(object);

    let file = station.path("file");
    let answer = actor.ask(&Order::Syscalls { call, mapping, seed: SEED, rounds: ROUNDS, file });

    assert_eq!(answer, Answer::Rounds(Rounds { rounds: ROUNDS, ..Rounds::default() }));
    let after = actor.stat(object);
    let (refaults, evictions) =
        (after.refaults - before.refaults, after.evictions - before.evictions);
    println!("{call:?}: {refaults} refaults, {evictions} evictions");
    assert!(ROUNDS / 4 < refaults && ROUNDS / 4 < evictions, "too little was evicted");
}

/// Evicts everything there is, and leaves the pool empty.
fn evict(station: &Station, actor: &mut Actor) {
    let (object, mapping) = actor.allocate_and_map(8 * small());
    actor.fill(mapping, SEED);
    actor.must(&Order::DropMapping { mapping });
    actor.must(&Order::DropObject { object });
    station.wait_until("the pool is empty and nothing moves", |books| {
        books.gauge("vram_used_bytes") == 0 && books.gauge("moves") == 0
    });
}

/// For calls that pin pages: memory is evicted before, and nothing is while they run. The kernel
/// keeps a pinned frame when it is punched, so what lands there later would be lost.
fn in_peace(user: User, call: SystemCall) {
    // Each page is to be brought in by the call that needs it, not by its neighbour's.
    let station = Station::embedded_with(&PROGRAMS, Pool::scaled_kib(4 * SMALL_KIB), |config| {
        bo_manager::Config { fault_around: ByteCount::ZERO, ..config }
    });
    let mut actor = station.client(user);
    for turn in 0..TURNS {
        let (object, mapping) = actor.allocate_and_map(small());
        let (file, rounds) = (station.path("file"), ROUNDS / TURNS);
        let seed = SEED + turn;
        actor.fill(mapping, seed);
        evict(&station, &mut actor);
        let before = actor.stat(object);
        assert_eq!(before.resident_bytes, 0);
        let answer = actor.ask(&Order::Syscalls { call, mapping, seed, rounds, file });

        assert_eq!(answer, Answer::Rounds(Rounds { rounds, ..Rounds::default() }));
        let after = actor.stat(object);
        assert_eq!(after.evictions, before.evictions, "this was to be in peace");
        assert_eq!((after.refaults - before.refaults) * station.page_bytes(), small());
        actor.must(&Order::DropMapping { mapping });
        actor.must(&Order::DropObject { object });
    }
}

by_each_user! {
    fn write_to_a_file_races_eviction(user) { race(user, SystemCall::WriteFile); }
    fn read_from_a_file_races_eviction(user) { race(user, SystemCall::ReadFile); }
    fn write_to_a_pipe_races_eviction(user) { race(user, SystemCall::WritePipe); }
    fn read_from_a_pipe_races_eviction(user) { race(user, SystemCall::ReadPipe); }
    fn process_vm_readv_races_eviction(user) { race(user, SystemCall::ProcessVmRead); }
    fn futex_races_eviction(user) { race(user, SystemCall::Futex); }
    fn io_uring_write_races_eviction(user) { race(user, SystemCall::UringWrite); }
    fn io_uring_read_races_eviction(user) { race(user, SystemCall::UringRead); }

    fn direct_write_brings_evicted_memory_in(user) { in_peace(user, SystemCall::DirectWrite); }
    fn direct_read_brings_evicted_memory_in(user) { in_peace(user, SystemCall::DirectRead); }
    fn registered_buffer_brings_memory_in_to_be_written(user) {
        in_peace(user, SystemCall::FixedWrite);
    }
    fn registered_buffer_brings_memory_in_to_be_read_into(user) {
        in_peace(user, SystemCall::FixedRead);
    }
    fn vmsplice_brings_evicted_memory_in(user) { in_peace(user, SystemCall::Vmsplice); }
}
