//! What the daemon answers.

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::request::{Access, Placement};
use crate::token::Token;

/// How the client must create its userfaultfd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UffdSource {
    /// From the descriptor of `/dev/userfaultfd` that comes along: full, without any privilege.
    Device,
    /// By the system call, asking for kernel-mode faults as well.
    Syscall,
    /// By the system call, for user-mode faults only: system calls on evicted memory then fail.
    UserModeOnly,
}

/// The numbers of one object at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectStat {
    /// The size, in bytes.
    pub total_bytes: u64,
    /// How much of it lies in the pool, in bytes.
    pub resident_bytes: u64,
    /// How much of it the store holds a copy of, in bytes. Pages that never held anything but
    /// zeros are neither resident nor stored.
    pub stored_bytes: u64,
    /// How often a page was absent when it was touched.
    pub faults: u64,
    /// How many of those faults met a page that had been evicted before.
    pub refaults: u64,
    /// How many pages were evicted.
    pub evictions: u64,
    /// How many handles there are, over all clients.
    pub holders: u32,
    /// How many mappings there are, over all clients.
    pub mappings: u32,
}

/// One answer, to the request whose id it repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The connection is accepted. With [`UffdSource::Device`] a descriptor comes along.
    Welcome {
        /// The number by which operators know this client.
        client: u64,
        /// How the client must create its userfaultfd.
        uffd: UffdSource,
        /// How many userfaultfds the client may hand over. More than one spread its faults, so that
        /// its threads do not meet on one queue; one is enough.
        uffds: u8,
        /// The capacity of the pool, in bytes.
        vram_bytes: u64,
        /// The capacity of system RAM for objects, in bytes.
        ram_bytes: u64,
        /// The page size of objects that wish for none, or `None` if it depends on their size.
        page_bytes_default: Option<u32>,
    },
    /// It is done, and there is nothing to add.
    Done,
    /// An object was made. Its file comes along, for reading and writing.
    Allocated {
        /// The number of the object.
        object: u64,
        /// Its size, rounded up to whole pages.
        bytes: u64,
        /// Its page size.
        page_bytes: u32,
        /// Where its pages would rather be.
        placement: Placement,
    },
    /// The faults of a mapping are now served.
    Mapped {
        /// The number of the mapping.
        mapping: u64,
    },
    /// An object can now be imported. A descriptor with exactly the access asked for comes along.
    Exported {
        /// The token to hand on.
        token: Token,
    },
    /// A handle was taken. The object's file comes along, with the access granted.
    Imported {
        /// The number of the object.
        object: u64,
        /// Its size, in whole pages.
        bytes: u64,
        /// Its page size.
        page_bytes: u32,
        /// Where its pages would rather be.
        placement: Placement,
        /// What the importer may do.
        access: Access,
    },
    /// Pages were brought in, as far as there was room.
    Prefetched {
        /// How many pages of the range are resident now.
        resident_pages: u32,
    },
    /// The numbers of an object.
    Stat(ObjectStat),
    /// It was not done.
    Refused(Refusal),
}

impl Reply {
    /// How many descriptors come along with this reply: exactly as many.
    #[must_use]
    pub const fn descriptors(&self) -> usize {
        match self {
            Reply::Welcome { uffd: UffdSource::Device, .. }
            | Reply::Allocated { .. }
            | Reply::Exported { .. }
            | Reply::Imported { .. } => 1,
            Reply::Welcome { uffd: UffdSource::Syscall | UffdSource::UserModeOnly, .. }
            | Reply::Done
            | Reply::Mapped { .. }
            | Reply::Prefetched { .. }
            | Reply::Stat(_)
            | Reply::Refused(_) => 0,
        }
    }

    /// The kind of reply, for logs and error messages: `"allocated"`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Reply::Welcome { .. } => "welcome",
            Reply::Done => "done",
            Reply::Allocated { .. } => "allocated",
            Reply::Mapped { .. } => "mapped",
            Reply::Exported { .. } => "exported",
            Reply::Imported { .. } => "imported",
            Reply::Prefetched { .. } => "prefetched",
            Reply::Stat(_) => "stat",
            Reply::Refused(_) => "refused",
        }
    }
}
