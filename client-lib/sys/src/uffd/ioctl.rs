//! The ioctls that the `userfaultfd` crate lacks, or whose results it loses.

// UNSAFETY: ioctl(2) is a system call with untyped arguments.
#![expect(unsafe_code, reason = "ioctl")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use rustix::io::Errno;
use userfaultfd_sys as sys;

use super::{Protection, walk::Progress};
use crate::range::AddressRange;

/// `UFFDIO_CONTINUE`: maps pages that the file has.
pub(super) fn install(fd: BorrowedFd<'_>, range: AddressRange, protection: Protection) -> Progress {
    let mode = match protection {
        Protection::Writable => 0,
        Protection::WriteProtected => sys::UFFDIO_CONTINUE_MODE_WP,
    };
    let mut argument = sys::uffdio_continue { range: sys_range(range), mode, mapped: 0 };
    // SAFETY: the argument is the structure that this ioctl takes, and outlives the call. The
    // kernel maps pages in the descriptor's address space where nothing is mapped; if that is
    // ours, a fault would have mapped the same ones.
    let status =
        unsafe { libc::ioctl(fd.as_raw_fd(), request(sys::UFFDIO_CONTINUE), &raw mut argument) };
    progress(range, status, argument.mapped)
}

/// `UFFDIO_COPY`: allocates pages for holes of the mapped file, filled from `source`. Wakes nobody.
pub(super) fn copy(fd: BorrowedFd<'_>, range: AddressRange, source: *const u8) -> Progress {
    let mut argument = sys::uffdio_copy {
        dst: range.start(),
        src: source.expose_provenance() as u64,
        len: range.len(),
        mode: sys::UFFDIO_COPY_MODE_DONTWAKE,
        copy: 0,
    };
    // SAFETY: the argument is the structure that this ioctl takes, and outlives the call. The
    // kernel reads the source as write(2) would, and puts new pages where the file has none.
    let status =
        unsafe { libc::ioctl(fd.as_raw_fd(), request(sys::UFFDIO_COPY), &raw mut argument) };
    progress(range, status, argument.copy)
}

/// `UFFDIO_ZEROPAGE`: the same with zeros.
pub(super) fn zero(fd: BorrowedFd<'_>, range: AddressRange) -> Progress {
    let mode = sys::UFFDIO_ZEROPAGE_MODE_DONTWAKE;
    let mut argument = sys::uffdio_zeropage { range: sys_range(range), mode, zeropage: 0 };
    // SAFETY: the argument is the structure that this ioctl takes, and outlives the call. The
    // kernel puts new pages where the file has none.
    let status =
        unsafe { libc::ioctl(fd.as_raw_fd(), request(sys::UFFDIO_ZEROPAGE), &raw mut argument) };
    progress(range, status, argument.zeropage)
}

/// `UFFDIO_POISON`: makes pages that are not mapped raise `SIGBUS`.
pub(super) fn poison(fd: BorrowedFd<'_>, range: AddressRange) -> Progress {
    let mut argument = sys::uffdio_poison { range: sys_range(range), mode: 0, updated: 0 };
    // SAFETY: the argument is the structure that this ioctl takes, and outlives the call. Only
    // absent page-table entries change, and what they lead to is a signal, not other bytes.
    let status =
        unsafe { libc::ioctl(fd.as_raw_fd(), request(sys::UFFDIO_POISON), &raw mut argument) };
    progress(range, status, argument.updated)
}

/// `UFFDIO_WRITEPROTECT`, lifting and without waking.
pub(super) fn lift_quietly(fd: BorrowedFd<'_>, range: AddressRange) -> Result<(), Errno> {
    let mode = sys::UFFDIO_WRITEPROTECT_MODE_DONTWAKE;
    let mut argument = sys::uffdio_writeprotect { range: sys_range(range), mode };
    // SAFETY: the argument is the structure that this ioctl takes, and outlives the call. Lifting
    // lets the owner write where its mapping lets it anyway.
    let status = unsafe {
        libc::ioctl(fd.as_raw_fd(), request(sys::UFFDIO_WRITEPROTECT), &raw mut argument)
    };
    if status < 0 { Err(last_errno()) } else { Ok(()) }
}

/// `UFFDIO_API`: asks for `features`, and says which ones this kernel has.
pub(super) fn negotiate(fd: BorrowedFd<'_>, features: u64) -> Result<u64, Errno> {
    let mut argument = sys::uffdio_api { api: sys::UFFD_API, features, ioctls: 0 };
    // SAFETY: the argument is the structure that this ioctl takes, and outlives the call, which
    // changes nothing but the descriptor's own state.
    let status =
        unsafe { libc::ioctl(fd.as_raw_fd(), request(sys::UFFDIO_API), &raw mut argument) };
    if status < 0 { Err(last_errno()) } else { Ok(argument.features) }
}

/// `USERFAULTFD_IOC_NEW` on `/dev/userfaultfd`: a userfaultfd of the calling process.
pub(super) fn create_by_device(device: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: this ioctl takes its flags by value, so no memory is involved.
    let number =
        unsafe { libc::ioctl(device.as_raw_fd(), request(sys::USERFAULTFD_IOC_NEW), flags) };
    own(libc::c_long::from(number))
}

/// userfaultfd(2).
pub(super) fn create_by_syscall(user_mode_only: bool) -> io::Result<OwnedFd> {
    let only = if user_mode_only { sys::UFFD_USER_MODE_ONLY.cast_signed() } else { 0 };
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | only;
    // SAFETY: this system call takes its flags by value, so no memory is involved.
    let number = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
    own(number)
}

/// The number inside an error of the `userfaultfd` crate. The variants without one are for reads
/// of a broken length, which the kernel does not produce.
pub(super) fn errno_of(error: &userfaultfd::Error) -> Errno {
    use userfaultfd::Error as E;
    match error {
        E::SystemError(errno) | E::CopyFailed(errno) | E::ZeropageFailed(errno) => {
            Errno::from_raw_os_error(*errno as i32)
        }
        E::OpenDevUserfaultfd(error) => Errno::from_io_error(error).unwrap_or(Errno::IO),
        E::PartiallyCopied(_)
        | E::IncompleteMsg { .. }
        | E::ReadEof
        | E::UnrecognizedEvent(_)
        | E::UnsupportedIoctls(_) => Errno::IO,
    }
}

/// Descriptor numbers come back from the kernel as they are, and errors as -1.
fn own(number: libc::c_long) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    let number = i32::try_from(number).expect("descriptors are numbered by int");
    // SAFETY: the kernel has just opened it for us, and nobody else knows the number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// What `status` and the signed count of bytes say together.
///
/// `EAGAIN` with a count is progress that stopped for a reason which the next call will give.
/// Without one, or with a negative one (from Linux 6.15 on), the address space is changing.
fn progress(range: AddressRange, status: libc::c_int, count: i64) -> Progress {
    if 0 <= status {
        return Progress::partial(range.len());
    }
    stopped(last_errno(), count)
}

fn stopped(errno: Errno, count: i64) -> Progress {
    match u64::try_from(count) {
        Ok(bytes) if bytes > 0 && errno == Errno::AGAIN => Progress::partial(bytes),
        Ok(_) | Err(_) => Progress { bytes: 0, stop: Some(errno) },
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn sys_range(range: AddressRange) -> sys::uffdio_range {
    sys::uffdio_range { start: range.start(), len: range.len() }
}

/// libc's do not agree whether a request is an int or a long.
fn request(number: u32) -> libc::Ioctl {
    libc::Ioctl::from(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_count_is_not_the_largest_ever() {
        let changing = Progress { bytes: 0, stop: Some(Errno::AGAIN) };
        assert_eq!(stopped(Errno::AGAIN, -11), changing);
        assert_eq!(stopped(Errno::AGAIN, 0), changing);
        assert_eq!(stopped(Errno::AGAIN, 8192), Progress::partial(8192));
        let present = Progress { bytes: 0, stop: Some(Errno::EXIST) };
        assert_eq!(stopped(Errno::EXIST, -17), present);
    }
}
