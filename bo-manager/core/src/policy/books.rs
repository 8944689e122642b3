//! What the policies of one pool share: the links of their lists, and a few bits for each frame.

use crate::chunked::Chunked;
use crate::frames::{FrameId, Links};

/// The binary logarithm of the smallest page size.
const SHIFT_MIN: u8 = 12;

/// Of the policies of a group, the one in use or the one before it.
pub(crate) type Side = bool;

/// What is kept beside the links of a frame, in eight bits: its size, the side and the priority
/// that it was entered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    /// The binary logarithm of its bytes.
    shift: u8,
    side: Side,
    /// 0 to 3.
    priority: u8,
}

impl Entry {
    fn pack(self) -> u8 {
        (self.shift - SHIFT_MIN) << 4 | u8::from(self.side) << 2 | self.priority
    }

    fn unpack(bits: u8) -> Self {
        Self { shift: (bits >> 4) + SHIFT_MIN, side: bits & 4 != 0, priority: bits & 3 }
    }
}

/// A share of a pool, in whole pages of the smallest size: so much of it has a meaning.
pub(crate) fn floor(bytes: u64) -> u64 {
    bytes >> SHIFT_MIN << SHIFT_MIN
}

/// The links of all lists, the size of each frame, and one byte for each that is the policy's own.
#[derive(Debug)]
pub struct Books {
    /// The neighbours of each frame in the one list that it is in.
    pub links: Links,
    tags: Chunked<u8>,
    stamps: Chunked<u32>,
    capacity: u64,
}

impl Books {
    /// Those of a pool of so many bytes.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        let (links, tags, stamps) = (Links::default(), Chunked::default(), Chunked::default());
        Self { links, tags, stamps, capacity }
    }

    /// The bytes that the frames of the policy may have together. It may change at any time.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Tells the policy that is asked next how much it has. There may be more frames for a while.
    pub fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
    }

    /// A frame is about to be used for a page of so many bytes. Its tag is zero from here on.
    ///
    /// # Panics
    ///
    /// If that is no page size.
    pub fn enter(&mut self, frame: FrameId, bytes: u64) {
        self.enter_with(frame, bytes, 0, false);
    }

    /// The same, of several policies with these books.
    pub(crate) fn enter_with(&mut self, frame: FrameId, bytes: u64, priority: u8, side: Side) {
        let shift = u8::try_from(bytes.trailing_zeros()).expect("at most 64");
        let is_page_size = bytes.is_power_of_two() && (SHIFT_MIN..SHIFT_MIN + 16).contains(&shift);
        assert!(is_page_size && priority < 4, "no page size");
        self.links.set_bits(frame, Entry { shift, side, priority }.pack());
        while self.tags.len() <= frame.index() {
            self.tags.push(0);
        }
        self.tags[frame.index()] = 0;
    }

    /// The bytes of a frame that was entered.
    #[must_use]
    pub fn bytes(&self, frame: FrameId) -> u64 {
        1 << Entry::unpack(self.links.bits(frame)).shift
    }

    /// With which priority and on which side a frame was entered; `None` if it is in no list.
    pub(crate) fn place(&self, frame: FrameId) -> Option<(u8, Side)> {
        let Entry { side, priority, .. } = Entry::unpack(self.links.bits(frame));
        self.links.contains(frame).then_some((priority, side))
    }

    /// What the policy has noted of a frame that was entered.
    #[must_use]
    pub fn tag(&self, frame: FrameId) -> u8 {
        self.tags[frame.index()]
    }

    /// The number that the policy has noted last of a frame; zero if it never did.
    #[must_use]
    pub fn stamp(&self, frame: FrameId) -> u32 {
        self.stamps.get(frame.index()).copied().unwrap_or(0)
    }

    /// Notes a number of a frame. There is room for it from the first time on only: not every
    /// policy needs it.
    pub fn set_stamp(&mut self, frame: FrameId, stamp: u32) {
        while self.stamps.len() <= frame.index() {
            self.stamps.push(0);
        }
        self.stamps[frame.index()] = stamp;
    }

    /// Notes something of a frame that was entered.
    pub fn set_tag(&mut self, frame: FrameId, tag: u8) {
        self.tags[frame.index()] = tag;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::List;

    #[test]
    fn a_frame_that_is_used_again_has_no_tag() {
        let mut books = Books::new(1 << 20);
        books.enter_with(FrameId(3), 65536, 2, true);
        books.set_tag(FrameId(3), 7);
        assert_eq!((books.bytes(FrameId(3)), books.tag(FrameId(3))), (65536, 7));
        books.enter(FrameId(3), 4096);
        assert_eq!((books.bytes(FrameId(3)), books.tag(FrameId(3))), (4096, 0));
    }

    #[test]
    fn a_frame_has_a_place_while_it_is_in_a_list() {
        let (mut books, mut list) = (Books::new(1 << 20), List::default());
        books.enter_with(FrameId(3), 2 << 20, 3, true);
        assert_eq!(books.place(FrameId(3)), None);
        list.push_hottest(&mut books.links, FrameId(3));
        assert_eq!(books.place(FrameId(3)), Some((3, true)));
        assert_eq!((books.place(FrameId(4)), books.bytes(FrameId(3))), (None, 2 << 20));
    }
}
