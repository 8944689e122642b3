//! Taking over a descriptor that is said to be a fresh userfaultfd.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use rustix::{
    fs::{CWD, OFlags},
    io::Errno,
};

use super::{device, feature::Features, ioctl};

/// What `/proc/self/fd` shows for a userfaultfd. Files show a path, which begins with a slash, and
/// other anonymous inodes another name, so that nobody can make a descriptor that shows this.
const LINK: &[u8] = b"anon_inode:[userfaultfd]";

/// Why a descriptor was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It is something else.
    #[error("the descriptor is not a userfaultfd")]
    NotUserfaultfd,
    /// Somebody has negotiated its features before, and that can be done only once.
    #[error("the userfaultfd is not fresh: its features were negotiated before")]
    AlreadyInitialised,
    /// The kernel lacks what we cannot do without.
    #[error("the kernel's userfaultfd lacks {0}")]
    FeaturesMissing(Features),
    /// The host failed us.
    #[error("the host cannot take a userfaultfd over")]
    Host(#[source] io::Error),
}

pub(super) fn check_kind(fd: BorrowedFd<'_>) -> Result<(), AdoptError> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    match rustix::fs::readlinkat(CWD, path, Vec::new()) {
        Ok(link) if link.as_bytes() == LINK => Ok(()),
        Ok(_) => Err(AdoptError::NotUserfaultfd),
        Err(errno) => Err(AdoptError::Host(errno.into())),
    }
}

/// The flag belongs to the open file, not to the descriptor: the client can clear it again.
pub(super) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?;
    Ok(())
}

pub(super) fn negotiate(fd: BorrowedFd<'_>) -> Result<(), AdoptError> {
    match ioctl::negotiate(fd, Features::REQUIRED.bits()) {
        Ok(_) => Ok(()),
        // The kernel says the same for features that it lacks and for a second negotiation; one of
        // our own, made for the purpose, tells them apart.
        Err(Errno::INVAL) => match device::probe().features.missing() {
            missing if missing.is_empty() => Err(AdoptError::AlreadyInitialised),
            missing => Err(AdoptError::FeaturesMissing(missing)),
        },
        Err(errno) => Err(AdoptError::Host(errno.into())),
    }
}
