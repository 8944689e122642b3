//! Lists of frames, coldest first. Every operation is constant-time.

use crate::chunked::Chunked;
use crate::frames::FrameId;

/// Frame numbers are below this: a pool of 4 KiB pages has at most a tebibyte.
pub(crate) const FRAMES_MAX: u32 = NONE;

/// No frame, in the 28 bits that a link has for one.
const NONE: u32 = (1 << 28) - 1;

/// Two neighbours of 28 bits, and four bits beside each that are the books' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link {
    colder: u32,
    hotter: u32,
}

impl Link {
    fn colder(self) -> u32 {
        self.colder & NONE
    }

    fn hotter(self) -> u32 {
        self.hotter & NONE
    }

    fn set(&mut self, colder: u32, hotter: u32) {
        self.set_colder(colder);
        self.set_hotter(hotter);
    }

    fn set_colder(&mut self, number: u32) {
        self.colder = self.colder & !NONE | number;
    }

    fn set_hotter(&mut self, number: u32) {
        self.hotter = self.hotter & !NONE | number;
    }
}

/// The neighbours of frames in the [`List`]s that share these links. A frame is in at most one of
/// those lists at a time.
#[derive(Debug, Default)]
pub struct Links(Chunked<Link>);

impl Links {
    /// True if the frame is in one of the lists.
    #[must_use]
    pub fn contains(&self, frame: FrameId) -> bool {
        // One that is in none points at itself.
        self.0.get(frame.index()).is_some_and(|link| link.colder() != frame.0)
    }

    /// The neighbour towards the hot end, of a frame that is in a list.
    #[must_use]
    pub fn hotter(&self, frame: FrameId) -> Option<FrameId> {
        some(self.0[frame.index()].hotter())
    }

    /// The neighbour towards the cold end, of a frame that is in a list.
    #[must_use]
    pub fn colder(&self, frame: FrameId) -> Option<FrameId> {
        some(self.0[frame.index()].colder())
    }

    /// Eight bits that are kept beside the links of a frame; zero for one that was never met.
    pub(crate) fn bits(&self, frame: FrameId) -> u8 {
        let link = self.0.get(frame.index());
        let nibble = |number: u32| u8::try_from(number >> 28).expect("four bits are left");
        link.map_or(0, |link| nibble(link.colder) << 4 | nibble(link.hotter))
    }

    /// Keeps eight bits beside the links of a frame.
    pub(crate) fn set_bits(&mut self, frame: FrameId, bits: u8) {
        self.provide(frame);
        let link = &mut self.0[frame.index()];
        link.colder = link.colder & NONE | u32::from(bits >> 4) << 28;
        link.hotter = link.hotter & NONE | u32::from(bits) << 28;
    }

    fn provide(&mut self, frame: FrameId) {
        while self.0.len() <= frame.index() {
            let number = u32::try_from(self.0.len()).expect("a pool has < 2^28 frames");
            self.0.push(Link { colder: number, hotter: number });
        }
    }

    fn at(&mut self, number: u32) -> &mut Link {
        &mut self.0[number as usize]
    }
}

fn some(number: u32) -> Option<FrameId> {
    (number != NONE).then_some(FrameId(number))
}

/// The ends of a doubly linked list of frames. It allocates, in its [`Links`], only when they meet
/// a frame number for the first time.
#[derive(Debug)]
pub struct List {
    coldest: u32,
    hottest: u32,
    len: usize,
}

impl Default for List {
    fn default() -> Self {
        Self { coldest: NONE, hottest: NONE, len: 0 }
    }
}

impl List {
    /// How many frames are in the list.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no frame is in the list.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a frame at the hot end.
    ///
    /// # Panics
    ///
    /// If it is in a list of these links already.
    pub fn push_hottest(&mut self, links: &mut Links, frame: FrameId) {
        assert!(!links.contains(frame), "a frame is in a list once");
        links.provide(frame);
        links.at(frame.0).set(self.hottest, NONE);
        match self.hottest {
            NONE => self.coldest = frame.0,
            neighbour => links.at(neighbour).set_hotter(frame.0),
        }
        self.hottest = frame.0;
        self.len += 1;
    }

    /// Adds a frame at the cold end.
    ///
    /// # Panics
    ///
    /// If it is in a list of these links already.
    pub fn push_coldest(&mut self, links: &mut Links, frame: FrameId) {
        assert!(!links.contains(frame), "a frame is in a list once");
        links.provide(frame);
        links.at(frame.0).set(NONE, self.coldest);
        match self.coldest {
            NONE => self.hottest = frame.0,
            neighbour => links.at(neighbour).set_colder(frame.0),
        }
        self.coldest = frame.0;
        self.len += 1;
    }

    /// Takes out a frame that is in this list, or in none; says whether it was there.
    ///
    /// The caller knows which list it is in: that of another one would count it.
    pub fn remove(&mut self, links: &mut Links, frame: FrameId) -> bool {
        if !links.contains(frame) {
            return false;
        }
        let link = links.at(frame.0);
        let (colder, hotter) = (link.colder(), link.hotter());
        link.set(frame.0, frame.0);
        match colder {
            NONE => self.coldest = hotter,
            neighbour => links.at(neighbour).set_hotter(hotter),
        }
        match hotter {
            NONE => self.hottest = colder,
            neighbour => links.at(neighbour).set_colder(colder),
        }
        self.len -= 1;
        true
    }

    /// The frame at the cold end.
    #[must_use]
    pub fn coldest(&self) -> Option<FrameId> {
        some(self.coldest)
    }

    /// The frame at the hot end.
    #[must_use]
    pub fn hottest(&self) -> Option<FrameId> {
        some(self.hottest)
    }

    /// From the cold end to the hot end.
    pub fn iter<'a>(&self, links: &'a Links) -> impl Iterator<Item = FrameId> + use<'a> {
        let mut at = self.coldest;
        std::iter::from_fn(move || {
            let frame = some(at)?;
            at = links.0[frame.index()].hotter();
            Some(frame)
        })
    }
}

/// A list with links of its own.
#[derive(Debug, Default)]
pub(crate) struct FrameList {
    links: Links,
    list: List,
}

impl FrameList {
    /// How many frames are in the list.
    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// True if this frame is in the list.
    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn contains(&self, frame: FrameId) -> bool {
        self.links.contains(frame)
    }

    /// Adds a frame at the hot end.
    ///
    /// # Panics
    ///
    /// If it is in the list already.
    pub(crate) fn push_hottest(&mut self, frame: FrameId) {
        self.list.push_hottest(&mut self.links, frame);
    }

    /// Takes a frame out; says whether it was there.
    pub(crate) fn remove(&mut self, frame: FrameId) -> bool {
        self.list.remove(&mut self.links, frame)
    }

    /// The frame at the cold end.
    pub(crate) fn coldest(&self) -> Option<FrameId> {
        self.list.coldest()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(list: &FrameList) -> Vec<u32> {
        list.list.iter(&list.links).map(|frame| frame.0).collect()
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
    fn what_is_kept_beside_a_frame_stays_wherever_it_goes() {
        let (mut links, mut list) = (Links::default(), List::default());
        assert_eq!(links.bits(FrameId(2)), 0);
        for (number, bits) in [(0, 0xa5), (1, 0x0f), (2, 0xf0)] {
            links.set_bits(FrameId(number), bits);
            list.push_hottest(&mut links, FrameId(number));
        }
        assert!(list.remove(&mut links, FrameId(1)));
        list.push_coldest(&mut links, FrameId(1));
        assert!(list.remove(&mut links, FrameId(0)));
        let bits = |number| links.bits(FrameId(number));
        assert_eq!((bits(0), bits(1), bits(2)), (0xa5, 0x0f, 0xf0));
        assert_eq!(list.iter(&links).map(|frame| frame.0).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn lists_that_share_links_keep_to_themselves() {
        let (mut links, mut old, mut new) = (Links::default(), List::default(), List::default());
        for number in 0..4 {
            old.push_hottest(&mut links, FrameId(number));
        }
        assert!(old.remove(&mut links, FrameId(2)));
        new.push_coldest(&mut links, FrameId(2));
        assert!(old.remove(&mut links, FrameId(0)));
        new.push_coldest(&mut links, FrameId(0));
        let order = |list: &List| list.iter(&links).map(|frame| frame.0).collect::<Vec<_>>();
        assert_eq!((order(&old), order(&new)), (vec![1, 3], vec![0, 2]));
        assert_eq!((new.coldest(), new.hottest()), (Some(FrameId(0)), Some(FrameId(2))));
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
                    prop_assert_eq!(list.links.hotter(FrameId(pair[0])), Some(FrameId(pair[1])));
                    prop_assert_eq!(list.links.colder(FrameId(pair[1])), Some(FrameId(pair[0])));
                }
            }
        }
    }
}
