//! How good the guesses were, from a sample.
//!
//! A page that is present and installed is used without anybody noticing. So one in so many of the
//! pages that nobody asked for is *watched*: it is brought like the others, but not installed. Its
//! first use is a fault, which only installs it, and counts it as used; if it is evicted or freed
//! before, it was wasted. The price is one short fault for 64 pages brought, and for 1024 where
//! the guesses prove good.

use std::collections::BTreeMap;

use bo_units::MappingId;

use super::Cause;
use crate::page::PageKey;

/// Samples that are judged together. Three of them must agree.
const VOTES: u8 = 4;

/// The most often that extents are halved: from 64 KiB to 4 KiB, but never below two pages, or
/// nothing would be left to learn from.
const HALVINGS_MAX: u8 = 4;

/// The most often that the distance between samples doubles: from one in 64 to one in 1024.
const PERIOD_DOUBLINGS_MAX: u8 = 4;

/// How well the guesses of one mapping do, and which of its pages are watched.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Accuracy {
    /// Pages brought since the last one that was watched.
    since: u16,
    period_doublings: u8,
    used: u8,
    wasted: u8,
    halvings: u8,
}

/// What a judgement does to the extents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// They are halved.
    Halved,
    /// They are doubled again.
    Doubled,
}

impl Accuracy {
    /// So many pages come that nobody asked for; gives the number of the one to watch, if one is.
    pub(crate) fn choose(&mut self, unasked: u32, every: u16) -> Option<u32> {
        let last = unasked.checked_sub(1)?;
        let period = u32::from(every.max(1)) << self.period_doublings;
        let since = u32::from(self.since);
        if since + unasked < period {
            self.since = u16::try_from(since + unasked).unwrap_or(u16::MAX);
            return None;
        }
        // The period may have become shorter meanwhile: then the first of them is the one. Those
        // that come behind it are counted towards the next.
        let chosen = period.saturating_sub(since + 1).min(last);
        self.since = u16::try_from((last - chosen).min(period - 1)).unwrap_or(u16::MAX);
        Some(chosen)
    }

    /// A watched page was used, or was not.
    pub(crate) fn judge(&mut self, used: bool) -> Option<Change> {
        if used {
            self.period_doublings = (self.period_doublings + 1).min(PERIOD_DOUBLINGS_MAX);
            self.used += 1;
        } else {
            self.period_doublings = 0;
            self.wasted += 1;
        }
        if self.used + self.wasted < VOTES {
            return None;
        }
        let (used, wasted) = (self.used, self.wasted);
        (self.used, self.wasted) = (0, 0);
        if wasted > VOTES / 2 && self.halvings < HALVINGS_MAX {
            self.halvings += 1;
            return Some(Change::Halved);
        }
        if used > VOTES / 2 && self.halvings > 0 {
            self.halvings -= 1;
            return Some(Change::Doubled);
        }
        None
    }

    /// An extent of so many pages, halved as often as the guesses were bad: two pages at least,
    /// if it was more than one.
    pub(crate) fn shrink(&self, pages: u64) -> u64 {
        (pages >> self.halvings).max(pages.min(2))
    }
}

/// A page that is watched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Why it came.
    pub(crate) cause: Cause,
    /// Whose guess it was. `None`: a client's.
    pub(crate) mapping: Option<MappingId>,
}

/// All pages that are watched and not yet judged.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<PageKey, Sample>);

impl Samples {
    pub(crate) fn add(&mut self, key: PageKey, sample: Sample) {
        assert!(self.0.insert(key, sample).is_none(), "a page comes once");
    }

    pub(crate) fn take(&mut self, key: PageKey) -> Option<Sample> {
        self.0.remove(&key)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PageKey, &Sample)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_page_in_so_many_is_watched() {
        let mut accuracy = Accuracy::default();
        let mut watched = Vec::new();
        for run in 0..64 {
            watched.extend(accuracy.choose(15, 64).map(|at| run * 15 + at));
        }
        assert_eq!(watched.first(), Some(&63));
        assert!((13..=15).contains(&watched.len()), "{watched:?}");
    }

    #[test]
    fn where_guesses_are_good_fewer_pages_are_watched() {
        let mut accuracy = Accuracy::default();
        for _ in 0..10 {
            accuracy.judge(true);
        }
        let watched = (0..1024).filter(|_| accuracy.choose(1, 64).is_some()).count();
        assert_eq!(watched, 1);
        accuracy.judge(false);
        let watched = (0..1024).filter(|_| accuracy.choose(1, 64).is_some()).count();
        assert_eq!(watched, 16);
    }

    #[test]
    fn bad_guesses_halve_the_extents_and_good_ones_bring_them_back() {
        let mut accuracy = Accuracy::default();
        let judge = |accuracy: &mut Accuracy, used: bool, count: usize| {
            (0..count).filter_map(|_| accuracy.judge(used)).collect::<Vec<_>>()
        };
        assert_eq!(accuracy.shrink(16), 16);
        assert_eq!(judge(&mut accuracy, false, 4), [Change::Halved]);
        assert_eq!(accuracy.shrink(16), 8);
        assert_eq!(judge(&mut accuracy, false, 40), [Change::Halved; 3]);
        assert_eq!((accuracy.shrink(16), accuracy.shrink(64), accuracy.shrink(1)), (2, 4, 1));
        assert_eq!(judge(&mut accuracy, true, 8), [Change::Doubled; 2]);
        assert_eq!(accuracy.shrink(16), 4);
        assert_eq!(judge(&mut accuracy, true, 40), [Change::Doubled; 2]);
        assert_eq!(accuracy.shrink(16), 16);
    }

    #[test]
    fn a_tie_changes_nothing() {
        let mut accuracy = Accuracy::default();
        let changes = (0..40).filter_map(|at| accuracy.judge(at % 2 == 0)).count();
        assert_eq!(changes, 0);
    }

    proptest! {
        #[test]
        fn who_is_watched_is_among_those_who_came(
            runs in proptest::collection::vec((0_u32..100, any::<Option<bool>>()), 0..100),
            every in 0_u16..100,
        ) {
            let mut accuracy = Accuracy::default();
            for (unasked, outcome) in runs {
                if let Some(at) = accuracy.choose(unasked, every) {
                    prop_assert!(at < unasked);
                }
                if let Some(used) = outcome {
                    accuracy.judge(used);
                }
            }
        }
    }
}
