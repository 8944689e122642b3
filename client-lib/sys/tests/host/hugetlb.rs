//! Files of huge frames.

use std::thread;

use bo_sys::hugepages::PoolCounts;
use bo_sys::mapping::{ClientMapping, Sharing};
use bo_sys::memfd;
use bo_sys::uffd::{FaultKind, InstallEnd, PoisonOutcome};
use bo_sys::window::Filler;

use super::*;

fn huge_stock() -> (Stock, Filler) {
    let file = ObjectFile::create_huge("huge", 4 * HUGE).unwrap();
    (Stock::new(file, HUGE), Filler::new().unwrap())
}

fn free() -> u64 {
    PoolCounts::of_this_host().unwrap().free
}

#[test]
fn a_file_of_huge_frames_is_made_of_whole_ones() {
    let _host = Host::alone();
    let file = ObjectFile::create_huge("huge", 4 * HUGE).unwrap();
    assert_eq!((file.len(), file.page_bytes()), (4 * HUGE, HUGE));
    assert_eq!(memfd::page_bytes_of(file.as_fd()).unwrap(), HUGE);
    assert_eq!(file.populated_bytes().unwrap(), 0);
    for crooked in [0, PAGE, HUGE + PAGE] {
        let error = ObjectFile::create_huge("huge", crooked).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
    assert_eq!(file.punch(PAGE, HUGE).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    let client = file.reopen(false).unwrap();
    assert_eq!(rustix::fs::ftruncate(&client, 0), Err(rustix::io::Errno::PERM));
}

#[test]
fn a_fill_takes_one_frame_a_page_and_a_punch_gives_it_back() {
    let _host = Host::alone();
    let _pool = pool(4);
    let (Stock { file, store, slots }, filler) = huge_stock();
    let window = filler.open(&file).unwrap();
    let before = free();
    store.copy_in_by(&window, &file, HUGE, &slots).unwrap();
    assert_eq!((file.populated_bytes().unwrap(), free()), (2 * HUGE, before - 2));
    assert_bytes(&file, HUGE, HUGE, 0x5a);
    assert_bytes(&file, 2 * HUGE, HUGE, 0xa5);
    file.punch(HUGE, HUGE).unwrap();
    assert_eq!((file.populated_bytes().unwrap(), free()), (HUGE, before - 1));
    // The hole is one, and is filled again.
    assert_bytes(&file, HUGE, HUGE, 0);
    store.copy_in_by(&window, &file, HUGE, &slots[1..]).unwrap();
    assert_bytes(&file, HUGE, HUGE, 0xa5);
    file.populate_zero(0, HUGE).unwrap();
    assert_bytes(&file, 0, HUGE, 0);
    assert_eq!(file.populated_bytes().unwrap(), 3 * HUGE);
    drop((window, file));
    assert_eq!(free(), before);
}

#[test]
fn pages_are_read_out_and_written_nowhere_else() {
    let _host = Host::alone();
    let _pool = pool(2);
    let (Stock { file, store, slots }, filler) = huge_stock();
    let window = filler.open(&file).unwrap();
    store.copy_in_by(&window, &file, 0, &slots[..1]).unwrap();
    // A hole comes out as zeros, and stays one.
    store.copy_out(&file, 0, &[slots[1]]).unwrap();
    store.copy_out(&file, HUGE, &[slots[0]]).unwrap();
    assert_eq!(store.uniform_word(slots[0]), Some(0));
    assert_ne!(store.uniform_word(slots[1]), Some(0));
    assert_eq!(file.populated_bytes().unwrap(), HUGE);
    let written = rustix::io::pwrite(&file, &[1], 0);
    assert_eq!(written, Err(rustix::io::Errno::INVAL));
}

#[test]
fn a_page_that_somebody_has_put_there_is_replaced() {
    let _host = Host::alone();
    let _pool = pool(2);
    let (Stock { file, store, slots }, filler) = huge_stock();
    let window = filler.open(&file).unwrap();
    let mut alias =
        ClientMapping::reserve(file.as_fd(), 0, 4 * HUGE, HUGE, Sharing::Shared).unwrap();
    alias.open(true).unwrap();
    alias.write(5, &[9]).unwrap();
    assert_eq!(file.populated_bytes().unwrap(), HUGE);
    store.copy_in_by(&window, &file, 0, &slots).unwrap();
    assert_bytes(&file, 0, HUGE, 0x5a);
    assert_bytes(&file, HUGE, HUGE, 0xa5);
    let mut seen = [0];
    alias.read(5, &mut seen).unwrap();
    assert_eq!(seen, [0x5a]);
}

#[test]
fn a_pool_that_is_empty_is_an_error_and_no_signal() {
    let _host = Host::alone();
    let _pool = pool(1);
    let (Stock { file, store, slots }, filler) = huge_stock();
    let window = filler.open(&file).unwrap();
    let hoard = ObjectFile::create_huge("hoard", PoolCounts::of_this_host().unwrap().free * HUGE);
    let hoard = hoard.unwrap();
    hoard.populate_zero(0, hoard.len()).unwrap();
    let error = store.copy_in_by(&window, &file, 0, &slots[..1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
    assert!(file.populate_zero(0, HUGE).is_err());
    assert_eq!(file.populated_bytes().unwrap(), 0);
    hoard.punch(0, HUGE).unwrap();
    store.copy_in_by(&window, &file, 0, &slots[..1]).unwrap();
    assert_bytes(&file, 0, HUGE, 0x5a);
}

#[test]
fn the_last_frame_of_the_pool_is_enough_for_a_fill_from_a_store_without_entries() {
    let _host = Host::alone();
    let _pool = pool(1);
    let (Stock { file, store, slots }, filler) = huge_stock();
    let window = filler.open(&file).unwrap();
    let available = PoolCounts::of_this_host().unwrap().free;
    let hoard = ObjectFile::create_huge("hoard", available * HUGE).unwrap();
    hoard.populate_zero(0, hoard.len()).unwrap();
    hoard.punch(0, HUGE).unwrap();
    // A slot whose memory was given back has no entries either.
    store.discard(slots[0]).unwrap();
    store.copy_in_by(&window, &file, 0, &slots[..1]).unwrap();
    assert_bytes(&file, 0, HUGE, 0);
}

/// Where, whether by a write, and why: all but the thread.
fn heard(fault: FaultEvent) -> (u64, bool, FaultKind) {
    (fault.address, fault.write, fault.kind)
}

#[test]
fn one_entry_is_installed_protected_and_let_go() {
    let _host = Host::alone();
    let _pool = pool(2);
    let (Stock { file, store, slots }, filler) = huge_stock();
    let window = filler.open(&file).unwrap();
    let (view, uffd) = watched(&file);
    let page = view.range().slice(HUGE, HUGE).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut byte = [0];
            view.read(HUGE + 12_345, &mut byte).unwrap();
            byte[0]
        });
        let fault = next_fault(&uffd);
        // Rounded down to the huge page.
        assert_eq!(heard(fault), (page.start(), false, FaultKind::Missing));
        store.copy_in_by(&window, &file, HUGE, &slots[..1]).unwrap();
        let outcome = uffd.install(page, Protection::WriteProtected);
        assert!(matches!(outcome.end, InstallEnd::Complete));
        assert_eq!((outcome.installed, outcome.present), (HUGE, 0));
        assert_eq!(reader.join().unwrap(), 0x5a);
        // Once more: present, and stepped over whole.
        let again = uffd.install(view.range().slice(HUGE, HUGE).unwrap(), Protection::Writable);
        assert_eq!((again.installed, again.present), (0, HUGE));
        // The first write is heard, and let through.
        let writer = scope.spawn(|| view.write(2 * HUGE - 1, &[1]).unwrap());
        let fault = next_fault(&uffd);
        let blocked = FaultKind::WriteProtected;
        assert_eq!(heard(fault), (page.start(), true, blocked));
        unprotect(&uffd, page);
        writer.join().unwrap();
    });
    let mut last = [0];
    view.read(2 * HUGE - 1, &mut last).unwrap();
    assert_eq!(last, [1]);
}

#[test]
fn a_punch_takes_the_entry_away_and_leaves_the_marker() {
    let _host = Host::alone();
    let _pool = pool(2);
    let (Stock { file, store, slots }, filler) = huge_stock();
    let window = filler.open(&file).unwrap();
    let (view, uffd) = watched(&file);
    let page = view.range().slice(0, HUGE).unwrap();
    store.copy_in_by(&window, &file, 0, &slots[..1]).unwrap();
    install(&uffd, page, Protection::Writable);
    protect(&uffd, page);
    store.copy_out(&file, 0, &[slots[1]]).unwrap();
    file.punch(0, HUGE).unwrap();
    assert!(matches!(uffd.install(page, Protection::Writable).end, InstallEnd::Absent));
    thread::scope(|scope| {
        let writer = scope.spawn(|| view.write(7, &[3]).unwrap());
        assert_eq!(next_fault(&uffd).kind, FaultKind::Missing);
        store.copy_in_by(&window, &file, 0, &slots[1..]).unwrap();
        // With minor faults watched, the kernel maps nothing by itself.
        uffd.wake(page).unwrap();
        assert_eq!(next_fault(&uffd).kind, FaultKind::Minor);
        install(&uffd, page, Protection::Writable);
        writer.join().unwrap();
    });
    assert_bytes(&file, HUGE - 8, 8, 0x5a);
}

#[test]
fn poison_and_waking_are_by_whole_huge_pages() {
    let _host = Host::alone();
    let _pool = pool(1);
    let file = ObjectFile::create_huge("huge", 2 * HUGE).unwrap();
    let (view, uffd) = watched(&file);
    let first = AddressRange::new(view.address(), PAGE).unwrap();
    assert!(matches!(uffd.poison(first), PoisonOutcome::NotMapped));
    let whole = AddressRange::huge_page_around(view.address() + PAGE).unwrap();
    assert!(matches!(uffd.poison(whole), PoisonOutcome::Poisoned));
    assert!(matches!(uffd.poison(whole), PoisonOutcome::Present));
    // The other page is untouched: its fault is heard.
    thread::scope(|scope| {
        let reader = scope.spawn(|| view.read(HUGE, &mut [0]).unwrap());
        let second = view.range().slice(HUGE, HUGE).unwrap();
        assert_eq!(next_fault(&uffd).address, second.start());
        file.populate_zero(HUGE, HUGE).unwrap();
        install(&uffd, second, Protection::Writable);
        reader.join().unwrap();
    });
}

#[test]
fn a_reader_of_a_read_only_descriptor_sees_the_writers_bytes() {
    let _host = Host::alone();
    let _pool = pool(2);
    let (Stock { file, store, slots }, filler) = huge_stock();
    let window = filler.open(&file).unwrap();
    let reader = file.reopen(true).unwrap();
    let mut view =
        ClientMapping::reserve(reader.as_fd(), 0, HUGE, HUGE, Sharing::PrivateReadOnly).unwrap();
    let uffd = Uffd::adopt(UffdDevice::open().unwrap().create().unwrap()).unwrap();
    assert!(matches!(uffd.register(view.range()), RegisterOutcome::Registered));
    view.open(false).unwrap();
    for (round, byte) in [0x5a, 0xa5].into_iter().enumerate() {
        store.copy_in_by(&window, &file, 0, &slots[round..=round]).unwrap();
        install(&uffd, view.range(), Protection::WriteProtected);
        let mut seen = [0];
        view.read(99, &mut seen).unwrap();
        assert_eq!(seen, [byte]);
        file.punch(0, HUGE).unwrap();
        let absent = uffd.install(view.range(), Protection::WriteProtected);
        assert!(matches!(absent.end, InstallEnd::Absent));
    }
}
