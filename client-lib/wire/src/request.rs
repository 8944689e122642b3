//! What a client asks of the daemon.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::claimed::{ClaimedMapping, ClaimedObject};
use crate::label::Label;
use crate::token::Token;

/// Where an object's pages would rather be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Placement {
    /// In the pool while there is room, else in the store, moving as they are used.
    Vram,
    /// In system RAM, used in place.
    Ram,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Placement::Vram => "VRAM",
            Placement::Ram => "RAM",
        })
    }
}

/// What a handle, a mapping or a token lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Access {
    /// Reading only.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

impl Access {
    /// Whether who has this much may be given `wanted`.
    #[must_use]
    pub fn allows(self, wanted: Access) -> bool {
        wanted <= self
    }

    /// Whether writing is included.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        matches!(self, Access::ReadWrite)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Access::ReadOnly => "read-only",
            Access::ReadWrite => "read-write",
        })
    }
}

/// What touching an evicted page does once the daemon is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DaemonLost {
    /// Wait, until the process is killed. No byte is ever invented.
    Wait,
    /// Raise `SIGBUS`, as a lost device would.
    Sigbus,
}

/// How dear an object's pages are to the client that made it: those of a lower priority leave VRAM
/// before those of a higher one of the same client, and never because of another client's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Priority {
    /// 0: its pages leave first.
    Low,
    /// 1: what an object has that was given none.
    #[default]
    Normal,
    /// 2.
    High,
    /// 3: its pages leave last.
    Highest,
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Priority::Low => "low",
            Priority::Normal => "normal",
            Priority::High => "high",
            Priority::Highest => "highest",
        })
    }
}

/// One request. The daemon answers each with one [`Reply`](crate::Reply), in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The first message of a connection, and only the first. Answered by `Welcome`.
    Hello {
        /// What operators see; by habit the name of the program.
        name: Label,
        /// What the client arranged for the daemon's death.
        on_lost: DaemonLost,
    },
    /// Hands over a fresh userfaultfd of the client's, which comes along. Once right after
    /// `Welcome`; then at any time, up to the number that `Welcome` named: the mappings made later
    /// are spread over all of them.
    AttachUffd,
    /// Makes an object. Answered by `Allocated`.
    Allocate {
        /// The size asked for; rounded up to whole pages.
        bytes: u64,
        /// The page size, or `None` for the daemon's choice.
        page_bytes: Option<u32>,
        /// Where the pages would rather be.
        placement: Placement,
        /// What operators see.
        label: Label,
    },
    /// Serves the faults of a range that the client has mapped, still without access.
    Map {
        /// The object.
        object: ClaimedObject,
        /// Where `first_page` lies in the client, in bytes.
        address: u64,
        /// The first page of the object that is mapped.
        first_page: u32,
        /// How many pages are mapped.
        pages: u32,
        /// What the client will do there.
        access: Access,
    },
    /// Stops serving a mapping. After `Done`, nothing of the daemon touches its addresses.
    Unmap {
        /// The mapping.
        mapping: ClaimedMapping,
    },
    /// Lets go of one handle on an object.
    Release {
        /// The object.
        object: ClaimedObject,
    },
    /// Makes a token and a descriptor by which another process can import the object.
    Export {
        /// The object.
        object: ClaimedObject,
        /// What the importer may do.
        access: Access,
    },
    /// Takes a handle on the object that a token stands for. Answered by `Imported`.
    ImportToken {
        /// The token.
        token: Token,
        /// What the importer wants to do.
        access: Access,
    },
    /// Takes a handle on the object whose descriptor comes along. Answered by `Imported`.
    ImportDescriptor {
        /// What the importer wants to do.
        access: Access,
    },
    /// Says that pages were used, as a hint to whoever chooses what to evict.
    Touch {
        /// The object.
        object: ClaimedObject,
        /// The first page.
        first_page: u32,
        /// How many pages.
        pages: u32,
    },
    /// Brings pages in before they are used, up to half of the pool. Answered by `Prefetched`.
    Prefetch {
        /// The object.
        object: ClaimedObject,
        /// The first page.
        first_page: u32,
        /// How many pages.
        pages: u32,
    },
    /// Asks for the object's numbers. Answered by `Stat`.
    Stat {
        /// The object.
        object: ClaimedObject,
    },
    /// Says how dear the pages of an object are from now on. Who may write to it may say so.
    SetPriority {
        /// The object.
        object: ClaimedObject,
        /// How dear.
        priority: Priority,
    },
}

impl Request {
    /// How many descriptors come along with this request: exactly as many, else it is refused.
    #[must_use]
    pub const fn descriptors(&self) -> usize {
        match self {
            Request::AttachUffd | Request::ImportDescriptor { .. } => 1,
            Request::Hello { .. }
            | Request::Allocate { .. }
            | Request::Map { .. }
            | Request::Unmap { .. }
            | Request::Release { .. }
            | Request::Export { .. }
            | Request::ImportToken { .. }
            | Request::Touch { .. }
            | Request::Prefetch { .. }
            | Request::Stat { .. }
            | Request::SetPriority { .. } => 0,
        }
    }

    /// The kind of request, for logs and metrics: `"allocate"`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Request::Hello { .. } => "hello",
            Request::AttachUffd => "attach_uffd",
            Request::Allocate { .. } => "allocate",
            Request::Map { .. } => "map",
            Request::Unmap { .. } => "unmap",
            Request::Release { .. } => "release",
            Request::Export { .. } => "export",
            Request::ImportToken { .. } => "import_token",
            Request::ImportDescriptor { .. } => "import_descriptor",
            Request::Touch { .. } => "touch",
            Request::Prefetch { .. } => "prefetch",
            Request::Stat { .. } => "stat",
            Request::SetPriority { .. } => "set_priority",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_allows_no_more_than_itself() {
        assert!(Access::ReadWrite.allows(Access::ReadOnly));
        assert!(Access::ReadWrite.allows(Access::ReadWrite));
        assert!(Access::ReadOnly.allows(Access::ReadOnly));
        assert!(!Access::ReadOnly.allows(Access::ReadWrite));
    }

    #[test]
    fn what_people_choose_is_named_as_people_say() {
        assert_eq!(format!("{} {}", Access::ReadOnly, Access::ReadWrite), "read-only read-write");
        assert_eq!(format!("{} {}", Placement::Vram, Placement::Ram), "VRAM RAM");
        assert_eq!(format!("{} {}", Priority::Low, Priority::default()), "low normal");
    }
}
