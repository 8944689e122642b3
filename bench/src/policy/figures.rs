//! What a policy did with a trace, in numbers.

use serde::Serialize;

use crate::policy::trace::Trace;

/// Figures of one policy in one pool. The names of the fields are keys of the JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// Accesses to pages that were not there.
    pub(crate) misses: u64,
    /// They, as a part of all accesses.
    pub(crate) miss_ratio: f64,
    /// Misses of pages that had been there before.
    pub(crate) refaults: u64,
    /// Pages evicted.
    pub(crate) evictions: u64,
    /// Bytes brought in.
    pub(crate) filled_bytes: u64,
    /// Bytes of evicted pages that had been written to since they were last copied out.
    pub(crate) dirty_bytes: u64,
    /// Both together.
    pub(crate) moved_bytes: u64,
    /// Misses in the second half of the trace, when the pool has long been full.
    #[serde(skip)]
    pub(crate) late_misses: u64,
    #[serde(skip)]
    accesses: u64,
}

impl Figures {
    pub(crate) fn new(trace: &Trace) -> Figures {
        let accesses = crate::sizes::as_u64(trace.accesses.len());
        Figures { accesses, ..Figures::default() }
    }

    /// The access of this number has missed.
    pub(crate) fn miss(&mut self, at: usize, again: bool, page_bytes: u64) {
        self.misses += 1;
        self.refaults += u64::from(again);
        self.late_misses += u64::from(crate::sizes::as_u64(at) >= self.accesses / 2);
        self.filled_bytes += page_bytes;
        self.moved_bytes += page_bytes;
        self.miss_ratio = self.misses as f64 / self.accesses as f64;
    }

    pub(crate) fn evict(&mut self, dirty: bool, page_bytes: u64) {
        self.evictions += 1;
        if dirty {
            self.dirty_bytes += page_bytes;
            self.moved_bytes += page_bytes;
        }
    }
}
