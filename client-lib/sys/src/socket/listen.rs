//! Taking a place in the file system to be found at.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FileType, FlockOperation, Mode, OFlags},
    io::Errno,
    net::{SocketFlags, SocketType},
};

use super::{address, packet_socket, socket_of};

/// Listens at `path`, whose permissions become `mode` (such as 0o660), with a queue of `backlog`.
///
/// A socket that a dead process has left there is replaced; a live one is not. Nobody can connect
/// before the permissions are set, and of two processes that come at once, one gets the place.
/// Whoever listens removes the file at the end. The socket is blocking and closed on exec.
///
/// # Errors
///
/// `AddrInUse` if somebody listens there or is about to, `AlreadyExists` if there is another kind
/// of file, `InvalidInput` for a path of more than 107 bytes; otherwise the file system's.
pub fn listen(path: &Path, backlog: i32, mode: u32) -> io::Result<OwnedFd> {
    listen_as(SocketType::SEQPACKET, path, backlog, mode)
}

/// The same for a stream of bytes, such as HTTP.
///
/// # Errors
///
/// As for [`listen`].
pub fn listen_stream(path: &Path, backlog: i32, mode: u32) -> io::Result<OwnedFd> {
    listen_as(SocketType::STREAM, path, backlog, mode)
}

fn listen_as(kind: SocketType, path: &Path, backlog: i32, mode: u32) -> io::Result<OwnedFd> {
    let address = address(path)?;
    let _turn = take_turn(path)?;
    clear_stale(path)?;
    let fd = socket_of(kind, SocketFlags::CLOEXEC)?;
    // The file gets these permissions less the umask: never more than asked for.
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))?;
    rustix::net::bind(&fd, &address)?;
    // And now what the umask has taken. Nobody is let in before listen(2).
    rustix::fs::chmod(path, Mode::from_raw_mode(mode))?;
    rustix::net::listen(&fd, backlog)?;
    Ok(fd)
}

/// Locks the directory for as long as the result lives. Between finding a socket dead and removing
/// it, another process could have put a live one in its place.
fn take_turn(path: &Path) -> io::Result<OwnedFd> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(directory),
        Err(Errno::AGAIN) => Err(io::ErrorKind::AddrInUse.into()),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes the socket at `path` if nobody listens to it.
fn clear_stale(path: &Path) -> io::Result<()> {
    let found = match rustix::fs::lstat(path) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // Not blocking, so that a live listener with a full queue does not keep us here.
    let probe = packet_socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    match rustix::net::connect(&probe, &address(path)?) {
        Err(Errno::CONNREFUSED) => Ok(rustix::fs::unlink(path)?),
        Err(Errno::NOENT) => Ok(()),
        // Somebody listens, though to another type of socket or with a full queue.
        Ok(()) | Err(Errno::PROTOTYPE | Errno::AGAIN) => Err(io::ErrorKind::AddrInUse.into()),
        Err(errno) => Err(errno.into()),
    }
}
