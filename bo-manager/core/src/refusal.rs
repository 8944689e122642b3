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
    /// The daemon is stopping.
    Draining,
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
            Self::Draining => "draining",
        }
    }
}
