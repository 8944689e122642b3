//! Frames: which page is in each.

use bo_units::PageIndex;

use crate::chunked::Chunked;
use crate::page::PageKey;

mod list;

pub(crate) use list::FrameList;
pub use list::{Links, List};

/// One page-sized piece of the pool, numbered densely so that policies can keep arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId(pub(crate) u32);

impl FrameId {
    /// The number, for use as an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The frame of this number, for tests and policies.
    #[must_use]
    pub fn from_index(index: u32) -> Self {
        Self(index)
    }
}

/// Who is in which frame. Numbers that were freed are used again, the latest first; the list of
/// them threads through the table, so that a free frame takes no more room than one in use.
#[derive(Debug, Default)]
pub(crate) struct FrameTable {
    /// Of a free frame: no object, and the number of the next free one.
    pages: Chunked<PageKey>,
    /// What the cleaner remembers of each; zero for a frame that was just taken.
    marks: Chunked<u8>,
    last_freed: Option<u32>,
    free: usize,
}

impl FrameTable {
    pub(crate) fn take(&mut self, key: PageKey) -> FrameId {
        match self.last_freed {
            Some(number) => {
                let free = std::mem::replace(&mut self.pages[number as usize], key);
                let next = free.page.get();
                self.last_freed = (next != NONE).then_some(next);
                self.free -= 1;
                self.marks[number as usize] = 0;
                FrameId(number)
            }
            None => {
                let number = u32::try_from(self.pages.len()).expect("a pool has < 2^32 frames");
                self.pages.push(key);
                self.marks.push(0);
                FrameId(number)
            }
        }
    }

    pub(crate) fn put_back(&mut self, frame: FrameId) {
        let next = PageIndex::new(self.last_freed.unwrap_or(NONE));
        self.pages[frame.index()] = PageKey { object: NONE, page: next };
        self.last_freed = Some(frame.0);
        self.free += 1;
    }

    pub(crate) fn page(&self, frame: FrameId) -> PageKey {
        self.pages[frame.index()]
    }

    pub(crate) fn mark(&self, frame: FrameId) -> u8 {
        self.marks[frame.index()]
    }

    pub(crate) fn set_mark(&mut self, frame: FrameId, mark: u8) {
        self.marks[frame.index()] = mark;
    }

    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn in_use(&self) -> usize {
        self.pages.len() - self.free
    }
}

const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_freed_frame_number_is_used_again() {
        let key = PageKey { object: 1, page: PageIndex::new(2) };
        let mut table = FrameTable::default();
        let first = table.take(key);
        table.set_mark(first, 3);
        table.put_back(first);
        assert_eq!(table.take(key), first);
        assert_eq!(table.in_use(), 1);
        assert_eq!(table.mark(first), 0, "what was remembered was of another page");
    }

    proptest! {
        #[test]
        fn a_frame_names_its_page_until_it_is_put_back(
            steps in proptest::collection::vec((any::<bool>(), any::<usize>()), 0..200),
        ) {
            let mut table = FrameTable::default();
            let mut live: Vec<(FrameId, PageKey)> = Vec::new();
            for (number, (take, chance)) in steps.into_iter().enumerate() {
                if take || live.is_empty() {
                    let number = u32::try_from(number).expect("few steps");
                    let key = PageKey { object: number, page: PageIndex::new(number) };
                    live.push((table.take(key), key));
                } else {
                    let (frame, _) = live.swap_remove(chance % live.len());
                    table.put_back(frame);
                }
                prop_assert_eq!(table.in_use(), live.len());
                for (frame, key) in &live {
                    prop_assert_eq!(table.page(*frame), *key);
                }
            }
        }
    }
}
