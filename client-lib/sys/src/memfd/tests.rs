//! What the kernel does with sealed memory files.

use std::os::fd::{AsFd, OwnedFd};

use super::*;

const PAGE: u64 = KERNEL_PAGE_BYTES;

fn four_pages() -> ObjectFile {
    ObjectFile::create("test", 4 * PAGE).unwrap()
}

fn fill(file: &ObjectFile, page: u64, byte: u8) {
    let bytes = [byte; 4096];
    assert_eq!(rustix::io::pwrite(file, &bytes, page * PAGE).unwrap(), bytes.len());
}

fn first_byte(file: impl AsFd, page: u64) -> u8 {
    let mut byte = [0];
    assert_eq!(rustix::io::pread(file, &mut byte, page * PAGE).unwrap(), 1);
    byte[0]
}

#[test]
fn a_new_file_is_one_hole() {
    let file = four_pages();
    assert_eq!(file.len(), 4 * PAGE);
    assert_eq!(file.populated_bytes().unwrap(), 0);
    assert_eq!(file.data_runs().unwrap(), []);
}

#[test]
fn a_file_cannot_have_a_crooked_size_or_name() {
    let kind = |label: &str, bytes| ObjectFile::create(label, bytes).map_err(|error| error.kind());
    for bytes in [0, 1, PAGE + 1, u64::MAX, 1 << 63] {
        assert_eq!(kind("test", bytes).unwrap_err(), io::ErrorKind::InvalidInput);
    }
    assert_eq!(kind("a\0b", PAGE).unwrap_err(), io::ErrorKind::InvalidInput);
    assert_eq!(kind(&"x".repeat(250), PAGE).unwrap_err(), io::ErrorKind::InvalidInput);
    assert!(kind(&"x".repeat(249), PAGE).is_ok());
}

#[test]
fn seals_refuse_another_size_and_other_seals() {
    let client: OwnedFd = four_pages().reopen(false).unwrap();
    assert_eq!(rustix::fs::ftruncate(&client, 0), Err(Errno::PERM));
    assert_eq!(rustix::fs::ftruncate(&client, 8 * PAGE), Err(Errno::PERM));
    let past_the_end = rustix::io::pwrite(&client, &[1], 4 * PAGE);
    assert_eq!(past_the_end, Err(Errno::PERM));
    assert_eq!(rustix::fs::fcntl_add_seals(&client, SealFlags::WRITE), Err(Errno::PERM));
}

#[test]
fn seals_do_not_refuse_a_clients_own_writing_and_punching() {
    let file = four_pages();
    let client = file.reopen(false).unwrap();
    assert_eq!(rustix::io::pwrite(&client, &[7], PAGE).unwrap(), 1);
    assert_eq!(file.populated_bytes().unwrap(), PAGE);
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&client, flags, PAGE, PAGE).unwrap();
    assert_eq!(file.populated_bytes().unwrap(), 0);
}

#[test]
fn a_file_is_closed_to_others_and_cannot_be_executed() {
    let status = rustix::fs::fstat(four_pages()).unwrap();
    assert_eq!(status.st_mode & 0o7777, 0o600);
}

#[test]
fn punching_makes_a_hole_and_reading_does_not_fill_it() {
    let file = four_pages();
    fill(&file, 1, 0xa1);
    fill(&file, 2, 0xa2);
    assert_eq!(file.data_runs().unwrap(), [(PAGE, 2 * PAGE)]);
    file.punch(PAGE, PAGE).unwrap();
    assert_eq!(first_byte(&file, 1), 0);
    assert_eq!(first_byte(&file, 2), 0xa2);
    assert_eq!(file.data_runs().unwrap(), [(2 * PAGE, PAGE)]);
    assert_eq!(file.populated_bytes().unwrap(), PAGE);
}

#[test]
fn ranges_cannot_be_crooked_or_outside() {
    let file = four_pages();
    for (offset, len) in
        [(0, 0), (1, PAGE), (0, 1), (0, 5 * PAGE), (4 * PAGE, PAGE), (u64::MAX - PAGE + 1, PAGE)]
    {
        assert_eq!(file.punch(offset, len).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let populated = file.populate_zero(offset, len);
        assert_eq!(populated.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn populating_keeps_what_is_there() {
    let file = four_pages();
    fill(&file, 1, 0xa1);
    file.populate_zero(0, 4 * PAGE).unwrap();
    assert_eq!(file.populated_bytes().unwrap(), 4 * PAGE);
    assert_eq!((first_byte(&file, 0), first_byte(&file, 1)), (0, 0xa1));
}

#[test]
fn a_populated_page_is_no_data_until_it_is_used() {
    let file = four_pages();
    file.populate_zero(0, 2 * PAGE).unwrap();
    assert_eq!(file.data_runs().unwrap(), []);
    rustix::io::pwrite(&file, &[1], PAGE).unwrap();
    assert_eq!(file.data_runs().unwrap(), [(PAGE, PAGE)]);
}

#[test]
fn data_runs_are_ascending_and_apart() {
    let file = four_pages();
    fill(&file, 0, 1);
    fill(&file, 2, 1);
    fill(&file, 3, 1);
    assert_eq!(file.data_runs().unwrap(), [(0, PAGE), (2 * PAGE, 2 * PAGE)]);
}

#[test]
fn a_reopened_descriptor_has_its_own_access_and_the_same_identity() {
    let file = four_pages();
    let reader = file.reopen(true).unwrap();
    let writer = file.reopen(false).unwrap();
    let same = file.identity().unwrap();
    assert_eq!(identify(reader.as_fd()).unwrap(), (same, DescriptorAccess::ReadOnly));
    assert_eq!(identify(writer.as_fd()).unwrap(), (same, DescriptorAccess::ReadWrite));
    assert_eq!(rustix::io::pwrite(&reader, &[1], 0), Err(Errno::BADF));
    fill(&file, 3, 9);
    assert_eq!(first_byte(&reader, 3), 9);
    assert_ne!(same, four_pages().identity().unwrap());
}

#[test]
fn identify_tells_other_descriptors_apart() {
    let (read_end, write_end) = rustix::pipe::pipe().unwrap();
    assert_eq!(identify(read_end.as_fd()).unwrap().1, DescriptorAccess::ReadOnly);
    assert_eq!(identify(write_end.as_fd()).unwrap().1, DescriptorAccess::Other);
    let path = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    assert_eq!(identify(path.as_fd()).unwrap().1, DescriptorAccess::Other);
}

#[test]
fn a_range_can_be_filled_with_a_word_and_nothing_else_is_written() {
    let file = ObjectFile::create("words", 200 * KERNEL_PAGE_BYTES).unwrap();
    let word = 0x0123_4567_89ab_cdef_u64;
    file.fill_with(KERNEL_PAGE_BYTES, 150 * KERNEL_PAGE_BYTES, word).unwrap();
    assert_eq!(file.data_runs().unwrap(), [(KERNEL_PAGE_BYTES, 150 * KERNEL_PAGE_BYTES)]);
    let mut bytes = vec![0; 150 * 4096];
    assert_eq!(rustix::io::pread(&file, &mut bytes, KERNEL_PAGE_BYTES).unwrap(), bytes.len());
    assert!(bytes.chunks_exact(8).all(|each| each == word.to_ne_bytes()));
}

#[test]
fn nothing_but_whole_pages_inside_the_file_can_be_filled_with_a_word() {
    let file = ObjectFile::create("words", 2 * KERNEL_PAGE_BYTES).unwrap();
    for (offset, len) in [(0, 0), (0, 8), (8, 4096), (4096, 8192), (8192, 4096)] {
        let error = file.fill_with(offset, len, 7).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{len} bytes at {offset}");
    }
    assert_eq!(file.populated_bytes().unwrap(), 0);
}
