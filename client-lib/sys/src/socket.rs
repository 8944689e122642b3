//! Packets with descriptors between processes of one host: `SOCK_SEQPACKET` over `AF_UNIX`.
//!
//! One send is one packet is one receive, so that a message is never torn. Everything works on
//! blocking and on non-blocking sockets; the latter give `WouldBlock`.

// UNSAFETY: `rustix` reads a peer's credentials into a type that cannot hold the process id of a
// peer in another namespace (zero), and does not know `SO_PEERPIDFD`.
#![expect(unsafe_code, reason = "getsockopt")]

mod listen;

pub use listen::{listen, listen_stream};

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    path::Path,
    time::Duration,
};

use rustix::{
    cmsg_space,
    fs::OFlags,
    io::{Errno, retry_on_intr},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
        SocketType, sockopt,
    },
    process::{Pid, PidfdFlags},
};

/// How many descriptors one packet can carry; the kernel's `SCM_MAX_FD`.
pub const DESCRIPTORS_MAX: usize = 253;

/// Room for the kernel's largest packet of descriptors, so that none of them is lost.
const CONTROL_BYTES: usize = cmsg_space!(ScmRights(DESCRIPTORS_MAX));

/// A packet that came.
#[derive(Debug)]
pub struct Received {
    /// How many bytes of the buffer it filled. Zero means that the peer has closed.
    pub len: usize,
    /// The descriptors that came along, closed on exec. Drop those that were not asked for.
    pub descriptors: Vec<OwnedFd>,
    /// The packet was longer than the buffer; the rest is lost.
    pub truncated: bool,
    /// The kernel could not give us all descriptors: this process has too many open.
    pub descriptors_lost: bool,
}

/// Who made the connection, as the kernel saw it at that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// The process, in our namespace. Zero if it is not visible from here.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

/// Connects to the socket at `path`, and waits at most `timeout` for room in its queue.
///
/// The socket is blocking, without time limits, and closed on exec.
///
/// # Errors
///
/// `NotFound` and `ConnectionRefused` if nobody listens there, `TimedOut`, `PermissionDenied`, or
/// `InvalidInput` for a path of more than 107 bytes.
pub fn connect(path: &Path, timeout: Duration) -> io::Result<OwnedFd> {
    let address = address(path)?;
    let fd = packet_socket(SocketFlags::CLOEXEC)?;
    // Zero would mean for ever.
    let patience = timeout.max(Duration::from_millis(1));
    sockopt::set_socket_timeout(&fd, sockopt::Timeout::Send, Some(patience))?;
    match retry_on_intr(|| rustix::net::connect(&fd, &address)) {
        Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
        other => other?,
    }
    sockopt::set_socket_timeout(&fd, sockopt::Timeout::Send, None)?;
    Ok(fd)
}

/// Takes the next connection from a listening socket: blocking and closed on exec.
///
/// # Errors
///
/// `WouldBlock` if there is none and `listener` does not block; otherwise the host's, such as too
/// many open descriptors.
pub fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    let accepted = retry_on_intr(|| rustix::net::accept_with(&listener, SocketFlags::CLOEXEC))?;
    Ok(accepted)
}

/// Two sockets that are connected with each other.
///
/// # Errors
///
/// If the host is out of descriptors.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Whether calls on this socket return `WouldBlock` in place of waiting.
///
/// # Errors
///
/// None on a kernel that is not broken.
pub fn set_nonblocking(fd: impl AsFd, nonblocking: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(&fd)?;
    flags.set(OFlags::NONBLOCK, nonblocking);
    Ok(rustix::fs::fcntl_setfl(&fd, flags)?)
}

/// How long a blocking send or receive waits before it fails with `WouldBlock`; `None` is for ever.
///
/// # Errors
///
/// `InvalidInput` for a zero duration.
pub fn set_timeout(fd: impl AsFd, timeout: Option<Duration>) -> io::Result<()> {
    sockopt::set_socket_timeout(&fd, sockopt::Timeout::Send, timeout)?;
    Ok(sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, timeout)?)
}

/// Sends one packet, all of it or nothing, with `descriptors`. Never raises `SIGPIPE`.
///
/// # Errors
///
/// `BrokenPipe` or `ConnectionReset` if the peer has closed; `WouldBlock` if its queue is full;
/// `InvalidInput` for a packet that is empty (it would look like the end) or has more than 253
/// descriptors; otherwise the host's.
pub fn send(fd: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.is_empty() || descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(descriptors));
        assert!(fits, "there is room for as many as are allowed");
    }
    let packet = [IoSlice::new(bytes)];
    let flags = SendFlags::NOSIGNAL;
    let sent = retry_on_intr(|| rustix::net::sendmsg(&fd, &packet, &mut control, flags))?;
    assert_eq!(sent, bytes.len(), "a packet is sent whole or not at all");
    Ok(())
}

/// Receives one packet into `buffer`, with its descriptors.
///
/// # Errors
///
/// `WouldBlock` if there is none and the socket does not block; `ConnectionReset` if the peer died
/// with our packets unread.
pub fn receive(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let message = retry_on_intr(|| {
        let mut room = [IoSliceMut::new(buffer)];
        rustix::net::recvmsg(&fd, &mut room, &mut control, flags)
    })?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            descriptors.extend(received);
        }
    }
    Ok(Received {
        len: message.bytes,
        descriptors,
        truncated: message.flags.contains(ReturnFlags::TRUNC),
        descriptors_lost: message.flags.contains(ReturnFlags::CTRUNC),
    })
}

/// Who is at the other end.
///
/// # Errors
///
/// If `fd` is not a connected socket of this kind.
pub fn peer(fd: impl AsFd) -> io::Result<PeerCredentials> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    // SAFETY: any bytes are a valid `ucred`: it is three integers.
    unsafe { socket_option(fd.as_fd(), libc::SO_PEERCRED, &mut found) }?;
    Ok(PeerCredentials { pid: found.pid, uid: found.uid, gid: found.gid })
}

/// A descriptor of process `pid`, which becomes readable when it exits.
///
/// # Errors
///
/// `InvalidInput` for a number below one, or the host's if there is no such process.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    let positive = Some(pid).filter(|&pid| 0 < pid).and_then(Pid::from_raw);
    let pid = positive.ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// A descriptor of the process at the other end, which becomes readable when it exits.
///
/// Before Linux 6.5 it is found by its number, which may be another process's by now if the peer
/// has exited.
///
/// # Errors
///
/// If `fd` is not a connected socket of this kind, or the process has gone.
pub fn pidfd_of_peer(fd: impl AsFd) -> io::Result<OwnedFd> {
    let mut number: libc::c_int = -1;
    // SAFETY: any bytes are a valid integer.
    match unsafe { socket_option(fd.as_fd(), libc::SO_PEERPIDFD, &mut number) } {
        // SAFETY: the kernel has just opened it for us, and nobody else knows the number.
        Ok(()) if 0 <= number => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
        Ok(()) => Err(io::ErrorKind::NotFound.into()),
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => pidfd_open(peer(fd)?.pid),
        Err(error) => Err(error),
    }
}

/// Reads a socket option of the socket's own level into `value`.
///
/// # Safety
///
/// 1. Any bytes are a valid `Value`.
unsafe fn socket_option<Value>(
    fd: BorrowedFd<'_>,
    option: libc::c_int,
    value: &mut Value,
) -> io::Result<()> {
    let mut len = libc::socklen_t::try_from(size_of::<Value>()).expect("options are small");
    let place: *mut Value = value;
    // SAFETY: `len` bytes at `place` are ours to write, and what is written there is a `Value` by
    // promise 1.
    let status = unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, place.cast(), &raw mut len)
    };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn packet_socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    socket_of(SocketType::SEQPACKET, flags)
}

fn socket_of(kind: SocketType, flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?)
}

fn address(path: &Path) -> io::Result<SocketAddrUnix> {
    match SocketAddrUnix::new(path) {
        Err(Errno::NAMETOOLONG) => Err(io::ErrorKind::InvalidInput.into()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests;
