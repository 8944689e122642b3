//! Our own, for a view in which only faults are seen: a page that is present may be in use all the
//! time or not at all, and the policy is told nothing. What it can learn, it learns from pages that
//! come back.
//!
//! **The clock** is what was filled, in bytes. The *refault distance* of a page is what was filled
//! between its eviction and its return (J. Weiner, "Thrash detection-based file cache sizing",
//! Linux 3.15, 2014, `mm/workingset.c`).
//!
//! **Two queues**, both first in, first out, since nothing is seen that could reorder them. What is
//! new is on *probation*; what has come back while its ghost was remembered may be *protected*
//! (T. Johnson and D. Shasha, 2Q, VLDB 1994; S3-FIFO, SOSP 2023). One new page of 64 is protected
//! without proof, as in BIP (M. K. Qureshi and others, "Adaptive insertion policies for high
//! performance caching", ISCA 2007): so a scan of any length finds a share of its pages again, what
//! was protected long ago makes room in the end, and a little is always known of what becomes of
//! protected pages that leave.
//!
//! **Hazards.** Of the ghosts of each queue we know how often they come back while so much is
//! filled: returns over exposure, which is what one more frame for that queue would save. It
//! answers two questions:
//!
//! - *Who is protected?* Who came back sooner than what would have to leave for it comes back by
//!   the hazard of protected pages (compare S. Jiang and X. Zhang, "LIRS", SIGMETRICS 2002: the
//!   reuse distance of the newcomer against the recency of the oldest resident). In a loop that is
//!   larger than the pool hardly anybody does, and what is protected stays.
//! - *How long is probation?* The share of the queue with the larger hazard grows, as in ARC, and
//!   as MGLRU protects tiers by their refault rates.
//!
//! **A reference.** Nobody tells hits, so no history says whether plain recency would do better.
//! So one page of 16, by its name, is served by recency in a pool of its own, in proportion to what
//! is known of it (sets that duel, ISCA 2007 as above). If these pages fault less than the others
//! by more than chance, everybody is served by recency for a while, and after it for twice as long
//! if it happens again. That bounds what protection can cost where a working set moves on. In a
//! pool of a few hundred pages the sample is a few dozen, and tells less.
//!
//! All of it together needs a stamp of 4 bytes for each frame, besides the links and notes that
//! every policy has, and ghosts for as many bytes as the pool has, of 32 bytes each.

use crate::frames::FrameId;
use crate::page::PageKey;
use crate::policy::ghosts::Ghosts;
use crate::policy::queue::{Order, Queue, Walk};
use crate::policy::refault_distance::duel::Duel;
use crate::policy::refault_distance::hazard::Hazard;
use crate::policy::{Books, Departure, EvictionPolicy};

mod duel;
mod hazard;
#[cfg(test)]
mod tests;

/// The bits of the tag that say in which queue a frame is.
const PLACE: u8 = 3;
const PROBATION: u8 = 0;
const PROTECTED: u8 = 1;
const REFERENCE: u8 = 2;
/// The bit of the tag of a frame that was seen in use.
const TOUCHED: u8 = 4;

/// One new page of so many is protected without proof.
const UNPROVEN: u32 = 64;

/// The clock counts in pages of the smallest size, in 32 bits: what is compared lies less than
/// 8 TiB of fills apart.
const TICK_SHIFT: u32 = 12;

/// The share of the pool that probation begins with, and between which it moves.
const SHARE_FIRST: f64 = 0.1;
const SHARE_LEAST: f64 = 1.0 / 16.0;
const SHARE_MOST: f64 = 15.0 / 16.0;
/// While a pool is filled once, the share moves by this at the most.
const SHARE_SPEED: f64 = 0.75;
/// A hazard counts for the share if, of a pool of ghosts, this part comes back while a pool is
/// filled.
const HAZARD_LEAST: f64 = 0.5;
/// Probation grows if the hazard of protected pages is less than this part of its own.
const HAZARD_RATIO: f64 = 0.8;

/// Protects what comes back soon, as long as that helps.
#[derive(Debug)]
pub struct RefaultDistance {
    probation: Queue,
    protected: Queue,
    reference: Queue,
    /// In one list, by when they left; the count is the queue that they were in. The note is when
    /// they were filled, of protected pages when they left.
    ghosts: Ghosts<1>,
    /// Bytes of the ghosts of each queue.
    ghost_bytes: [u64; 3],
    now: u32,
    fills: u32,
    every_other: bool,
    on_probation: Hazard,
    protection: Hazard,
    /// The share of probation in what is not the reference's.
    share: f64,
    duel: Duel,
    has_evicted: bool,
}

impl Default for RefaultDistance {
    fn default() -> Self {
        Self {
            probation: Queue::default(),
            protected: Queue::default(),
            reference: Queue::default(),
            ghosts: Ghosts::default(),
            ghost_bytes: [0; 3],
            now: 0,
            fills: 0,
            every_other: false,
            on_probation: Hazard::default(),
            protection: Hazard::default(),
            share: SHARE_FIRST,
            duel: Duel::default(),
            has_evicted: false,
        }
    }
}

fn float(bytes: u64) -> f64 {
    // A pool has less than 2^53 bytes.
    bytes as f64
}

/// True if a protected page came back so soon, in parts of the usual time, that it may be one of a
/// chain: in a loop, pages leave in the order in which they are used, and if the first leaves just
/// before its use and is protected again, the next one must leave, just before its use.
fn at_once(parts: f64) -> bool {
    parts < 1.0 / 8.0
}

impl RefaultDistance {
    fn queue(&mut self, books: &Books, frame: FrameId) -> &mut Queue {
        match books.tag(frame) & PLACE {
            PROBATION => &mut self.probation,
            PROTECTED => &mut self.protected,
            _ => &mut self.reference,
        }
    }

    fn place(&mut self, books: &mut Books, frame: FrameId, place: u8) {
        self.queue(books, frame).remove(books, frame);
        books.set_tag(frame, place);
        self.queue(books, frame).push(books, frame);
    }

    /// What the reference may have: as much of the pool as it has of all pages that are known.
    fn reference_most(&self, books: &Books) -> f64 {
        let known = float(self.reference.bytes() + self.ghost_bytes[usize::from(REFERENCE)]);
        let rest = self.probation.bytes() + self.protected.bytes();
        let ghosts = self.ghosts.bytes(0) - self.ghost_bytes[usize::from(REFERENCE)];
        let fair = Duel::SHARE * float(books.capacity());
        let most = float(books.capacity()) * known / (known + float(rest + ghosts)).max(1.0);
        most.clamp(fair / 2.0, fair * 2.0)
    }

    /// What the protected may have.
    fn protected_most(&self, books: &Books) -> f64 {
        if self.duel.is_recency_best() {
            return 0.0;
        }
        (float(books.capacity()) - self.reference_most(books)) * (1.0 - self.share)
    }

    /// Which queue should give up a page next when they have so many bytes, by what is theirs.
    fn longest(&self, books: &Books, protected: u64, reference: u64) -> [u8; 3] {
        if float(reference) > self.reference_most(books) {
            [REFERENCE, PROBATION, PROTECTED]
        } else if float(protected) > self.protected_most(books) {
            [PROTECTED, PROBATION, REFERENCE]
        } else {
            [PROBATION, PROTECTED, REFERENCE]
        }
    }

    /// True if a page that comes back is to be protected.
    fn comes_soon(&mut self, page: PageKey, bytes: u64) -> bool {
        let Some(ghost) = self.ghosts.take(page) else { return false };
        self.ghost_bytes[usize::from(ghost.count)] -= ghost.bytes();
        let since = float(u64::from(self.now.wrapping_sub(ghost.note)) << TICK_SHIFT);
        let rate = self.protection.rate();
        match ghost.count {
            PROBATION => {
                self.on_probation.note(float(bytes));
                since * rate < 1.0
            }
            PROTECTED => {
                self.protection.note(float(bytes));
                // Nobody knows when it was used last. If that is at any moment between two uses,
                // the time between them is twice what it was away.
                let soon = 2.0 * since * rate < 1.0;
                if at_once(since * rate) {
                    self.every_other = !self.every_other;
                    return soon && self.every_other;
                }
                soon
            }
            _ => since * rate < 1.0,
        }
    }

    /// So many bytes were filled: the clock goes on.
    fn pass(&mut self, books: &Books, bytes: u64) {
        let step = float(bytes) / float(books.capacity().max(bytes));
        let [probation, protected, _] = self.ghost_bytes;
        self.on_probation.pass(step, float(probation) * float(bytes));
        self.protection.pass(step, float(protected) * float(bytes));
        let ticks = u32::try_from(bytes >> TICK_SHIFT).expect("a page has less than 16 TiB");
        self.now = self.now.wrapping_add(ticks);
        self.fills = (self.fills + 1) % UNPROVEN;
    }

    fn adapt(&mut self, books: &Books, bytes: u64) {
        let capacity = float(books.capacity().max(bytes));
        let probation = self.on_probation.rate() * capacity;
        let protected = self.protection.rate() * capacity;
        let step = SHARE_SPEED * float(bytes) / capacity;
        if protected < HAZARD_RATIO * probation && HAZARD_LEAST < probation {
            self.share += step;
        } else if probation < protected && HAZARD_LEAST < protected {
            self.share -= step;
        }
        self.share = self.share.clamp(SHARE_LEAST, SHARE_MOST);
    }

    fn trim(&mut self, books: &Books) {
        while self.ghosts.bytes(0) > books.capacity() {
            let Some(ghost) = self.ghosts.take_oldest(0) else { return };
            self.ghost_bytes[usize::from(ghost.count)] -= ghost.bytes();
        }
    }

    /// Goes on in one queue to the next victim; false if there is none. What was seen in use moves
    /// on, or round again.
    fn sift(
        &mut self,
        books: &mut Books,
        place: u8,
        walk: &mut Walk,
        order: &mut Order<'_>,
    ) -> bool {
        loop {
            let queue = match place {
                PROBATION => &self.probation,
                PROTECTED => &self.protected,
                _ => &self.reference,
            };
            let Some(frame) = walk.next(queue, books) else { return false };
            if books.tag(frame) & TOUCHED != 0 {
                self.place(books, frame, PROTECTED);
            } else if walk.name(books, frame, order) {
                return true;
            }
        }
    }
}

impl EvictionPolicy for RefaultDistance {
    fn name(&self) -> &'static str {
        "refault-distance"
    }

    fn on_filled(&mut self, books: &mut Books, frame: FrameId, page: PageKey) {
        let bytes = books.bytes(frame);
        let referred = self.duel.is_reference(page);
        if self.has_evicted {
            self.duel.note(referred, float(bytes), float(books.capacity()));
        }
        self.pass(books, bytes);
        let soon = self.comes_soon(page, bytes);
        self.adapt(books, bytes);
        let full = float(self.probation.bytes()) >= self.share * float(books.capacity());
        let unproven = self.fills == 0 || (!self.has_evicted && full);
        let place = if referred {
            REFERENCE
        } else if !self.duel.is_recency_best() && (soon || unproven) {
            PROTECTED
        } else {
            PROBATION
        };
        books.set_tag(frame, place);
        books.set_stamp(frame, self.now);
        self.queue(books, frame).push(books, frame);
        self.trim(books);
    }

    fn on_touched(&mut self, books: &mut Books, frame: FrameId) {
        if !books.links.contains(frame) {
            return;
        }
        if books.tag(frame) & PLACE == REFERENCE || self.duel.is_recency_best() {
            self.queue(books, frame).renew(books, frame);
        } else {
            books.set_tag(frame, books.tag(frame) | TOUCHED);
        }
    }

    fn on_gone(&mut self, books: &mut Books, frame: FrameId, page: PageKey, why: Departure) {
        if !books.links.contains(frame) {
            return;
        }
        self.queue(books, frame).remove(books, frame);
        if why == Departure::Freed {
            return;
        }
        self.has_evicted = true;
        self.on_forgotten(page);
        let (place, bytes) = (books.tag(frame) & PLACE, books.bytes(frame));
        let note = if place == PROTECTED { self.now } else { books.stamp(frame) };
        self.ghosts.add(0, page, bytes, note, place);
        self.ghost_bytes[usize::from(place)] += bytes;
    }

    fn on_forgotten(&mut self, page: PageKey) {
        if let Some(ghost) = self.ghosts.take(page) {
            self.ghost_bytes[usize::from(ghost.count)] -= ghost.bytes();
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
        let mut walks: [Walk; 3] = Default::default();
        while !order.is_done() {
            let protected = walks[usize::from(PROTECTED)].bytes(&self.protected);
            let reference = walks[usize::from(REFERENCE)].bytes(&self.reference);
            let places = self.longest(books, protected, reference);
            let mut found = false;
            for place in places {
                found =
                    found || self.sift(books, place, &mut walks[usize::from(place)], &mut order);
            }
            // What was touched may have joined the protected meanwhile.
            if !found && walks[usize::from(PROTECTED)].next(&self.protected, books).is_none() {
                return;
            }
        }
    }

    fn survey(&mut self, books: &mut Books, ahead: u64, want: u64, looked: &mut Vec<FrameId>) {
        let mut found = 0;
        while found < want && self.surveyed() < ahead {
            let protected = self.protected.bytes() - self.protected.surveyed();
            let reference = self.reference.bytes() - self.reference.surveyed();
            let places = self.longest(books, protected, reference);
            let mut next = None;
            for place in places {
                next = next.or_else(|| match place {
                    PROBATION => self.probation.survey(books),
                    PROTECTED => self.protected.survey(books),
                    _ => self.reference.survey(books),
                });
            }
            let Some(frame) = next else { return };
            if books.tag(frame) & TOUCHED == 0 {
                looked.push(frame);
                found += books.bytes(frame);
            }
        }
    }

    fn survey_left(&self, books: &Books, ahead: u64) -> u64 {
        let queues = [&self.probation, &self.protected, &self.reference];
        if queues.iter().all(|queue| queue.unseen(books).is_none()) {
            return 0;
        }
        ahead.saturating_sub(self.surveyed())
    }
}

impl RefaultDistance {
    fn surveyed(&self) -> u64 {
        self.probation.surveyed() + self.protected.surveyed() + self.reference.surveyed()
    }
}
