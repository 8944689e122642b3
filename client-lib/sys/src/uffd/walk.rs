//! Carrying an ioctl over a whole range, past everything that stops it half-way.

use std::thread;

use rustix::io::Errno;

use super::CHANGING_RETRIES_MAX;
use crate::range::AddressRange;

/// How far one ioctl got, in bytes, and what stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) bytes: u64,
    /// `None` if it reached the end, or stopped without saying why: then the next call will.
    pub(crate) stop: Option<Errno>,
}

impl Progress {
    pub(super) fn partial(bytes: u64) -> Progress {
        Progress { bytes, stop: None }
    }
}

/// What became of the pages of a range, in bytes; what is in no sum was not reached.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Walk {
    pub(super) done: u64,
    pub(super) present: u64,
    pub(super) not_mapped: u64,
    /// What ended the walk before the end of the range.
    pub(super) stop: Option<Errno>,
    calls: u64,
}

impl Walk {
    /// Whether threads may still wait somewhere in the range for something that has happened.
    pub(super) fn needs_wake(&self) -> bool {
        let clean =
            self.calls == 1 && self.present == 0 && self.not_mapped == 0 && self.stop.is_none();
        !clean && self.stop != Some(Errno::SRCH)
    }
}

/// Makes `call` over `range` until each page is done, present or not mapped, or the call fails.
///
/// Pages that are present are stepped over. Once part of the range turns out not to be registered
/// (for which the kernel refuses the whole call), the rest is done page by page.
pub(super) fn over(range: AddressRange, mut call: impl FnMut(AddressRange) -> Progress) -> Walk {
    let mut walk = Walk::default();
    let mut by_page = false;
    let mut patience = CHANGING_RETRIES_MAX;
    let mut position = range.start();
    let page = range.page_bytes();
    while let Some(rest) = range.tail(position) {
        let part = if by_page { rest.first_page() } else { rest };
        let progress = call(part);
        walk.calls += 1;
        // The kernel never claims more than it was asked for; our sums depend on it.
        let bytes = progress.bytes.min(part.len());
        walk.done += bytes;
        position += bytes;
        match progress.stop {
            None => {}
            Some(Errno::EXIST) => {
                walk.present += page;
                position += page;
            }
            // `EINVAL` is for memory of another kind: aligned arguments leave no other reason.
            Some(Errno::NOENT | Errno::INVAL) if part.len() > page => by_page = true,
            Some(Errno::NOENT | Errno::INVAL) => {
                walk.not_mapped += page;
                position += page;
            }
            Some(Errno::AGAIN) if patience > 0 => {
                patience -= 1;
                thread::yield_now();
            }
            Some(errno) => {
                walk.stop = Some(errno);
                return walk;
            }
        }
    }
    walk
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KERNEL_PAGE_BYTES;

    const PAGE: u64 = KERNEL_PAGE_BYTES;

    fn four_pages() -> AddressRange {
        AddressRange::new(16 * PAGE, 4 * PAGE).expect("aligned")
    }

    /// A kernel that has one verdict a page, and stops a call at the first that is not `None`.
    fn walk_with(verdicts: [Option<Errno>; 4]) -> (Walk, u64) {
        let whole = four_pages();
        let mut calls = 0;
        let walk = over(whole, |part| {
            calls += 1;
            let first = usize::try_from((part.start() - whole.start()) / PAGE).unwrap();
            let count = usize::try_from(part.len() / PAGE).unwrap();
            let asked = &verdicts[first..first + count];
            if asked.contains(&Some(Errno::NOENT)) {
                return Progress { bytes: 0, stop: Some(Errno::NOENT) };
            }
            let good = asked.iter().take_while(|verdict| verdict.is_none()).count();
            let bytes = good as u64 * PAGE;
            match asked.get(good) {
                None => Progress { bytes, stop: None },
                Some(_) if good > 0 => Progress::partial(bytes),
                Some(&stop) => Progress { bytes: 0, stop },
            }
        });
        (walk, calls)
    }

    #[test]
    fn a_clean_range_takes_one_call_and_no_wake() {
        let (walk, calls) = walk_with([None; 4]);
        assert_eq!((walk.done, walk.present, calls), (4 * PAGE, 0, 1));
        assert!(!walk.needs_wake());
    }

    #[test]
    fn present_pages_are_stepped_over_and_waked() {
        let (walk, calls) = walk_with([Some(Errno::EXIST), None, Some(Errno::EXIST), None]);
        assert_eq!((walk.done, walk.present, walk.stop), (2 * PAGE, 2 * PAGE, None));
        assert_eq!(calls, 4);
        assert!(walk.needs_wake());
    }

    #[test]
    fn a_gap_does_not_keep_its_neighbours_from_being_done() {
        let (walk, calls) = walk_with([None, Some(Errno::NOENT), None, Some(Errno::EXIST)]);
        assert_eq!((walk.done, walk.not_mapped, walk.present), (2 * PAGE, PAGE, PAGE));
        assert_eq!(calls, 5);
        assert!(walk.needs_wake());
    }

    #[test]
    fn a_lone_page_that_is_not_mapped_is_waked() {
        let page = AddressRange::new(16 * PAGE, PAGE).expect("aligned");
        let walk = over(page, |_| Progress { bytes: 0, stop: Some(Errno::NOENT) });
        assert_eq!((walk.not_mapped, walk.stop), (PAGE, None));
        assert!(walk.needs_wake(), "its thread has to find out that the page is gone");
    }

    #[test]
    fn huge_pages_are_stepped_over_whole() {
        let huge = 2 << 20;
        let range = AddressRange::new(huge, 3 * huge).and_then(AddressRange::in_huge_pages);
        let mut asked = Vec::new();
        let walk = over(range.expect("aligned"), |part| {
            asked.push((part.start() / huge, part.len() / huge));
            let stop = match part.start() / huge {
                1 => Some(Errno::EXIST),
                _ if part.len() > huge => Some(Errno::NOENT),
                2 => None,
                _ => Some(Errno::NOENT),
            };
            Progress { bytes: if stop.is_none() { part.len() } else { 0 }, stop }
        });
        assert_eq!((walk.present, walk.done, walk.not_mapped), (huge, huge, huge));
        assert_eq!(asked, [(1, 3), (2, 2), (2, 1), (3, 1)]);
    }

    #[test]
    fn a_failure_ends_the_walk_where_it_is() {
        let (walk, _) = walk_with([None, Some(Errno::FAULT), None, None]);
        assert_eq!((walk.done, walk.stop), (PAGE, Some(Errno::FAULT)));
        assert!(walk.needs_wake());
    }

    #[test]
    fn a_dead_owner_is_not_waked() {
        let (walk, _) = walk_with([Some(Errno::SRCH), None, None, None]);
        assert_eq!((walk.done, walk.stop), (0, Some(Errno::SRCH)));
        assert!(!walk.needs_wake());
    }

    #[test]
    fn patience_with_a_changing_owner_has_an_end() {
        let (walk, calls) = walk_with([Some(Errno::AGAIN), None, None, None]);
        assert_eq!(walk.stop, Some(Errno::AGAIN));
        assert_eq!(calls, u64::from(CHANGING_RETRIES_MAX) + 1);
    }
}
