//! ARC: N. Megiddo and D. S. Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache",
//! FAST 2003.
//!
//! Two LRU lists: T1 of pages that were used once, T2 of those that were used again; and the ghosts
//! of what left each, B1 and B2. A page that comes back as a ghost says which list was too short,
//! and the share `p` of T1 follows.
//!
//! The paper decides with the page that is missing in hand. Here room may be asked for ahead, so a
//! miss is told by [`on_missed`](EvictionPolicy::on_missed), and the ghosts are cut to length when
//! the page is there; both together do what the paper does if one page is missing at a time. `p`
//! counts in bytes and is a fraction, as in libCacheSim: the paper leaves open whether it is whole.
//!
//! When only faults are seen T1 and T2 are FIFO, and T2 has what came back as a ghost.

use crate::frames::FrameId;
use crate::page::PageKey;
use crate::policy::ghosts::Ghosts;
use crate::policy::queue::{Order, Queue, Walk};
use crate::policy::{Books, Departure, EvictionPolicy};

/// The bit of the tag of a frame in T2.
const AGAIN: u8 = 1;

/// The lists of ghosts: of what left T1, of what left T2, and of what is on its way back.
const B1: u8 = 0;
const B2: u8 = 1;
const COMING: u8 = 2;

/// Balances what was used once against what was used again.
#[derive(Debug, Default)]
pub struct Arc {
    /// T1.
    once: Queue,
    /// T2.
    again: Queue,
    ghosts: Ghosts<3>,
    /// What T1 should have, in bytes.
    p: f64,
    /// The page that is missing now had left T2.
    missed_b2: bool,
}

fn float(bytes: u64) -> f64 {
    // A pool has less than 2^53 bytes.
    bytes as f64
}

impl Arc {
    fn queue(&mut self, books: &Books, frame: FrameId) -> &mut Queue {
        if books.tag(frame) & AGAIN == 0 { &mut self.once } else { &mut self.again }
    }

    /// REPLACE of the paper: whether T1, with so many bytes, should give one up.
    fn is_long(&self, once: u64) -> bool {
        let once = float(once);
        // Both are exact while pages have one size.
        once > self.p || (self.missed_b2 && once >= self.p)
    }

    fn trim(&mut self, books: &Books) {
        let most = books.capacity();
        while self.once.bytes() + self.ghosts.bytes(B1) > most {
            if self.ghosts.take_oldest(B1).is_none() {
                break;
            }
        }
        let here = self.once.bytes() + self.again.bytes() + self.ghosts.bytes(COMING);
        while here + self.ghosts.bytes(B1) + self.ghosts.bytes(B2) > 2 * most {
            let oldest = self.ghosts.take_oldest(B2).or_else(|| self.ghosts.take_oldest(B1));
            if oldest.is_none() && self.ghosts.take_oldest(COMING).is_none() {
                break;
            }
        }
    }
}

impl EvictionPolicy for Arc {
    fn name(&self) -> &'static str {
        "arc"
    }

    fn on_missed(&mut self, books: &mut Books, page: PageKey) {
        self.missed_b2 = false;
        let Some(ghost) = self.ghosts.get(page) else { return };
        let (list, bytes) = (ghost.list, float(ghost.bytes()));
        let (left_once, left_again) = (float(self.ghosts.bytes(B1)), float(self.ghosts.bytes(B2)));
        match list {
            B1 => {
                let more = bytes * (left_again / left_once).max(1.0);
                self.p = (self.p + more).min(float(books.capacity()));
            }
            B2 => {
                let less = bytes * (left_once / left_again).max(1.0);
                self.p = (self.p - less).max(0.0);
                self.missed_b2 = true;
            }
            _ => {}
        }
        self.ghosts.renew(page, COMING);
    }

    fn on_filled(&mut self, books: &mut Books, frame: FrameId, page: PageKey) {
        self.on_missed(books, page);
        self.missed_b2 = false;
        if self.ghosts.take(page).is_some() {
            books.set_tag(frame, AGAIN);
        }
        self.queue(books, frame).push(books, frame);
        self.trim(books);
    }

    fn on_touched(&mut self, books: &mut Books, frame: FrameId) {
        if books.links.contains(frame) {
            self.queue(books, frame).remove(books, frame);
            books.set_tag(frame, AGAIN);
            self.again.push(books, frame);
        }
    }

    fn on_gone(&mut self, books: &mut Books, frame: FrameId, page: PageKey, why: Departure) {
        if !books.links.contains(frame) {
            return;
        }
        self.queue(books, frame).remove(books, frame);
        if why == Departure::Evicted {
            let list = if books.tag(frame) & AGAIN == 0 { B1 } else { B2 };
            self.ghosts.add(list, page, books.bytes(frame), 0, 0);
        }
    }

    fn on_forgotten(&mut self, page: PageKey) {
        self.ghosts.take(page);
    }

    fn propose(
        &mut self,
        books: &mut Books,
        want: u64,
        size_if_evictable: &dyn Fn(FrameId) -> Option<u64>,
        victims: &mut Vec<FrameId>,
    ) {
        let mut order = Order::new(want, size_if_evictable, victims);
        let (mut once, mut again) = (Walk::default(), Walk::default());
        while !order.is_done() {
            let long = self.is_long(once.bytes(&self.once));
            match (once.next(&self.once, books), again.next(&self.again, books)) {
                (Some(frame), None) => once.name(books, frame, &mut order),
                (Some(frame), Some(_)) if long => once.name(books, frame, &mut order),
                (_, Some(frame)) => again.name(books, frame, &mut order),
                (None, None) => return,
            };
        }
    }

    fn survey(&mut self, books: &mut Books, ahead: u64, want: u64, looked: &mut Vec<FrameId>) {
        let mut found = 0;
        while found < want && self.once.surveyed() + self.again.surveyed() < ahead {
            let long = self.is_long(self.once.bytes() - self.once.surveyed());
            let in_once = match (self.once.unseen(books), self.again.unseen(books)) {
                (Some(_), None) => true,
                (Some(_), Some(_)) => long,
                (None, Some(_)) => false,
                (None, None) => return,
            };
            let queue = if in_once { &mut self.once } else { &mut self.again };
            let Some(frame) = queue.survey(books) else { return };
            looked.push(frame);
            found += books.bytes(frame);
        }
    }

    fn survey_left(&self, books: &Books, ahead: u64) -> u64 {
        if self.once.unseen(books).or(self.again.unseen(books)).is_none() {
            return 0;
        }
        ahead.saturating_sub(self.once.surveyed() + self.again.surveyed())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::tests::{accesses, check_model, missed_after_scan};

    /// The lists of the paper, least recently used first.
    #[derive(Default)]
    struct Model {
        t: [Vec<u32>; 2],
        b: [Vec<u32>; 2],
        p: f64,
    }

    const C: usize = 16;

    impl Model {
        fn replace(&mut self, in_b2: bool) {
            let once = float(self.t[0].len() as u64);
            let first = !self.t[0].is_empty() && (once > self.p || (in_b2 && once == self.p));
            let from = usize::from(!first && !self.t[1].is_empty());
            let page = self.t[from].remove(0);
            self.b[from].push(page);
        }

        fn access(&mut self, page: u32) -> bool {
            if let Some(list) = self.t.iter_mut().find(|list| list.contains(&page)) {
                list.retain(|known| *known != page);
                self.t[1].push(page);
                return true;
            }
            let ratio = |over: &Vec<u32>, under: &Vec<u32>| over.len() as f64 / under.len() as f64;
            let full = self.t[0].len() + self.t[1].len() == C;
            if let Some(from) = self.b.iter().position(|list| list.contains(&page)) {
                let step = ratio(&self.b[1 - from], &self.b[from]).max(1.0);
                let p = if from == 0 { self.p + step } else { self.p - step };
                self.p = p.clamp(0.0, C as f64);
                self.b[from].retain(|known| *known != page);
                if full {
                    self.replace(from == 1);
                }
                self.t[1].push(page);
                return false;
            }
            let once = self.t[0].len() + self.b[0].len();
            if once == C && full {
                if self.b[0].is_empty() {
                    self.t[0].remove(0);
                } else {
                    self.b[0].remove(0);
                    self.replace(false);
                }
            } else if full {
                if once + self.t[1].len() + self.b[1].len() == 2 * C {
                    self.b[1].remove(0);
                }
                self.replace(false);
            }
            self.t[0].push(page);
            false
        }
    }

    proptest! {
        #[test]
        fn it_does_what_the_paper_says(accesses in accesses()) {
            let mut model = Model::default();
            check_model("arc", C as u64, &accesses, |page| model.access(page));
        }
    }

    #[test]
    fn a_scan_passes_by_what_was_used_twice() {
        assert_eq!(missed_after_scan("arc"), 0);
    }
}
