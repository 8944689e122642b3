//! What a mapping allows, and what it refuses.

// UNSAFETY: the slices of a mapping are promises.
#![expect(unsafe_code, reason = "as_slice and as_mut_slice")]

use std::{io::ErrorKind, os::fd::AsFd, sync::atomic::Ordering::Relaxed};

use super::*;
use crate::memfd::ObjectFile;

const PAGE: u64 = KERNEL_PAGE_BYTES;

fn object() -> ObjectFile {
    ObjectFile::create("test", 4 * PAGE).unwrap()
}

fn shared(object: &ObjectFile) -> ClientMapping {
    ClientMapping::reserve(object.as_fd(), 0, 4 * PAGE, PAGE, Sharing::Shared).unwrap()
}

/// The line of `/proc/self/smaps` that begins with `field`, in the entry of this address.
fn smaps(address: u64, field: &str) -> String {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let entry = smaps.split_once(&format!("\n{address:x}-")).expect("it is mapped").1;
    let line = entry.lines().find(|line| line.starts_with(field)).expect("a known field");
    line[field.len()..].trim().to_owned()
}

#[test]
fn a_mapping_is_aligned_as_asked() {
    let object = object();
    for alignment in [PAGE, 1 << 16, 1 << 21, 1 << 30] {
        let mapping =
            ClientMapping::reserve(object.as_fd(), PAGE, 3 * PAGE, alignment, Sharing::Shared);
        let mapping = mapping.unwrap();
        assert!(mapping.address().is_multiple_of(alignment));
        assert_eq!(mapping.range(), AddressRange::new(mapping.address(), 3 * PAGE).unwrap());
    }
}

#[test]
fn a_mapping_cannot_be_crooked() {
    let object = object();
    let reserve = |offset, len, alignment| {
        ClientMapping::reserve(object.as_fd(), offset, len, alignment, Sharing::Shared)
            .map_err(|error| error.kind())
            .unwrap_err()
    };
    assert_eq!(reserve(0, 0, PAGE), ErrorKind::InvalidInput);
    assert_eq!(reserve(1, PAGE, PAGE), ErrorKind::InvalidInput);
    assert_eq!(reserve(0, PAGE + 1, PAGE), ErrorKind::InvalidInput);
    assert_eq!(reserve(0, PAGE, 3 * PAGE), ErrorKind::InvalidInput);
    assert_eq!(reserve(0, PAGE, 0), ErrorKind::InvalidInput);
    assert_eq!(reserve(0, PAGE, 2048), ErrorKind::InvalidInput);
    assert_eq!(reserve(0, PAGE, 1 << 31), ErrorKind::InvalidInput);
    assert_eq!(reserve(0, u64::MAX - PAGE + 1, 1 << 21), ErrorKind::InvalidInput);
    assert_eq!(reserve(0, 1 << 62, PAGE), ErrorKind::OutOfMemory);
}

#[test]
fn a_mapping_stays_out_of_children_and_huge_pages() {
    let object = object();
    let mapping = shared(&object);
    let flags = smaps(mapping.address(), "VmFlags:");
    let has = |flag| flags.split(' ').any(|found| found == flag);
    assert!(has("dc"), "not DONTFORK: {flags}");
    assert!(has("nh"), "not NOHUGEPAGE: {flags}");
    assert!(has("nr"), "not NORESERVE: {flags}");
}

#[test]
fn a_closed_mapping_has_no_bytes() {
    let object = object();
    let mapping = shared(&object);
    let refused = OutOfBounds { offset: 0, len: 1, limit: 0 };
    assert_eq!(mapping.read(0, &mut [0]), Err(refused));
    assert_eq!(mapping.write(0, &[0]), Err(refused));
    assert!(mapping.atomic_u8s().is_none());
    assert!(mapping.atomic_u32(0).is_none());
    // SAFETY: it is empty.
    assert!(unsafe { mapping.as_slice() }.is_empty());
}

#[test]
fn a_mapping_open_for_reading_cannot_be_written() {
    let object = object();
    let mut mapping = shared(&object);
    mapping.open(false).unwrap();
    assert_eq!(mapping.read(0, &mut [0]), Ok(()));
    assert_eq!(mapping.write(0, &[0]), Err(OutOfBounds { offset: 0, len: 1, limit: 0 }));
    assert!(mapping.atomic_u64(0).is_none());
    // SAFETY: it is empty.
    assert!(unsafe { mapping.as_mut_slice() }.is_empty());
    mapping.open(true).unwrap();
    assert_eq!(mapping.write(0, &[0]), Ok(()));
}

#[test]
fn what_one_mapping_writes_the_file_and_others_show() {
    let object = object();
    let (mut first, mut second) = (shared(&object), shared(&object));
    first.open(true).unwrap();
    second.open(false).unwrap();
    let text = b"across a page boundary, at an odd place";
    first.write(PAGE - 5, text).unwrap();
    let mut seen = [0; 39];
    second.read(PAGE - 5, &mut seen).unwrap();
    assert_eq!(&seen, text);
    // SAFETY: nobody writes to the file from here on.
    let slice = unsafe { second.as_slice() };
    assert_eq!(&slice[to_usize(PAGE) - 5..][..39], text);
    assert_eq!(rustix::io::pread(&object, &mut seen, PAGE - 5).unwrap(), 39);
    assert_eq!(&seen, text);
}

#[test]
fn accesses_cannot_leave_the_mapping() {
    let object = object();
    let mut mapping = shared(&object);
    mapping.open(true).unwrap();
    let limit = 4 * PAGE;
    for (offset, len) in [(limit, 1), (limit - 1, 2), (u64::MAX, 1), (u64::MAX, 2)] {
        let mut bytes = vec![9; to_usize(len)];
        assert_eq!(mapping.read(offset, &mut bytes), Err(OutOfBounds { offset, len, limit }));
        assert_eq!(mapping.write(offset, &bytes), Err(OutOfBounds { offset, len, limit }));
        assert!(bytes.iter().all(|&byte| byte == 9));
    }
    assert_eq!(mapping.read(limit, &mut []), Ok(()));
    assert_eq!(mapping.write(limit - 1, &[1]), Ok(()));
}

#[test]
fn atomics_are_aligned_and_inside() {
    let object = object();
    let mut mapping = shared(&object);
    mapping.open(true).unwrap();
    mapping.atomic_u32(PAGE).unwrap().store(0x0403_0201, Relaxed);
    mapping.atomic_u64(8).unwrap().store(u64::MAX, Relaxed);
    assert_eq!(mapping.atomic_u8s().unwrap().len() as u64, 4 * PAGE);
    let mut bytes = [0; 4];
    mapping.read(PAGE, &mut bytes).unwrap();
    assert_eq!(u32::from_ne_bytes(bytes), 0x0403_0201);
    assert!(mapping.atomic_u32(2).is_none());
    assert!(mapping.atomic_u64(4).is_none());
    assert!(mapping.atomic_u32(4 * PAGE).is_none());
    assert!(mapping.atomic_u64(4 * PAGE - 8).is_some());
}

#[test]
fn a_read_only_descriptor_cannot_be_opened_for_writing() {
    let reader = object().reopen(true).unwrap();
    let mut mapping =
        ClientMapping::reserve(reader.as_fd(), 0, PAGE, PAGE, Sharing::Shared).unwrap();
    assert_eq!(mapping.open(true).unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(mapping.write(0, &[1]), Err(OutOfBounds { offset: 0, len: 1, limit: 0 }));
    let mut mapping =
        ClientMapping::reserve(reader.as_fd(), 0, PAGE, PAGE, Sharing::PrivateReadOnly).unwrap();
    assert_eq!(mapping.open(true).unwrap_err().kind(), ErrorKind::InvalidInput);
    mapping.open(false).unwrap();
}

#[test]
fn dropping_unmaps() {
    let object = object();
    let mapping = shared(&object);
    let entry = format!("\n{:x}-", mapping.address());
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps().contains(&entry));
    let inode = format!(" {} ", object.identity().unwrap().ino);
    drop(mapping);
    assert!(!maps().lines().any(|line| line.contains(&inode) && line.contains("memfd:test")));
}
