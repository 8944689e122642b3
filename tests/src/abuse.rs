//! Clients that speak the protocol by hand, and badly.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use bo_sys::socket;
use bo_sys::uffd::{UffdDevice, create_by_syscall};
use bo_wire::{
    Access, ClaimedObject, DaemonLost, Label, MESSAGE_BYTES_MAX, Reply, Request, UffdSource,
};
use serde::{Deserialize, Serialize};

/// How long the daemon has for an answer, or to hang up. Its own patience with silence is 5 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// A breach of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Abuse {
    /// Hangs up before it has said anything.
    CloseAtOnce,
    /// Hangs up after its hello.
    CloseAfterHello,
    /// Says hello, hears the welcome, and waits until it is sent away.
    StayAfterHello,
    /// Asks for something without a hello.
    NoHello,
    /// Says hello twice.
    HelloTwice,
    /// Sends a userfaultfd when it should say hello.
    UffdFirst,
    /// Introduces itself again after the handshake.
    HelloLater,
    /// Sends random bytes in place of the hello.
    Garbage,
    /// Sends random bytes after the handshake.
    GarbageLater,
    /// Sends the first bytes of a hello: this many.
    Truncated(usize),
    /// Sends a request with a byte too many.
    Extended,
    /// Sends more than any message may have.
    Oversized,
    /// Sends a reply.
    Reply,
    /// Sends a request with this many descriptors where none belongs.
    Surplus(usize),
    /// Sends no userfaultfd where one belongs.
    AttachNothing,
    /// Sends this many userfaultfds.
    AttachMany(usize),
    /// Sends a pipe for a userfaultfd.
    AttachPipe,
    /// Imports by descriptor without one.
    ImportNothing,
    /// Asks and asks, never reads an answer, and hangs up when nothing more can be sent.
    NeverRead,
}

/// A connection by hand.
#[derive(Debug)]
pub struct RawClient {
    socket: OwnedFd,
    /// How to make a userfaultfd, once the daemon has said so.
    source: Option<(UffdSource, Option<OwnedFd>)>,
    /// Our own descriptor of what was handed over.
    attached: Option<OwnedFd>,
    next_id: u32,
}

impl RawClient {
    /// Connects and says nothing.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn connect(path: &Path) -> io::Result<RawClient> {
        let socket = socket::connect(path, PATIENCE)?;
        socket::set_timeout(&socket, Some(PATIENCE))?;
        Ok(RawClient { socket, source: None, attached: None, next_id: 1 })
    }

    /// Connects and goes through the whole handshake.
    ///
    /// # Errors
    ///
    /// The host's, or the daemon said something unexpected.
    pub fn greet(path: &Path) -> io::Result<RawClient> {
        let mut client = RawClient::connect(path)?;
        client.hello()?;
        let uffd = client.uffd()?;
        match client.call(&Request::AttachUffd, &[uffd.as_fd()])? {
            (Reply::Done, None) => {
                client.attached = Some(uffd);
                Ok(client)
            }
            (other, _) => Err(io::Error::other(format!("attaching gave {other:?}"))),
        }
    }

    /// Makes its userfaultfd blocking, which it is for the daemon then as well.
    ///
    /// # Errors
    ///
    /// The host's, or there is none.
    pub fn block(&self) -> io::Result<()> {
        let uffd = self.attached.as_ref().ok_or(io::ErrorKind::NotFound)?;
        socket::set_nonblocking(uffd, false)
    }

    /// Ends the connection and lives on: what it keeps is its userfaultfd, without which the kernel
    /// would not ask anybody for its absent pages.
    #[must_use]
    pub fn hang_up(self) -> Option<OwnedFd> {
        self.attached
    }

    /// Says hello and hears the welcome.
    ///
    /// # Errors
    ///
    /// As [`RawClient::greet`].
    pub fn hello(&mut self) -> io::Result<()> {
        match self.call(&hello(), &[])? {
            (Reply::Welcome { uffd, .. }, device) => {
                self.source = Some((uffd, device));
                Ok(())
            }
            (other, _) => Err(io::Error::other(format!("hello gave {other:?}"))),
        }
    }

    /// A fresh userfaultfd, made as the daemon has said.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn uffd(&self) -> io::Result<OwnedFd> {
        match &self.source {
            Some((UffdSource::Device, Some(device))) => {
                UffdDevice::from(device.try_clone()?).create()
            }
            Some((UffdSource::UserModeOnly, _)) => create_by_syscall(true),
            Some((UffdSource::Syscall | UffdSource::Device, _)) | None => create_by_syscall(false),
        }
    }

    /// Asks for something.
    ///
    /// # Errors
    ///
    /// The host's; `UnexpectedEof` if the daemon has hung up, `InvalidData` if its answer cannot
    /// be read or answers something else.
    pub fn call(
        &mut self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<(Reply, Option<OwnedFd>)> {
        let id = self.next_id;
        self.next_id += 1;
        socket::send(&self.socket, &bo_wire::encode_request(id, request), descriptors)?;
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        let mut received = socket::receive(&self.socket, &mut buffer)?;
        if received.len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match bo_wire::decode_reply(&buffer[..received.len]) {
            Ok((answered, reply)) if answered == id => Ok((reply, received.descriptors.pop())),
            Ok(_) | Err(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Sends bytes, whatever they mean.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        socket::send(&self.socket, bytes, descriptors)
    }

    /// Whether the daemon hangs up, after any number of answers.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it does neither.
    pub fn is_ended(&self) -> io::Result<bool> {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        loop {
            match socket::receive(&self.socket, &mut buffer) {
                Ok(received) if received.len == 0 => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Misbehaves on a connection of its own; says whether that was ended, if it did not do so itself.
pub(crate) fn commit(path: &Path, abuse: Abuse) -> io::Result<bool> {
    match abuse {
        Abuse::CloseAtOnce => RawClient::connect(path).map(|_| true),
        Abuse::CloseAfterHello => RawClient::connect(path)?.hello().map(|()| true),
        Abuse::StayAfterHello => {
            let mut client = RawClient::connect(path)?;
            client.hello()?;
            client.is_ended()
        }
        Abuse::NeverRead => never_read(path),
        Abuse::NoHello
        | Abuse::UffdFirst
        | Abuse::Garbage
        | Abuse::Truncated(_)
        | Abuse::Extended
        | Abuse::Oversized
        | Abuse::Reply => strange_opening(path, abuse),
        Abuse::HelloTwice | Abuse::AttachNothing | Abuse::AttachMany(_) | Abuse::AttachPipe => {
            strange_introduction(path, abuse)
        }
        Abuse::HelloLater | Abuse::GarbageLater | Abuse::Surplus(_) | Abuse::ImportNothing => {
            strange_request(path, abuse)
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "`commit` has sorted them")]
fn strange_opening(path: &Path, abuse: Abuse) -> io::Result<bool> {
    let client = RawClient::connect(path)?;
    let mut packet = bo_wire::encode_request(1, &hello());
    let (pipe, _writer) = rustix::pipe::pipe()?;
    match abuse {
        Abuse::NoHello => client.send(&bo_wire::encode_request(1, &stat()), &[])?,
        Abuse::UffdFirst => {
            let attach = bo_wire::encode_request(1, &Request::AttachUffd);
            client.send(&attach, &[pipe.as_fd()])?;
        }
        Abuse::Truncated(len) => client.send(&packet[..len.min(packet.len() - 1)], &[])?,
        Abuse::Extended => {
            packet.push(0);
            client.send(&packet, &[])?;
        }
        Abuse::Oversized => {
            packet.resize(2 * MESSAGE_BYTES_MAX, 0);
            client.send(&packet, &[])?;
        }
        Abuse::Reply => client.send(&bo_wire::encode_reply(1, &Reply::Done), &[])?,
        _ => client.send(&[0xa5; 64], &[])?,
    }
    client.is_ended()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "`commit` has sorted them")]
fn strange_introduction(path: &Path, abuse: Abuse) -> io::Result<bool> {
    let mut client = RawClient::connect(path)?;
    client.hello()?;
    let attach = bo_wire::encode_request(2, &Request::AttachUffd);
    let (pipe, _writer) = rustix::pipe::pipe()?;
    match abuse {
        Abuse::AttachNothing => client.send(&attach, &[])?,
        Abuse::AttachMany(count) => {
            let uffd = client.uffd()?;
            client.send(&attach, &vec![uffd.as_fd(); count])?;
        }
        Abuse::AttachPipe => client.send(&attach, &[pipe.as_fd()])?,
        _ => client.send(&bo_wire::encode_request(2, &hello()), &[])?,
    }
    client.is_ended()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "`commit` has sorted them")]
fn strange_request(path: &Path, abuse: Abuse) -> io::Result<bool> {
    let client = RawClient::greet(path)?;
    let (pipe, _writer) = rustix::pipe::pipe()?;
    let import = Request::ImportDescriptor { access: Access::ReadOnly };
    match abuse {
        Abuse::HelloLater => client.send(&bo_wire::encode_request(9, &hello()), &[])?,
        Abuse::Surplus(count) => {
            client.send(&bo_wire::encode_request(9, &stat()), &vec![pipe.as_fd(); count])?;
        }
        Abuse::ImportNothing => client.send(&bo_wire::encode_request(9, &import), &[])?,
        _ => client.send(&[0x5a; 200], &[])?,
    }
    client.is_ended()
}

fn never_read(path: &Path) -> io::Result<bool> {
    let client = RawClient::greet(path)?;
    // Blocking sends fail once nobody has made room for this long; that is all that is waited for.
    socket::set_timeout(&client.socket, Some(Duration::from_millis(200)))?;
    let packet = bo_wire::encode_request(9, &stat());
    loop {
        match client.send(&packet, &[]) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}

fn hello() -> Request {
    Request::Hello { name: Label::truncated("by hand"), on_lost: DaemonLost::Wait }
}

fn stat() -> Request {
    Request::Stat { object: ClaimedObject::new(7) }
}
