//! S3-FIFO: J. Yang, Y. Zhang, Z. Qiu, Y. Yue and K. V. Rashmi, "FIFO queues are all you need for
//! cache eviction", SOSP 2023.
//!
//! A small queue, a tenth of the pool, sieves out what is not used again soon; the main queue is a
//! CLOCK with a counter of up to three; what left the small queue is remembered by as many ghosts
//! as the main queue has pages, and goes to the main queue when it comes back. A page moves from
//! the small to the main queue if it was touched twice there, and the small queue is the one that
//! gives way while the main queue has its share or less.
//!
//! Until the first page is evicted, what does not fit into the small queue goes to the main one.
//! The paper is silent on how an empty pool fills; this is what its authors' libCacheSim does. The
//! counter is not capped at three where a touch raises it, but where the hand reads it; that makes
//! no difference.
//!
//! When only faults are seen it is 2Q with a FIFO for Am.

use crate::frames::FrameId;
use crate::page::PageKey;
use crate::policy::books::floor;
use crate::policy::ghosts::Ghosts;
use crate::policy::queue::{Order, Queue, Walk};
use crate::policy::{Books, Departure, EvictionPolicy};

/// The bits of the tag that count touches, up to three.
const TOUCHES: u8 = 3;
/// The bit of the tag of a frame in the main queue.
const MAIN: u8 = 4;
/// So many touches in the small queue make a page move to the main one.
const PROMOTES: u8 = 2;

/// Lets what is new prove itself in a small queue.
#[derive(Debug, Default)]
pub struct S3Fifo {
    small: Queue,
    main: Queue,
    ghosts: Ghosts<1>,
    has_evicted: bool,
}

fn small_most(books: &Books) -> u64 {
    floor(books.capacity() / 10)
}

fn main_most(books: &Books) -> u64 {
    floor(books.capacity()) - small_most(books)
}

/// Nine tenths.
fn ghosts_most(books: &Books) -> u64 {
    floor(books.capacity() - books.capacity().div_ceil(10))
}

impl S3Fifo {
    fn queue(&mut self, books: &Books, frame: FrameId) -> &mut Queue {
        if books.tag(frame) & MAIN == 0 { &mut self.small } else { &mut self.main }
    }

    /// Goes on in the small queue to the next victim; false if there is none.
    fn sift_small(&mut self, books: &mut Books, walk: &mut Walk, order: &mut Order) -> bool {
        while let Some(frame) = walk.next(&self.small, books) {
            let tag = books.tag(frame);
            if tag & TOUCHES >= PROMOTES {
                self.small.remove(books, frame);
                books.set_tag(frame, MAIN);
                self.main.push(books, frame);
            } else if walk.name(books, frame, order) {
                return true;
            }
        }
        false
    }

    /// The same in the main queue.
    fn sift_main(&mut self, books: &mut Books, walk: &mut Walk, order: &mut Order) -> bool {
        while let Some(frame) = walk.next(&self.main, books) {
            let tag = books.tag(frame);
            if tag & TOUCHES > 0 {
                books.set_tag(frame, tag - 1);
                self.main.renew(books, frame);
            } else if walk.name(books, frame, order) {
                return true;
            }
        }
        false
    }
}

impl EvictionPolicy for S3Fifo {
    fn name(&self) -> &'static str {
        "s3-fifo"
    }

    fn on_filled(&mut self, books: &mut Books, frame: FrameId, page: PageKey) {
        let known = self.ghosts.take(page).is_some();
        let first = !self.has_evicted && self.small.bytes() >= small_most(books);
        if known || first {
            books.set_tag(frame, MAIN);
        }
        self.queue(books, frame).push(books, frame);
        while self.ghosts.bytes(0) > ghosts_most(books) {
            self.ghosts.take_oldest(0);
        }
    }

    fn on_touched(&mut self, books: &mut Books, frame: FrameId) {
        let tag = books.links.contains(frame).then(|| books.tag(frame));
        if let Some(tag) = tag.filter(|tag| tag & TOUCHES < TOUCHES) {
            books.set_tag(frame, tag + 1);
        }
    }

    fn on_gone(&mut self, books: &mut Books, frame: FrameId, page: PageKey, why: Departure) {
        if !books.links.contains(frame) {
            return;
        }
        self.queue(books, frame).remove(books, frame);
        if why == Departure::Evicted {
            self.has_evicted = true;
            if books.tag(frame) & MAIN == 0 {
                self.ghosts.add(0, page, books.bytes(frame), 0, 0);
            }
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
        let (mut small, mut main) = (Walk::default(), Walk::default());
        while !order.is_done() {
            let over = main.bytes(&self.main) > main_most(books);
            let mut found = false;
            for in_main in [over, !over] {
                found = found
                    || if in_main {
                        self.sift_main(books, &mut main, &mut order)
                    } else {
                        self.sift_small(books, &mut small, &mut order)
                    };
            }
            // What was touched in the small queue may have come to the main one meanwhile.
            if !found && main.next(&self.main, books).is_none() {
                return;
            }
        }
    }

    fn survey(&mut self, books: &mut Books, ahead: u64, want: u64, looked: &mut Vec<FrameId>) {
        let mut found = 0;
        while found < want && self.small.surveyed() + self.main.surveyed() < ahead {
            let over = self.main.bytes() - self.main.surveyed() > main_most(books);
            let in_small = match (self.small.unseen(books), self.main.unseen(books)) {
                (Some(_), None) => true,
                (Some(_), Some(_)) => !over,
                (None, Some(_)) => false,
                (None, None) => return,
            };
            let (queue, stays) =
                if in_small { (&mut self.small, PROMOTES) } else { (&mut self.main, 1) };
            let Some(frame) = queue.survey(books) else { return };
            if books.tag(frame) & TOUCHES < stays {
                looked.push(frame);
                found += books.bytes(frame);
            }
        }
    }

    fn survey_left(&self, books: &Books, ahead: u64) -> u64 {
        if self.small.unseen(books).or(self.main.unseen(books)).is_none() {
            return 0;
        }
        ahead.saturating_sub(self.small.surveyed() + self.main.surveyed())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::policy::tests::{Pool, accesses, check_model, missed_after_scan, sweeps};

    /// Two queues with counts, and ghosts; the oldest first.
    #[derive(Default)]
    struct Model {
        small: Vec<(u32, u8)>,
        main: Vec<(u32, u8)>,
        ghosts: Vec<u32>,
        has_evicted: bool,
    }

    impl Model {
        /// Of 20 pages.
        fn evict(&mut self) {
            self.has_evicted = true;
            let in_small = self.main.len() <= 18 && !self.small.is_empty();
            if in_small {
                while let Some((page, touches)) =
                    (!self.small.is_empty()).then(|| self.small.remove(0))
                {
                    if touches < 2 {
                        self.ghosts.push(page);
                        self.ghosts.drain(..self.ghosts.len().saturating_sub(18));
                        return;
                    }
                    self.main.push((page, 0));
                }
                return;
            }
            loop {
                let (page, touches) = self.main.remove(0);
                if touches == 0 {
                    return;
                }
                self.main.push((page, touches - 1));
            }
        }

        fn access(&mut self, page: u32) -> bool {
            let mut all = self.small.iter_mut().chain(&mut self.main);
            if let Some((_, touches)) = all.find(|known| known.0 == page) {
                *touches = (*touches + 1).min(3);
                return true;
            }
            let known = self.ghosts.iter().position(|known| *known == page);
            known.map(|at| self.ghosts.remove(at));
            while self.small.len() + self.main.len() == 20 {
                self.evict();
            }
            let early = !self.has_evicted && self.small.len() >= 2;
            if known.is_some() || early { &mut self.main } else { &mut self.small }.push((page, 0));
            false
        }
    }

    proptest! {
        #[test]
        fn it_does_what_the_paper_says(accesses in accesses()) {
            let mut model = Model::default();
            check_model("s3-fifo", 20, &accesses, |page| model.access(page));
        }
    }

    #[test]
    fn a_scan_passes_the_main_queue_by() {
        assert_eq!(missed_after_scan("s3-fifo"), 0);
    }

    #[test]
    fn a_loop_larger_than_the_pool_is_partly_hit() {
        let mut pool = Pool::new("s3-fifo", 100 * 4096);
        pool.misses(sweeps(150, 10), false);
        assert!(pool.misses(sweeps(150, 10), false) < 150 * 10 * 2 / 3);
    }
}
