//! What can go wrong for a user of this library, and whose doing it was.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bo_units::{ByteCount, PageSize};
use bo_wire::{Access, DecodeError, Refusal};

/// Why something could not be done.
///
/// Displays as one line: what could not be done, what would have been possible, and what to do
/// about it. Programs ask the predicates; causes can be added without breaking them.
///
/// # Example
///
/// ```no_run
/// use bo_client::{AllocSpec, Client};
///
/// let client = Client::connect("/run/bo-manager.sock")?;
/// match client.allocate(AllocSpec::new(3 << 30)) {
///     Ok(object) => println!("got {}", object.size()),
///     Err(error) if error.is_out_of_memory() => eprintln!("{error}; going on with less"),
///     Err(error) => return Err(error),
/// }
/// # Ok::<(), bo_client::Error>(())
/// ```
pub struct Error {
    /// Boxed, so that a `Result` is hardly larger than what it holds when all is well.
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    doing: Doing,
    cause: Cause,
}

/// What was being done.
#[derive(Debug)]
pub(crate) enum Doing {
    Connect(PathBuf),
    Allocate(ByteCount),
    Import,
    Export,
    Map(ByteCount),
    TakeExclusively,
    Touch,
    Prefetch,
    Stat,
    SetPriority,
    Read { offset: u64, len: usize },
    Write { offset: u64, len: usize },
}

/// Why it was not done, by whose doing.
#[derive(Debug)]
pub(crate) enum Cause {
    /// The daemon's decision.
    Refused(Refusal),
    /// The daemon is not there, or the connection to it has ended earlier.
    Gone(Gone),
    /// The daemon broke the protocol, or speaks another one.
    Protocol(ProtocolFault),
    /// The daemon did not answer in time.
    TimedOut { after: Duration },
    /// The host of this process failed it.
    Host { what: &'static str, error: io::Error },
    /// The caller's argument.
    Misuse(Misuse),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Nobody listens on the socket.
    NobodyListens,
    /// The daemon ended the connection during this request.
    HungUp,
    /// The daemon had ended the connection before.
    Ended,
    /// We had ended the connection before, because the daemon broke the protocol.
    EndedForProtocol,
    /// We had ended the connection before, because a request was not answered in time.
    EndedForTimeout,
    /// We had ended the connection before, because this host failed us in mid-request.
    EndedForHost,
    /// This process was forked off the one that connected.
    Forked,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolFault {
    Decode(DecodeError),
    WrongId {
        expected: u32,
        came: u32,
    },
    UnexpectedReply {
        came: &'static str,
    },
    Descriptors {
        expected: usize,
        came: usize,
    },
    /// A size that no object has, or a descriptor of something else than the object.
    Implausible(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misuse {
    RangeUnaligned { start: u64, end: u64, page: PageSize },
    RangeEmpty { start: u64, end: u64 },
    OutOfBounds { size: ByteCount },
    ReadOnly { granted: Access },
    Shared,
    Mapped,
}

impl Error {
    pub(crate) fn new(doing: Doing, cause: Cause) -> Error {
        Error { inner: Box::new(Inner { doing, cause }) }
    }

    fn refusal(&self) -> Option<Refusal> {
        match &self.inner.cause {
            Cause::Refused(refusal) => Some(*refusal),
            Cause::Gone(_)
            | Cause::Protocol(_)
            | Cause::TimedOut { .. }
            | Cause::Host { .. }
            | Cause::Misuse(_) => None,
        }
    }

    fn host_kind(&self) -> Option<io::ErrorKind> {
        match &self.inner.cause {
            Cause::Host { error, .. } => Some(error.kind()),
            Cause::Refused(_)
            | Cause::Gone(_)
            | Cause::Protocol(_)
            | Cause::TimedOut { .. }
            | Cause::Misuse(_) => None,
        }
    }

    /// The sizes of all objects would pass what the daemon has. Nothing was allocated.
    ///
    /// Release objects and try again, unless [`is_never_fits`](Error::is_never_fits) says that
    /// this cannot help.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self.refusal(), Some(Refusal::OutOfMemory { .. } | Refusal::NeverFits { .. }))
    }

    /// The object, or its page size, is more than the daemon could serve with nothing else there.
    #[must_use]
    pub fn is_never_fits(&self) -> bool {
        matches!(self.refusal(), Some(Refusal::NeverFits { .. } | Refusal::PageTooLarge { .. }))
    }

    /// A table of the daemon is full: too many objects, mappings, clients or descriptors.
    #[must_use]
    pub fn is_quota(&self) -> bool {
        matches!(self.refusal(), Some(Refusal::Limit { .. }))
    }

    /// What was used is no longer there: the daemon, the connection to it, or an object or token
    /// that was released meanwhile.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.refusal(), Some(Refusal::Gone)) || matches!(self.inner.cause, Cause::Gone(_))
    }

    /// The daemon broke the protocol, or is of another version. The connection is closed.
    #[must_use]
    pub fn is_protocol(&self) -> bool {
        matches!(self.inner.cause, Cause::Protocol(_))
    }

    /// This kernel, or the daemon's, lacks something that is needed.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self.refusal(), Some(Refusal::Unsupported { .. }))
            || self.host_kind() == Some(io::ErrorKind::Unsupported)
    }

    /// An argument makes no sense: a size of zero, a range outside of its object.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        match &self.inner.cause {
            Cause::Refused(refusal) => matches!(refusal, Refusal::Invalid(_)),
            Cause::Misuse(misuse) => !matches!(misuse, Misuse::ReadOnly { .. }),
            Cause::Gone(_) | Cause::Protocol(_) | Cause::TimedOut { .. } | Cause::Host { .. } => {
                false
            }
        }
    }

    /// The caller may not do this: writing to what was shared read-only, or using this socket.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self.refusal(), Some(Refusal::ReadOnly))
            || matches!(self.inner.cause, Cause::Misuse(Misuse::ReadOnly { .. }))
            || self.host_kind() == Some(io::ErrorKind::PermissionDenied)
    }

    /// The daemon is stopping and takes nothing new.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        matches!(self.refusal(), Some(Refusal::Draining))
    }

    /// An operator has suspended this client: what would bring pages in is refused until it goes
    /// on.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        matches!(self.refusal(), Some(Refusal::Suspended))
    }

    /// The daemon did not answer in time. The connection is closed, since nobody can know any more
    /// what was done.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.inner.cause, Cause::TimedOut { .. })
    }
}

impl Cause {
    pub(crate) fn host(what: &'static str) -> impl FnOnce(io::Error) -> Cause {
        move |error| Cause::Host { what, error }
    }

    pub(crate) fn implausible(what: &'static str) -> Cause {
        Cause::Protocol(ProtocolFault::Implausible(what))
    }

    /// Puts the cause under what was being done.
    pub(crate) fn while_doing(self, doing: Doing) -> Error {
        Error::new(doing, self)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The line for people comes along, since this is what `main` prints for an `Err`.
        f.debug_tuple("Error").field(&self.to_string()).field(&self.inner.cause).finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { doing, cause } = &*self.inner;
        write!(f, "cannot {doing}: {cause}")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.inner.cause {
            Cause::Host { error, .. } => Some(error),
            Cause::Refused(_)
            | Cause::Gone(_)
            | Cause::Protocol(_)
            | Cause::TimedOut { .. }
            | Cause::Misuse(_) => None,
        }
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doing::Connect(path) => write!(f, "connect to {}", path.display()),
            Doing::Allocate(bytes) => write!(f, "allocate {bytes}"),
            Doing::Import => write!(f, "import an object"),
            Doing::Export => write!(f, "export an object"),
            Doing::Map(bytes) => write!(f, "map {bytes} of an object"),
            Doing::TakeExclusively => write!(f, "take an object exclusively"),
            Doing::Touch => write!(f, "touch an object"),
            Doing::Prefetch => write!(f, "prefetch an object"),
            Doing::Stat => write!(f, "stat an object"),
            Doing::SetPriority => write!(f, "change the priority of an object"),
            Doing::Read { offset, len } => write!(f, "read {len} bytes at {offset}"),
            Doing::Write { offset, len } => write!(f, "write {len} bytes at {offset}"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Refused(refusal) => refusal.fmt(f),
            Cause::Gone(gone) => f.write_str(gone.text()),
            Cause::Protocol(fault) => write!(f, "the daemon broke the protocol: {fault}"),
            Cause::TimedOut { after } => write!(f, "the daemon did not answer within {after:?}"),
            Cause::Host { what, error } => write!(f, "{what}: {error}"),
            Cause::Misuse(misuse) => misuse.fmt(f),
        }
    }
}

impl Gone {
    const fn text(self) -> &'static str {
        match self {
            Gone::NobodyListens => "no daemon listens there; start bo-manager, or set BO_SOCKET",
            Gone::HungUp => "the daemon ended the connection; its log says why",
            Gone::Ended => "the daemon has ended the connection; connect again",
            Gone::EndedForProtocol => {
                "the connection was closed after the daemon broke the protocol; connect again"
            }
            Gone::EndedForTimeout => {
                "the connection was closed after a request timed out; connect again"
            }
            Gone::EndedForHost => {
                "the connection was closed after this host failed it; connect again"
            }
            Gone::Forked => "the connection belongs to the parent process; connect after fork(2)",
        }
    }
}

impl fmt::Display for ProtocolFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolFault::Decode(error) => error.fmt(f),
            ProtocolFault::WrongId { expected, came } => {
                write!(f, "request {expected} was answered as request {came}")
            }
            ProtocolFault::UnexpectedReply { came } => {
                write!(f, "the reply {came:?} does not answer this request")
            }
            ProtocolFault::Descriptors { expected, came } => {
                write!(f, "{expected} descriptors had to come along, and {came} came")
            }
            ProtocolFault::Implausible(what) => f.write_str(what),
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misuse::RangeUnaligned { start, end, page } => {
                write!(f, "bytes {start}..{end} are not whole pages of {page}")
            }
            Misuse::RangeEmpty { start, end } => write!(f, "bytes {start}..{end} are none"),
            Misuse::OutOfBounds { size } => write!(f, "only {size} are there"),
            Misuse::ReadOnly { granted } => {
                write!(f, "only {granted} access was given out; export, import or map it ")?;
                write!(f, "{} instead", Access::ReadWrite)
            }
            Misuse::Shared => write!(f, "it was exported or imported, so others may have it too"),
            Misuse::Mapped => write!(f, "it is mapped already; drop its other mappings first"),
        }
    }
}

#[cfg(test)]
mod tests;
