//! What an actor can be told to do, and what it answers. One line of JSON each.

use std::path::PathBuf;

use bo_wire::{ObjectStat, Priority};
use serde::{Deserialize, Serialize};

use crate::abuse::Abuse;

/// What an actor does once the daemon is gone and it touches a page that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lost {
    /// Waits for ever.
    Wait,
    /// Gets SIGBUS.
    Sigbus,
}

/// A system call on evicted memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SystemCall {
    /// write(2) to a file, from managed memory.
    WriteFile,
    /// read(2) from a file, into managed memory.
    ReadFile,
    /// write(2) to a pipe.
    WritePipe,
    /// read(2) from a pipe.
    ReadPipe,
    /// process_vm_readv(2) of managed memory.
    ProcessVmRead,
    /// FUTEX_WAIT and FUTEX_WAKE on words of managed memory.
    Futex,
    /// A buffered write by `io_uring`.
    UringWrite,
    /// A buffered read by `io_uring`.
    UringRead,
    /// write(2) to a file that was opened with O_DIRECT.
    DirectWrite,
    /// read(2) from such a file.
    DirectRead,
    /// A write by `io_uring` out of a registered buffer.
    FixedWrite,
    /// A read by `io_uring` into a registered buffer.
    FixedRead,
    /// vmsplice(2) of managed memory into a pipe.
    Vmsplice,
}

/// One thing to do. Places in the actor's tables are given as numbers, in order of their making.
#[expect(missing_docs, reason = "operands are named after what they are")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Connects; what it has from an earlier connection stays as it is.
    Connect { socket: PathBuf, on_lost: Lost },
    /// Lets go of every mapping, object and the connection.
    Disconnect,
    /// Makes an object. Answered by `Object`.
    Allocate { bytes: u64, page_bytes: Option<u64> },
    /// Lets go of an object (its mappings stay).
    DropObject { object: usize },
    /// Unmaps.
    DropMapping { mapping: usize },
    /// Maps a whole object. Answered by `Mapping`.
    Map { object: usize, read_only: bool },
    /// Shares an object. Answered by `Token`.
    Export { object: usize, read_only: bool },
    /// Shares an object with whoever connects to a socket of its own at `path`.
    Offer { object: usize, read_only: bool, path: PathBuf },
    /// Imports by token. Answered by `Object`.
    Import { token: String, read_only: bool },
    /// Imports what is offered at `path`. Answered by `Object`.
    Accept { path: PathBuf, read_only: bool },
    /// Answered by `Stat`.
    Stat { object: usize },
    /// Says how dear an object is.
    SetPriority { object: usize, priority: Priority },
    /// Answered by a number of bytes.
    Prefetch { object: usize, offset: u64, bytes: u64 },
    /// Writes the pattern of `seed` to some pages.
    Fill { mapping: usize, seed: u64, first: u64, pages: u64 },
    /// Compares some pages with the pattern of `seed`. Answered by `Checked`.
    Check { mapping: usize, seed: u64, first: u64, pages: u64 },
    /// Asks the kernel for some pages, which fails where they are lost. Answered by `Peeked`.
    Peek { mapping: usize, seed: u64, first: u64, pages: u64 },
    /// Loads a word as any program does. Answered by its number.
    Load { mapping: usize, offset: u64 },
    /// Stores a word as any program does.
    Store { mapping: usize, offset: u64, value: u64 },
    /// Goes through all pages again and again until stopped, reading a word of each, or writing one
    /// as it is. Answered by the number of pages.
    Sweep { mapping: usize, write: bool },
    /// Adds one to a word until stopped; before each time it touches a page of another mapping, if
    /// one is given. Answered by how often.
    Add { mapping: usize, offset: u64, between: Option<usize> },
    /// Threads write their own words of all pages and read the others'. Answered by `Tally`.
    Storm { mapping: usize, first_writer: u64, writers: u64, threads: u64, steps: u64, seed: u64 },
    /// What each writer's words add up to. Answered by `Sums`.
    Census { mapping: usize, writers: u64 },
    /// System calls on random pages. Answered by `Rounds`.
    Syscalls { call: SystemCall, mapping: usize, seed: u64, rounds: u64, file: PathBuf },
    /// Lets a thread do it. Answered by `Thread`.
    Spawn { order: Box<Order> },
    /// Tells a thread that works until it is stopped to come to its end.
    Stop { task: usize },
    /// Waits for a thread. Answered by its answer.
    Join { task: usize },
    /// From now on, SIGUSR1 is counted.
    CountSignals,
    /// Answered by how many came; where to: the thread of the last one as `Number`.
    Signals,
    /// The thread that handled the last one.
    SignalledThread,
    /// munmap(2) of some pages.
    Unmap { mapping: usize, first: u64, pages: u64 },
    /// mremap(2) of some pages to a new address, which is the answer.
    Move { mapping: usize, first: u64, pages: u64 },
    /// Compares what is at an address with pages of the pattern of `seed`.
    CheckAt { address: u64, seed: u64, first: u64, pages: u64 },
    /// MADV_DONTNEED.
    DontNeed { mapping: usize, first: u64, pages: u64 },
    /// MADV_REMOVE.
    Remove { mapping: usize, first: u64, pages: u64 },
    /// A forked child loads a word. Answered by `Ended`, what became of the child.
    ForkAndLoad { mapping: usize, offset: u64 },
    /// Becomes a new program: an actor with empty tables.
    Exec,
    /// Makes a mapping writable by mprotect(2) and stores a word. The number is an errno, or 0.
    ForceStore { mapping: usize, offset: u64, value: u64 },
    /// Tries to open every object file that this process has for writing, by way of /proc.
    /// Answered by how many could be.
    ReopenAll,
    /// Opens a raw connection and says hello.
    RawConnect { socket: PathBuf },
    /// Makes the userfaultfd of the raw connection blocking.
    RawBlock,
    /// Sends a request, as one is made by hand. Answered by `Reply`.
    RawCall { request: bo_wire::Request },
    /// Misbehaves on a connection of its own. Answered by whether that connection was ended.
    Abuse { socket: PathBuf, abuse: Abuse },
}

/// What came of an order.
#[expect(missing_docs, reason = "operands are named after what they are")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Done,
    Number(u64),
    Flag(bool),
    Object {
        slot: usize,
        id: u64,
        bytes: u64,
        page_bytes: u64,
    },
    Mapping {
        slot: usize,
        address: u64,
        bytes: u64,
    },
    Token(String),
    Stat(ObjectStat),
    Checked(Checked),
    Peeked(Peeked),
    Tally(Tally),
    Sums(Census),
    Rounds(Rounds),
    Thread {
        slot: usize,
        tid: i32,
    },
    Ended(Ended),
    Reply(bo_wire::Reply),
    /// The library said no.
    Refused(Refused),
    /// The actor's own host failed it, or it was told nonsense.
    Failed(String),
}

/// An error of the library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// What it displays.
    pub message: String,
    /// The names of the predicates that hold, such as `is_gone`.
    pub predicates: Vec<String>,
}

impl Refused {
    /// Whether the predicate of this name holds.
    #[must_use]
    pub fn is(&self, predicate: &str) -> bool {
        self.predicates.iter().any(|each| each == predicate)
    }
}

/// Pages compared with a pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Pages with other bytes: the first few.
    pub wrong: Vec<u64>,
    /// How many there are of those.
    pub wrong_pages: u64,
    /// How many of those hold nothing but zeros.
    pub zero_pages: u64,
}

/// Pages asked of the kernel, which says EFAULT for one that is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peeked {
    /// Pages with the right bytes.
    pub right: Vec<u64>,
    /// Pages that cannot be read.
    pub lost: Vec<u64>,
    /// Pages with other bytes. Each is a bug.
    pub wrong: Vec<u64>,
}

/// What the threads of a storm saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Loads and stores.
    pub steps: u64,
    /// Own words that did not hold what was last written to them.
    pub lost: u64,
    /// Others' words that went back in time.
    pub stale: u64,
    /// Words that nobody ever wrote.
    pub torn: u64,
    /// How often each of the actor's writers wrote.
    pub written: Vec<u64>,
}

/// The sum of each writer's counters over all pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// By writer.
    pub sums: Vec<u64>,
}

/// What came of many system calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounds {
    /// How many were made.
    pub rounds: u64,
    /// Those that failed.
    pub errors: u64,
    /// The first failures.
    pub messages: Vec<String>,
    /// Those that moved wrong bytes.
    pub wrong: u64,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// By itself.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
}
