//! Orders to the client process, and its answers.

use std::{
    fs::{self, DirBuilder},
    io::ErrorKind,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::{fs::DirBuilderExt, process::CommandExt},
    },
    path::PathBuf,
    process::{self, Child, Command, Stdio},
    time::Duration,
};

use bo_sys::socket;
use rustix::process::{Pid, Signal, WaitOptions};

/// Tells this program to be the client. Its standard input is the socket then.
pub(crate) const CLIENT_ARGUMENT: &str = "be-the-client";

/// Nobody's user and group, on every Linux.
const NOBODY: u32 = 65534;

/// What the client is to do. Its one operand is an offset in the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Order {
    OpenDevice,
    CallUserfaultfd,
    CreateUffd,
    Map,
    Open,
    Read,
    Write,
    WriteToPipe,
    ForkAndRead,
    ReopenForWriting,
}

impl Order {
    pub(crate) const ALL: [Order; 10] = [
        Order::OpenDevice,
        Order::CallUserfaultfd,
        Order::CreateUffd,
        Order::Map,
        Order::Open,
        Order::Read,
        Order::Write,
        Order::WriteToPipe,
        Order::ForkAndRead,
        Order::ReopenForWriting,
    ];
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Number(u64),
    Failed(ErrorKind),
}

impl Answer {
    pub(crate) fn to_bytes(self) -> [u8; 9] {
        let (tag, number) = match self {
            Answer::Number(number) => (0, number),
            Answer::Failed(ErrorKind::PermissionDenied) => (1, 0),
            Answer::Failed(_) => (2, 0),
        };
        let mut bytes = [tag; 9];
        bytes[1..].copy_from_slice(&number.to_ne_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; 9]) -> Answer {
        let [tag, number @ ..] = bytes;
        match tag {
            0 => Answer::Number(u64::from_ne_bytes(number)),
            1 => Answer::Failed(ErrorKind::PermissionDenied),
            _ => Answer::Failed(ErrorKind::Other),
        }
    }
}

/// The client process, killed when this is dropped.
pub(crate) struct Client {
    pub(crate) process: Child,
    socket: OwnedFd,
    place: PathBuf,
}

impl Client {
    pub(crate) fn start() -> Client {
        let (ours, theirs) = socket::pair().expect("descriptors");
        // Nothing takes so long: a test fails instead of hanging.
        socket::set_timeout(&ours, Some(Duration::from_secs(10))).expect("a socket");
        // Where we were built, another user may not look.
        let place = std::env::temp_dir().join(format!("bo-sys-client-{}", process::id()));
        DirBuilder::new().mode(0o755).create(&place).expect("nobody has taken the name");
        let program = place.join("client");
        fs::copy("/proc/self/exe", &program).expect("room for a copy");
        let process = Command::new(&program)
            .arg(CLIENT_ARGUMENT)
            .stdin(Stdio::from(theirs))
            .uid(NOBODY)
            .gid(NOBODY)
            .spawn();
        Client { process: process.expect("tests run as root"), socket: ours, place }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    pub(crate) fn order(&mut self, order: Order, operand: u64, descriptor: Option<BorrowedFd<'_>>) {
        let mut bytes = [order as u8; 9];
        bytes[1..].copy_from_slice(&operand.to_ne_bytes());
        socket::send(&self.socket, &bytes, descriptor.as_slice()).expect("the client lives");
    }

    pub(crate) fn answer(&mut self) -> (Answer, Option<OwnedFd>) {
        let mut bytes = [0; 9];
        let mut received = socket::receive(&self.socket, &mut bytes).expect("no answer came");
        assert_eq!(received.len, bytes.len(), "the client has died");
        (Answer::from_bytes(bytes), received.descriptors.pop())
    }

    pub(crate) fn ask(
        &mut self,
        order: Order,
        operand: u64,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> (Answer, Option<OwnedFd>) {
        self.order(order, operand, descriptor);
        self.answer()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.process), signal).expect("it lives");
    }

    /// Returns when every thread of it stands still.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        let pid = Pid::from_child(&self.process);
        let found = rustix::process::waitpid(Some(pid), WaitOptions::UNTRACED);
        let (_, status) = found.expect("a child").expect("it was waited for");
        assert!(status.stopped());
    }

    /// Returns when it is gone.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it lives");
        self.process.wait().expect("a child");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may be dead already, of what the test was about.
        drop(self.process.kill());
        drop(self.process.wait());
        drop(fs::remove_dir_all(&self.place));
    }
}
