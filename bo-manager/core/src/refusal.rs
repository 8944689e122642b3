//! Why the core does not do what was asked.

use bo_units::ByteCount;

/// A request that cannot be carried out. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// An object of no bytes.
    SizeZero,
    /// Larger than any object may be.
    SizeTooLarge {
        /// What was asked for, in bytes.
        asked: u64,
        /// The largest possible, in bytes.
        possible: u64,
    },
    /// Larger than the pool and the store together can ever hold.
    NeverFits {
        /// What was asked for.
        asked: ByteCount,
        /// What an empty manager could promise.
        possible: ByteCount,
    },
    /// Fits in principle, but what is left is promised to others.
    OutOfMemory {
        /// What was asked for.
        asked: ByteCount,
        /// What could be promised now.
        left: ByteCount,
    },
    /// The pool holds too few pages of this size to be of use.
    PageTooLarge {
        /// What was asked for.
        asked: ByteCount,
        /// The largest page size of this pool; zero if it is too small for any.
        possible: ByteCount,
    },
    /// No such client, object or mapping: never was, or is no more, or belongs to somebody else.
    Gone,
    /// Write access through a read-only handle.
    ReadOnly,
    /// A range that leaves its object, or is empty.
    Range,
    /// Too many clients.
    ClientLimit(u32),
    /// Too many objects.
    ObjectLimit(u32),
    /// Too many mappings, in all or of this object.
    MappingLimit(u32),
    /// The client is suspended, and this would bring pages in.
    Suspended,
    /// The daemon is stopping.
    Draining,
}

/// An order of an operator that cannot be carried out. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRefusal {
    /// No such client: never was, or is no more.
    NoSuchClient,
    /// No such object: never was, or is no more.
    NoSuchObject,
    /// The client is suspended already.
    Suspended,
    /// The client is not suspended.
    Running,
    /// The pool cannot be so small.
    PoolTooSmall {
        /// What was asked for.
        asked: ByteCount,
        /// The smallest that is possible now.
        possible: ByteCount,
        /// What keeps it from being smaller.
        floor: PoolFloor,
    },
    /// The daemon is stopping.
    Draining,
}

/// What keeps a pool from being smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolFloor {
    /// Sixteen pages of the largest size in use must fit.
    Pages {
        /// That size.
        largest: ByteCount,
    },
    /// Everything that was promised must fit into the pool and the store together.
    Committed {
        /// How much was promised.
        committed: ByteCount,
        /// What the store can hold.
        store: ByteCount,
    },
    /// Pages that must not leave.
    Pinned {
        /// How much they take.
        pinned: ByteCount,
    },
}

impl Refusal {
    /// A word for a metric's label.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::SizeZero | Self::SizeTooLarge { .. } | Self::Range => "invalid",
            Self::NeverFits { .. } => "never_fits",
            Self::OutOfMemory { .. } => "out_of_memory",
            Self::PageTooLarge { .. } => "page_too_large",
            Self::Gone => "gone",
            Self::ReadOnly => "read_only",
            Self::ClientLimit(_) | Self::ObjectLimit(_) | Self::MappingLimit(_) => "limit",
            Self::Suspended => "suspended",
            Self::Draining => "draining",
        }
    }
}
