//! Ranges of bytes, as users give them, to ranges of pages.

use std::ops::Range;

use bo_units::{PageIndex, PageRange};

use crate::error::{Cause, Misuse};
use crate::handle::Handle;

/// The pages that `range` is made of.
///
/// # Errors
///
/// [`Cause::Misuse`] unless `range` is one page or more, all of them whole and in the object.
pub(crate) fn whole_pages(handle: &Handle, range: &Range<u64>) -> Result<PageRange, Cause> {
    let page = handle.page_size();
    let Range { start, end } = *range;
    if end <= start {
        return Err(Cause::Misuse(Misuse::RangeEmpty { start, end }));
    }
    if !start.is_multiple_of(page.bytes()) || !end.is_multiple_of(page.bytes()) {
        return Err(Cause::Misuse(Misuse::RangeUnaligned { start, end, page }));
    }
    covering_pages(handle, range)
}

/// The pages that `range` touches, none if it is empty.
///
/// # Errors
///
/// [`Cause::Misuse`] if `range` is not all in the object, or ends before it starts.
pub(crate) fn covering_pages(handle: &Handle, range: &Range<u64>) -> Result<PageRange, Cause> {
    let Range { start, end } = *range;
    let size = handle.size();
    if size.get() < end || end < start {
        return Err(Cause::Misuse(Misuse::OutOfBounds { size }));
    }
    if start == end {
        return Ok(PageRange::default());
    }
    let page = handle.page_size();
    let index = |offset| {
        PageIndex::containing(offset, page).expect("an object's pages were counted when it came")
    };
    let last = index(end - 1);
    let end = last.checked_add(bo_units::PageCount::ONE);
    let end = end.expect("an object has at most 2^32 - 1 pages");
    Ok(PageRange::between(index(start), end).expect("the end comes after the start"))
}
