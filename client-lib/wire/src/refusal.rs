//! Why a request was not carried out: what was asked, what was possible, what to do.

use std::fmt;

use bo_units::{ByteCount, PageSize};
use serde::{Deserialize, Serialize};

use crate::request::Access;

/// Why a request was not carried out.
///
/// Displays as a lower-case fragment that fits after "cannot …: ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// The sizes of all objects would pass VRAM and RAM together.
    OutOfMemory {
        /// The size asked for, in bytes.
        asked: u64,
        /// The largest size that would have been granted, in bytes.
        left: u64,
    },
    /// The object is larger than could ever fit, even alone.
    NeverFits {
        /// The size asked for, in bytes.
        asked: u64,
        /// The largest object there can be, in bytes.
        possible: u64,
    },
    /// The pool has too few frames of that page size.
    PageTooLarge {
        /// The page size asked for, in bytes.
        asked: u64,
        /// The largest page size this pool can work with, in bytes.
        possible: u64,
    },
    /// A table is full.
    Limit {
        /// Which table.
        what: LimitKind,
        /// How many it holds.
        limit: u64,
    },
    /// No such object, mapping or token: stale, foreign and guessed ones are not told apart.
    Gone,
    /// Writing was asked of what may only be read.
    ReadOnly,
    /// The request makes no sense.
    Invalid(InvalidKind),
    /// The host of client or daemon cannot do this.
    Unsupported {
        /// What is missing.
        what: UnsupportedKind,
    },
    /// The daemon is stopping.
    Draining,
    /// The daemon's own host failed it. Its log says how.
    Host,
    /// An operator has suspended the client, and this would bring pages in.
    Suspended,
}

/// Which table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LimitKind {
    /// Objects of one client.
    Objects,
    /// Mappings of one client.
    Mappings,
    /// Clients of the daemon.
    Clients,
    /// Open descriptors of the daemon.
    Descriptors,
}

/// What makes no sense about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum InvalidKind {
    /// The page size is not a power of two from 4 KiB to 2 MiB.
    PageSize,
    /// The size is zero.
    SizeZero,
    /// The size has more pages than can be numbered.
    SizeTooLarge,
    /// The pages are not all within the object, or there are none.
    Range,
    /// The address is not aligned, or not one of a user's process.
    Address,
    /// The addresses overlap those of another mapping.
    Overlap,
    /// The descriptor is not what it should be, or there are too many or too few.
    Descriptor,
    /// The request comes out of turn.
    State,
}

/// What a host is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnsupportedKind {
    /// The client's kernel does not have all features of userfaultfd(2) that are needed.
    Uffd {
        /// The missing `UFFD_FEATURE_*` bits.
        missing: u64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = ByteCount::new;
        match *self {
            Refusal::OutOfMemory { asked, left } => {
                let (asked, left) = (bytes(asked), bytes(left));
                write!(f, "{asked} were asked for, {left} are left of VRAM and RAM together; ")?;
                write!(f, "release objects or ask for less")
            }
            Refusal::NeverFits { asked, possible } => {
                let (asked, possible) = (bytes(asked), bytes(possible));
                write!(f, "{asked} were asked for, and no object can be larger than {possible}; ")?;
                write!(f, "ask for less, or give the daemon more VRAM or RAM")
            }
            Refusal::PageTooLarge { asked, possible } => {
                let (asked, possible) = (bytes(asked), bytes(possible));
                write!(f, "pages of {asked} were asked for, and the VRAM is enough for pages of ")?;
                write!(f, "up to {possible}; use smaller pages, or give the daemon more VRAM")
            }
            Refusal::Limit { what, limit } => {
                write!(f, "the limit of {limit} {what} is reached; {}", what.remedy())
            }
            Refusal::Gone => {
                write!(f, "no such object, mapping or token; it may have been released")
            }
            Refusal::ReadOnly => {
                let (wanted, granted) = (Access::ReadWrite, Access::ReadOnly);
                write!(f, "{wanted} access was asked for, and the object was shared {granted}; ")?;
                write!(f, "ask for {granted} access, or have it exported {wanted}")
            }
            Refusal::Invalid(kind) => kind.fmt(f),
            Refusal::Unsupported { what } => what.fmt(f),
            Refusal::Draining => write!(f, "the daemon is stopping; connect again once it is back"),
            Refusal::Host => write!(f, "the daemon's host failed it; see the daemon's log"),
            Refusal::Suspended => {
                write!(f, "an operator has suspended this client; try again once it goes on")
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl LimitKind {
    const fn remedy(self) -> &'static str {
        match self {
            LimitKind::Objects => "release some, or raise the daemon's limit",
            LimitKind::Mappings => "unmap some, or raise the daemon's limit",
            LimitKind::Clients => "end some, or raise the daemon's limit",
            LimitKind::Descriptors => "release objects, or raise the daemon's RLIMIT_NOFILE",
        }
    }
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            LimitKind::Objects => "objects",
            LimitKind::Mappings => "mappings",
            LimitKind::Clients => "clients",
            LimitKind::Descriptors => "descriptors",
        })
    }
}

impl fmt::Display for InvalidKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidKind::PageSize => {
                let (min, max) = (PageSize::MIN, PageSize::MAX);
                write!(f, "the page size is not a power of two from {min} to {max}")
            }
            InvalidKind::SizeZero => write!(f, "the size is zero; ask for at least one byte"),
            InvalidKind::SizeTooLarge => {
                write!(f, "the size has more than 2^32 - 1 pages; use larger pages")
            }
            InvalidKind::Range => write!(f, "the pages are not all within the object"),
            InvalidKind::Address => write!(f, "the address is not aligned or not a user's"),
            InvalidKind::Overlap => write!(f, "the addresses overlap another mapping"),
            InvalidKind::Descriptor => write!(f, "the descriptor is not what it should be"),
            InvalidKind::State => write!(f, "the request comes out of turn"),
        }
    }
}

/// The features of userfaultfd(2) that a fragment can name; others show as a number.
const UFFD_FEATURES: [(u64, &str); 4] = [
    (1 << 0, "PAGEFAULT_FLAG_WP"),
    (1 << 5, "MISSING_SHMEM"),
    (1 << 12, "WP_HUGETLBFS_SHMEM"),
    (1 << 14, "POISON"),
];

impl fmt::Display for UnsupportedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            UnsupportedKind::Uffd { missing } => {
                write!(f, "the kernel's userfaultfd is missing features:")?;
                let mut unnamed = missing;
                for (bit, name) in UFFD_FEATURES {
                    if missing & bit != 0 {
                        write!(f, " {name}")?;
                        unnamed &= !bit;
                    }
                }
                if unnamed != 0 {
                    write!(f, " {unnamed:#x}")?;
                }
                write!(f, "; use Linux 6.6 or newer")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(refusal: Refusal, text: &str) {
        assert_eq!(refusal.to_string(), text);
    }

    #[test]
    fn a_full_memory_says_how_much_is_left() {
        check(
            Refusal::OutOfMemory { asked: 3 << 30, left: 3 << 29 },
            "3 GiB were asked for, 1.5 GiB are left of VRAM and RAM together; \
             release objects or ask for less",
        );
    }

    #[test]
    fn what_never_fits_says_what_would() {
        check(
            Refusal::NeverFits { asked: 1 << 40, possible: 8 << 30 },
            "1 TiB were asked for, and no object can be larger than 8 GiB; \
             ask for less, or give the daemon more VRAM or RAM",
        );
        check(
            Refusal::PageTooLarge { asked: 2 << 20, possible: 1 << 16 },
            "pages of 2 MiB were asked for, and the VRAM is enough for pages of up to 64 KiB; \
             use smaller pages, or give the daemon more VRAM",
        );
    }

    #[test]
    fn a_limit_names_itself_and_the_way_out() {
        check(
            Refusal::Limit { what: LimitKind::Mappings, limit: 64 },
            "the limit of 64 mappings is reached; unmap some, or raise the daemon's limit",
        );
    }

    #[test]
    fn missing_features_are_named() {
        check(
            Refusal::Unsupported { what: UnsupportedKind::Uffd { missing: 1 << 14 | 1 << 40 } },
            "the kernel's userfaultfd is missing features: POISON 0x10000000000; \
             use Linux 6.6 or newer",
        );
    }

    #[test]
    fn reading_only_is_explained() {
        check(
            Refusal::ReadOnly,
            "read-write access was asked for, and the object was shared read-only; \
             ask for read-only access, or have it exported read-write",
        );
    }
}
