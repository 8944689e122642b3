//! Where one page stands.

use bo_units::{PageCount, PageIndex, PageRange};

use crate::frames::FrameId;
use crate::limits::PATTERNS_MAX;

mod table;

pub(crate) use table::PageTable;

/// Names a page among all pages: the slot of its object, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageKey {
    /// The slot of the object. The core never lets it outlive the object.
    pub object: u32,
    /// Which page of the object.
    pub page: PageIndex,
}

/// Names a move in flight: a fill or an eviction of a run of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MoveId(pub(crate) u32);

/// Where a page stands. No page is in two of these places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residency {
    /// No frame. Its bytes are where its [`StoreCopy`] says.
    Absent,
    /// Wanted, but there is no room yet.
    Waiting(MoveId),
    /// A frame is reserved and the bytes are on their way.
    Filling(MoveId, FrameId),
    /// Present. `busy` counts the installs and un-protects in flight: an eviction must not start
    /// between the decision to let a write through and the system call that does. `since`: in
    /// which epoch of the manager it came, or was last seen to be used.
    Resident { busy: u16, frame: FrameId, since: u32 },
    /// On its way to the store. Still present until the punch.
    Evicting(MoveId, FrameId),
}

/// Where the bytes of a page are besides its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nowhere: they are all zero.
    Zeros,
    /// In the table of patterns, under this number.
    Same(u32),
    /// In this slot of the store.
    Slot(u32),
}

/// Whether the store has valid bytes for a page, and whether its first write would be seen.
///
/// Packed into 32 bits, since there is one for each page of every object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreCopy(u32);

impl StoreCopy {
    const GUARDED: u32 = 1 << 31;
    const NONE: u32 = Self::GUARDED - 1;
    const ZEROS: u32 = Self::GUARDED - 2;
    const UNDER_WAY: u32 = Self::GUARDED - 3;
    /// The numbers of patterns begin here.
    const PATTERNS: u32 = Self::UNDER_WAY - PATTERNS_MAX;
    /// Slot numbers are below this.
    pub(crate) const SLOTS_MAX: u32 = Self::PATTERNS;

    /// A page that nobody has touched.
    pub(crate) const VIRGIN: Self = Self(Self::ZEROS);
    /// The page in its frame is the only copy.
    pub(crate) const DIRTY: Self = Self(Self::NONE);
    /// The page in its frame is the only copy as yet: the cleaner is making another. Every mapping
    /// reports the next write, or will before the copy is begun.
    pub(crate) const CLEANING: Self = Self(Self::UNDER_WAY | Self::GUARDED);

    /// In the store; every mapping reports the next write.
    pub(crate) fn guarded_in(slot: u32) -> Self {
        assert!(slot < Self::SLOTS_MAX, "slot numbers fit below the marks");
        Self(slot | Self::GUARDED)
    }

    /// All zeros; every mapping reports the next write.
    pub(crate) fn guarded_zeros() -> Self {
        Self(Self::ZEROS | Self::GUARDED)
    }

    /// The same word over and over, kept as a pattern; every mapping reports the next write.
    pub(crate) fn guarded_same(pattern: u32) -> Self {
        assert!(pattern < PATTERNS_MAX, "pattern numbers fit between slots and marks");
        Self((Self::PATTERNS + pattern) | Self::GUARDED)
    }

    /// True if every mapping that can write the page is write-protected there.
    pub(crate) fn is_guarded(self) -> bool {
        self.0 & Self::GUARDED != 0
    }

    pub(crate) fn slot(self) -> Option<u32> {
        let value = self.0 & !Self::GUARDED;
        (value < Self::SLOTS_MAX).then_some(value)
    }

    /// Where the bytes of the page can be had without its frame, if they can.
    pub(crate) fn kept(self) -> Option<Kept> {
        match self.0 & !Self::GUARDED {
            Self::NONE | Self::UNDER_WAY => None,
            Self::ZEROS => Some(Kept::Zeros),
            pattern @ Self::PATTERNS.. => Some(Kept::Same(pattern - Self::PATTERNS)),
            slot => Some(Kept::Slot(slot)),
        }
    }

    /// True if the bytes of the page can be had without its frame.
    pub(crate) fn is_valid(self) -> bool {
        self.kept().is_some()
    }
}

impl std::fmt::Debug for StoreCopy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let guarded = if self.is_guarded() { ", guarded" } else { "" };
        match self.kept() {
            Some(Kept::Slot(slot)) => write!(f, "slot {slot}{guarded}"),
            Some(Kept::Same(pattern)) => write!(f, "pattern {pattern}{guarded}"),
            Some(Kept::Zeros) => write!(f, "zeros{guarded}"),
            None if *self == Self::CLEANING => write!(f, "under way{guarded}"),
            None => write!(f, "none{guarded}"),
        }
    }
}

/// What is known of one page: 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) residency: Residency,
    pub(crate) copy: StoreCopy,
}

impl Page {
    const VIRGIN: Self = Self { residency: Residency::Absent, copy: StoreCopy::VIRGIN };

    /// The page is in its frame and the store's copy is as good: it may leave without a copy.
    pub(crate) fn is_clean(&self) -> bool {
        self.copy.is_valid() && self.copy.is_guarded()
    }

    pub(crate) fn frame(&self) -> Option<FrameId> {
        match self.residency {
            Residency::Absent | Residency::Waiting(_) => None,
            Residency::Filling(_, frame)
            | Residency::Resident { frame, .. }
            | Residency::Evicting(_, frame) => Some(frame),
        }
    }
}

const _: () = assert!(size_of::<Page>() <= 16);

/// `count` pages from `first` on.
pub(crate) fn run(first: PageIndex, count: usize) -> PageRange {
    let count = u32::try_from(count).expect("an object has at most 2^28 pages");
    PageRange::checked_new(first, PageCount::new(count)).expect("an object has at most 2^28 pages")
}

/// The run with one more page at its end.
pub(crate) fn grown(range: PageRange) -> PageRange {
    run(range.first(), range.count().as_usize() + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slot_keeps_its_number_beside_the_guard() {
        let copy = StoreCopy::guarded_in(77);
        assert_eq!(copy.slot(), Some(77));
        assert!(copy.is_guarded() && copy.is_valid());
        assert!(!StoreCopy::DIRTY.is_valid());
        assert_eq!(StoreCopy::guarded_zeros().slot(), None);
        let last = StoreCopy::guarded_in(StoreCopy::SLOTS_MAX - 1);
        assert_eq!(last.kept(), Some(Kept::Slot(StoreCopy::SLOTS_MAX - 1)));
    }

    #[test]
    fn a_page_that_is_being_cleaned_is_watched_and_has_no_copy_yet() {
        assert!(StoreCopy::CLEANING.is_guarded() && !StoreCopy::CLEANING.is_valid());
        assert!(!StoreCopy::DIRTY.is_guarded());
    }

    proptest! {
        #[test]
        fn a_copy_is_one_thing_only(slot in 0..StoreCopy::SLOTS_MAX) {
            let copy = StoreCopy::guarded_in(slot);
            prop_assert!(copy.is_valid() && copy.is_guarded());
            prop_assert_eq!(copy.slot(), Some(slot));
            prop_assert!(copy != StoreCopy::DIRTY && copy != StoreCopy::guarded_zeros());
        }

        #[test]
        fn a_pattern_is_no_slot(number in 0..PATTERNS_MAX) {
            let copy = StoreCopy::guarded_same(number);
            prop_assert!(copy.is_valid() && copy.is_guarded());
            prop_assert_eq!((copy.slot(), copy.kept()), (None, Some(Kept::Same(number))));
            prop_assert!(copy != StoreCopy::CLEANING && copy != StoreCopy::guarded_zeros());
        }
    }
}
