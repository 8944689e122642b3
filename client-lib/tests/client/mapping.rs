//! Mappings: bytes in and out, bounds, and access.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bo_client::{Access, AllocSpec, Client, Object};
use bo_wire::{InvalidKind, Refusal, Reply};

use crate::fake::{Action, Fake};

const SIZE: u64 = 16 * 4096;

fn allocate() -> Object {
    Fake::honest().connect().allocate(AllocSpec::new(SIZE)).expect("room")
}

#[test]
fn what_is_written_is_read() {
    let mapping = allocate().map().expect("mapped");
    assert_eq!(mapping.len(), SIZE);
    mapping.write_at(4094, b"across").expect("inside");
    let mut back = [0; 8];
    mapping.read_at(4093, &mut back).expect("inside");
    assert_eq!(&back, b"\0across\0");
}

#[test]
fn two_mappings_of_an_object_are_the_same_bytes() {
    let object = allocate();
    let whole = object.map().expect("mapped");
    let part = object.map_range(8192..12_288, Access::ReadWrite).expect("mapped");
    assert_eq!(part.len(), 4096);
    part.write_at(1, b"seen").expect("inside");
    let mut back = [0; 4];
    whole.read_at(8193, &mut back).expect("inside");
    assert_eq!(&back, b"seen");
}

#[test]
fn a_long_mapping_is_aligned_to_2_mib() {
    let client = Fake::honest().connect();
    let object = client.allocate(AllocSpec::new(2 << 20)).expect("room");
    let mapping = object.map().expect("mapped");
    assert!(mapping.address().is_multiple_of(2 << 20));
    assert_eq!(mapping.as_ptr().addr() as u64, mapping.address());
}

#[test]
fn atomics_are_shared() {
    let object = allocate();
    let (one, other) = (object.map().expect("mapped"), object.map().expect("mapped"));
    one.atomic_u32(8).expect("aligned").store(0x0403_0201, Relaxed);
    assert_eq!(other.atomic_u64(8).expect("aligned").load(Relaxed), 0x0403_0201);
    assert_eq!(other.atomics().expect("writable")[9].load(Relaxed), 2);
}

#[test]
fn there_is_no_atomic_across_an_edge() {
    let mapping = allocate().map().expect("mapped");
    assert!(mapping.atomic_u32(2).is_none());
    assert!(mapping.atomic_u64(4).is_none());
    assert!(mapping.atomic_u64(SIZE).is_none());
    assert!(mapping.atomic_u64(u64::MAX - 7).is_none());
}

#[test]
fn nothing_outside_of_a_mapping_can_be_reached() {
    let mapping = allocate().map().expect("mapped");
    let mut one = [0xaa];
    assert!(mapping.read_at(SIZE, &mut one).expect_err("outside").is_invalid());
    assert!(mapping.read_at(u64::MAX, &mut one).expect_err("outside").is_invalid());
    assert!(mapping.write_at(SIZE - 1, b"xy").expect_err("outside").is_invalid());
    assert_eq!(one, [0xaa]);
    mapping.read_at(SIZE, &mut []).expect("nothing is inside everything");
}

#[test]
fn a_read_only_mapping_sees_writes_and_cannot_be_written() {
    let object = allocate();
    let (writable, readable) = (object.map().expect("mapped"), object.map_read_only());
    let readable = readable.expect("mapped");
    writable.write_at(0, b"news").expect("inside");
    let mut back = [0; 4];
    readable.read_at(0, &mut back).expect("inside");
    assert_eq!(&back, b"news");
    assert!(readable.write_at(0, b"no").expect_err("read-only").is_permission());
    assert!(readable.atomics().is_none());
    assert!(readable.atomic_u32(0).is_none());
    assert_eq!(readable.access(), Access::ReadOnly);
}

#[test]
fn a_part_of_a_page_cannot_be_mapped() {
    let object = allocate();
    for range in [0..1, 1..4096, 0..0, 4096..4096, 0..SIZE + 4096, SIZE..SIZE + 4096] {
        let error = object.map_range(range, Access::ReadOnly).expect_err("not whole pages");
        assert!(error.is_invalid(), "{error}");
    }
}

#[test]
fn a_refused_mapping_leaves_nothing_behind() {
    let fake = Fake::with(|_, request| match request.name() {
        "map" => {
            let refusal = Refusal::Invalid(InvalidKind::Overlap);
            Action::Reply(Reply::Refused(refusal), vec![])
        }
        _ => Action::Honest,
    });
    let object = fake.connect().allocate(AllocSpec::new(SIZE)).expect("room");
    assert!(object.map().expect_err("refused").is_invalid());
    drop(object);
    assert_eq!(fake.log(), ["allocate", "map", "release"]);
}

#[test]
fn addresses_that_the_daemon_may_yet_watch_are_never_used_again() {
    let fake = Fake::with(|_, request| match request.name() {
        "map" => Action::Silence,
        _ => Action::Honest,
    });
    let builder = Client::builder().request_timeout(Duration::from_millis(50));
    let object = fake.connect_with(builder).allocate(AllocSpec::new(123 * 4096)).expect("room");
    let reserved = |maps: String| maps.lines().filter(|line| line.contains("memfd:fake")).count();
    assert!(object.map().expect_err("no answer").is_timeout());
    let maps = std::fs::read_to_string("/proc/self/maps").expect("procfs");
    assert!(reserved(maps) >= 1);
}
