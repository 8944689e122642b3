//! One client's connection: its handshake, its requests, and its end.
//!
//! A connection is a task; what its requests want done, it does itself. A message that breaks the
//! protocol ends the connection, and nothing else.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bo_sys::socket::{self, PeerCredentials, Received};
use bo_sys::uffd::{AdoptError, Uffd};
use bo_units::ClientId;
use bo_wire::{
    DaemonLost, InvalidKind, MESSAGE_BYTES_MAX, Refusal, Reply, Request, UffdSource,
    UnsupportedKind,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::OwnedSemaphorePermit;

use crate::closer::Guest;
use crate::follow::Listeners;
use crate::limits::{FAREWELL_STEPS, HANDSHAKE_MAX, OUTCASTS_MAX};
use crate::ready;
use crate::shell::Shell;
use crate::tables::Session;

mod objects;
mod ranges;
mod refusal;
mod requests;

/// A connection, and the process at its other end.
pub(crate) struct Connection {
    shell: Arc<Shell>,
    socket: AsyncFd<Guest>,
    process: AsyncFd<OwnedFd>,
    peer: PeerCredentials,
}

/// How clients make their userfaultfd, for operators.
pub(crate) fn uffd_source_name(source: UffdSource) -> &'static str {
    match source {
        UffdSource::Device => "device",
        UffdSource::Syscall => "syscall",
        UffdSource::UserModeOnly => "user-mode-only",
    }
}

/// Why a connection ends, apart from its client hanging up.
#[derive(Debug)]
enum End {
    /// The client closed it, or is gone.
    Closed,
    /// The client broke the protocol.
    Misuse(&'static str),
    /// The client has not introduced itself in time.
    Late,
    /// The socket failed.
    Host(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        let closed = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
        if closed.contains(&error.kind()) { Self::Closed } else { Self::Host(error) }
    }
}

/// An answer, and the descriptor that goes with it.
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) descriptor: Option<OwnedFd>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, descriptor: None }
    }
}

/// A request, and the descriptor that came with it.
struct Packet {
    id: u32,
    request: Request,
    descriptor: Option<Guest>,
}

impl Connection {
    /// Takes over an accepted socket, which may belong to anybody.
    pub(crate) fn new(shell: Arc<Shell>, socket: OwnedFd) -> io::Result<Self> {
        socket::set_nonblocking(&socket, true)?;
        let peer = socket::peer(&socket)?;
        let process = ready::watch(socket::pidfd_of_peer(&socket)?)?;
        // What the client sends and we never read is closed with it, hence a guest.
        let socket = ready::watch(shell.closer.host(socket))?;
        Ok(Self { shell, socket, process, peer })
    }

    /// Serves it to its end.
    pub(crate) async fn serve(self, handshake: OwnedSemaphorePermit) {
        let session = match self.greet().await {
            Ok(session) => session,
            Err(end) => return self.complain(&end),
        };
        drop(handshake);
        let end = tokio::select! {
            end = self.listen(&session) => end,
            _ = self.process.readable() => End::Closed,
            () = session.kick.notified() => End::Misuse("it made its userfaultfd block, often"),
        };
        self.complain(&end);
        self.bury(&session).await;
    }

    fn complain(&self, end: &End) {
        let (pid, uid) = (self.peer.pid, self.peer.uid);
        match end {
            End::Closed => {}
            End::Late => {
                self.shell.counters.protocol_handshake.add(1);
                tracing::warn!(pid, uid, "a client did not finish its handshake");
            }
            End::Misuse(what) => tracing::warn!(pid, uid, "a client was sent away: {what}"),
            End::Host(error) => tracing::error!(pid, uid, %error, "a connection failed"),
        }
    }

    /// Hello, welcome, userfaultfd.
    async fn greet(&self) -> Result<Arc<Session>, End> {
        let hello = in_time(self.receive()).await?;
        let Request::Hello { name, on_lost } = hello.request else {
            return Err(self.misuse("its first message was no hello"));
        };
        let session = match self.admit(name.as_str(), on_lost) {
            Ok(session) => session,
            Err(refusal) => {
                self.refuse(hello.id, refusal).await?;
                return Err(End::Closed);
            }
        };
        let attached = in_time(self.attach_uffd(hello.id, &session)).await;
        if attached.is_err() {
            self.shell.forget_session(session.id);
        }
        attached.map(|()| session)
    }

    fn admit(&self, name: &str, on_lost: DaemonLost) -> Result<Arc<Session>, Refusal> {
        let id = self.shell.decide(|core, _| core.connect(name)).map_err(refusal::of)?;
        let session =
            Arc::new(Session::new(id, self.peer.pid.unsigned_abs(), self.shell.config.uffd_shards));
        self.shell.sessions.insert(id, Arc::clone(&session));
        let (pid, uid) = (self.peer.pid, self.peer.uid);
        tracing::info!(client = %id, name, pid, uid, ?on_lost, "a client has come");
        Ok(session)
    }

    async fn attach_uffd(&self, hello: u32, session: &Session) -> Result<(), End> {
        let shell = &self.shell;
        let reply = Reply::Welcome {
            client: session.id.to_u64(),
            uffd: shell.uffd_source,
            vram_bytes: shell.lock().pool_size().get(),
            ram_bytes: shell.config.ram.get(),
            page_bytes_default: shell
                .config
                .page_size
                .and_then(|page_size| u32::try_from(page_size.bytes()).ok()),
            uffds: u8::try_from(shell.config.uffd_shards).expect("the configuration is checked"),
        };
        let device = shell.device.as_ref().filter(|_| shell.uffd_source == UffdSource::Device);
        self.send(hello, &reply, device.map(AsFd::as_fd)).await?;
        let Packet { id, request: Request::AttachUffd, descriptor: Some(fd) } =
            self.receive().await?
        else {
            return Err(self.misuse("its second message brought no userfaultfd"));
        };
        match self.add_uffd(session, &fd) {
            Ok(()) => self.send(id, &Reply::Done, None).await,
            Err(refusal) => {
                self.refuse(id, refusal).await?;
                Err(End::Closed)
            }
        }
    }

    /// Takes over a userfaultfd: the client's first one, or another for the mappings to come.
    fn add_uffd(&self, session: &Session, fd: &Guest) -> Result<(), Refusal> {
        let host = |error: io::Error| {
            self.shell.host_failed("take over a userfaultfd", &error);
            Refusal::Host
        };
        // A duplicate: should it be no userfaultfd at all, the guest's is the last one to close.
        let duplicate = fd.as_fd().try_clone_to_owned().map_err(host)?;
        let uffd = Arc::new(Uffd::adopt(duplicate).map_err(|error| self.uffd_refused(error))?);
        let shard = session.add_uffd(uffd).map_err(|_| Refusal::Invalid(InvalidKind::State))?;
        self.shell.readers.listen(session, shard, Listeners::All).map_err(host)
    }

    fn uffd_refused(&self, error: AdoptError) -> Refusal {
        match error {
            AdoptError::NotUserfaultfd | AdoptError::AlreadyInitialised => {
                Refusal::Invalid(InvalidKind::Descriptor)
            }
            AdoptError::FeaturesMissing(missing) => {
                let what = UnsupportedKind::Uffd { missing: missing.bits() };
                Refusal::Unsupported { what }
            }
            AdoptError::Host(error) => {
                self.shell.host_failed("take over a userfaultfd", &error);
                Refusal::Host
            }
        }
    }

    async fn listen(&self, session: &Arc<Session>) -> End {
        loop {
            if let Err(end) = self.answer_one(session).await {
                return end;
            }
        }
    }

    async fn answer_one(&self, session: &Arc<Session>) -> Result<(), End> {
        let Packet { id, request, descriptor } = self.receive().await?;
        if matches!(request, Request::Hello { .. }) {
            return Err(self.misuse("it introduced itself twice"));
        }
        self.shell.counters.requests.add(1);
        match self.handle(session, request, descriptor).await {
            Ok(Answer { reply, descriptor }) => {
                self.send(id, &reply, descriptor.as_ref().map(AsFd::as_fd)).await
            }
            Err(refusal) => self.refuse(id, refusal).await,
        }
    }

    async fn receive(&self) -> Result<Packet, End> {
        let mut buffer = [0; MESSAGE_BYTES_MAX + 1];
        let received = loop {
            let mut ready = self.socket.readable().await?;
            match ready.try_io(|socket| socket::receive(socket.get_ref(), &mut buffer)) {
                Ok(received) => break received?,
                Err(_would_block) => {}
            }
        };
        let Received { len, descriptors, truncated, descriptors_lost } = received;
        let mut descriptors: Vec<Guest> =
            descriptors.into_iter().map(|fd| self.shell.closer.host(fd)).collect();
        if len == 0 {
            return Err(End::Closed);
        }
        if truncated {
            return Err(self.malformed("a message was too long"));
        }
        if descriptors_lost {
            self.shell.host_failed("receive a descriptor", &io::Error::from_raw_os_error(24));
            return Err(End::Misuse("its descriptor could not be received: too many are open"));
        }
        let Ok((id, request)) = bo_wire::decode_request(&buffer[..len]) else {
            return Err(self.malformed("a message could not be read"));
        };
        if descriptors.len() != request.descriptors() {
            return Err(self.misuse("a message brought the wrong number of descriptors"));
        }
        Ok(Packet { id, request, descriptor: descriptors.pop() })
    }

    async fn send(
        &self,
        id: u32,
        reply: &Reply,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(), End> {
        let packet = bo_wire::encode_reply(id, reply);
        let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
        loop {
            // A client that does not read its answers waits here alone, until it is gone.
            let mut ready = self.socket.writable().await?;
            match ready.try_io(|socket| socket::send(socket.get_ref(), &packet, &descriptors)) {
                Ok(sent) => return Ok(sent?),
                Err(_would_block) => {}
            }
        }
    }

    async fn refuse(&self, id: u32, refusal: Refusal) -> Result<(), End> {
        self.shell.counters.refused(refusal::cause(&refusal));
        tracing::debug!(pid = self.peer.pid, %refusal, "refused");
        self.send(id, &Reply::Refused(refusal), None).await
    }

    fn misuse(&self, what: &'static str) -> End {
        self.shell.counters.protocol_misuse.add(1);
        End::Misuse(what)
    }

    fn malformed(&self, what: &'static str) -> End {
        self.shell.counters.protocol_malformed.add(1);
        End::Misuse(what)
    }

    /// Gives back everything that the client held.
    ///
    /// If it left mappings behind and its process lives on, what it still touches gives SIGBUS
    /// rather than zeros or silence, until the process ends.
    async fn bury(self, session: &Session) {
        session.revoke();
        let Self { shell, socket, process, peer } = self;
        drop(socket);
        while tokio::task::block_in_place(|| shell.see_off(session.id)) {
            tokio::task::yield_now().await;
        }
        tracing::info!(client = %session.id, pid = peer.pid, "a client has gone");
        let ranges: Vec<_> = session.ranges.read().values().map(Arc::clone).collect();
        if !ranges.is_empty() {
            // Who waited for a fill that nobody does any more faults again, and is told.
            for entry in &ranges {
                shell.note_failure("wake", entry.wake(entry.range));
            }
            if shell.outcasts.fetch_add(1, Ordering::Relaxed) < OUTCASTS_MAX {
                if let Err(error) = process.readable().await.map(drop) {
                    shell.host_failed("wait for a process", &error);
                }
            } else {
                for entry in &ranges {
                    shell.poison(entry, entry.range);
                }
            }
            shell.outcasts.fetch_sub(1, Ordering::Relaxed);
        }
        shell.forget_session(session.id);
    }
}

/// Nobody may keep a half-made session for long.
async fn in_time<T>(step: impl Future<Output = Result<T, End>>) -> Result<T, End> {
    tokio::time::timeout(HANDSHAKE_MAX, step).await.unwrap_or(Err(End::Late))
}

impl Shell {
    /// Gives back some of what a client that is gone held; true if there is more.
    fn see_off(&self, client: ClientId) -> bool {
        for _ in 0..FAREWELL_STEPS {
            let farewell = self.decide_in_turn(|core, now| core.see_off(now, client));
            for mapping in farewell.mappings {
                self.mappings.remove(&mapping);
            }
            if !farewell.more {
                return false;
            }
        }
        true
    }

    /// Takes a session out of the tables, and its userfaultfd out of every epoll.
    fn forget_session(&self, client: ClientId) {
        if let Some((_, session)) = self.sessions.remove(&client) {
            for shard in 0..session.uffds().count() {
                self.readers.unwatch(&session, shard);
            }
            // Nothing is left to give back, unless the handshake failed.
            self.decide(|core, now| core.client_gone(now, client));
        }
    }
}
