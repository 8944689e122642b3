//! Whether plain recency would do better, by a sample of pages that is served by it.

use crate::page::PageKey;
use crate::policy::ghosts::mix;

/// One page of so many is in the sample.
const PART: u64 = 16;
/// A trial lasts until so many pools were filled, and begins when one was, so that the sample has
/// its own pages.
const TRIAL_LEAST: f64 = 2.0;
/// What lies further back than so many pools counts half. Then the sample changes too: in a small
/// pool it may be unlike the others.
const MEMORY: f64 = 32.0;
/// Recency is better if it is so by this many standard deviations,
const SURE: f64 = 3.0;
/// and by this part of all faults.
const MARGIN: f64 = 0.02;
/// Then all pages are served by it while so many pools are filled, doubled each time,
const REST_FIRST: f64 = 32.0;
/// up to this many.
const REST_MOST: f64 = 256.0;

/// Counts the faults of both sides.
#[derive(Debug)]
pub(super) struct Duel {
    /// Bytes filled in the sample, as many times as it is smaller, less those of the others.
    lead: f64,
    /// The variance of the lead if both sides are as good.
    variance: f64,
    /// Bytes filled since the trial began.
    filled: f64,
    /// Pools that are still to be filled before it begins.
    warm_up: f64,
    /// Pools that are still to be filled by recency.
    rest: f64,
    rest_next: f64,
    /// How often the sample has changed.
    trials: u64,
}

impl Default for Duel {
    fn default() -> Self {
        Self {
            lead: 0.0,
            variance: 0.0,
            filled: 0.0,
            warm_up: 1.0,
            rest: 0.0,
            rest_next: REST_FIRST,
            trials: 0,
        }
    }
}

impl Duel {
    /// The part of all pages that is in the sample.
    pub(super) const SHARE: f64 = 1.0 / 16.0;

    /// True if this page is in the sample.
    pub(super) fn is_reference(&self, page: PageKey) -> bool {
        (mix(page) >> (32 + 4 * (self.trials % 8))).is_multiple_of(PART)
    }

    /// True while all pages are to be served by recency.
    pub(super) fn is_recency_best(&self) -> bool {
        self.rest > 0.0
    }

    /// So many bytes were filled for one page.
    pub(super) fn note(&mut self, is_reference: bool, bytes: f64, capacity: f64) {
        let pools = bytes / capacity.max(bytes);
        if self.rest > 0.0 {
            self.rest -= pools;
            return;
        }
        if self.warm_up > 0.0 {
            self.warm_up -= pools;
            return;
        }
        let others = 1.0 / Self::SHARE - 1.0;
        self.lead += if is_reference { others * bytes } else { -bytes };
        self.variance += others * bytes * bytes;
        self.filled += bytes;
        if self.filled > MEMORY * capacity {
            for sum in [&mut self.lead, &mut self.variance, &mut self.filled] {
                *sum /= 2.0;
            }
            self.trials = self.trials.wrapping_add(1);
            self.warm_up = 1.0;
        }
        if self.filled < TRIAL_LEAST * capacity {
            return;
        }
        let chance = SURE * self.variance.sqrt();
        if self.lead < -chance - MARGIN * self.filled {
            let rest_next = (2.0 * self.rest_next).min(REST_MOST);
            let trials = self.trials.wrapping_add(1);
            *self = Self { rest: self.rest_next, rest_next, trials, ..Self::default() };
        } else if chance < self.lead {
            self.rest_next = REST_FIRST;
        }
    }
}
