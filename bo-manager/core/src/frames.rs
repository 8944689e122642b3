//! Frames: which page is in each, and lists that thread through them.

use bo_units::PageIndex;

use crate::chunked::Chunked;
use crate::page::PageKey;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link {
    colder: u32,
    hotter: u32,
}

/// A frame that is in no list points at itself.
const fn unlinked(number: u32) -> Link {
    Link { colder: number, hotter: number }
}

/// A doubly linked list of frames, coldest first. Every operation is constant-time and allocates
/// only when it meets a frame number for the first time.
#[derive(Debug)]
pub(crate) struct FrameList {
    links: Chunked<Link>,
    coldest: u32,
    hottest: u32,
    len: usize,
}

impl Default for FrameList {
    fn default() -> Self {
        Self { links: Chunked::default(), coldest: NONE, hottest: NONE, len: 0 }
    }
}

impl FrameList {
    /// How many frames are in the list.
    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// True if this frame is in the list.
    pub(crate) fn contains(&self, frame: FrameId) -> bool {
        self.links.get(frame.index()).is_some_and(|link| *link != unlinked(frame.0))
    }

    /// Adds a frame at the hot end.
    ///
    /// # Panics
    ///
    /// If it is in the list already.
    pub(crate) fn push_hottest(&mut self, frame: FrameId) {
        assert!(!self.contains(frame), "a frame is in a list once");
        while self.links.len() <= frame.index() {
            let number = u32::try_from(self.links.len()).expect("a pool has < 2^32 frames");
            self.links.push(unlinked(number));
        }
        self.links[frame.index()] = Link { colder: self.hottest, hotter: NONE };
        match self.hottest {
            NONE => self.coldest = frame.0,
            neighbour => self.links[neighbour as usize].hotter = frame.0,
        }
        self.hottest = frame.0;
        self.len += 1;
    }

    /// Takes a frame out; says whether it was there.
    pub(crate) fn remove(&mut self, frame: FrameId) -> bool {
        if !self.contains(frame) {
            return false;
        }
        let Link { colder, hotter } = self.links[frame.index()];
        match colder {
            NONE => self.coldest = hotter,
            neighbour => self.links[neighbour as usize].hotter = hotter,
        }
        match hotter {
            NONE => self.hottest = colder,
            neighbour => self.links[neighbour as usize].colder = colder,
        }
        self.links[frame.index()] = unlinked(frame.0);
        self.len -= 1;
        true
    }

    /// The frame at the cold end.
    pub(crate) fn coldest(&self) -> Option<FrameId> {
        (self.coldest != NONE).then_some(FrameId(self.coldest))
    }

    /// The neighbour towards the hot end, of a frame that is in the list.
    pub(crate) fn hotter(&self, frame: FrameId) -> Option<FrameId> {
        let number = self.links[frame.index()].hotter;
        (number != NONE).then_some(FrameId(number))
    }

    /// The neighbour towards the cold end, of a frame that is in the list.
    pub(crate) fn colder(&self, frame: FrameId) -> Option<FrameId> {
        let number = self.links[frame.index()].colder;
        (number != NONE).then_some(FrameId(number))
    }

    /// From the cold end to the hot end.
    pub(crate) fn iter(&self) -> impl Iterator<Item = FrameId> + '_ {
        let mut at = self.coldest;
        std::iter::from_fn(move || {
            let frame = (at != NONE).then_some(FrameId(at))?;
            at = self.links[frame.index()].hotter;
            Some(frame)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(list: &FrameList) -> Vec<u32> {
        list.iter().map(|frame| frame.0).collect()
    }

    #[test]
    fn frames_leave_in_the_order_they_came() {
        let mut list = FrameList::default();
        for number in [5, 0, 3] {
            list.push_hottest(FrameId(number));
        }
        assert_eq!(order(&list), [5, 0, 3]);
        assert_eq!(list.coldest(), Some(FrameId(5)));
    }

    #[test]
    fn a_frame_can_leave_from_the_ends_and_the_middle() {
        let mut list = FrameList::default();
        for number in 0..5 {
            list.push_hottest(FrameId(number));
        }
        for number in [0, 2, 4] {
            assert!(list.remove(FrameId(number)));
        }
        assert_eq!(order(&list), [1, 3]);
        assert!(!list.remove(FrameId(2)));
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn the_only_frame_of_a_list_is_in_it() {
        let mut list = FrameList::default();
        list.push_hottest(FrameId(0));
        assert!(list.contains(FrameId(0)));
        assert!(list.remove(FrameId(0)));
        assert!(list.len() == 0 && list.coldest().is_none());
    }

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
        fn a_list_does_what_a_vector_would(
            steps in proptest::collection::vec((0_u32..12, any::<bool>()), 0..200),
        ) {
            let mut list = FrameList::default();
            let mut model: Vec<u32> = Vec::new();
            for (number, push) in steps {
                let frame = FrameId(number);
                let known = model.contains(&number);
                prop_assert_eq!(list.contains(frame), known);
                if push && !known {
                    list.push_hottest(frame);
                    model.push(number);
                } else {
                    prop_assert_eq!(list.remove(frame), known);
                    model.retain(|each| *each != number);
                }
                prop_assert_eq!(order(&list), model.clone());
                prop_assert_eq!(list.len(), model.len());
                prop_assert_eq!(list.coldest().map(|each| each.0), model.first().copied());
                for pair in model.windows(2) {
                    prop_assert_eq!(list.hotter(FrameId(pair[0])), Some(FrameId(pair[1])));
                    prop_assert_eq!(list.colder(FrameId(pair[1])), Some(FrameId(pair[0])));
                }
            }
        }

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
