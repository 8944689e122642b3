//! Which pages should leave next. One algorithm per file; a new one is a new file and one line in
//! [`by_name`].

use crate::frames::FrameId;
use crate::page::PageKey;

mod arc;
mod books;
mod clock;
mod ghosts;
mod lru;
mod queue;
mod refault_distance;
mod s3_fifo;
mod sieve;
mod sketch;
#[cfg(test)]
mod tests;
mod two_q;
mod w_tiny_lfu;

pub use arc::Arc;
pub use books::Books;
pub use clock::Clock;
pub use lru::Lru;
pub use refault_distance::RefaultDistance;
pub use s3_fifo::S3Fifo;
pub use sieve::Sieve;
pub use two_q::TwoQ;
pub use w_tiny_lfu::WTinyLfu;

/// Why a page leaves its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Departure {
    /// Its room is needed. It may come back.
    Evicted,
    /// Its object is no more.
    Freed,
}

/// Proposes victims. It keeps its own books and never touches a page; the mechanism checks every
/// name again, so a poor policy can waste work but cannot break a rule.
///
/// Only faults are seen here, never hits: a page that is present costs its users nothing, not
/// even a note to the policy.
pub trait EvictionPolicy: Send + std::fmt::Debug {
    /// The name an operator selects it by.
    fn name(&self) -> &'static str;

    /// `frame` now holds `page`. It was [entered](Books::enter) a moment ago.
    ///
    /// A page whose eviction was called off comes back this way as well.
    fn on_filled(&mut self, books: &mut Books, frame: FrameId, page: PageKey);

    /// A thread waits for `page`, which is in no frame. It is said before room is asked for on its
    /// behalf, once or more often, or not at all, for example of a page that is brought unasked.
    fn on_missed(&mut self, _books: &mut Books, _page: PageKey) {}

    /// Somebody was seen to use `frame`: it faulted though it is present, or was touched on
    /// request. The policy may not know it any more.
    fn on_touched(&mut self, books: &mut Books, frame: FrameId);

    /// `page` leaves `frame`. Always called before the number of the frame is used again, and
    /// perhaps more than once.
    fn on_gone(&mut self, books: &mut Books, frame: FrameId, page: PageKey, departure: Departure);

    /// `page` is in no frame, and never comes back: its object is no more. Its name may stand for
    /// another page from here on.
    fn on_forgotten(&mut self, _page: PageKey) {}

    /// Appends victims to `victims`, best first, until they add up to `want` bytes.
    ///
    /// `size_if_evictable` gives the bytes a frame would free, or `None` if it must stay. Not all
    /// that is proposed is taken: [`Self::on_gone`] says what was.
    fn propose(
        &mut self,
        books: &mut Books,
        want: u64,
        size_if_evictable: &dyn Fn(FrameId) -> Option<u64>,
        victims: &mut Vec<FrameId>,
    );

    /// Appends the frames that would leave next and were not looked at since they became so cold,
    /// `want` bytes of them or a little more; none once `ahead` bytes were looked at and are still
    /// there. The cleaner asks. A policy that cannot tell is served without one.
    fn survey(&mut self, _books: &mut Books, _ahead: u64, _want: u64, _looked: &mut Vec<FrameId>) {}

    /// How many bytes, about, [`Self::survey`] could still append. Constant time.
    fn survey_left(&self, _books: &Books, _ahead: u64) -> u64 {
        0
    }
}

/// The policy of a daemon that was not told otherwise.
pub const DEFAULT: &str = "lru";

/// The names that [`by_name`] knows.
pub const NAMES: &[&str] =
    &["lru", "clock", "2q", "arc", "sieve", "s3-fifo", "w-tinylfu", "refault-distance"];

/// The policy of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<Box<dyn EvictionPolicy>> {
    match name {
        "lru" => Some(Box::<Lru>::default()),
        "clock" => Some(Box::<Clock>::default()),
        "2q" => Some(Box::<TwoQ>::default()),
        "arc" => Some(Box::<Arc>::default()),
        "sieve" => Some(Box::<Sieve>::default()),
        "s3-fifo" => Some(Box::<S3Fifo>::default()),
        "w-tinylfu" => Some(Box::<WTinyLfu>::default()),
        "refault-distance" => Some(Box::<RefaultDistance>::default()),
        _ => None,
    }
}
