//! What the policies of one pool share: the links of their lists, and a few bits for each frame.

use crate::chunked::Chunked;
use crate::frames::{FrameId, Links};

/// The binary logarithm of the smallest page size.
const SHIFT_MIN: u8 = 12;

/// What is noted of one frame.
#[derive(Debug, Clone, Copy, Default)]
struct Note {
    /// The binary logarithm of its bytes.
    shift: u8,
    tag: u8,
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
    notes: Chunked<Note>,
    stamps: Chunked<u32>,
    capacity: u64,
}

impl Books {
    /// Those of a pool of so many bytes.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self {
            links: Links::default(),
            notes: Chunked::default(),
            stamps: Chunked::default(),
            capacity,
        }
    }

    /// The bytes that the frames may have together. It may change at any time.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// A frame is about to be used for a page of so many bytes. Its tag is zero from here on.
    ///
    /// # Panics
    ///
    /// If that is no page size.
    pub fn enter(&mut self, frame: FrameId, bytes: u64) {
        assert!(bytes.is_power_of_two() && 12 <= bytes.trailing_zeros(), "no page size");
        while self.notes.len() <= frame.index() {
            self.notes.push(Note { shift: SHIFT_MIN, tag: 0 });
        }
        let shift = u8::try_from(bytes.trailing_zeros()).expect("at most 63");
        self.notes[frame.index()] = Note { shift, tag: 0 };
    }

    /// The bytes of a frame that was entered.
    #[must_use]
    pub fn bytes(&self, frame: FrameId) -> u64 {
        1 << self.notes[frame.index()].shift
    }

    /// What the policy has noted of a frame that was entered.
    #[must_use]
    pub fn tag(&self, frame: FrameId) -> u8 {
        self.notes[frame.index()].tag
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
        self.notes[frame.index()].tag = tag;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_is_used_again_has_no_tag() {
        let mut books = Books::new(1 << 20);
        books.enter(FrameId(3), 65536);
        books.set_tag(FrameId(3), 7);
        assert_eq!((books.bytes(FrameId(3)), books.tag(FrameId(3))), (65536, 7));
        books.enter(FrameId(3), 4096);
        assert_eq!((books.bytes(FrameId(3)), books.tag(FrameId(3))), (4096, 0));
    }
}
