//! What the kernel made of a call: words for what a healthy host does every day.

use std::io;

use rustix::io::Errno;

use super::walk::Walk;

/// What came of watching a range.
#[derive(Debug)]
#[must_use]
pub enum RegisterOutcome {
    /// Faults in the range are reported from now on.
    Registered,
    /// Nothing is mapped there, or memory that cannot be watched.
    NotMapped,
    /// A mapping that can never be written and is shared: the kernel watches none such.
    NotPermitted,
    /// Another userfaultfd watches it already.
    Busy,
    /// The owner of the address space has exited.
    Gone,
    /// The host failed us.
    Failed(io::Error),
}

/// What came of installing pages.
#[derive(Debug)]
#[must_use]
pub struct InstallOutcome {
    /// Bytes that are mapped now and were not before.
    pub installed: u64,
    /// Bytes that were mapped already.
    pub present: u64,
    /// Whether that was all.
    pub end: InstallEnd,
}

/// Where an installation ended.
#[derive(Debug)]
pub enum InstallEnd {
    /// Every page of the range is mapped.
    Complete,
    /// The file has a hole at the first page that is in neither sum. If it should not have one,
    /// then somebody has punched it, or something else is mapped there.
    Absent,
    /// Some pages are not in a registered mapping of shared memory; all others are mapped.
    NotMapped,
    /// The address space kept changing. Try again later.
    Changing,
    /// The owner of the address space has exited.
    Gone,
    /// The host failed us.
    Failed(io::Error),
}

/// What came of setting or lifting protection.
#[derive(Debug)]
#[must_use]
pub enum ProtectOutcome {
    /// Every page of the range that is registered has it.
    Done,
    /// No page of the range is registered.
    NotMapped,
    /// The address space kept changing. Try again later: nothing, or a part, has been done.
    Changing,
    /// The owner of the address space has exited.
    Gone,
    /// No memory for the owner's page tables. Nothing, or a part, has been done.
    NoMemory,
    /// The host failed us.
    Failed(io::Error),
}

/// What came of poisoning a range.
#[derive(Debug)]
#[must_use]
pub enum PoisonOutcome {
    /// At least one page is poisoned now; those that were mapped stay usable.
    Poisoned,
    /// Every page was mapped already.
    Present,
    /// No page is in a registered mapping, or none but such as were mapped already.
    NotMapped,
    /// The owner of the address space has exited.
    Gone,
    /// The address space kept changing. Try again later.
    Changing,
    /// The host failed us.
    Failed(io::Error),
}

impl RegisterOutcome {
    pub(super) fn from_errno(errno: Errno, owner_is_gone: impl FnOnce() -> bool) -> Self {
        match errno {
            Errno::INVAL => RegisterOutcome::NotMapped,
            Errno::PERM => RegisterOutcome::NotPermitted,
            Errno::BUSY => RegisterOutcome::Busy,
            Errno::SRCH => RegisterOutcome::Gone,
            Errno::NOMEM if owner_is_gone() => RegisterOutcome::Gone,
            errno => RegisterOutcome::Failed(errno.into()),
        }
    }
}

impl InstallOutcome {
    pub(super) fn from_walk(walk: Walk) -> Self {
        let end = match walk.stop {
            None if walk.not_mapped > 0 => InstallEnd::NotMapped,
            None => InstallEnd::Complete,
            Some(Errno::FAULT) => InstallEnd::Absent,
            Some(Errno::AGAIN) => InstallEnd::Changing,
            Some(Errno::SRCH) => InstallEnd::Gone,
            Some(errno) => InstallEnd::Failed(errno.into()),
        };
        InstallOutcome { installed: walk.done, present: walk.present, end }
    }
}

impl ProtectOutcome {
    pub(super) fn from_result(result: Result<(), Errno>) -> Self {
        match result {
            Ok(()) => ProtectOutcome::Done,
            // `EINVAL` is for huge pages, which are not ours: see `walk`.
            Err(Errno::NOENT | Errno::INVAL) => ProtectOutcome::NotMapped,
            Err(Errno::AGAIN) => ProtectOutcome::Changing,
            Err(Errno::SRCH) => ProtectOutcome::Gone,
            Err(Errno::NOMEM) => ProtectOutcome::NoMemory,
            Err(errno) => ProtectOutcome::Failed(errno.into()),
        }
    }
}

impl PoisonOutcome {
    pub(super) fn from_walk(walk: Walk) -> Self {
        match walk.stop {
            None if walk.done > 0 => PoisonOutcome::Poisoned,
            None if walk.not_mapped > 0 => PoisonOutcome::NotMapped,
            None => PoisonOutcome::Present,
            Some(Errno::AGAIN) => PoisonOutcome::Changing,
            Some(Errno::SRCH) => PoisonOutcome::Gone,
            Some(errno) => PoisonOutcome::Failed(errno.into()),
        }
    }
}
