//! Bytes go out, come back, and nowhere else.

use super::*;
use crate::KERNEL_PAGE_BYTES as PAGE;

fn slot(page: u64, pages: u64) -> Slot {
    Slot { offset: page * PAGE, len: pages * PAGE }
}

fn object(pages: u64) -> ObjectFile {
    let object = ObjectFile::create("object", pages * PAGE).unwrap();
    for page in 0..pages {
        let bytes = [u8::try_from(page % 251).unwrap() + 1; 4096];
        assert_eq!(rustix::io::pwrite(&object, &bytes, page * PAGE).unwrap(), bytes.len());
    }
    object
}

fn contents(file: &ObjectFile) -> Vec<u8> {
    let mut bytes = vec![0; to_usize(file.len())];
    assert_eq!(rustix::io::pread(file, &mut bytes, 0).unwrap(), bytes.len());
    bytes
}

/// Out to `slots` and back to an empty file must be the same again.
#[track_caller]
fn check_round_trip(pages: u64, store_pages: u64, slots: &[Slot]) {
    let source = object(pages);
    let target = ObjectFile::create("target", pages * PAGE).unwrap();
    let store = StoreFile::create("store", store_pages * PAGE).unwrap();
    store.copy_out(&source, 0, slots).unwrap();
    store.copy_in(&target, 0, slots).unwrap();
    assert!(contents(&source) == contents(&target));
    assert_eq!(store.populated_bytes().unwrap(), pages * PAGE);
}

#[test]
fn bytes_come_back_from_scattered_slots() {
    check_round_trip(4, 16, &[slot(9, 1), slot(3, 2), slot(15, 1)]);
}

#[test]
fn bytes_come_back_from_more_slots_than_one_call_takes() {
    let slots: Vec<Slot> = (0..200).rev().map(|page| slot(page * 2, 1)).collect();
    check_round_trip(200, 400, &slots);
}

#[test]
fn slots_may_be_smaller_than_pages() {
    let slots: Vec<Slot> = (0..8).map(|part| Slot { offset: part * 512, len: 512 }).collect();
    let (source, target) = (object(1), object(2));
    let store = StoreFile::create("store", PAGE).unwrap();
    store.copy_out(&source, 0, &slots).unwrap();
    store.copy_in(&target, PAGE, &slots).unwrap();
    assert!(contents(&target)[..] == [1_u8; 8192]);
}

#[test]
fn an_empty_list_copies_nothing() {
    let store = StoreFile::create("store", PAGE).unwrap();
    store.copy_out(&object(1), 0, &[]).unwrap();
    assert_eq!(store.populated_bytes().unwrap(), 0);
}

#[test]
fn holes_come_out_as_zeros_and_stay_holes() {
    let source = ObjectFile::create("hole", 2 * PAGE).unwrap();
    let store = StoreFile::create("store", 2 * PAGE).unwrap();
    store.copy_out(&object(2), 0, &[slot(0, 2)]).unwrap();
    assert_eq!(store.uniform_word(slot(0, 2)), None);
    store.copy_out(&source, 0, &[slot(0, 2)]).unwrap();
    assert_eq!(store.uniform_word(slot(0, 2)), Some(0));
    assert_eq!(source.populated_bytes().unwrap(), 0);
}

/// A store of one page that is full of `word`.
fn full_of(word: u64) -> StoreFile {
    let store = StoreFile::create("store", PAGE).unwrap();
    let source = ObjectFile::create("source", PAGE).unwrap();
    source.fill_with(0, PAGE, word).unwrap();
    store.copy_out(&source, 0, &[slot(0, 1)]).unwrap();
    store
}

#[test]
fn a_word_over_and_over_is_told() {
    for word in [0, u64::MAX, 0x0123_4567_89ab_cdef, 0x0707_0707_0707_0707] {
        let store = full_of(word);
        assert_eq!(store.uniform_word(slot(0, 1)), Some(word));
        assert_eq!(store.uniform_word(Slot { offset: 8, len: 8 }), Some(word));
        assert_eq!(store.uniform_word(Slot { offset: 4080, len: 16 }), Some(word));
    }
}

#[test]
fn one_byte_anywhere_is_another_word() {
    let byte = ObjectFile::create("byte", PAGE).unwrap();
    rustix::io::pwrite(&byte, &[1], 0).unwrap();
    for word in [0, 0x0707_0707_0707_0707] {
        let store = full_of(word);
        for offset in (0..200).chain(2000..2050).chain(4000..4096) {
            store.copy_out(&byte, 0, &[Slot { offset, len: 1 }]).unwrap();
            assert_eq!(store.uniform_word(slot(0, 1)), None, "a byte at {offset} went unseen");
            let source = ObjectFile::create("source", PAGE).unwrap();
            source.fill_with(0, PAGE, word).unwrap();
            store.copy_out(&source, 0, &[slot(0, 1)]).unwrap();
        }
    }
}

#[test]
fn a_part_that_is_no_row_of_words_is_full_of_none() {
    let store = full_of(0);
    for (offset, len) in [(1, 8), (4, 16), (0, 7), (0, 12), (8, 0), (4088, 16)] {
        assert_eq!(store.uniform_word(Slot { offset, len }), None, "{len} bytes at {offset}");
    }
}

#[test]
fn discarding_gives_memory_back() {
    let store = StoreFile::create("store", 4 * PAGE).unwrap();
    store.copy_out(&object(4), 0, &[slot(0, 4)]).unwrap();
    store.discard(slot(1, 2)).unwrap();
    assert_eq!(store.populated_bytes().unwrap(), 2 * PAGE);
    assert_eq!(store.uniform_word(slot(1, 2)), Some(0));
    assert_eq!(store.uniform_word(slot(0, 4)), None);
}

#[test]
fn nothing_outside_the_store_or_the_file_can_be_named() {
    let store = StoreFile::create("store", 2 * PAGE).unwrap();
    let file = object(2);
    let refused = |offset, slots: &[Slot]| {
        let out = store.copy_out(&file, offset, slots).unwrap_err();
        let back = store.copy_in(&file, offset, slots).unwrap_err();
        assert_eq!(out.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(back.kind(), io::ErrorKind::InvalidInput);
    };
    refused(0, &[slot(2, 1)]);
    refused(0, &[slot(0, 3)]);
    refused(0, &[slot(0, 0)]);
    refused(0, &[Slot { offset: u64::MAX, len: 2 }]);
    refused(0, &[Slot { offset: 0, len: u64::MAX }]);
    refused(PAGE, &[slot(0, 2)]);
    refused(2 * PAGE, &[slot(0, 1)]);
    refused(u64::MAX, &[slot(0, 1)]);
    assert_eq!(store.uniform_word(slot(2, 1)), None);
    assert_eq!(store.uniform_word(Slot { offset: u64::MAX - 7, len: 8 }), None);
    assert!(store.discard(slot(2, 1)).is_err());
    assert_eq!(store.populated_bytes().unwrap(), 0);
}

#[test]
fn a_short_transfer_goes_on_where_it_stopped() {
    let mut bytes = [0_u8; 24];
    let base: *mut libc::c_void = bytes.as_mut_ptr().cast();
    let entry =
        |offset, len| libc::iovec { iov_base: base.wrapping_byte_add(offset), iov_len: len };
    let mut table = [entry(0, 8), entry(8, 8), entry(16, 8)];
    let rest = advance(&mut table, 12);
    assert_eq!((rest.len(), rest[0].iov_len), (2, 4));
    assert_eq!(rest[0].iov_base, base.wrapping_byte_add(12));
    let rest = advance(rest, 4);
    assert_eq!((rest.len(), rest[0].iov_len), (1, 8));
    assert!(advance(rest, 8).is_empty());
}
