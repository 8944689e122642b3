//! The socket to the daemon: one request at a time, each with its reply or the end of it all.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use bo_sys::socket::{self, Received};
use bo_wire::{MESSAGE_BYTES_MAX, Reply, Request, decode_reply, encode_request};
use parking_lot::{Mutex, MutexGuard};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::Shutdown;

use crate::error::{Cause, Gone, ProtocolFault};

/// What a socket says when its other end has been closed.
const HUNG_UP: [io::ErrorKind; 3] =
    [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset, io::ErrorKind::NotConnected];

/// When to stop waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    /// At this time, which lies this long after the start.
    At { when: Instant, after: Duration },
    /// Never. A daemon that is alive answers, and one that dies hangs up.
    Never,
}

impl Deadline {
    pub(crate) fn after(after: Duration) -> Deadline {
        // A time that no clock can reach is never.
        match Instant::now().checked_add(after) {
            Some(when) => Deadline::At { when, after },
            None => Deadline::Never,
        }
    }

    pub(crate) fn after_if_any(after: Option<Duration>) -> Deadline {
        after.map_or(Deadline::Never, Deadline::after)
    }

    /// How long is left, `None` without end.
    ///
    /// # Errors
    ///
    /// [`Cause::TimedOut`] if nothing is left.
    fn left(self) -> Result<Option<Duration>, Cause> {
        match self {
            Deadline::Never => Ok(None),
            Deadline::At { when, after } => match when.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => Ok(Some(left)),
                Some(_) | None => Err(Cause::TimedOut { after }),
            },
        }
    }
}

/// A reply that is not a refusal, and the descriptor that came along.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    descriptor: Option<OwnedFd>,
}

impl Answer {
    /// The descriptor that came along.
    ///
    /// # Errors
    ///
    /// [`Cause::Host`] if it came and this process had no room for it. [`Link::call`] has made
    /// sure that there is no other way of missing one.
    pub(crate) fn descriptor(&mut self) -> Result<OwnedFd, Cause> {
        self.descriptor.take().ok_or_else(|| Cause::Host {
            what: "receive its descriptor; each object takes this process one, so release some, or \
                   raise its RLIMIT_NOFILE (ulimit -n)",
            error: rustix::io::Errno::MFILE.into(),
        })
    }
}

/// One connection. Once it has ended, for whatever reason, it stays so.
///
/// After a reply that cannot be understood, or none in time, nobody knows what the daemon did; so
/// the connection is closed, upon which the daemon takes back everything that it gave.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    /// A forked child has the socket as well, and must not use it: replies would get mixed up.
    process: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Up { next_id: u32 },
    Down(Gone),
}

impl Link {
    /// Takes over a connected socket.
    pub(crate) fn new(socket: OwnedFd) -> Result<Link, Cause> {
        // Waiting is done by poll(2), which can be told when to stop.
        socket::set_nonblocking(&socket, true).map_err(Cause::host("set up the socket"))?;
        let state = Mutex::new(State::Up { next_id: 1 });
        Ok(Link { socket, process: std::process::id(), state })
    }

    /// Sends `request` with `descriptors`, and waits for its reply.
    ///
    /// # Errors
    ///
    /// [`Cause::Refused`] and [`Cause::Gone`] except [`Gone::HungUp`] mean that nothing was done.
    /// After anything else the request may have been carried out or not, see
    /// [`leaves_doubt`](Link::leaves_doubt), and the connection is closed.
    pub(crate) fn call(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
        deadline: Deadline,
    ) -> Result<Answer, Cause> {
        debug_assert_eq!(request.descriptors(), descriptors.len());
        if self.is_forked() {
            return Err(Cause::Gone(Gone::Forked));
        }
        let mut state = self.state.lock();
        let id = match &mut *state {
            State::Down(gone) => return Err(Cause::Gone(*gone)),
            State::Up { next_id } => {
                let id = *next_id;
                *next_id = next_id.wrapping_add(1);
                id
            }
        };
        match self.exchange(id, request, descriptors, deadline) {
            Ok(Answer { reply: Reply::Refused(refusal), .. }) => Err(Cause::Refused(refusal)),
            Ok(answer) => Ok(answer),
            Err(cause) => {
                self.end(&mut state, &cause);
                Err(cause)
            }
        }
    }

    /// Closes the connection because `came` does not answer what was asked.
    pub(crate) fn unexpected(&self, came: &Answer) -> Cause {
        let came = came.reply.name();
        self.fail(Cause::Protocol(ProtocolFault::UnexpectedReply { came }))
    }

    /// Closes the connection because of `cause`, and hands that back.
    pub(crate) fn fail(&self, cause: Cause) -> Cause {
        self.end(&mut self.state.lock(), &cause);
        cause
    }

    /// Whether after `cause` the daemon may have done what it was asked to, or may yet do it.
    pub(crate) fn leaves_doubt(cause: &Cause) -> bool {
        match cause {
            Cause::Refused(_) | Cause::Misuse(_) => false,
            Cause::Gone(gone) => *gone == Gone::HungUp,
            Cause::Protocol(_) | Cause::TimedOut { .. } | Cause::Host { .. } => true,
        }
    }

    /// Whether this process is a child of the one that connected, without an exec between them.
    pub(crate) fn is_forked(&self) -> bool {
        std::process::id() != self.process
    }

    fn end(&self, state: &mut MutexGuard<'_, State>, cause: &Cause) {
        let gone = match cause {
            Cause::Gone(Gone::HungUp) => Gone::Ended,
            Cause::Gone(gone) => *gone,
            Cause::Protocol(_) => Gone::EndedForProtocol,
            Cause::TimedOut { .. } => Gone::EndedForTimeout,
            Cause::Host { .. } => Gone::EndedForHost,
            Cause::Refused(_) | Cause::Misuse(_) => return,
        };
        **state = State::Down(gone);
        // Not connected any more is as good as shut down.
        let _already_down = rustix::net::shutdown(&self.socket, Shutdown::Both);
    }

    fn exchange(
        &self,
        id: u32,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
        deadline: Deadline,
    ) -> Result<Answer, Cause> {
        let packet = encode_request(id, request);
        let socket = self.socket.as_fd();
        self.retry(PollFlags::OUT, deadline, || socket::send(socket, &packet, descriptors))?;
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        let received =
            self.retry(PollFlags::IN, deadline, || socket::receive(socket, &mut buffer))?;
        if received.len == 0 {
            return Err(Cause::Gone(Gone::HungUp));
        }
        understand(id, &buffer[..received.len], received)
    }

    /// Makes `call`, waiting for the socket whenever it is not ready.
    fn retry<T>(
        &self,
        ready: PollFlags,
        deadline: Deadline,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> Result<T, Cause> {
        loop {
            let error = match call() {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let kind = error.kind();
            if HUNG_UP.contains(&kind) {
                return Err(Cause::Gone(Gone::HungUp));
            }
            if kind != io::ErrorKind::WouldBlock {
                return Err(Cause::Host { what: "talk to the daemon", error });
            }
            wait(self.socket.as_fd(), ready, deadline)?;
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits until `socket` is ready or has hung up, which the next call on it will tell.
fn wait(socket: BorrowedFd<'_>, ready: PollFlags, deadline: Deadline) -> Result<(), Cause> {
    let left = deadline.left()?.map(timespec);
    match poll(&mut [PollFd::from_borrowed_fd(socket, ready)], left.as_ref()) {
        // A signal, or the time that the deadline allows: the caller looks again either way.
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(Cause::Host { what: "wait for the daemon", error: errno.into() }),
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// Checks that `packet` answers request `id`, and that what came along is what should have.
fn understand(id: u32, packet: &[u8], received: Received) -> Result<Answer, Cause> {
    let (came, reply) =
        decode_reply(packet).map_err(|error| Cause::Protocol(ProtocolFault::Decode(error)))?;
    if came != id {
        return Err(Cause::Protocol(ProtocolFault::WrongId { expected: id, came }));
    }
    let expected = reply.descriptors();
    let came = received.descriptors.len();
    // Fewer than were sent arrive if this process is at its limit: not the daemon's doing.
    let out_of_descriptors = received.descriptors_lost && came < expected;
    if came != expected && !out_of_descriptors {
        return Err(Cause::Protocol(ProtocolFault::Descriptors { expected, came }));
    }
    Ok(Answer { reply, descriptor: received.descriptors.into_iter().next() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_is_past_leaves_nothing() {
        let deadline = Deadline::after(Duration::ZERO);
        assert!(matches!(deadline.left(), Err(Cause::TimedOut { .. })));
    }

    #[test]
    fn a_deadline_beyond_every_clock_is_never() {
        assert!(matches!(Deadline::after(Duration::MAX), Deadline::Never));
        assert!(matches!(Deadline::Never.left(), Ok(None)));
    }

    #[test]
    fn a_forked_child_cannot_talk_on_its_parents_connection() {
        let (ours, theirs) = socket::pair().expect("two sockets");
        let link = Link { process: 0, ..Link::new(ours).expect("a socket") };
        let refused = link.call(&Request::AttachUffd, &[theirs.as_fd()], Deadline::Never);
        assert!(matches!(refused, Err(Cause::Gone(Gone::Forked))));
        // It was not sent either, which would mix up the parent's replies.
        socket::set_nonblocking(&theirs, true).expect("a socket");
        let nothing = socket::receive(&theirs, &mut [0; 64]).expect_err("nothing to receive");
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn only_what_the_daemon_may_have_done_leaves_doubt() {
        assert!(!Link::leaves_doubt(&Cause::Refused(bo_wire::Refusal::Gone)));
        assert!(!Link::leaves_doubt(&Cause::Gone(Gone::Ended)));
        assert!(Link::leaves_doubt(&Cause::Gone(Gone::HungUp)));
        assert!(Link::leaves_doubt(&Cause::TimedOut { after: Duration::ZERO }));
    }
}
