//! Names for the features that a kernel's userfaultfd has.

use std::fmt;

use userfaultfd_sys as sys;

/// A set of userfaultfd features. Displays as the kernel's names, with commas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(u64);

/// The features that have a part in this system, with the first Linux that has them.
const NAMES: [(u64, &str); 6] = [
    (sys::UFFD_FEATURE_PAGEFAULT_FLAG_WP, "PAGEFAULT_FLAG_WP (Linux 5.7)"),
    (sys::UFFD_FEATURE_MISSING_SHMEM, "MISSING_SHMEM (Linux 4.11)"),
    (sys::UFFD_FEATURE_THREAD_ID, "THREAD_ID (Linux 4.14)"),
    (sys::UFFD_FEATURE_MINOR_SHMEM, "MINOR_SHMEM (Linux 5.14)"),
    (sys::UFFD_FEATURE_WP_HUGETLBFS_SHMEM, "WP_HUGETLBFS_SHMEM (Linux 5.19)"),
    (sys::UFFD_FEATURE_POISON, "POISON (Linux 6.6)"),
];

impl Features {
    /// What [`Uffd::adopt`](super::Uffd::adopt) negotiates. No `EVENT_` feature is among it: those
    /// make the client's system calls wait for the reader, and ioctls fail until then.
    pub const REQUIRED: Features = Features(
        sys::UFFD_FEATURE_PAGEFAULT_FLAG_WP
            | sys::UFFD_FEATURE_MISSING_SHMEM
            | sys::UFFD_FEATURE_THREAD_ID
            | sys::UFFD_FEATURE_MINOR_SHMEM
            | sys::UFFD_FEATURE_WP_HUGETLBFS_SHMEM
            | sys::UFFD_FEATURE_POISON,
    );

    pub(super) fn from_bits(bits: u64) -> Features {
        Features(bits)
    }

    /// The bits of `uffdio_api::features`.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// What [`Features::REQUIRED`] has and `self` has not.
    #[must_use]
    pub fn missing(self) -> Features {
        Features(Features::REQUIRED.0 & !self.0)
    }

    /// Whether the set has nothing in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Features {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut separator = "";
        for (bit, name) in NAMES.into_iter().filter(|(bit, _)| self.0 & bit != 0) {
            write!(formatter, "{separator}{name}")?;
            separator = ", ";
            rest &= !bit;
        }
        if rest != 0 {
            write!(formatter, "{separator}others {rest:#x}")?;
        } else if self.is_empty() {
            write!(formatter, "none")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_features_are_named() {
        let old = Features::from_bits(
            Features::REQUIRED.bits() & !sys::UFFD_FEATURE_POISON | sys::UFFD_FEATURE_SIGBUS,
        );
        assert_eq!(old.missing().to_string(), "POISON (Linux 6.6)");
        assert!(Features::REQUIRED.missing().is_empty());
        assert_eq!(Features::REQUIRED.missing().to_string(), "none");
        assert!(old.to_string().ends_with("others 0x80"));
    }
}
