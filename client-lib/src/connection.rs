//! Being a client: who we are to the daemon, and what it needs to serve our faults.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use bo_sys::socket;
use bo_sys::uffd::{AdoptError, Uffd, UffdDevice, create_by_syscall};
use bo_units::{ByteCount, PageSize};
use bo_wire::{DaemonLost, Reply, Request, UffdSource};

use crate::builder::ClientBuilder;
use crate::error::{Cause, Gone};
use crate::link::{Answer, Deadline, Link};
use crate::watch::Watch;

/// A connection whose faults are served. Every object and mapping keeps it alive.
#[derive(Debug)]
pub(crate) struct Connection {
    /// First, so that its thread has ended before what it uses goes.
    watch: Option<Watch>,
    link: Link,
    request_timeout: Option<Duration>,
    pub(crate) welcome: Welcome,
    #[expect(
        dead_code,
        reason = "held, not used: when the last holder of a userfaultfd closes it, the kernel \
                  answers absent pages with zeros; so as long as there may be a mapping, there is \
                  these holders, whatever becomes of the daemon"
    )]
    uffds: Vec<Uffd>,
}

/// What the daemon said of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Welcome {
    pub(crate) client: u64,
    pub(crate) vram: ByteCount,
    pub(crate) ram: ByteCount,
    /// How many userfaultfds it takes from us.
    uffds: u8,
    pub(crate) page_size_default: Option<PageSize>,
}

impl Connection {
    /// Connects, introduces us, and hands over the means to serve our faults.
    pub(crate) fn open(path: &Path, options: &ClientBuilder) -> Result<Connection, Cause> {
        let deadline = Deadline::after(options.connect_timeout);
        let link = Link::new(connect(path, options.connect_timeout)?)?;
        let hello = Request::Hello { name: options.name.clone(), on_lost: options.on_lost };
        let answer = link.call(&hello, &[], deadline)?;
        let (welcome, source) = read_welcome(&link, answer)?;

        let mut uffds = Vec::new();
        for _ in 0..welcome.uffds.max(1) {
            uffds.push(hand_over(&link, &source, deadline)?);
        }
        let watch = match options.on_lost {
            DaemonLost::Wait => None,
            DaemonLost::Sigbus => Some(Watch::start(link.as_fd(), &uffds)?),
        };
        Ok(Connection { watch, link, request_timeout: options.request_timeout, welcome, uffds })
    }

    /// Asks the daemon for something that brings no descriptor along.
    pub(crate) fn call(&self, request: &Request) -> Result<Answer, Cause> {
        self.link.call(request, &[], Deadline::after_if_any(self.request_timeout))
    }

    /// Asks the daemon for something that it needs `descriptor` for.
    pub(crate) fn call_with(
        &self,
        request: &Request,
        descriptor: &OwnedFd,
    ) -> Result<Answer, Cause> {
        let deadline = Deadline::after_if_any(self.request_timeout);
        self.link.call(request, &[descriptor.as_fd()], deadline)
    }

    /// Asks the daemon for something that is only ever done.
    pub(crate) fn call_for_done(&self, request: &Request) -> Result<(), Cause> {
        expect_done(&self.link, &self.call(request)?)
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Who answers for mappings when the daemon is gone, if that was asked for.
    pub(crate) fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }
}

/// How we make our userfaultfd, with what it takes.
enum Source {
    Device(UffdDevice),
    Syscall { user_mode_only: bool },
}

impl Source {
    fn create(&self) -> Result<OwnedFd, Cause> {
        let created = match self {
            Source::Device(device) => device.create(),
            Source::Syscall { user_mode_only } => create_by_syscall(*user_mode_only),
        };
        created.map_err(Cause::host("create a userfaultfd"))
    }
}

/// Makes a userfaultfd, has the daemon serve it, and keeps a descriptor of it.
fn hand_over(link: &Link, source: &Source, deadline: Deadline) -> Result<Uffd, Cause> {
    let theirs = source.create()?;
    let ours = theirs.try_clone().map_err(Cause::host("duplicate a descriptor"))?;
    let answer = link.call(&Request::AttachUffd, &[theirs.as_fd()], deadline)?;
    expect_done(link, &answer)?;
    // Only now: the daemon negotiates the features, and refuses what somebody else has.
    Uffd::rejoin(ours).map_err(userfaultfd_failed)
}

fn connect(path: &Path, timeout: Duration) -> Result<OwnedFd, Cause> {
    socket::connect(path, timeout).map_err(|error| {
        let is = |kind| error.kind() == kind;
        if is(ErrorKind::NotFound) || is(ErrorKind::ConnectionRefused) {
            Cause::Gone(Gone::NobodyListens)
        } else if is(ErrorKind::TimedOut) {
            Cause::TimedOut { after: timeout }
        } else {
            Cause::Host { what: "open the socket", error }
        }
    })
}

fn read_welcome(link: &Link, mut answer: Answer) -> Result<(Welcome, Source), Cause> {
    let Reply::Welcome { client, uffd, uffds, vram_bytes, ram_bytes, page_bytes_default } =
        answer.reply
    else {
        return Err(link.unexpected(&answer));
    };
    let source = match uffd {
        UffdSource::Device => Source::Device(UffdDevice::from(answer.descriptor()?)),
        UffdSource::Syscall => Source::Syscall { user_mode_only: false },
        UffdSource::UserModeOnly => Source::Syscall { user_mode_only: true },
    };
    let page_size_default = page_bytes_default.map(|bytes| PageSize::new(bytes.into()));
    let page_size_default = page_size_default
        .transpose()
        .map_err(|_| link.fail(Cause::implausible("its default page size is none")))?;
    let (vram, ram) = (ByteCount::new(vram_bytes), ByteCount::new(ram_bytes));
    Ok((Welcome { client, vram, ram, uffds, page_size_default }, source))
}

fn expect_done(link: &Link, answer: &Answer) -> Result<(), Cause> {
    if answer.reply == Reply::Done { Ok(()) } else { Err(link.unexpected(answer)) }
}

fn userfaultfd_failed(error: AdoptError) -> Cause {
    Cause::Host { what: "keep a userfaultfd", error: io::Error::other(error) }
}
