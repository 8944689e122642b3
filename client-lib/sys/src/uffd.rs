//! userfaultfd: watching a client's mappings, answering its faults, and arming new ones.
//!
//! Every call here acts on the address space of the process that *made* the descriptor, whoever
//! calls. None of them can change a byte that somebody has seen: pages come from the mapped file,
//! or fill a hole of it, and else only page-table entries are set up. So all of it is safe even on
//! one's own memory; the worst that a wrong range can do is to block a thread or to raise `SIGBUS`
//! in it.

// UNSAFETY: the `userfaultfd` crate takes a descriptor over as a bare number.
#![expect(unsafe_code, reason = "FromRawFd of the wrapped crate")]

mod adopt;
mod device;
mod events;
mod feature;
mod ioctl;
mod outcome;
mod walk;

pub use adopt::AdoptError;
pub use device::{Availability, Probe, UffdDevice, create_by_syscall, probe};
pub use events::{EventBuffer, FaultEvent, FaultKind};
pub use feature::Features;
pub use outcome::{InstallEnd, InstallOutcome, PoisonOutcome, ProtectOutcome, RegisterOutcome};

use std::{
    ffi::c_void,
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd},
    ptr, thread,
};

use rustix::io::Errno;
use userfaultfd::RegisterMode;

use crate::{range::AddressRange, to_usize};
pub(crate) use walk::Progress;

/// How often a call that meets a changing address space is made again. Each time the processor is
/// offered to others first; without event features the state lasts microseconds.
const CHANGING_RETRIES_MAX: u32 = 16;

/// How installed pages may be used until further notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// As the mapping allows.
    Writable,
    /// A write is reported as [`FaultKind::WriteProtected`] and waits.
    WriteProtected,
}

/// A userfaultfd whose features were negotiated.
pub struct Uffd {
    inner: userfaultfd::Uffd,
}

impl Uffd {
    /// Takes over a fresh userfaultfd, and negotiates exactly [`Features::REQUIRED`]: no events
    /// but page faults, so that no system call of the client ever waits for us to read.
    ///
    /// Trusts nobody: `fd` may be anything that came over a socket. Sets `O_NONBLOCK`, without
    /// which poll(2) reports nothing but an error.
    ///
    /// # Errors
    ///
    /// See [`AdoptError`]; `fd` is closed then.
    pub fn adopt(fd: OwnedFd) -> Result<Uffd, AdoptError> {
        let uffd = Uffd::rejoin(fd)?;
        adopt::negotiate(uffd.as_fd())?;
        Ok(uffd)
    }

    /// Takes over a userfaultfd whose features somebody has negotiated already: a client's own
    /// duplicate, or one that outlived a daemon.
    ///
    /// # Errors
    ///
    /// [`AdoptError::NotUserfaultfd`], or the host's; `fd` is closed then.
    pub fn rejoin(fd: OwnedFd) -> Result<Uffd, AdoptError> {
        adopt::check_kind(fd.as_fd())?;
        adopt::set_nonblocking(fd.as_fd()).map_err(AdoptError::Host)?;
        Ok(Uffd::wrap(fd))
    }

    /// Asks for missing, minor and write-protection faults in `range`, which need not be mapped in
    /// one piece. A range that is registered here already stays so.
    ///
    /// Minor faults, so that the kernel maps nothing by itself: a page may be in the file although
    /// nobody filled it, when some process read a hole through a mapping that is not watched.
    pub fn register(&self, range: AddressRange) -> RegisterOutcome {
        self.register_for(range, RegisterMode::all())
    }

    fn register_for(&self, range: AddressRange, mode: RegisterMode) -> RegisterOutcome {
        match self.inner.register_with_mode(pointer(range), to_usize(range.len()), mode) {
            Ok(_) => RegisterOutcome::Registered,
            Err(error) => {
                let errno = ioctl::errno_of(&error);
                RegisterOutcome::from_errno(errno, || self.owner_is_gone(range))
            }
        }
    }

    /// Maps the file's pages into `range`, and wakes whoever waits there.
    ///
    /// Pages that are mapped already stay as they are, protection included, and are counted as
    /// present: a thread that touches a filled page before it is installed gets it from the kernel,
    /// protected if a marker says so. A page that is poisoned gets well. If the client has split or
    /// unmapped parts of the range, the rest is still done. Unless the kernel did it all in one go,
    /// the whole range is woken once more at the end, as it does not wake those who wait for a page
    /// that is present.
    pub fn install(&self, range: AddressRange, protection: Protection) -> InstallOutcome {
        let fd = self.as_fd();
        let walk = walk::over(range, |part| ioctl::install(fd, part, protection));
        if walk.needs_wake() {
            self.wake_quietly(range);
        }
        InstallOutcome::from_walk(walk)
    }

    /// Makes the next write to each page of `range` a reported fault, mapped or not yet mapped.
    ///
    /// When it returns, writes made before are in the file, and later ones wait.
    pub fn protect(&self, range: AddressRange) -> ProtectOutcome {
        self.arm(range, |part| {
            self.inner
                .write_protect(pointer(part), to_usize(part.len()))
                .map_err(|error| ioctl::errno_of(&error))
        })
    }

    /// Lifts the protection of `range`, markers in holes included, and wakes whoever waits there.
    pub fn unprotect(&self, range: AddressRange) -> ProtectOutcome {
        let outcome = self.arm(range, |part| self.lift(part));
        if !matches!(outcome, ProtectOutcome::Done | ProtectOutcome::Gone) {
            self.wake_quietly(range);
        }
        outcome
    }

    /// Lets every thread that waits in `range` fault again. Does nothing if the owner has exited.
    ///
    /// # Errors
    ///
    /// If `range` is beyond what the owner can map at all.
    pub fn wake(&self, range: AddressRange) -> io::Result<()> {
        let woken = self.inner.wake(pointer(range), to_usize(range.len()));
        woken.map_err(|error| ioctl::errno_of(&error).into())
    }

    /// Makes every page of `range` that is not mapped raise `SIGBUS`, and wakes whoever waits.
    ///
    /// Mapped pages stay and stay usable. If markers of an earlier protection are in the way, the
    /// protection of the whole range is lifted: this is the last thing to do to a client.
    pub fn poison(&self, range: AddressRange) -> PoisonOutcome {
        let fd = self.as_fd();
        let mut lifted = false;
        let walk = walk::over(range, |part| {
            let progress = ioctl::poison(fd, part);
            if lifted || progress.stop != Some(Errno::EXIST) {
                return progress;
            }
            lifted = true;
            // Page by page if need be; whatever else stops it stops the next call as well.
            let _told_by_the_next_call = self.arm(range, |part| ioctl::lift_quietly(fd, part));
            Progress::partial(progress.bytes)
        });
        if walk.needs_wake() {
            self.wake_quietly(range);
        }
        PoisonOutcome::from_walk(walk)
    }

    /// Reads what faults wait to be read, up to the buffer's size, and says how many they are.
    ///
    /// Never blocks, not even if somebody has cleared `O_NONBLOCK` behind our back. Zero means
    /// that there was nothing, or that a signal came first. Allocates nothing.
    ///
    /// # Errors
    ///
    /// None for a userfaultfd that was negotiated.
    pub fn read_events(&self, buffer: &mut EventBuffer) -> io::Result<usize> {
        buffer.fill(&self.inner)
    }

    /// A userfaultfd of this process for its own windows on memory files, which nobody reads:
    /// see [`crate::window`].
    pub(crate) fn of_our_own() -> io::Result<Uffd> {
        // Faults in system calls are nothing to us: the least that can be had is enough.
        let fresh = create_by_syscall(true)
            .or_else(|_| UffdDevice::open().and_then(|device| device.create()))?;
        ioctl::negotiate(fresh.as_fd(), 0)?;
        Ok(Uffd::wrap(fresh))
    }

    /// Makes `range`, mapped by this process, ready for [`Uffd::copy_in`] and [`Uffd::zero_in`].
    pub(crate) fn register_holes(&self, range: AddressRange) -> io::Result<()> {
        match self.register_for(range, RegisterMode::MISSING) {
            RegisterOutcome::Registered => Ok(()),
            RegisterOutcome::Failed(error) => Err(error),
            RegisterOutcome::NotMapped
            | RegisterOutcome::NotPermitted
            | RegisterOutcome::Busy
            | RegisterOutcome::Gone => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// One `UFFDIO_COPY`: new pages for holes, up to the first page that is present.
    pub(crate) fn copy_in(&self, range: AddressRange, source: *const u8) -> Progress {
        ioctl::copy(self.as_fd(), range, source)
    }

    /// One `UFFDIO_ZEROPAGE`, in the same way.
    pub(crate) fn zero_in(&self, range: AddressRange) -> Progress {
        ioctl::zero(self.as_fd(), range)
    }

    /// Another descriptor of the same userfaultfd.
    ///
    /// # Errors
    ///
    /// If the host is out of descriptors.
    pub fn try_clone(&self) -> io::Result<Uffd> {
        Ok(Uffd::wrap(self.as_fd().try_clone_to_owned()?))
    }

    fn wrap(fd: OwnedFd) -> Uffd {
        // SAFETY: the number was an `OwnedFd` a moment ago; `inner` is now its only owner.
        let inner = unsafe { userfaultfd::Uffd::from_raw_fd(fd.into_raw_fd()) };
        Uffd { inner }
    }

    fn lift(&self, range: AddressRange) -> Result<(), Errno> {
        let lifted =
            self.inner.remove_write_protection(pointer(range), to_usize(range.len()), true);
        lifted.map_err(|error| ioctl::errno_of(&error))
    }

    /// Runs `call` over the range; if part of it is not registered, over each page of it.
    fn arm(
        &self,
        range: AddressRange,
        call: impl Fn(AddressRange) -> Result<(), Errno>,
    ) -> ProtectOutcome {
        let whole = with_patience(|| call(range));
        if !matches!(whole, Err(Errno::NOENT | Errno::INVAL)) {
            return ProtectOutcome::from_result(whole);
        }
        let mut registered = whole;
        for page in range.pages() {
            match with_patience(|| call(page)) {
                // Whoever waits there has lost the page, and is to find out: nothing else wakes it.
                Err(Errno::NOENT | Errno::INVAL) => self.wake_quietly(page),
                Ok(()) => registered = Ok(()),
                trouble => return ProtectOutcome::from_result(trouble),
            }
        }
        ProtectOutcome::from_result(registered)
    }

    /// The kernel says `ENOMEM` for want of memory and for want of an owner; this tells which.
    fn owner_is_gone(&self, range: AddressRange) -> bool {
        ioctl::lift_quietly(self.as_fd(), range) == Err(Errno::SRCH)
    }

    /// Wakes where nothing better could be done about a failure than what the caller is told.
    fn wake_quietly(&self, range: AddressRange) {
        // A range that the owner cannot map has no waiters either.
        let _beyond_the_owner = self.wake(range);
    }
}

impl AsFd for Uffd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl fmt::Debug for Uffd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Uffd(fd {})", self.inner.as_raw_fd())
    }
}

/// The crate wants a pointer, although the address is another process's.
fn pointer(range: AddressRange) -> *mut c_void {
    ptr::without_provenance_mut(to_usize(range.start()))
}

/// Makes the call again while the owner's address space is changing, up to a limit.
fn with_patience(mut call: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    for _ in 0..CHANGING_RETRIES_MAX {
        match call() {
            Err(Errno::AGAIN) => thread::yield_now(),
            settled => return settled,
        }
    }
    call()
}

#[cfg(test)]
mod tests;
