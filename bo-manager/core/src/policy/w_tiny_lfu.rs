//! W-TinyLFU: G. Einziger, R. Friedman and B. Manes, "TinyLFU: A Highly Efficient Cache Admission
//! Policy", ACM Transactions on Storage 13(4), 2017.
//!
//! An LRU window of 1 % of the pool, and a main part that is segmented (SLRU): four fifths are for
//! what was touched there, the rest is on probation. What falls out of the window enters the main
//! part only if it was seen more often, by a [sketch](Sketch) of recent use, than what would have
//! to leave for it.
//!
//! As in the authors' Caffeine, and not in the paper, the sketch counts in four bits and there is
//! no doorkeeper. Unlike there the window has a fixed size.
//!
//! When only faults are seen the sketch counts faults: what was faulted in more often stays.

use crate::frames::FrameId;
use crate::page::PageKey;
use crate::policy::books::floor;
use crate::policy::queue::{Order, Queue, Walk};
use crate::policy::sketch::{Sketch, hash};
use crate::policy::{Books, Departure, EvictionPolicy};

/// The bits of the tag that say where a frame is.
const PLACE: u8 = 3;
const WINDOW: u8 = 0;
const PROBATION: u8 = 1;
const PROTECTED: u8 = 2;

/// Admits what is used more often than what it replaces.
#[derive(Debug, Default)]
pub struct WTinyLfu {
    window: Queue,
    probation: Queue,
    protected: Queue,
    sketch: Sketch,
}

fn main_most(books: &Books) -> u64 {
    floor(books.capacity()) - window_most(books)
}

fn window_most(books: &Books) -> u64 {
    floor(books.capacity() / 100)
}

fn protected_most(books: &Books) -> u64 {
    floor(main_most(books) / 5 * 4)
}

impl WTinyLfu {
    fn queue(&mut self, books: &Books, frame: FrameId) -> &mut Queue {
        match books.tag(frame) & PLACE {
            WINDOW => &mut self.window,
            PROBATION => &mut self.probation,
            _ => &mut self.protected,
        }
    }

    fn place(&mut self, books: &mut Books, frame: FrameId, place: u8) {
        self.queue(books, frame).remove(books, frame);
        books.set_tag(frame, place);
        self.queue(books, frame).push(books, frame);
    }

    /// How often the page in this frame was seen.
    fn count(&self, books: &Books, frame: FrameId) -> u64 {
        self.sketch.count(books.stamp(frame))
    }

    /// Moves what does not fit into the window to the main part, as long as that has room.
    fn settle(&mut self, books: &mut Books) {
        while self.window.bytes() > window_most(books) {
            let Some(coldest) = self.window.coldest() else { return };
            let main = self.probation.bytes() + self.protected.bytes();
            if main + books.bytes(coldest) > main_most(books) {
                return;
            }
            self.place(books, coldest, PROBATION);
        }
    }

    /// The main part's next victim against the window's: names the one that was seen less, and
    /// moves the other one in if it is the window's.
    fn duel(&mut self, books: &mut Books, walks: &mut Walks, new: FrameId, order: &mut Order) {
        let Some((old, protected)) = walks.next_main(self, books) else {
            walks.window.name(books, new, order);
            return;
        };
        if self.count(books, new) <= self.count(books, old) {
            walks.window.name(books, new, order);
        } else if walks.name_main(books, old, protected, order) {
            self.place(books, new, PROBATION);
        }
    }
}

/// How far each queue was gone through.
#[derive(Debug, Default)]
struct Walks {
    window: Walk,
    probation: Walk,
    protected: Walk,
}

impl Walks {
    /// What the main part would give up next, and whether that is protected.
    fn next_main(&self, policy: &WTinyLfu, books: &Books) -> Option<(FrameId, bool)> {
        let frame = self.probation.next(&policy.probation, books).map(|frame| (frame, false));
        frame.or_else(|| self.protected.next(&policy.protected, books).map(|frame| (frame, true)))
    }

    fn name_main(
        &mut self,
        books: &Books,
        frame: FrameId,
        protected: bool,
        order: &mut Order,
    ) -> bool {
        let walk = if protected { &mut self.protected } else { &mut self.probation };
        walk.name(books, frame, order)
    }

    fn main(&self, policy: &WTinyLfu) -> u64 {
        self.probation.bytes(&policy.probation) + self.protected.bytes(&policy.protected)
    }
}

impl EvictionPolicy for WTinyLfu {
    fn name(&self) -> &'static str {
        "w-tinylfu"
    }

    fn on_filled(&mut self, books: &mut Books, frame: FrameId, page: PageKey) {
        let hash = hash(page);
        books.set_stamp(frame, hash);
        self.window.push(books, frame);
        let queues = [&self.window, &self.probation, &self.protected];
        self.sketch.grow(queues.iter().map(|queue| queue.len()).sum());
        self.sketch.note(hash);
        self.settle(books);
    }

    fn on_touched(&mut self, books: &mut Books, frame: FrameId) {
        if !books.links.contains(frame) {
            return;
        }
        self.sketch.note(books.stamp(frame));
        let place = if books.tag(frame) & PLACE == WINDOW { WINDOW } else { PROTECTED };
        self.place(books, frame, place);
        while self.protected.bytes() > protected_most(books) {
            let Some(coldest) = self.protected.coldest() else { return };
            self.place(books, coldest, PROBATION);
        }
    }

    fn on_gone(&mut self, books: &mut Books, frame: FrameId, _page: PageKey, _: Departure) {
        if books.links.contains(frame) {
            self.queue(books, frame).remove(books, frame);
        }
    }

    fn propose(
        &mut self,
        books: &mut Books,
        want: u64,
        size_if_evictable: &dyn Fn(FrameId) -> Option<u64>,
        victims: &mut Vec<FrameId>,
    ) {
        let mut order = Order::new(want, size_if_evictable, victims);
        let mut walks = Walks::default();
        while !order.is_done() {
            // The page for which there is no room comes into the window.
            let over = walks.window.bytes(&self.window) >= window_most(books);
            let new = walks.window.next(&self.window, books);
            match (new.filter(|_| over), walks.next_main(self, books)) {
                (Some(new), _) if walks.main(self) + books.bytes(new) <= main_most(books) => {
                    self.place(books, new, PROBATION);
                }
                (Some(new), _) => self.duel(books, &mut walks, new, &mut order),
                (None, Some((old, protected))) => {
                    walks.name_main(books, old, protected, &mut order);
                }
                (None, None) => {
                    let Some(new) = new else { return };
                    walks.window.name(books, new, &mut order);
                }
            }
        }
    }

    fn survey(&mut self, books: &mut Books, ahead: u64, want: u64, looked: &mut Vec<FrameId>) {
        let mut found = 0;
        while found < want && self.probation.surveyed() < ahead {
            let Some(frame) = self.probation.survey(books) else { return };
            looked.push(frame);
            found += books.bytes(frame);
        }
    }

    fn survey_left(&self, books: &Books, ahead: u64) -> u64 {
        match self.probation.unseen(books) {
            Some(_) => ahead.saturating_sub(self.probation.surveyed()),
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::tests::{Pool, missed_after_scan};

    #[test]
    fn a_scan_does_not_replace_what_is_used_more_often() {
        assert!(missed_after_scan("w-tinylfu") <= 2);
    }

    #[test]
    fn what_is_used_more_often_gets_in() {
        let mut pool = Pool::new("w-tinylfu", 200 * 4096);
        pool.misses(0..200, true);
        // Each comes back a few times, and others with it that do not.
        for round in 0..6 {
            pool.misses((1000..1050).flat_map(|page| [page, page + 1000 * (round + 1)]), true);
        }
        assert_eq!(pool.misses(1000..1050, true), 0);
    }

    #[test]
    fn the_window_and_the_protected_have_their_shares() {
        let mut pool = Pool::new("w-tinylfu", 200 * 4096);
        pool.misses(0..200, true);
        pool.misses((0..3).flat_map(|_| 0..200), true);
        pool.misses(500..520, true);
        assert_eq!(pool.used, 200 * 4096);
        let first = pool.propose(4096, |_| false);
        assert!(first[0] >= 500, "what came last has proved nothing: {first:?}");
    }
}
