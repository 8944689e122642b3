//! Making userfaultfds, and finding out which ways of making them this host offers.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::fs::{Mode, OFlags};

use super::{feature::Features, ioctl};

/// An open `/dev/userfaultfd`.
///
/// Whoever holds it can make full userfaultfds, privileged or not. So a daemon that may open the
/// device passes it on to clients that may not.
#[derive(Debug)]
pub struct UffdDevice(OwnedFd);

impl UffdDevice {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// `NotFound` before Linux 6.1, `PermissionDenied` without the right to it.
    pub fn open() -> io::Result<UffdDevice> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        Ok(UffdDevice(rustix::fs::open("/dev/userfaultfd", flags, Mode::empty())?))
    }

    /// Makes a userfaultfd for the address space of the calling process: fresh, closed on exec,
    /// not blocking, and told of faults in system calls too.
    ///
    /// # Errors
    ///
    /// If this is not the device, or the host is out of descriptors.
    pub fn create(&self) -> io::Result<OwnedFd> {
        ioctl::create_by_device(self.0.as_fd())
    }
}

impl From<OwnedFd> for UffdDevice {
    /// Takes over a descriptor that somebody trusted has opened.
    fn from(fd: OwnedFd) -> UffdDevice {
        UffdDevice(fd)
    }
}

impl AsFd for UffdDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Makes a userfaultfd by system call, otherwise as [`UffdDevice::create`].
///
/// With `user_mode_only`, no privilege is needed, and a system call that is given a buffer with an
/// absent page fails with `EFAULT` instead of waiting for it.
///
/// # Errors
///
/// `PermissionDenied` for a full one without `CAP_SYS_PTRACE`, unless
/// `vm.unprivileged_userfaultfd` is 1. `Unsupported` on a kernel without userfaultfd.
pub fn create_by_syscall(user_mode_only: bool) -> io::Result<OwnedFd> {
    ioctl::create_by_syscall(user_mode_only)
}

/// Whether this process can make userfaultfds in some way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It can.
    Available,
    /// It may not.
    NotPermitted,
    /// The kernel does not have it.
    Absent,
    /// It failed in another way, such as for want of descriptors.
    Failed,
}

/// What this process can do with userfaultfd on this host. Plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// By `/dev/userfaultfd`, so for others as well.
    pub device: Availability,
    /// By system call, for itself alone.
    pub syscall: Availability,
    /// By system call, without faults in system calls.
    pub user_mode_only: Availability,
    /// What the kernel has, empty if no userfaultfd could be made at all.
    pub features: Features,
}

/// Tries every way of making a userfaultfd, and closes what it made.
#[must_use]
pub fn probe() -> Probe {
    let device = UffdDevice::open().and_then(|device| device.create());
    let syscall = create_by_syscall(false);
    let user_mode_only = create_by_syscall(true);
    Probe {
        device: availability(&device),
        syscall: availability(&syscall),
        user_mode_only: availability(&user_mode_only),
        features: device.or(syscall).or(user_mode_only).map_or(Features::from_bits(0), features_of),
    }
}

/// Uses up a fresh userfaultfd to learn what the kernel has.
fn features_of(fresh: OwnedFd) -> Features {
    Features::from_bits(ioctl::negotiate(fresh.as_fd(), 0).unwrap_or(0))
}

fn availability(made: &io::Result<OwnedFd>) -> Availability {
    match made.as_ref().map_err(io::Error::kind) {
        Ok(_) => Availability::Available,
        Err(io::ErrorKind::PermissionDenied) => Availability::NotPermitted,
        Err(io::ErrorKind::NotFound | io::ErrorKind::Unsupported) => Availability::Absent,
        // Before Linux 5.11, userfaultfd(2) does not know the flag.
        Err(io::ErrorKind::InvalidInput) => Availability::Absent,
        Err(_) => Availability::Failed,
    }
}
