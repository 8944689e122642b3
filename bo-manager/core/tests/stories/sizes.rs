//! Page sizes of objects whose maker does not choose.

use bo_core::{AllocRequest, CoreConfig, Placement};
use bo_units::ByteCount;

use crate::desk::Desk;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The page size that an object of so many bytes gets.
#[track_caller]
fn page_bytes(huge_frames: bool, vram_mib: u64, bytes: u64, placement: Placement) -> u64 {
    let sizes = CoreConfig::new(ByteCount::mib(vram_mib), ByteCount::mib(64));
    let mut desk = Desk::with(CoreConfig { huge_frames, ..sizes });
    let client = desk.client();
    let bytes = ByteCount::new(bytes);
    let request = AllocRequest { bytes, page_size: None, placement, label: String::new() };
    let made = desk.manager.allocate(client, &request).expect("there is room for it");
    assert!(made.bytes >= bytes && made.bytes.get() - bytes.get() < made.page_size.bytes());
    made.page_size.bytes()
}

#[test]
fn without_huge_frames_size_decides_as_ever() {
    for (bytes, expected) in [(MIB - 1, 4 * KIB), (2 * MIB, 64 * KIB), (16 * MIB, 64 * KIB)] {
        assert_eq!(page_bytes(false, 64, bytes, Placement::Vram), expected);
    }
}

#[test]
fn with_huge_frames_large_objects_have_large_pages_where_less_than_an_eighth_is_wasted() {
    let expected = [
        (2 * MIB - 1, 64 * KIB),
        (2 * MIB, 2 * MIB),
        (2 * MIB + 1, 64 * KIB),
        // 512 KiB of four MiB are an eighth, a byte less is not.
        (4 * MIB - 512 * KIB, 64 * KIB),
        (4 * MIB - 512 * KIB + 1, 2 * MIB),
        (14 * MIB, 2 * MIB),
        (14 * MIB + 1, 2 * MIB),
        (MIB, 64 * KIB),
        (MIB - 1, 4 * KIB),
    ];
    for (bytes, expected) in expected {
        assert_eq!(page_bytes(true, 64, bytes, Placement::Vram), expected, "{bytes}");
    }
}

#[test]
fn a_pool_too_small_for_sixteen_large_pages_has_none() {
    assert_eq!(page_bytes(true, 32, 4 * MIB, Placement::Vram), 2 * MIB);
    assert_eq!(page_bytes(true, 31, 4 * MIB, Placement::Vram), 64 * KIB);
}

#[test]
fn objects_in_ram_are_not_in_the_pool_and_have_no_frames_of_it() {
    assert_eq!(page_bytes(true, 64, 4 * MIB, Placement::Ram), 64 * KIB);
}
