//! What came of many threads that met on one page, as the JSON and the table show it.

use serde::Serialize;

use crate::latency::Percentiles;
use crate::mismatch::Mismatches;
use crate::orders::RushFigures;

/// Sums over all rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Rush {
    pub(crate) threads: u32,
    pub(crate) rounds: u32,
    pub(crate) page_bytes: u64,
    /// Times that the page was filled: once in each round.
    pub(crate) fills: u64,
    /// The most of one round.
    pub(crate) fills_max: u64,
    /// Fault events on the page, as the daemon counts them.
    pub(crate) faults: u64,
    /// Those that caused no fill.
    pub(crate) coalesced: u64,
    /// Times that the page was evicted again while threads met on it.
    pub(crate) evictions: u64,
    /// Reads that were refused.
    pub(crate) errors: u64,
    pub(crate) bytes_verified: u64,
    /// Of each thread, from the start signal until it had read the page.
    pub(crate) read_us: Percentiles,
    #[serde(skip)]
    pub(crate) mismatches: Mismatches,
}

impl Rush {
    /// What the threads saw in all rounds.
    pub(crate) fn new(threads: u32, rounds: u32, page_bytes: u64, figures: RushFigures) -> Rush {
        let RushFigures { first_read, faults, fills, fills_max, evictions, .. } = figures;
        Rush {
            threads,
            rounds,
            page_bytes,
            fills,
            fills_max,
            faults,
            coalesced: faults.saturating_sub(fills),
            evictions,
            errors: figures.errors,
            bytes_verified: figures.bytes,
            read_us: first_read.percentiles(),
            mismatches: figures.mismatches,
        }
    }

    /// The rules that were broken, as sentences.
    pub(super) fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let Rush { threads, rounds, fills, evictions, errors, .. } = self;
        let least = u64::from(*rounds);
        if !(least..=least + evictions).contains(fills) {
            broken
                .push(format!("{threads} threads on one page, {rounds} times, took {fills} fills"));
        }
        if 0 < *errors {
            broken.push(format!("{errors} reads of a page that many threads met on were refused"));
        }
        if 0 < self.mismatches.bytes {
            let wrong = self.mismatches.bytes;
            broken.push(format!("{wrong} bytes of a page that many threads met on were wrong"));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rush(fills: u64) -> Rush {
        Rush::new(64, 3, 4096, RushFigures { faults: 100, fills, ..RushFigures::none() })
    }

    #[test]
    fn one_fill_a_round_breaks_no_rule() {
        assert_eq!(rush(3).broken(), Vec::<String>::new());
        assert_eq!(rush(3).coalesced, 97);
    }

    #[test]
    fn a_page_cannot_be_filled_twice_in_a_round_nor_appear_by_itself() {
        assert_eq!(rush(4).broken().len(), 1);
        assert_eq!(rush(2).broken().len(), 1);
    }

    #[test]
    fn a_page_that_was_evicted_meanwhile_is_filled_again() {
        assert!(Rush { evictions: 1, ..rush(4) }.broken().is_empty());
    }

    #[test]
    fn a_refused_read_breaks_a_rule() {
        assert_eq!(Rush { errors: 1, ..rush(3) }.broken().len(), 1);
    }
}
