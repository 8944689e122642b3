//! Page numbers, numbers of pages, and ranges of pages.

mod range;

pub use range::{PageRange, PageRangeIter};

use std::fmt;
use std::ops::Add;

use serde::{Deserialize, Serialize};

use crate::bytes::ByteCount;
use crate::page_size::PageSize;

/// The n-th page of an object, counted from zero.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct PageIndex(u32);

impl PageIndex {
    /// The first page.
    pub const ZERO: PageIndex = PageIndex(0);

    /// Page number `index`, counted from zero.
    #[must_use]
    pub const fn new(index: u32) -> PageIndex {
        PageIndex(index)
    }

    /// The page that the byte at `offset` is in, or `None` if its number does not fit 32 bits.
    #[must_use]
    pub const fn containing(offset: u64, size: PageSize) -> Option<PageIndex> {
        let index = offset >> size.shift();
        if index > u32::MAX as u64 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "compared with u32::MAX above")]
        Some(PageIndex(index as u32))
    }

    /// The number of the page, counted from zero.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The page `count` pages further on, or `None` if there can be no such page.
    #[must_use]
    pub const fn checked_add(self, count: PageCount) -> Option<PageIndex> {
        match self.0.checked_add(count.0) {
            Some(index) => Some(PageIndex(index)),
            None => None,
        }
    }

    /// How many pages lie from `first` up to this one, without it; `None` if `first` is later.
    #[must_use]
    pub const fn checked_since(self, first: PageIndex) -> Option<PageCount> {
        match self.0.checked_sub(first.0) {
            Some(count) => Some(PageCount(count)),
            None => None,
        }
    }

    /// Where the page starts within its object, in bytes. At most 2^53.
    #[must_use]
    pub const fn offset(self, size: PageSize) -> u64 {
        (self.0 as u64) << size.shift()
    }

    /// The page as an index into a table of pages.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl Add<PageCount> for PageIndex {
    type Output = PageIndex;

    /// The page `count` pages further on.
    ///
    /// # Panics
    ///
    /// If its number does not fit 32 bits, in every build. Where a claim of a client is added, use
    /// [`checked_add`](PageIndex::checked_add).
    fn add(self, count: PageCount) -> PageIndex {
        self.checked_add(count).expect("a page number below 2^32")
    }
}

impl fmt::Display for PageIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many pages. Not bytes, and not an address.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct PageCount(u32);

impl PageCount {
    /// No page.
    pub const ZERO: PageCount = PageCount(0);
    /// One page.
    pub const ONE: PageCount = PageCount(1);

    /// `count` pages.
    #[must_use]
    pub const fn new(count: u32) -> PageCount {
        PageCount(count)
    }

    /// The number of pages.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether there is no page at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` if it does not fit 32 bits.
    #[must_use]
    pub const fn checked_add(self, other: PageCount) -> Option<PageCount> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(PageCount(sum)),
            None => None,
        }
    }

    /// The difference, or zero if `other` is larger.
    #[must_use]
    pub const fn saturating_sub(self, other: PageCount) -> PageCount {
        PageCount(self.0.saturating_sub(other.0))
    }

    /// How many bytes these pages have. At most 2^53.
    #[must_use]
    pub const fn bytes(self, size: PageSize) -> ByteCount {
        ByteCount::new((self.0 as u64) << size.shift())
    }

    /// The number as the length of a table of pages.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for PageCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offsets_of_the_last_page_do_not_wrap() {
        let last = PageIndex::new(u32::MAX);
        assert_eq!(last.offset(PageSize::MAX), u64::from(u32::MAX) * (2 << 20));
        assert_eq!(PageCount::new(u32::MAX).bytes(PageSize::MAX).get(), last.offset(PageSize::MAX));
    }

    #[test]
    fn adding_within_32_bits_works() {
        assert_eq!(PageIndex::new(3) + PageCount::new(4), PageIndex::new(7));
        assert_eq!(PageCount::ONE.checked_add(PageCount::new(2)), Some(PageCount::new(3)));
    }

    #[test]
    fn adding_beyond_32_bits_cannot_be_overlooked() {
        let last = PageIndex::new(u32::MAX);
        assert_eq!(last.checked_add(PageCount::ONE), None);
        assert_eq!(PageCount::new(u32::MAX).checked_add(PageCount::ONE), None);
    }

    #[test]
    #[should_panic(expected = "a page number below 2^32")]
    fn the_operator_panics_rather_than_wraps() {
        let _ = PageIndex::new(u32::MAX) + PageCount::ONE;
    }

    #[test]
    fn a_byte_past_the_last_page_is_in_no_page() {
        let end = 1_u64 << 44;
        let last = Some(PageIndex::new(u32::MAX));
        assert_eq!(PageIndex::containing(end - 1, PageSize::MIN), last);
        assert_eq!(PageIndex::containing(end, PageSize::MIN), None);
    }

    proptest! {
        #[test]
        fn a_page_contains_its_own_bytes(index: u32, shift in 12_u32..=21, inside: u64) {
            let size = PageSize::new(1 << shift).expect("a page size");
            let page = PageIndex::new(index);
            let byte = page.offset(size) + inside % size.bytes();
            prop_assert_eq!(PageIndex::containing(byte, size), Some(page));
        }

        #[test]
        fn since_undoes_add(first: u32, count: u32) {
            let (first, count) = (PageIndex::new(first), PageCount::new(count));
            if let Some(end) = first.checked_add(count) {
                prop_assert_eq!(end.checked_since(first), Some(count));
            }
        }
    }
}
