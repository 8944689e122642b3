//! 2Q: T. Johnson and D. Shasha, "2Q: A Low Overhead High Performance Buffer Management Replacement
//! Algorithm", VLDB 1994. The full version, with the sizes that the paper recommends: a quarter of
//! the pool for A1in, half a pool of ghosts in A1out.
//!
//! What is new waits in A1in, first in, first out, whatever happens to it there. What comes back
//! while it is in A1out was used twice at some distance, and joins Am, which is an LRU list.
//!
//! The paper's pool evicts from A1in as soon as it holds more than its share *and no frame is
//! free*; so does this one, since nothing is asked for before. The oldest ghosts are forgotten when
//! the page whose coming made room necessary is there, not before: one that comes back at the last
//! moment is still known.

use crate::frames::FrameId;
use crate::page::PageKey;
use crate::policy::books::floor;
use crate::policy::ghosts::Ghosts;
use crate::policy::queue::{Order, Queue, Walk};
use crate::policy::{Books, Departure, EvictionPolicy};

/// The bit of the tag of a frame in Am.
const MAIN: u8 = 1;

/// Evicts what came but once first.
#[derive(Debug, Default)]
pub struct TwoQ {
    /// A1in.
    recent: Queue,
    /// Am.
    main: Queue,
    /// A1out.
    out: Ghosts<1>,
}

/// Kin: what A1in may hold.
fn recent_most(books: &Books) -> u64 {
    floor(books.capacity() / 4)
}

/// Kout: what A1out remembers.
fn out_most(books: &Books) -> u64 {
    floor(books.capacity() / 2)
}

impl TwoQ {
    fn queue(&mut self, books: &Books, frame: FrameId) -> &mut Queue {
        if books.tag(frame) & MAIN == 0 { &mut self.recent } else { &mut self.main }
    }
}

impl EvictionPolicy for TwoQ {
    fn name(&self) -> &'static str {
        "2q"
    }

    fn on_filled(&mut self, books: &mut Books, frame: FrameId, page: PageKey) {
        if self.out.take(page).is_some() {
            books.set_tag(frame, MAIN);
        }
        self.queue(books, frame).push(books, frame);
        while self.out.bytes(0) > out_most(books) {
            self.out.take_oldest(0);
        }
    }

    fn on_touched(&mut self, books: &mut Books, frame: FrameId) {
        if books.links.contains(frame) && books.tag(frame) & MAIN != 0 {
            self.main.renew(books, frame);
        }
    }

    fn on_gone(&mut self, books: &mut Books, frame: FrameId, page: PageKey, why: Departure) {
        if !books.links.contains(frame) {
            return;
        }
        let is_recent = books.tag(frame) & MAIN == 0;
        self.queue(books, frame).remove(books, frame);
        if is_recent && why == Departure::Evicted {
            self.out.add(0, page, books.bytes(frame), 0, 0);
        }
    }

    fn on_forgotten(&mut self, page: PageKey) {
        self.out.take(page);
    }

    fn propose(
        &mut self,
        books: &mut Books,
        want: u64,
        size_if_evictable: &dyn Fn(FrameId) -> Option<u64>,
        victims: &mut Vec<FrameId>,
    ) {
        let mut order = Order::new(want, size_if_evictable, victims);
        let (mut recent, mut main) = (Walk::default(), Walk::default());
        while !order.is_done() {
            let over = recent.bytes(&self.recent) > recent_most(books);
            let next = (recent.next(&self.recent, books), main.next(&self.main, books));
            match next {
                (Some(frame), None) => recent.name(books, frame, &mut order),
                (Some(frame), Some(_)) if over => recent.name(books, frame, &mut order),
                (_, Some(frame)) => main.name(books, frame, &mut order),
                (None, None) => return,
            };
        }
    }

    fn survey(&mut self, books: &mut Books, ahead: u64, want: u64, looked: &mut Vec<FrameId>) {
        let mut found = 0;
        while found < want && self.recent.surveyed() + self.main.surveyed() < ahead {
            let left = self.recent.bytes() - self.recent.surveyed();
            let in_recent = left > recent_most(books) || self.main.unseen(books).is_none();
            let queue = if in_recent { &mut self.recent } else { &mut self.main };
            let Some(frame) = queue.survey(books) else { return };
            looked.push(frame);
            found += books.bytes(frame);
        }
    }

    fn survey_left(&self, books: &Books, ahead: u64) -> u64 {
        if self.recent.unseen(books).or(self.main.unseen(books)).is_none() {
            return 0;
        }
        ahead.saturating_sub(self.recent.surveyed() + self.main.surveyed())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::policy::tests::{Pool, accesses, check_model, missed_after_scan, sweeps};

    proptest! {
        #[test]
        fn it_does_what_the_paper_says(accesses in accesses()) {
            // The oldest first; Am from the least recently used on.
            let (mut a1in, mut a1out, mut am) = (Vec::new(), Vec::new(), Vec::new());
            check_model("2q", 16, &accesses, |page: u32| {
                if let Some(at) = am.iter().position(|known| *known == page) {
                    am.remove(at);
                    am.push(page);
                    return true;
                }
                if a1in.contains(&page) {
                    return true;
                }
                let known = a1out.iter().position(|known| *known == page);
                known.map(|at| a1out.remove(at));
                if a1in.len() + am.len() == 16 {
                    if a1in.len() > 4 || am.is_empty() {
                        a1out.push(a1in.remove(0));
                        a1out.drain(..a1out.len().saturating_sub(8));
                    } else {
                        am.remove(0);
                    }
                }
                if known.is_some() { am.push(page) } else { a1in.push(page) }
                false
            });
        }
    }

    #[test]
    fn what_came_back_survives_a_scan() {
        let mut pool = Pool::new("2q", 100 * 4096);
        // The pages leave A1in, and come back while they are in A1out.
        let hot = |pool: &mut Pool| pool.misses(0..20, true);
        hot(&mut pool);
        pool.misses(500..600, true);
        assert_eq!(hot(&mut pool), 20);
        pool.misses(1000..2000, true);
        assert_eq!(hot(&mut pool), 0);
        assert_eq!(missed_after_scan("2q"), 0);
    }

    #[test]
    fn a_loop_a_little_larger_than_the_pool_is_mostly_hit() {
        let mut pool = Pool::new("2q", 100 * 4096);
        pool.misses(sweeps(110, 20), false);
        assert!(pool.misses(sweeps(110, 10), false) < 110 * 10 / 2);
    }
}
