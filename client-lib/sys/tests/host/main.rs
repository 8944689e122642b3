//! Facts about huge pages, tried on the running kernel.
//!
//! They change settings of the host and put back what was there, one test at a time in the whole
//! host. They need root, a pool of 2 MiB pages (CONFIG_HUGETLBFS), huge folios in shared memory
//! (CONFIG_TRANSPARENT_HUGEPAGE) and the right to `/dev/userfaultfd`, and fail without.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod folios;
mod hugetlb;
mod reserve;

use std::fs::{self, File};
use std::os::fd::AsFd;

use bo_sys::hugepages::{Reservation, SHMEM_ENABLED, ShmemHuge};
use bo_sys::mapping::{ClientMapping, Sharing};
use bo_sys::memfd::ObjectFile;
use bo_sys::range::AddressRange;
use bo_sys::store::{Slot, StoreFile};
use bo_sys::uffd::{EventBuffer, FaultEvent, InstallEnd, ProtectOutcome, RegisterOutcome};
use bo_sys::uffd::{Protection, Uffd, UffdDevice};

const PAGE: u64 = bo_sys::KERNEL_PAGE_BYTES;
const HUGE: u64 = bo_sys::HUGE_PAGE_BYTES;

/// One test of the host's settings at a time, whatever process it is in. The end-to-end tests have
/// the same file.
const LOCK: &str = "/tmp/bo-host-settings.lock";

/// Nobody else changes the host's settings while this lives.
struct Host {
    _lock: File,
    shmem: Option<ShmemHuge>,
}

impl Host {
    fn alone() -> Host {
        let lock = File::create(LOCK).unwrap();
        rustix::fs::flock(lock.as_fd(), rustix::fs::FlockOperation::LockExclusive).unwrap();
        Host { _lock: lock, shmem: None }
    }

    /// From now on shared memory gets huge folios so.
    fn with_shmem(mut self, setting: ShmemHuge) -> Host {
        self.shmem.get_or_insert(ShmemHuge::of_this_host());
        fs::write(SHMEM_ENABLED, setting.name()).expect("root, and a kernel that has huge folios");
        assert_eq!(ShmemHuge::of_this_host(), setting);
        self
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(before) = self.shmem {
            // Nothing better can be done than to try.
            let _unrestored = fs::write(SHMEM_ENABLED, before.name());
        }
    }
}

/// A file, a store with a page of `0x5a` and one of `0xa5`, of the file's page size.
struct Stock {
    file: ObjectFile,
    store: StoreFile,
    slots: [Slot; 2],
}

impl Stock {
    fn new(file: ObjectFile, page: u64) -> Stock {
        let store = StoreFile::create("store", 2 * page).unwrap();
        let slots = [Slot { offset: 0, len: page }, Slot { offset: page, len: page }];
        // A store is written by copying out, so that is how it gets its bytes.
        let bytes = usize::try_from(page).unwrap();
        for (slot, byte) in slots.into_iter().zip([0x5a, 0xa5]) {
            let source = ObjectFile::create("source", page).unwrap();
            rustix::io::pwrite(&source, &vec![byte; bytes], 0).unwrap();
            store.copy_out(&source, 0, &[slot]).unwrap();
        }
        Stock { file, store, slots }
    }
}

#[track_caller]
fn assert_bytes(file: &ObjectFile, offset: u64, len: u64, byte: u8) {
    let mut found = vec![!byte; usize::try_from(len).unwrap()];
    assert_eq!(rustix::io::pread(file, &mut found, offset).unwrap(), found.len());
    assert!(found.iter().all(|each| *each == byte), "not all bytes are {byte:#x}");
}

/// A client's view of the whole file, watched as clients are.
fn watched(file: &ObjectFile) -> (ClientMapping, Uffd) {
    let page = file.page_bytes();
    let mut view =
        ClientMapping::reserve(file.as_fd(), 0, file.len(), page, Sharing::Shared).unwrap();
    let uffd = Uffd::adopt(UffdDevice::open().unwrap().create().unwrap()).unwrap();
    let outcome = uffd.register(view.range());
    assert!(matches!(outcome, RegisterOutcome::Registered), "{outcome:?}");
    view.open(true).unwrap();
    (view, uffd)
}

/// Waits for the next fault.
fn next_fault(uffd: &Uffd) -> FaultEvent {
    let mut buffer = EventBuffer::new(1);
    loop {
        if 0 < uffd.read_events(&mut buffer).unwrap() {
            return buffer.events().next().unwrap();
        }
        std::thread::yield_now();
    }
}

#[track_caller]
fn install(uffd: &Uffd, range: AddressRange, protection: Protection) {
    let outcome = uffd.install(range, protection);
    assert!(matches!(outcome.end, InstallEnd::Complete), "{outcome:?}");
}

#[track_caller]
fn protect(uffd: &Uffd, range: AddressRange) {
    let outcome = uffd.protect(range);
    assert!(matches!(outcome, ProtectOutcome::Done), "{outcome:?}");
}

#[track_caller]
fn unprotect(uffd: &Uffd, range: AddressRange) {
    let outcome = uffd.unprotect(range);
    assert!(matches!(outcome, ProtectOutcome::Done), "{outcome:?}");
}

/// Huge pages for one test.
fn pool(pages: u64) -> Reservation {
    Reservation::make(pages).expect("root, and memory in pieces of 2 MiB")
}
