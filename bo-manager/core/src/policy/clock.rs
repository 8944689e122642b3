//! CLOCK: F. J. Corbató, "A Paging Experiment with the Multics System", in H. Feshbach and
//! K. U. Ingard (eds.), *In Honor of Philip M. Morse*, MIT Press, 1969.
//!
//! One bit for each frame, set by a touch. The hand clears it and goes on; what it finds without
//! the bit leaves. The circle is a list here whose cold end is where the hand is, and a frame that
//! is passed goes to the hot end: FIFO with reinsertion, which is the same order.
//!
//! When only faults are seen it is FIFO.

use crate::frames::FrameId;
use crate::page::PageKey;
use crate::policy::queue::{Order, Queue, Walk};
use crate::policy::{Books, Departure, EvictionPolicy};

/// The bit of the tag that a touch sets.
const VISITED: u8 = 1;

/// Evicts what was filled longest ago and not touched since the hand was there.
#[derive(Debug, Default)]
pub struct Clock {
    ring: Queue,
}

impl EvictionPolicy for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn on_filled(&mut self, books: &mut Books, frame: FrameId, _page: PageKey) {
        self.ring.push(books, frame);
    }

    fn on_touched(&mut self, books: &mut Books, frame: FrameId) {
        if books.links.contains(frame) {
            books.set_tag(frame, books.tag(frame) | VISITED);
        }
    }

    fn on_gone(&mut self, books: &mut Books, frame: FrameId, _page: PageKey, _: Departure) {
        if books.links.contains(frame) {
            self.ring.remove(books, frame);
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
        let mut hand = Walk::default();
        while !order.is_done() {
            let Some(frame) = hand.next(&self.ring, books) else { return };
            let tag = books.tag(frame);
            if tag & VISITED == 0 {
                hand.name(books, frame, &mut order);
            } else {
                books.set_tag(frame, tag & !VISITED);
                self.ring.renew(books, frame);
            }
        }
    }

    fn survey(&mut self, books: &mut Books, ahead: u64, want: u64, looked: &mut Vec<FrameId>) {
        let mut found = 0;
        while found < want && self.ring.surveyed() < ahead {
            let Some(frame) = self.ring.survey(books) else { return };
            if books.tag(frame) & VISITED == 0 {
                looked.push(frame);
                found += books.bytes(frame);
            }
        }
    }

    fn survey_left(&self, books: &Books, ahead: u64) -> u64 {
        match self.ring.unseen(books) {
            Some(_) => ahead.saturating_sub(self.ring.surveyed()),
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::policy::tests::{accesses, check_model, missed_after_scan};

    proptest! {
        #[test]
        fn it_is_a_fifo_queue_that_takes_back_what_was_used(accesses in accesses()) {
            // The oldest first, each with its bit.
            let mut ring: Vec<(u32, bool)> = Vec::new();
            check_model("clock", 16, &accesses, |page| {
                if let Some(known) = ring.iter_mut().find(|known| known.0 == page) {
                    known.1 = true;
                    return true;
                }
                while ring.len() == 16 {
                    let (page, visited) = ring.remove(0);
                    if visited {
                        ring.push((page, false));
                    }
                }
                ring.push((page, false));
                false
            });
        }
    }

    #[test]
    fn a_scan_of_nearly_a_pool_passes_a_hot_set_by() {
        assert_eq!(missed_after_scan("clock"), 0);
    }
}
