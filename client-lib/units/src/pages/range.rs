//! A run of neighbouring pages.

use std::fmt;
use std::iter::FusedIterator;

use serde::{Deserialize, Serialize};

use super::{PageCount, PageIndex};

/// Neighbouring pages: the first, and how many. May be empty; its end never wraps.
///
/// # Example
///
/// ```
/// use bo_units::{PageCount, PageIndex, PageRange};
///
/// let range = PageRange::checked_new(PageIndex::new(4), PageCount::new(3)).expect("no wrap");
/// assert_eq!(range.end(), PageIndex::new(7));
/// assert!(range.contains(PageIndex::new(6)));
/// assert!(!range.contains(PageIndex::new(7)));
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "(PageIndex, PageCount)", into = "(PageIndex, PageCount)")]
pub struct PageRange {
    first: PageIndex,
    /// `first + count` fits 32 bits.
    count: PageCount,
}

impl PageRange {
    /// `count` pages from `first` on, or `None` if the page after them could not be numbered.
    #[must_use]
    pub const fn checked_new(first: PageIndex, count: PageCount) -> Option<PageRange> {
        match first.checked_add(count) {
            Some(_) => Some(PageRange { first, count }),
            None => None,
        }
    }

    /// The pages from `first` up to `end`, without `end`; `None` if `end` comes before `first`.
    #[must_use]
    pub const fn between(first: PageIndex, end: PageIndex) -> Option<PageRange> {
        match end.checked_since(first) {
            Some(count) => Some(PageRange { first, count }),
            None => None,
        }
    }

    /// The first `count` pages of an object.
    #[must_use]
    pub const fn whole(count: PageCount) -> PageRange {
        PageRange { first: PageIndex::ZERO, count }
    }

    /// One page. `None` for the very last one that can be numbered, which nothing comes after.
    #[must_use]
    pub const fn single(page: PageIndex) -> Option<PageRange> {
        PageRange::checked_new(page, PageCount::ONE)
    }

    /// The first page, if there is any; else where it would be.
    #[must_use]
    pub const fn first(self) -> PageIndex {
        self.first
    }

    /// How many pages there are.
    #[must_use]
    pub const fn count(self) -> PageCount {
        self.count
    }

    /// The page after the last one.
    #[must_use]
    pub const fn end(self) -> PageIndex {
        PageIndex::new(self.first.get() + self.count.get())
    }

    /// Whether there is no page at all.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.count.is_zero()
    }

    /// Whether `page` is one of these.
    #[must_use]
    pub fn contains(self, page: PageIndex) -> bool {
        self.first <= page && page < self.end()
    }

    /// Whether every page of `other` is one of these. An empty `other` always is.
    #[must_use]
    pub fn contains_range(self, other: PageRange) -> bool {
        other.is_empty() || (self.first <= other.first && other.end() <= self.end())
    }

    /// The pages that both have, or `None` if they have none in common.
    #[must_use]
    pub fn intersect(self, other: PageRange) -> Option<PageRange> {
        let first = self.first.max(other.first);
        let end = self.end().min(other.end());
        PageRange::between(first, end).filter(|range| !range.is_empty())
    }

    /// The pages, first to last.
    #[must_use]
    pub fn iter(self) -> PageRangeIter {
        PageRangeIter { rest: self }
    }
}

impl IntoIterator for PageRange {
    type Item = PageIndex;
    type IntoIter = PageRangeIter;

    fn into_iter(self) -> PageRangeIter {
        self.iter()
    }
}

impl From<PageRange> for (PageIndex, PageCount) {
    fn from(range: PageRange) -> (PageIndex, PageCount) {
        (range.first, range.count)
    }
}

impl TryFrom<(PageIndex, PageCount)> for PageRange {
    type Error = &'static str;

    fn try_from((first, count): (PageIndex, PageCount)) -> Result<PageRange, &'static str> {
        PageRange::checked_new(first, count).ok_or("a page range whose end is past 2^32 - 1")
    }
}

impl fmt::Display for PageRange {
    /// Like a range of Rust: `4..7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.end())
    }
}

/// The pages of a [`PageRange`], first to last.
#[derive(Clone, Debug)]
pub struct PageRangeIter {
    rest: PageRange,
}

impl Iterator for PageRangeIter {
    type Item = PageIndex;

    fn next(&mut self) -> Option<PageIndex> {
        let (page, end) = (self.rest.first, self.rest.end());
        let next = page.checked_add(PageCount::ONE)?;
        self.rest = PageRange::between(next, end)?;
        Some(page)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.rest.count.as_usize();
        (count, Some(count))
    }
}

impl DoubleEndedIterator for PageRangeIter {
    fn next_back(&mut self) -> Option<PageIndex> {
        let count = self.rest.count.get().checked_sub(1)?;
        self.rest.count = PageCount::new(count);
        Some(self.rest.end())
    }
}

impl ExactSizeIterator for PageRangeIter {}
impl FusedIterator for PageRangeIter {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn range(first: u32, count: u32) -> PageRange {
        PageRange::checked_new(PageIndex::new(first), PageCount::new(count)).expect("no wrap")
    }

    fn pages(range: PageRange) -> BTreeSet<u32> {
        range.iter().map(PageIndex::get).collect()
    }

    #[test]
    fn a_range_is_walked_from_both_ends() {
        let forward: Vec<u32> = range(4, 3).iter().map(PageIndex::get).collect();
        let backward: Vec<u32> = range(4, 3).iter().rev().map(PageIndex::get).collect();
        assert_eq!(forward, [4, 5, 6]);
        assert_eq!(backward, [6, 5, 4]);
        assert_eq!(range(4, 3).iter().len(), 3);
        assert_eq!(range(4, 3).to_string(), "4..7");
    }

    #[test]
    fn a_range_that_wraps_cannot_be_made() {
        let last = PageIndex::new(u32::MAX);
        assert_eq!(PageRange::checked_new(last, PageCount::ONE), None);
        assert_eq!(PageRange::single(last), None);
        assert!(PageRange::checked_new(last, PageCount::ZERO).is_some());
        assert!(PageRange::try_from((last, PageCount::ONE)).is_err());
    }

    #[test]
    fn a_range_cannot_end_before_it_starts() {
        assert_eq!(PageRange::between(PageIndex::new(2), PageIndex::new(1)), None);
        let empty = PageRange::between(PageIndex::new(2), PageIndex::new(2));
        assert!(empty.is_some_and(PageRange::is_empty));
    }

    #[test]
    fn neighbours_do_not_intersect() {
        assert_eq!(range(0, 4).intersect(range(4, 4)), None);
        assert_eq!(range(0, 5).intersect(range(4, 4)), Some(range(4, 1)));
        assert_eq!(range(0, 5).intersect(range(2, 0)), None);
    }

    #[test]
    fn the_last_range_is_walked_to_its_end() {
        let last: Vec<u32> = range(u32::MAX - 2, 2).iter().map(PageIndex::get).collect();
        assert_eq!(last, [u32::MAX - 2, u32::MAX - 1]);
    }

    proptest! {
        #[test]
        fn ranges_are_sets_of_pages(
            (a, b) in (0_u32..60, 0_u32..60),
            (c, d) in (0_u32..60, 0_u32..60),
        ) {
            let (one, other) = (range(a, b), range(c, d));
            let both: BTreeSet<u32> = pages(one).intersection(&pages(other)).copied().collect();
            prop_assert_eq!(one.intersect(other).map(pages).unwrap_or_default(), both);
            let holds_all = pages(other).is_subset(&pages(one));
            prop_assert_eq!(one.contains_range(other), holds_all);
            let page = PageIndex::new(c);
            prop_assert_eq!(one.contains(page), pages(one).contains(&c));
        }
    }
}
