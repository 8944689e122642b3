//! A list of frames that knows its bytes, and how far the cleaner has looked at its cold end.

use crate::frames::{FrameId, List};
use crate::policy::Books;

/// The bit of a frame's tag that says that the cleaner has looked at it. The others are the
/// policy's own.
const SURVEYED: u8 = 1 << 7;

/// Frames from cold to hot. Every operation is constant-time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    list: List,
    bytes: u64,
    surveyed: Surveyed,
}

/// The cold end, as far as the cleaner has looked at it. What moves or leaves is no part of it any
/// more, so it is one run from the coldest frame on, and each frame is looked at once for each time
/// that it grows cold.
#[derive(Debug, Default)]
struct Surveyed {
    /// Its hottest frame.
    last: Option<FrameId>,
    bytes: u64,
}

impl Queue {
    /// How many frames are in it.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The bytes of all frames in it.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Those of them that were looked at.
    pub(crate) fn surveyed(&self) -> u64 {
        self.surveyed.bytes
    }

    pub(crate) fn coldest(&self) -> Option<FrameId> {
        self.list.coldest()
    }

    /// Adds a frame that is in no list, at the hot end.
    pub(crate) fn push(&mut self, books: &mut Books, frame: FrameId) {
        self.list.push_hottest(&mut books.links, frame);
        self.bytes += books.bytes(frame);
    }

    /// Takes out a frame that is in this list.
    pub(crate) fn remove(&mut self, books: &mut Books, frame: FrameId) {
        self.forget_survey(books, frame);
        let known = self.list.remove(&mut books.links, frame);
        assert!(known, "a policy knows where its frames are");
        self.bytes -= books.bytes(frame);
    }

    /// Moves a frame that is in this list to its hot end.
    pub(crate) fn renew(&mut self, books: &mut Books, frame: FrameId) {
        self.remove(books, frame);
        self.push(books, frame);
    }

    /// The coldest frame that was not looked at. From now on it was.
    pub(crate) fn survey(&mut self, books: &mut Books) -> Option<FrameId> {
        let frame = self.unseen(books)?;
        books.set_tag(frame, books.tag(frame) | SURVEYED);
        self.surveyed.bytes += books.bytes(frame);
        self.surveyed.last = Some(frame);
        Some(frame)
    }

    /// The frame that [`Self::survey`] would give.
    pub(crate) fn unseen(&self, books: &Books) -> Option<FrameId> {
        match self.surveyed.last {
            Some(last) => books.links.hotter(last),
            None => self.list.coldest(),
        }
    }

    fn forget_survey(&mut self, books: &mut Books, frame: FrameId) {
        let tag = books.tag(frame);
        if tag & SURVEYED == 0 {
            return;
        }
        books.set_tag(frame, tag & !SURVEYED);
        self.surveyed.bytes -= books.bytes(frame);
        if self.surveyed.last == Some(frame) {
            self.surveyed.last = books.links.colder(frame);
        }
    }
}

/// A way through a queue from its cold end on. What it leaves behind stays in place; what it takes
/// out, or moves to the hot end, it meets again there if that is the same queue.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The hottest frame that was left behind.
    left: Option<FrameId>,
    /// The bytes left behind because they are to be evicted.
    named: u64,
}

impl Walk {
    pub(crate) fn next(&self, queue: &Queue, books: &Books) -> Option<FrameId> {
        match self.left {
            Some(frame) => books.links.hotter(frame),
            None => queue.coldest(),
        }
    }

    /// What the queue will have when the victims have left.
    pub(crate) fn bytes(&self, queue: &Queue) -> u64 {
        queue.bytes() - self.named
    }

    /// Names the frame as a victim if it may leave, and goes on to the next; says whether it may.
    pub(crate) fn name(&mut self, books: &Books, frame: FrameId, order: &mut Order) -> bool {
        self.left = Some(frame);
        let taken = order.name(frame);
        if taken {
            self.named += books.bytes(frame);
        }
        taken
    }
}

/// What is asked for, and what was found.
pub(crate) struct Order<'a> {
    pub(crate) want: u64,
    pub(crate) found: u64,
    pub(crate) size_if_evictable: &'a dyn Fn(FrameId) -> Option<u64>,
    pub(crate) victims: &'a mut Vec<FrameId>,
}

impl<'a> Order<'a> {
    pub(crate) fn new(
        want: u64,
        size_if_evictable: &'a dyn Fn(FrameId) -> Option<u64>,
        victims: &'a mut Vec<FrameId>,
    ) -> Self {
        Self { want, found: 0, size_if_evictable, victims }
    }

    /// True if the victims add up to what is wanted.
    pub(crate) fn is_done(&self) -> bool {
        self.found >= self.want
    }

    /// Names a victim, unless it must stay; says whether it did.
    pub(crate) fn name(&mut self, frame: FrameId) -> bool {
        let Some(bytes) = (self.size_if_evictable)(frame) else { return false };
        self.victims.push(frame);
        self.found += bytes;
        true
    }
}
