//! SIEVE: Y. Zhang, J. Yang, Y. Yue, Y. Vigfusson and K. V. Rashmi, "SIEVE is Simpler than LRU: an
//! Efficient Turn-Key Eviction Algorithm for Web Caches", NSDI 2024.
//!
//! As CLOCK, but what the hand passes stays where it is, so that the hand comes from the old to the
//! new, and new pages that are not touched leave soon after it has come to them.
//!
//! The paper evicts one object at a time. When more is asked for, the hand stops at the first
//! victim, since not all that is proposed is taken, and what lies beyond is looked at without it:
//! what would be passed is marked, so that the hand, when it comes, passes it for the bit that it
//! had.
//!
//! When only faults are seen it is FIFO.

use crate::frames::{FrameId, List};
use crate::page::PageKey;
use crate::policy::queue::Order;
use crate::policy::{Books, Departure, EvictionPolicy};

/// The bit of the tag that a touch sets.
const VISITED: u8 = 1;
/// The bit of the tag of a frame that was passed before the hand has come to it.
const PASSED: u8 = 2;
/// The bit of the tag of a frame that the cleaner has looked at since the hand was there.
const SURVEYED: u8 = 4;

/// Evicts what the hand comes to and was not touched since it was there before.
#[derive(Debug, Default)]
pub struct Sieve {
    order: List,
    /// What it looks at next; the coldest frame if there is none.
    hand: Option<FrameId>,
    /// The last frame that the cleaner has looked at, on the way of the hand.
    surveyed: Option<FrameId>,
    surveyed_bytes: u64,
}

impl Sieve {
    fn at_hand(&self) -> Option<FrameId> {
        self.hand.or(self.order.coldest())
    }

    fn next_unseen(&self, books: &Books) -> Option<FrameId> {
        match self.surveyed {
            Some(frame) => books.links.hotter(frame),
            None => self.at_hand(),
        }
    }

    /// The frame is no longer among what the cleaner has looked at.
    fn forget_survey(&mut self, books: &mut Books, frame: FrameId) {
        let tag = books.tag(frame);
        if tag & SURVEYED != 0 {
            self.surveyed_bytes -= books.bytes(frame);
            books.set_tag(frame, tag & !SURVEYED);
        }
    }

    /// The hand goes on from `frame`.
    fn advance(&mut self, books: &mut Books, frame: FrameId) {
        self.forget_survey(books, frame);
        if self.surveyed == Some(frame) {
            self.surveyed = None;
        }
        self.hand = books.links.hotter(frame);
    }

    /// Goes on with the hand itself up to the first frame that may leave, which is named.
    fn move_hand(&mut self, books: &mut Books, order: &mut Order) -> Option<FrameId> {
        // The second time round no bit is set any more.
        for _ in 0..2 * self.order.len() {
            let frame = self.at_hand()?;
            let tag = books.tag(frame);
            if tag & PASSED != 0 {
                books.set_tag(frame, tag & !PASSED);
            } else if tag & VISITED != 0 {
                books.set_tag(frame, tag & !VISITED);
            } else if order.name(frame) {
                self.hand = Some(frame);
                return Some(frame);
            }
            self.advance(books, frame);
        }
        None
    }
}

impl EvictionPolicy for Sieve {
    fn name(&self) -> &'static str {
        "sieve"
    }

    fn on_filled(&mut self, books: &mut Books, frame: FrameId, _page: PageKey) {
        self.order.push_hottest(&mut books.links, frame);
    }

    fn on_touched(&mut self, books: &mut Books, frame: FrameId) {
        if books.links.contains(frame) {
            books.set_tag(frame, books.tag(frame) | VISITED);
        }
    }

    fn on_gone(&mut self, books: &mut Books, frame: FrameId, _page: PageKey, _: Departure) {
        if !books.links.contains(frame) {
            return;
        }
        if self.at_hand() == Some(frame) {
            self.advance(books, frame);
        }
        self.forget_survey(books, frame);
        if self.surveyed == Some(frame) {
            self.surveyed =
                books.links.colder(frame).filter(|colder| books.tag(*colder) & SURVEYED != 0);
        }
        self.order.remove(&mut books.links, frame);
    }

    fn propose(
        &mut self,
        books: &mut Books,
        want: u64,
        size_if_evictable: &dyn Fn(FrameId) -> Option<u64>,
        victims: &mut Vec<FrameId>,
    ) {
        let mut order = Order::new(want, size_if_evictable, victims);
        if order.is_done() {
            return;
        }
        let Some(first) = self.move_hand(books, &mut order) else { return };
        // Once round without the hand; then what was passed on the way, in the same order.
        for last_chance in [false, true] {
            let mut at = first;
            for _ in 1..self.order.len() {
                let next = books.links.hotter(at).or(self.order.coldest());
                at = next.expect("the list has a frame");
                if order.is_done() {
                    return;
                }
                let tag = books.tag(at);
                if last_chance {
                    if tag & PASSED != 0 {
                        order.name(at);
                    }
                } else if tag & (PASSED | VISITED) == VISITED {
                    books.set_tag(at, tag & !VISITED | PASSED);
                } else if tag & PASSED == 0 {
                    order.name(at);
                }
            }
        }
    }

    fn survey(&mut self, books: &mut Books, ahead: u64, want: u64, looked: &mut Vec<FrameId>) {
        let mut found = 0;
        while found < want && self.surveyed_bytes < ahead {
            let Some(frame) = self.next_unseen(books) else { return };
            let tag = books.tag(frame);
            books.set_tag(frame, tag | SURVEYED);
            self.surveyed_bytes += books.bytes(frame);
            self.surveyed = Some(frame);
            if tag & (VISITED | PASSED) == 0 {
                looked.push(frame);
                found += books.bytes(frame);
            }
        }
    }

    fn survey_left(&self, books: &Books, ahead: u64) -> u64 {
        match self.next_unseen(books) {
            Some(_) => ahead.saturating_sub(self.surveyed_bytes),
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::policy::Departure;
    use crate::policy::tests::{Pool, accesses, check_model, missed_after_scan};

    proptest! {
        #[test]
        fn it_does_what_the_paper_says(accesses in accesses()) {
            // The oldest first, each with its bit; the hand is a place.
            let mut queue: Vec<(u32, bool)> = Vec::new();
            let mut hand = 0;
            check_model("sieve", 16, &accesses, |page| {
                if let Some(known) = queue.iter_mut().find(|known| known.0 == page) {
                    known.1 = true;
                    return true;
                }
                if queue.len() == 16 {
                    while std::mem::take(&mut queue[hand].1) {
                        hand = (hand + 1) % 16;
                    }
                    queue.remove(hand);
                    hand %= 15;
                }
                queue.push((page, false));
                false
            });
        }

        #[test]
        fn many_at_once_are_those_that_would_leave_one_by_one(
            touched in any::<u32>(),
            count in 0_u64..24,
        ) {
            let pool = || {
                let mut pool = Pool::new("sieve", 24 * 4096);
                (0..24).for_each(|page| pool.fill(page, 4096));
                (0..24).filter(|page| touched >> page & 1 != 0).for_each(|page| pool.touch(page));
                pool
            };
            let mut single = pool();
            let one_by_one: Vec<u32> = (0..count)
                .map(|_| {
                    let victim = single.propose(1, |_| false)[0];
                    single.lose(victim, Departure::Evicted);
                    victim
                })
                .collect();
            prop_assert_eq!(pool().propose(count * 4096, |_| false), one_by_one);
        }
    }

    #[test]
    fn what_is_only_looked_at_keeps_its_bit() {
        let mut pool = Pool::new("sieve", 8 * 4096);
        (0..8).for_each(|page| pool.fill(page, 4096));
        pool.touch(1);
        // The hand stops at the first; nothing is taken.
        assert_eq!(pool.propose(4 * 4096, |_| false), [0, 2, 3, 4]);
        pool.lose(0, Departure::Evicted);
        assert_eq!(pool.propose(4096, |_| false), [2], "1 is passed for the bit that it had");
    }

    #[test]
    fn a_scan_of_nearly_a_pool_passes_a_hot_set_by() {
        assert_eq!(missed_after_scan("sieve"), 0);
    }
}
