//! How often pages were seen, about: a count-min sketch that ages.
//!
//! G. Cormode and S. Muthukrishnan, "An improved data stream summary: the count-min sketch and its
//! applications", Journal of Algorithms 55(1), 2005, with counters of four bits; the four of one
//! page are in one word, so that a look costs one cache line. It is halved over and over, as
//! W-TinyLFU wants it, but one word at a time and not all at once under the lock. It grows with the
//! number of frames: a new word begins as a copy of the one that its pages were in, so that every
//! estimate stays an upper bound.

use crate::chunked::Chunked;
use crate::page::PageKey;
use crate::policy::ghosts::{bucket, mix};

/// One counter in each group of four takes part for each page.
const ROWS: u32 = 4;
const COUNT_MAX: u64 = 15;
/// Each word is halved once while so many pages are seen for each word: ten for each frame, as the
/// authors of W-TinyLFU advise.
const PERIOD: u32 = 10;

/// Eight bytes for each frame.
#[derive(Debug, Default)]
pub(crate) struct Sketch {
    words: Chunked<u64>,
    /// The word that is halved next.
    age: usize,
    /// Pages that were seen since one was.
    seen: u32,
}

/// Where the counter of this row begins in the word.
fn shift(hash: u32, row: u32) -> u32 {
    16 * row + 4 * ((hash >> (24 + 2 * row)) & 3)
}

/// What a page is known by here.
pub(crate) fn hash(page: PageKey) -> u32 {
    u32::try_from(mix(page) >> 32).expect("half of the bits")
}

impl Sketch {
    /// From now on there are at least so many words. At most one is added for each call.
    pub(crate) fn grow(&mut self, frames: usize) {
        if self.words.len() < frames {
            let new = self.words.len();
            let old = new - (new + 1).next_power_of_two() / 2;
            let word = if new == 0 { 0 } else { self.words[old] };
            self.words.push(word);
        }
    }

    /// A page was seen.
    pub(crate) fn note(&mut self, hash: u32) {
        if self.words.is_empty() {
            return;
        }
        let at = bucket(hash.into(), self.words.len());
        let word = &mut self.words[at];
        let least = least(*word, hash);
        if least < COUNT_MAX {
            for row in 0..ROWS {
                let shift = shift(hash, row);
                // Only what is least is raised: the others count for another page.
                *word += u64::from((*word >> shift) & COUNT_MAX == least) << shift;
            }
        }
        self.seen += 1;
        if self.seen == PERIOD {
            self.seen = 0;
            self.age = (self.age + 1) % self.words.len();
            let word = &mut self.words[self.age];
            *word = (*word >> 1) & 0x7777_7777_7777_7777;
        }
    }

    /// How often a page was seen lately, or more.
    pub(crate) fn count(&self, hash: u32) -> u64 {
        if self.words.is_empty() {
            return 0;
        }
        least(self.words[bucket(hash.into(), self.words.len())], hash)
    }
}

fn least(word: u64, hash: u32) -> u64 {
    let counts = (0..ROWS).map(|row| (word >> shift(hash, row)) & COUNT_MAX);
    counts.min().expect("there are rows")
}

#[cfg(test)]
mod tests {
    use bo_units::PageIndex;
    use proptest::prelude::*;

    use super::*;

    fn key(number: u32) -> u32 {
        hash(PageKey { object: 1, page: PageIndex::new(number) })
    }

    #[test]
    fn what_is_not_seen_any_more_is_forgotten() {
        let mut sketch = Sketch::default();
        (0..64).for_each(|_| sketch.grow(64));
        (0..20).for_each(|_| sketch.note(key(1)));
        assert_eq!(sketch.count(key(1)), COUNT_MAX);
        for number in 0..64 * PERIOD * 4 {
            sketch.note(key(1000 + number));
        }
        assert!(sketch.count(key(1)) < COUNT_MAX);
    }

    proptest! {
        #[test]
        fn an_estimate_is_never_too_small(seen in proptest::collection::vec(0_u32..30, 0..60)) {
            let mut sketch = Sketch::default();
            let mut counts = [0; 30];
            // It grows meanwhile, and does not age: that takes longer.
            (0..16).for_each(|_| sketch.grow(16));
            sketch.seen = 0;
            for number in seen.into_iter().take(9) {
                sketch.note(key(number));
                sketch.grow(40);
                counts[number as usize] += 1;
                for at in 0..30 {
                    prop_assert!(sketch.count(key(at)) >= counts[at as usize]);
                }
            }
        }
    }
}
