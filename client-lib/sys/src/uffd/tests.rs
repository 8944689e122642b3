//! The facts that the design stands on, tried on the running kernel.
//!
//! One process plays both sides: a thread of it touches the mapping, the test answers. They need a
//! kernel with [`Features::REQUIRED`] and the right to `/dev/userfaultfd`, and fail without.

mod answering;
mod attaching;
mod evicting;
mod waiting;

use std::{
    os::fd::AsFd,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::*;
use crate::{
    KERNEL_PAGE_BYTES as PAGE,
    mapping::{ClientMapping, Sharing},
    memfd::ObjectFile,
};

/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long we look at something that must not happen.
const GLANCE: Duration = Duration::from_millis(30);

/// A file, a view of it, and a userfaultfd that watches the view.
struct World {
    object: ObjectFile,
    mapping: Arc<ClientMapping>,
    uffd: Uffd,
}

/// A thread at work on the mapping. It is left behind, not joined, if the test fails: it may be
/// waiting for an answer that never comes.
struct Worker<T>(Receiver<T>);

fn fresh() -> OwnedFd {
    UffdDevice::open().unwrap().create().unwrap()
}

fn view(object: &ObjectFile, pages: u64) -> ClientMapping {
    ClientMapping::reserve(object.as_fd(), 0, pages * PAGE, PAGE, Sharing::Shared).unwrap()
}

fn work<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Worker<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(body()));
    Worker(receiver)
}

impl<T> Worker<T> {
    #[track_caller]
    fn done(&self) -> T {
        self.0.recv_timeout(PATIENCE).expect("the thread still waits")
    }

    #[track_caller]
    fn waits(&self) {
        let early = self.0.recv_timeout(GLANCE).err();
        assert_eq!(early, Some(RecvTimeoutError::Timeout), "the thread did not wait");
    }
}

impl World {
    /// Watched without minor faults: the kernel maps what is in the file by itself.
    fn new(pages: u64) -> World {
        let modes = RegisterMode::MISSING | RegisterMode::WRITE_PROTECT;
        World::watched(pages, |uffd, range| uffd.register_for(range, modes))
    }

    /// Watched as clients are.
    fn strict(pages: u64) -> World {
        World::watched(pages, Uffd::register)
    }

    fn watched(pages: u64, register: impl Fn(&Uffd, AddressRange) -> RegisterOutcome) -> World {
        let object = ObjectFile::create("world", pages * PAGE).unwrap();
        let mut mapping = view(&object, pages);
        let uffd = Uffd::adopt(fresh()).unwrap();
        assert!(matches!(register(&uffd, mapping.range()), RegisterOutcome::Registered));
        mapping.open(true).unwrap();
        World { object, mapping: Arc::new(mapping), uffd }
    }

    /// Puts a page of `byte`s into the file, as the daemon does.
    fn fill(&self, page: u64, byte: u8) {
        assert_eq!(rustix::io::pwrite(&self.object, &[byte; 4096], page * PAGE).unwrap(), 4096);
    }

    fn file_byte(&self, page: u64) -> u8 {
        let mut byte = [0];
        assert_eq!(rustix::io::pread(&self.object, &mut byte, page * PAGE).unwrap(), 1);
        byte[0]
    }

    fn pages(&self, first: u64, count: u64) -> AddressRange {
        self.mapping.range().slice(first * PAGE, count * PAGE).unwrap()
    }

    fn page(&self, page: u64) -> AddressRange {
        self.pages(page, 1)
    }

    fn read(&self, page: u64) -> Worker<u8> {
        let mapping = Arc::clone(&self.mapping);
        work(move || {
            let mut byte = [0];
            mapping.read(page * PAGE, &mut byte).unwrap();
            byte[0]
        })
    }

    fn write(&self, page: u64, byte: u8) -> Worker<()> {
        let mapping = Arc::clone(&self.mapping);
        work(move || mapping.write(page * PAGE, &[byte]).unwrap())
    }

    /// The next fault, which must be on `page`.
    #[track_caller]
    fn expect_fault(&self, page: u64, kind: FaultKind, write: bool) {
        let fault = next_fault(&self.uffd).expect("no fault came");
        let FaultEvent { address, write: wrote, kind: why, thread } = fault;
        assert_eq!((address, wrote, why), (self.page(page).start(), write, kind));
        // One of this process's threads.
        assert!(std::path::Path::new(&format!("/proc/self/task/{thread}")).exists());
    }

    #[track_caller]
    fn expect_no_fault(&self) {
        assert_eq!(self.uffd.read_events(&mut EventBuffer::new(1)).unwrap(), 0);
    }

    /// Waits until so many faults wait to be read.
    #[track_caller]
    fn expect_pending(&self, faults: u32) {
        let path = format!("/proc/self/fdinfo/{}", self.uffd.as_fd().as_raw_fd());
        let wanted = format!("pending:\t{faults}");
        let started = Instant::now();
        while !std::fs::read_to_string(&path).unwrap().lines().any(|line| line == wanted) {
            assert!(started.elapsed() < PATIENCE, "fewer faults came");
            thread::yield_now();
        }
    }

    /// Maps pages that the file has, and expects nothing else.
    #[track_caller]
    fn install(&self, range: AddressRange, protection: Protection) {
        check_installed(&self.uffd.install(range, protection), range.len(), 0);
    }

    #[track_caller]
    fn protect(&self, range: AddressRange) {
        let outcome = self.uffd.protect(range);
        assert!(matches!(outcome, ProtectOutcome::Done), "{outcome:?}");
    }

    #[track_caller]
    fn unprotect(&self, range: AddressRange) {
        let outcome = self.uffd.unprotect(range);
        assert!(matches!(outcome, ProtectOutcome::Done), "{outcome:?}");
    }
}

#[track_caller]
fn check_installed(outcome: &InstallOutcome, installed: u64, present: u64) {
    assert!(matches!(outcome.end, InstallEnd::Complete), "{outcome:?}");
    assert_eq!((outcome.installed, outcome.present), (installed, present));
}

/// `None` if none comes. Being readable is a hint: a signal can take the fault back in between.
fn next_fault(uffd: &Uffd) -> Option<FaultEvent> {
    let started = Instant::now();
    let mut buffer = EventBuffer::new(1);
    while started.elapsed() < PATIENCE {
        let mut waiting = [PollFd::new(uffd, PollFlags::IN)];
        let patience = Timespec::try_from(PATIENCE).unwrap();
        rustix::event::poll(&mut waiting, Some(&patience)).unwrap();
        if 0 < uffd.read_events(&mut buffer).unwrap() {
            return buffer.events().next();
        }
    }
    None
}
