//! Frames: which page is in each.

use bo_units::PageIndex;

use crate::chunked::Chunked;
use crate::page::PageKey;

mod list;

pub(crate) use list::{FRAMES_MAX, FrameList};
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

/// No object, and no frame, in 28 bits.
const NONE: u32 = (1 << 28) - 1;

/// A page in a frame: 28 bits each for its object and its number, and a mark of eight bits in what
/// is left of both.
#[derive(Debug, Clone, Copy)]
struct Tenant {
    object: u32,
    page: u32,
}

impl Tenant {
    fn new(key: PageKey) -> Self {
        assert!(key.object < NONE && key.page.get() <= NONE, "numbers have 28 bits");
        Self { object: key.object, page: key.page.get() }
    }

    /// Of a free frame: the number of the next free one is in the place of the page.
    fn none(next: u32) -> Self {
        Self { object: NONE, page: next }
    }

    fn key(self) -> PageKey {
        PageKey { object: self.object & NONE, page: PageIndex::new(self.page & NONE) }
    }

    fn mark(self) -> u8 {
        let nibble = |number: u32| u8::try_from(number >> 28).expect("four bits are left");
        nibble(self.object) << 4 | nibble(self.page)
    }

    fn set_mark(&mut self, mark: u8) {
        self.object = self.object & NONE | u32::from(mark >> 4) << 28;
        self.page = self.page & NONE | u32::from(mark) << 28;
    }
}

/// Who is in which frame. Numbers that were freed are used again, the latest first; the list of
/// them threads through the table, so that a free frame takes no more room than one in use.
#[derive(Debug, Default)]
pub(crate) struct FrameTable {
    tenants: Chunked<Tenant>,
    last_freed: Option<u32>,
    free: usize,
}

impl FrameTable {
    /// A frame for this page. Its mark is zero.
    pub(crate) fn take(&mut self, key: PageKey) -> FrameId {
        match self.last_freed {
            Some(number) => {
                let tenant = &mut self.tenants[number as usize];
                let next = std::mem::replace(tenant, Tenant::new(key)).page;
                self.last_freed = (next != NONE).then_some(next);
                self.free -= 1;
                FrameId(number)
            }
            None => {
                let number = u32::try_from(self.tenants.len()).ok().filter(|at| *at < FRAMES_MAX);
                self.tenants.push(Tenant::new(key));
                FrameId(number.expect("a pool has < 2^28 frames"))
            }
        }
    }

    pub(crate) fn put_back(&mut self, frame: FrameId) {
        self.tenants[frame.index()] = Tenant::none(self.last_freed.unwrap_or(NONE));
        self.last_freed = Some(frame.0);
        self.free += 1;
    }

    /// The page in a frame. That of a free one has no object.
    pub(crate) fn page(&self, frame: FrameId) -> PageKey {
        self.tenants[frame.index()].key()
    }

    /// What the cleaner remembers of a frame.
    pub(crate) fn mark(&self, frame: FrameId) -> u8 {
        self.tenants[frame.index()].mark()
    }

    pub(crate) fn set_mark(&mut self, frame: FrameId, mark: u8) {
        self.tenants[frame.index()].set_mark(mark);
    }

    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn in_use(&self) -> usize {
        self.tenants.len() - self.free
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_freed_frame_number_is_used_again() {
        let key = PageKey { object: 1, page: PageIndex::new(2) };
        let mut table = FrameTable::default();
        let first = table.take(key);
        table.set_mark(first, 0xa5);
        assert_eq!((table.page(first), table.mark(first)), (key, 0xa5));
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
