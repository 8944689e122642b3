//! Answering for our own mappings when the daemon has gone, if `SIGBUS` was asked for.
//!
//! This needs a thread. Who touches an evicted page sleeps in the kernel until somebody answers,
//! and the daemon that would is dead: the sleeper cannot run a line of code to help itself, and a
//! signal handler would have to be the program's. So one thread sleeps in poll(2) on the socket,
//! without a time-out, until the daemon hangs up or the connection is dropped. A client that is
//! content to wait has no such thread.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use bo_sys::KERNEL_PAGE_BYTES;
use bo_sys::range::AddressRange;
use bo_sys::uffd::{
    EventBuffer, FaultEvent, FaultKind, InstallEnd, PoisonOutcome, ProtectOutcome, Protection, Uffd,
};
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::error::Cause;

/// Faults read at a time. Each waits for the loss of its page, so there is no hurry.
const EVENTS_MAX: usize = 64;

/// The thread that waits for the daemon's end, and what it will have to answer for.
#[derive(Debug)]
pub(crate) struct Watch {
    live: Arc<Live>,
    stop: Arc<OwnedFd>,
    /// A forked child has no such thread, and must not stop its parent's.
    process: u32,
    thread: Option<JoinHandle<()>>,
}

/// A mapping that somebody may be touching.
#[derive(Debug)]
pub(crate) struct LiveMapping {
    pub(crate) range: AddressRange,
    pub(crate) file: Arc<OwnedFd>,
    /// Where in the file the mapping starts, in bytes.
    pub(crate) offset: u64,
}

#[derive(Debug)]
struct Live {
    /// Each watches a part of what is mapped.
    uffds: Vec<Uffd>,
    /// By address. The lock is held while they are poisoned, so that none is unmapped meanwhile;
    /// whoever holds it touches no managed memory.
    mappings: Mutex<BTreeMap<u64, LiveMapping>>,
}

impl Watch {
    /// Starts to watch for the end of `socket`.
    pub(crate) fn start(socket: BorrowedFd<'_>, uffds: &[Uffd]) -> Result<Watch, Cause> {
        let start = || {
            let uffds = uffds.iter().map(Uffd::try_clone).collect::<io::Result<_>>()?;
            let live = Live { uffds, mappings: Mutex::default() };
            let live = Arc::new(live);
            let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
            let watcher = Watcher {
                live: Arc::clone(&live),
                stop: Arc::clone(&stop),
                socket: socket.try_clone_to_owned()?,
            };
            let thread = thread::Builder::new().spawn(move || watcher.run())?;
            Ok(Watch { live, stop, process: std::process::id(), thread: Some(thread) })
        };
        start().map_err(Cause::host("start to watch the daemon"))
    }

    /// From now on, `mapping` is answered for. Call it before anybody can touch it.
    pub(crate) fn add(&self, mapping: LiveMapping) {
        self.live.mappings.lock().insert(mapping.range.start(), mapping);
    }

    /// Nobody will touch the mapping at `range` any more. Call it before it is unmapped.
    pub(crate) fn remove(&self, range: AddressRange) {
        self.live.mappings.lock().remove(&range.start());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            return;
        }
        let one = 1_u64.to_ne_bytes();
        // An eventfd takes a one at any time but after 2^64 - 2 of them.
        rustix::io::write(&*self.stop, &one).expect("an eventfd of our own has room for a one");
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by the thread.
            let _reported = thread.join();
        }
    }
}

/// What the thread has.
struct Watcher {
    live: Arc<Live>,
    stop: Arc<OwnedFd>,
    socket: OwnedFd,
}

impl Watcher {
    fn run(self) {
        // A signal handler of the program's must not run here: it may touch managed memory, which
        // this thread is the one to answer for. Without a name it is as good.
        let _unnamed = bo_sys::thread::set_name("bo-watch");
        if bo_sys::thread::block_all_signals().is_err() {
            return;
        }
        // No `IN`: replies belong to whoever asked. `HUP` and `ERR` are reported in any case.
        match self.wait_for(&[self.socket.as_fd()], PollFlags::RDHUP) {
            Awoken::Stopped => return,
            Awoken::Ready => self.live.lose_everything(),
        }
        // What somebody else punches from now on is lost for us too.
        let mut events = EventBuffer::new(EVENTS_MAX);
        let uffds: Vec<BorrowedFd<'_>> = self.live.uffds.iter().map(AsFd::as_fd).collect();
        while let Awoken::Ready = self.wait_for(&uffds, PollFlags::IN) {
            if self.live.answer(&mut events).is_err() {
                return;
            }
        }
    }

    /// Sleeps until one of `fds` is ready or we are to stop.
    fn wait_for(&self, fds: &[BorrowedFd<'_>], ready: PollFlags) -> Awoken {
        loop {
            let mut polled = vec![PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN)];
            polled.extend(fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, ready)));
            match poll(&mut polled, None) {
                Ok(_) if !polled[0].revents().is_empty() => return Awoken::Stopped,
                Ok(count) if count > 0 => return Awoken::Ready,
                // With descriptors of our own, only want of memory is left.
                Ok(_) | Err(Errno::INTR | Errno::NOMEM) => thread::yield_now(),
                Err(_) => return Awoken::Stopped,
            }
        }
    }
}

enum Awoken {
    Ready,
    Stopped,
}

impl Live {
    /// Makes every absent page of every mapping raise `SIGBUS`, and all others usable for good.
    fn lose_everything(&self) {
        for mapping in self.mappings.lock().values() {
            // Writers wait at pages that are clean or were being evicted; nobody evicts any more.
            // This also wakes those whose page the daemon had filled and not yet installed.
            self.unprotect(mapping.range);
            for lost in mapping.absent() {
                self.poison(lost);
            }
        }
    }

    /// Answers whoever faults after that.
    fn answer(&self, events: &mut EventBuffer) -> io::Result<()> {
        for uffd in &self.uffds {
            uffd.read_events(events)?;
            for FaultEvent { address, kind, .. } in events.events() {
                let Some(page) = self.page_at(address) else { continue };
                match kind {
                    FaultKind::Missing | FaultKind::Minor => self.install_or_poison(page),
                    FaultKind::WriteProtected => self.unprotect(page),
                }
            }
        }
        Ok(())
    }

    /// The page that a fault is about, as large as the mapping's are.
    fn page_at(&self, address: u64) -> Option<AddressRange> {
        let mappings = self.mappings.lock();
        let around = mappings.range(..=address).next_back();
        let page_bytes = around.map_or(KERNEL_PAGE_BYTES, |(_, it)| it.range.page_bytes());
        match page_bytes {
            KERNEL_PAGE_BYTES => AddressRange::new(address, KERNEL_PAGE_BYTES),
            _ => AddressRange::huge_page_around(address),
        }
    }

    /// Maps a page that the file has by now, and gives up one that it has not.
    fn install_or_poison(&self, page: AddressRange) {
        match self.first().install(page, Protection::Writable).end {
            InstallEnd::Absent => self.poison(page),
            // Done; or whoever waits was woken, faults again, and is answered again.
            InstallEnd::Complete
            | InstallEnd::NotMapped
            | InstallEnd::Changing
            | InstallEnd::Gone
            | InstallEnd::Failed(_) => {}
        }
        self.wake(page);
    }

    fn poison(&self, range: AddressRange) {
        match self.first().poison(range) {
            PoisonOutcome::Poisoned | PoisonOutcome::Present => {}
            // Where the next userfaultfd begins to watch, or where the program has made a hole, one
            // call cannot go on. There are few such places, so halving finds them soon.
            PoisonOutcome::NotMapped if range.len() > range.page_bytes() => {
                let half = (range.len() / 2).next_multiple_of(range.page_bytes());
                let halves = [range.slice(0, half), range.slice(half, range.len() - half)];
                halves.into_iter().flatten().for_each(|half| self.poison(half));
                return;
            }
            PoisonOutcome::NotMapped | PoisonOutcome::Changing | PoisonOutcome::Failed(_) => {}
            // We are not gone.
            PoisonOutcome::Gone => return,
        }
        // Whoever waits there faults again, and is answered again.
        self.wake(range);
    }

    fn unprotect(&self, range: AddressRange) {
        match self.first().unprotect(range) {
            ProtectOutcome::Done
            | ProtectOutcome::NotMapped
            | ProtectOutcome::Changing
            | ProtectOutcome::NoMemory
            | ProtectOutcome::Failed(_) => self.wake(range),
            ProtectOutcome::Gone => {}
        }
    }

    /// Page tables can be changed through any of our userfaultfds.
    fn first(&self) -> &Uffd {
        self.uffds.first().expect("a connection has at least one userfaultfd")
    }

    /// A thread waits in the userfaultfd that watches its page, and is woken through no other.
    fn wake(&self, range: AddressRange) {
        for uffd in &self.uffds {
            // It fails for addresses that no process can have, and these came from the kernel.
            let _never_beyond = uffd.wake(range);
        }
    }
}

impl LiveMapping {
    /// The parts of which the file has no page. A page that it has is right, whoever is gone, and
    /// is installed for whoever touches it.
    ///
    /// A page that was allocated by fallocate(2) and never touched since counts as absent, like
    /// one that was never written. The kernel makes no difference there either. Of a file of huge
    /// frames it does not say where its holes are: each page is asked for by who touches it.
    fn absent(&self) -> Vec<AddressRange> {
        let end = self.offset + self.range.len();
        let mut parts = Vec::new();
        let mut position = self.offset;
        while position < end {
            let (start, stop) = match hole_from(&self.file, position) {
                Some((start, stop)) => (start.min(end), stop.unwrap_or(end).min(end)),
                // If the file cannot be asked, each page is asked for by who touches it.
                None => break,
            };
            parts.extend(self.range.slice(start - self.offset, stop - start));
            position = stop.max(position + KERNEL_PAGE_BYTES);
        }
        parts
    }
}

/// The first hole from `position` on, and where it ends, unless that is the end of the file.
fn hole_from(file: &OwnedFd, position: u64) -> Option<(u64, Option<u64>)> {
    let start = seek(file, SeekFrom::Hole(position)).ok()?;
    match seek(file, SeekFrom::Data(start)) {
        Ok(stop) => Some((start, Some(stop))),
        // No data from there on.
        Err(Errno::NXIO) => Some((start, None)),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use bo_sys::memfd::ObjectFile;

    use super::*;

    const PAGE: u64 = KERNEL_PAGE_BYTES;

    /// A mapping of pages 2 to 10 of a file with these pages populated.
    #[track_caller]
    fn check(populated: &[u64], absent: &[(u64, u64)]) {
        let file = ObjectFile::create("holes", 16 * PAGE).expect("a memory file");
        for page in populated {
            rustix::io::pwrite(&file, b"x", page * PAGE).expect("room for a page");
        }
        let range = AddressRange::new(1 << 30, 8 * PAGE).expect("aligned");
        let file = Arc::new(file.try_clone_fd().expect("a descriptor"));
        let mapping = LiveMapping { range, file, offset: 2 * PAGE };
        let found: Vec<_> = mapping.absent().into_iter().collect();
        let expected: Vec<_> = absent
            .iter()
            .map(|&(first, count)| range.slice((first - 2) * PAGE, count * PAGE).expect("inside"))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn holes_are_found_within_the_mapping() {
        check(&[], &[(2, 8)]);
        check(&[0, 1, 12], &[(2, 8)]);
        check(&[2], &[(3, 7)]);
        check(&[9], &[(2, 7)]);
        check(&[4, 5, 7], &[(2, 2), (6, 1), (8, 2)]);
    }

    #[test]
    fn a_populated_mapping_has_nothing_to_lose() {
        check(&[2, 3, 4, 5, 6, 7, 8, 9], &[]);
    }
}
