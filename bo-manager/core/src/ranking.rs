//! The policy with its books: in which order pages should leave.

use crate::frames::FrameId;
use crate::page::PageKey;
use crate::policy::{self, Books, Departure, EvictionPolicy};

/// One policy, and what it goes by.
#[derive(Debug)]
pub(crate) struct Ranking {
    policy: Box<dyn EvictionPolicy>,
    books: Books,
}

impl Ranking {
    /// By the policy of this name, if there is one.
    pub(crate) fn by_name(name: &str, capacity: u64) -> Option<Self> {
        Some(Self::new(policy::by_name(name)?, capacity))
    }

    pub(crate) fn new(policy: Box<dyn EvictionPolicy>, capacity: u64) -> Self {
        Self { policy, books: Books::new(capacity) }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.policy.name()
    }

    /// A frame of so many bytes now holds this page.
    pub(crate) fn filled(&mut self, frame: FrameId, page: PageKey, bytes: u64) {
        self.books.enter(frame, bytes);
        self.policy.on_filled(&mut self.books, frame, page);
    }

    /// A thread waits for this page, which is in no frame.
    pub(crate) fn missed(&mut self, page: PageKey) {
        self.policy.on_missed(&mut self.books, page);
    }

    /// The page, which is in no frame, never comes back.
    pub(crate) fn forgotten(&mut self, page: PageKey) {
        self.policy.on_forgotten(page);
    }

    /// The page in this frame was seen to be used.
    pub(crate) fn touched(&mut self, frame: FrameId) {
        self.policy.on_touched(&mut self.books, frame);
    }

    /// The page leaves this frame, or did before.
    pub(crate) fn gone(&mut self, frame: FrameId, page: PageKey, departure: Departure) {
        self.policy.on_gone(&mut self.books, frame, page, departure);
    }

    /// Appends victims, best first, until they add up to `want` bytes.
    pub(crate) fn propose(
        &mut self,
        want: u64,
        size_if_evictable: &dyn Fn(FrameId) -> Option<u64>,
        victims: &mut Vec<FrameId>,
    ) {
        self.policy.propose(&mut self.books, want, size_if_evictable, victims);
    }

    /// Appends frames that would leave next and were not looked at yet.
    pub(crate) fn survey(&mut self, ahead: u64, want: u64, looked: &mut Vec<FrameId>) {
        self.policy.survey(&mut self.books, ahead, want, looked);
    }

    /// How many bytes, about, [`Self::survey`] could still append.
    pub(crate) fn survey_left(&self, ahead: u64) -> u64 {
        self.policy.survey_left(&self.books, ahead)
    }
}
