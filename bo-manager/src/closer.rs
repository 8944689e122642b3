//! Closing what came from a client, on a thread of its own.
//!
//! The last close of a descriptor may block for as long as its owner pleased: a TCP socket that
//! lingers, a file on a network. A control thread that did it would keep all other clients waiting.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use crate::limits::CLOSING_MAX;

/// Where descriptors go to be closed.
#[derive(Debug, Clone)]
pub(crate) struct Closer(SyncSender<OwnedFd>);

impl Closer {
    /// Starts the thread. It ends when the last guest and the closer itself are gone.
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, receiver) = sync_channel::<OwnedFd>(CLOSING_MAX);
        std::thread::Builder::new().name("bo-closer".to_owned()).spawn(move || {
            while let Ok(fd) = receiver.recv() {
                drop(fd);
            }
        })?;
        Ok(Self(sender))
    }

    /// Takes care of a descriptor until it is dropped.
    pub(crate) fn host(&self, fd: OwnedFd) -> Guest {
        Guest { fd: Some(fd), closer: self.clone() }
    }
}

/// A descriptor that somebody else chose. Dropping it never blocks.
#[derive(Debug)]
pub(crate) struct Guest {
    /// `None` only while it is being dropped.
    fd: Option<OwnedFd>,
    closer: Closer,
}

impl AsFd for Guest {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("a guest stays until it is dropped").as_fd()
    }
}

impl AsRawFd for Guest {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Some(fd) = self.fd.take() else { return };
        match self.closer.0.try_send(fd) {
            Ok(()) => {}
            // Closed here and now: somebody has filled the queue with descriptors that linger, and
            // keeping more of them would use up all there are.
            Err(TrySendError::Full(fd) | TrySendError::Disconnected(fd)) => drop(fd),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    /// Two ends of a connection. Closing the first takes an hour, or until the second is closed.
    fn lingering() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        while near.write(&[0; 65536]).is_ok() {}
        let hour = Some(Duration::from_secs(3600));
        rustix::net::sockopt::set_socket_linger(&near, hour).unwrap();
        (near, far)
    }

    #[test]
    fn a_descriptor_that_lingers_holds_nobody_up() {
        let closer = Closer::start().unwrap();
        let (near, far) = lingering();
        // Closed here, it would keep this test for an hour.
        drop(closer.host(near.into()));
        drop(far);
    }

    #[test]
    fn a_guest_is_closed_after_it_is_dropped() {
        let closer = Closer::start().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        drop(closer.host(writer));
        assert_eq!(rustix::io::read(&reader, &mut [0; 1]), Ok(0), "the end of the pipe");
    }
}
