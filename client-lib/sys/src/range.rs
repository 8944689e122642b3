//! Page-aligned ranges of addresses, usually another process's.

use std::fmt;

use crate::{HUGE_PAGE_BYTES, KERNEL_PAGE_BYTES};

/// Addresses at and above this one never belong to a mapping that a process did not ask for by
/// address: 47 bits, the user half of a four-level page table.
const ADDRESS_END: u64 = 1 << 47;

/// A range of addresses in whole pages: not empty, does not wrap, ends at or below 1 << 47.
///
/// It is a number and no promise: nothing need be mapped there, and in this process something else
/// may be. So it is never dereferenced, only handed to the kernel. It knows how large the pages
/// are that the kernel sees there, since a call about memory of huge pages is refused unless it is
/// about whole ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressRange {
    start: u64,
    len: u64,
    /// 4 KiB, or 2 MiB for memory of huge pages.
    page: u64,
}

impl AddressRange {
    /// The `len` bytes at `start`, or `None` unless both are multiples of 4 KiB, `len` is not zero
    /// and the end is at most 1 << 47.
    #[must_use]
    pub const fn new(start: u64, len: u64) -> Option<AddressRange> {
        if len == 0
            || !start.is_multiple_of(KERNEL_PAGE_BYTES)
            || !len.is_multiple_of(KERNEL_PAGE_BYTES)
        {
            return None;
        }
        match start.checked_add(len) {
            Some(end) if end <= ADDRESS_END => {
                Some(AddressRange { start, len, page: KERNEL_PAGE_BYTES })
            }
            Some(_) | None => None,
        }
    }

    /// The same addresses as memory of huge pages, or `None` unless they are whole ones.
    ///
    /// For mappings of files of huge frames only: parts of such a range are whole huge pages too.
    #[must_use]
    pub const fn in_huge_pages(self) -> Option<AddressRange> {
        if self.start.is_multiple_of(HUGE_PAGE_BYTES) && self.len.is_multiple_of(HUGE_PAGE_BYTES) {
            Some(AddressRange { page: HUGE_PAGE_BYTES, ..self })
        } else {
            None
        }
    }

    /// The huge page around `address`; `None` if the address is at or above 1 << 47.
    #[must_use]
    pub const fn huge_page_around(address: u64) -> Option<AddressRange> {
        match AddressRange::new(address & !(HUGE_PAGE_BYTES - 1), HUGE_PAGE_BYTES) {
            Some(range) => range.in_huge_pages(),
            None => None,
        }
    }

    /// The first address.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// The length in bytes, never zero.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub const fn len(self) -> u64 {
        self.len
    }

    /// How large the pages are that the kernel sees there, in bytes: 4 KiB or 2 MiB.
    #[must_use]
    pub const fn page_bytes(self) -> u64 {
        self.page
    }

    /// The first address behind the range.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.start + self.len
    }

    /// Whether `address` lies inside.
    #[must_use]
    pub const fn contains(self, address: u64) -> bool {
        self.start <= address && address < self.end()
    }

    /// Whether the two have an address in common.
    #[must_use]
    pub const fn overlaps(self, other: AddressRange) -> bool {
        self.start < other.end() && other.start < self.end()
    }

    /// The `len` bytes that begin `offset` bytes into this range, or `None` if they are not
    /// aligned to its pages, empty, or not all inside.
    #[must_use]
    pub const fn slice(self, offset: u64, len: u64) -> Option<AddressRange> {
        let Some(start) = self.start.checked_add(offset) else { return None };
        let part = match AddressRange::new(start, len) {
            Some(part) if self.page == HUGE_PAGE_BYTES => part.in_huge_pages(),
            other => other,
        };
        match part {
            Some(part) if part.end() <= self.end() => Some(part),
            Some(_) | None => None,
        }
    }

    /// Every page of the range, in order.
    pub fn pages(self) -> impl Iterator<Item = AddressRange> {
        (0..self.len / self.page).map(move |page| AddressRange {
            start: self.start + page * self.page,
            len: self.page,
            page: self.page,
        })
    }

    /// What is left from `address` on; `None` at or behind the end. `address` is page-aligned and
    /// not before the start.
    pub(crate) fn tail(self, address: u64) -> Option<AddressRange> {
        self.slice(address.saturating_sub(self.start), self.end().saturating_sub(address))
    }

    /// The first page.
    pub(crate) const fn first_page(self) -> AddressRange {
        AddressRange { len: self.page, ..self }
    }
}

impl fmt::Debug for AddressRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#x}..{:#x}", self.start, self.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = KERNEL_PAGE_BYTES;

    #[test]
    fn a_range_ends_where_user_addresses_end() {
        assert!(AddressRange::new(ADDRESS_END - PAGE, PAGE).is_some());
        assert_eq!(AddressRange::new(ADDRESS_END - PAGE, 2 * PAGE), None);
        assert_eq!(AddressRange::new(ADDRESS_END, PAGE), None);
    }

    #[test]
    fn a_range_cannot_be_empty_crooked_or_wrap() {
        assert_eq!(AddressRange::new(PAGE, 0), None);
        assert_eq!(AddressRange::new(PAGE + 1, PAGE), None);
        assert_eq!(AddressRange::new(PAGE, PAGE - 1), None);
        assert_eq!(AddressRange::new(u64::MAX - PAGE + 1, PAGE), None);
        assert_eq!(AddressRange::new(PAGE, u64::MAX - PAGE + 1), None);
    }

    #[test]
    fn a_slice_cannot_leave_its_range() {
        let range = AddressRange::new(16 * PAGE, 4 * PAGE).expect("aligned");
        assert_eq!(range.slice(PAGE, 3 * PAGE), AddressRange::new(17 * PAGE, 3 * PAGE));
        assert_eq!(range.slice(PAGE, 4 * PAGE), None);
        assert_eq!(range.slice(u64::MAX - PAGE + 1, PAGE), None);
        assert_eq!(range.slice(4 * PAGE, PAGE), None);
    }

    #[test]
    fn pages_cover_the_range_once() {
        let range = AddressRange::new(16 * PAGE, 3 * PAGE).expect("aligned");
        let starts: Vec<u64> = range.pages().map(AddressRange::start).collect();
        assert_eq!(starts, [16 * PAGE, 17 * PAGE, 18 * PAGE]);
        assert_eq!(range.tail(range.end()), None);
        assert_eq!(range.tail(18 * PAGE), range.slice(2 * PAGE, PAGE));
    }

    #[test]
    fn parts_of_huge_memory_are_whole_huge_pages() {
        const HUGE: u64 = HUGE_PAGE_BYTES;
        let small = AddressRange::new(HUGE, 3 * HUGE).expect("aligned");
        let huge = small.in_huge_pages().expect("aligned");
        assert_eq!((small.page_bytes(), huge.page_bytes()), (PAGE, HUGE));
        assert_eq!(huge.pages().count(), 3);
        assert_eq!(huge.first_page(), AddressRange::huge_page_around(HUGE + 5).expect("low"));
        assert_eq!(huge.slice(HUGE, PAGE), None);
        assert_eq!(huge.slice(PAGE, HUGE), None);
        assert_eq!(huge.slice(HUGE, HUGE).map(AddressRange::page_bytes), Some(HUGE));
        assert_eq!(huge.tail(2 * HUGE), huge.slice(HUGE, 2 * HUGE));
        assert_eq!(small.slice(PAGE, HUGE).and_then(AddressRange::in_huge_pages), None);
        assert_eq!(AddressRange::huge_page_around(u64::MAX), None);
    }

    #[test]
    fn neighbours_do_not_overlap() {
        let first = AddressRange::new(0, PAGE).expect("aligned");
        let second = AddressRange::new(PAGE, PAGE).expect("aligned");
        assert!(!first.overlaps(second) && !second.overlaps(first));
        assert!(first.overlaps(first));
        assert!(first.contains(PAGE - 1) && !first.contains(PAGE));
    }
}
