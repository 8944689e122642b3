//! Ghosts: pages that were evicted, and in which order. A policy knows by them what has come back.
//!
//! The table is a linear hash table (W. Litwin, "Linear Hashing: A New Tool for File and Table
//! Addressing", VLDB 1980): each page that is added splits one bucket, so that it grows in step
//! with what it holds, and there is no moment at which megabytes are moved under the lock. A ghost
//! takes 28 bytes and its bucket four. Places are used again, and never given back.

use crate::chunked::Chunked;
use crate::page::PageKey;

const NONE: u32 = u32::MAX;

/// A page that was evicted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ghost {
    page: PageKey,
    /// The next one in its bucket, or the next free place.
    chain: u32,
    older: u32,
    newer: u32,
    /// What the policy notes about it.
    pub(crate) note: u32,
    /// The binary logarithm of its bytes.
    shift: u8,
    /// The list that it is in.
    pub(crate) list: u8,
    /// What the policy notes besides.
    pub(crate) count: u8,
}

impl Ghost {
    pub(crate) fn bytes(&self) -> u64 {
        1 << self.shift
    }
}

/// The ends of one list of them.
#[derive(Debug, Clone, Copy)]
struct Ends {
    oldest: u32,
    newest: u32,
    bytes: u64,
}

/// `LISTS` lists of pages that were evicted, each page in one of them, from old to new. Every
/// operation takes constant time on average.
#[derive(Debug)]
pub(crate) struct Ghosts<const LISTS: usize> {
    places: Chunked<Ghost>,
    free: u32,
    len: usize,
    buckets: Chunked<u32>,
    lists: [Ends; LISTS],
}

impl<const LISTS: usize> Default for Ghosts<LISTS> {
    fn default() -> Self {
        Self {
            places: Chunked::default(),
            free: NONE,
            len: 0,
            buckets: Chunked::default(),
            lists: [Ends { oldest: NONE, newest: NONE, bytes: 0 }; LISTS],
        }
    }
}

/// Mixes all bits of a page's name (the finalizer of SplitMix64: G. L. Steele, D. Lea and
/// C. H. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
pub(crate) fn mix(page: PageKey) -> u64 {
    let mut bits = u64::from(page.object) << 32 | u64::from(page.page.get());
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The bucket of a hash in a linear table of so many buckets.
pub(crate) fn bucket(hash: u64, buckets: usize) -> usize {
    let round = buckets.next_power_of_two();
    let low = usize::try_from(hash & 0xffff_ffff).expect("32 bits") & (round - 1);
    if low < buckets { low } else { low - round / 2 }
}

impl<const LISTS: usize> Ghosts<LISTS> {
    /// The bytes that the pages in this list had.
    pub(crate) fn bytes(&self, list: u8) -> u64 {
        self.lists[usize::from(list)].bytes
    }

    /// How many there are in all lists.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What is known of this page, if it is a ghost.
    pub(crate) fn get(&self, page: PageKey) -> Option<&Ghost> {
        self.find(page).map(|at| &self.places[at as usize])
    }

    /// Adds a page as the newest of a list. If it is a ghost already, it is so no more as what it
    /// was.
    pub(crate) fn add(&mut self, list: u8, page: PageKey, bytes: u64, note: u32, count: u8) {
        self.take(page);
        let shift = u8::try_from(bytes.trailing_zeros()).expect("at most 64");
        let ghost = Ghost { page, chain: NONE, older: NONE, newer: NONE, note, shift, list, count };
        let at = self.place(ghost);
        self.len += 1;
        if self.buckets.len() < self.len {
            self.split();
        }
        let bucket = bucket(mix(page), self.buckets.len());
        self.places[at as usize].chain = self.buckets[bucket];
        self.buckets[bucket] = at;
        self.link(at);
    }

    /// Makes a ghost the newest of another list, or of its own.
    pub(crate) fn renew(&mut self, page: PageKey, list: u8) {
        if let Some(at) = self.find(page) {
            self.unlink(at);
            self.places[at as usize].list = list;
            self.link(at);
        }
    }

    /// Forgets a page, and gives what was known of it.
    pub(crate) fn take(&mut self, page: PageKey) -> Option<Ghost> {
        let at = self.find(page)?;
        Some(self.take_at(at))
    }

    /// Forgets the page that has been in a list for longest.
    pub(crate) fn take_oldest(&mut self, list: u8) -> Option<Ghost> {
        let at = self.lists[usize::from(list)].oldest;
        (at != NONE).then(|| self.take_at(at))
    }

    fn find(&self, page: PageKey) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let mut at = self.buckets[bucket(mix(page), self.buckets.len())];
        while at != NONE && self.places[at as usize].page != page {
            at = self.places[at as usize].chain;
        }
        (at != NONE).then_some(at)
    }

    fn place(&mut self, ghost: Ghost) -> u32 {
        if self.free != NONE {
            let at = self.free;
            self.free = self.places[at as usize].chain;
            self.places[at as usize] = ghost;
            return at;
        }
        let at = u32::try_from(self.places.len()).expect("fewer ghosts than pages");
        self.places.push(ghost);
        at
    }

    /// Adds a bucket, and moves to it what belongs there.
    fn split(&mut self) {
        let new = self.buckets.len();
        self.buckets.push(NONE);
        if new == 0 {
            return;
        }
        let old = new - (new + 1).next_power_of_two() / 2;
        let mut at = std::mem::replace(&mut self.buckets[old], NONE);
        while at != NONE {
            let next = self.places[at as usize].chain;
            let bucket = bucket(mix(self.places[at as usize].page), new + 1);
            self.places[at as usize].chain = self.buckets[bucket];
            self.buckets[bucket] = at;
            at = next;
        }
    }

    fn take_at(&mut self, at: u32) -> Ghost {
        self.unlink(at);
        let ghost = self.places[at as usize];
        let bucket = bucket(mix(ghost.page), self.buckets.len());
        let mut before = NONE;
        let mut walk = self.buckets[bucket];
        while walk != at {
            before = walk;
            walk = self.places[walk as usize].chain;
        }
        match before {
            NONE => self.buckets[bucket] = ghost.chain,
            before => self.places[before as usize].chain = ghost.chain,
        }
        self.places[at as usize].chain = self.free;
        self.free = at;
        self.len -= 1;
        ghost
    }

    fn link(&mut self, at: u32) {
        let ghost = self.places[at as usize];
        let ends = &mut self.lists[usize::from(ghost.list)];
        let older = std::mem::replace(&mut ends.newest, at);
        ends.bytes += ghost.bytes();
        match older {
            NONE => ends.oldest = at,
            older => self.places[older as usize].newer = at,
        }
        let ghost = &mut self.places[at as usize];
        (ghost.older, ghost.newer) = (older, NONE);
    }

    fn unlink(&mut self, at: u32) {
        let Ghost { older, newer, list, .. } = self.places[at as usize];
        let ends = &mut self.lists[usize::from(list)];
        ends.bytes -= self.places[at as usize].bytes();
        match newer {
            NONE => ends.newest = older,
            newer => self.places[newer as usize].older = older,
        }
        match older {
            NONE => ends.oldest = newer,
            older => self.places[older as usize].newer = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use bo_units::PageIndex;
    use proptest::prelude::*;

    use super::*;

    fn key(number: u32) -> PageKey {
        PageKey { object: number % 3, page: PageIndex::new(number) }
    }

    #[test]
    fn a_ghost_takes_28_bytes() {
        assert_eq!(size_of::<Ghost>(), 28);
    }

    #[test]
    fn no_bucket_is_long() {
        let mut ghosts: Ghosts<1> = Ghosts::default();
        for number in 0..10_000 {
            ghosts.add(0, key(number), 4096, 0, 0);
        }
        let mut lengths = vec![0; ghosts.buckets.len()];
        for number in 0..10_000 {
            lengths[bucket(mix(key(number)), ghosts.buckets.len())] += 1;
        }
        assert!(*lengths.iter().max().expect("there are buckets") < 12);
        assert_eq!(ghosts.buckets.len(), 10_000);
    }

    proptest! {
        #[test]
        fn it_does_what_vectors_would(
            steps in proptest::collection::vec((0_u32..40, 0_u8..2, 0_u8..5), 0..400),
        ) {
            let mut ghosts: Ghosts<2> = Ghosts::default();
            let mut model: [Vec<u32>; 2] = [Vec::new(), Vec::new()];
            for (number, list, what) in steps {
                let at = usize::from(list);
                let known = model.iter().position(|each| each.contains(&number));
                match what {
                    0 | 1 => {
                        ghosts.add(list, key(number), 4096 << (number % 4), number, list);
                        model.iter_mut().for_each(|each| each.retain(|other| *other != number));
                        model[at].push(number);
                    }
                    2 => {
                        let taken = ghosts.take(key(number));
                        prop_assert_eq!(taken.map(|ghost| usize::from(ghost.list)), known);
                        model.iter_mut().for_each(|each| each.retain(|other| *other != number));
                    }
                    3 => {
                        let oldest = ghosts.take_oldest(list).map(|ghost| ghost.note);
                        prop_assert_eq!(oldest, model[at].first().copied());
                        model[at].drain(..usize::from(oldest.is_some()));
                    }
                    _ => {
                        ghosts.renew(key(number), list);
                        if known.is_some() {
                            model.iter_mut().for_each(|each| each.retain(|on| *on != number));
                            model[at].push(number);
                        }
                    }
                }
                for (list, order) in model.iter().enumerate() {
                    let bytes: u64 = order.iter().map(|number| 4096 << (number % 4)).sum();
                    prop_assert_eq!(ghosts.bytes(u8::try_from(list).expect("two")), bytes);
                    for number in order {
                        let ghost = ghosts.get(key(*number)).expect("it is one");
                        prop_assert_eq!((ghost.note, usize::from(ghost.list)), (*number, list));
                    }
                }
                prop_assert_eq!(ghosts.len(), model[0].len() + model[1].len());
                prop_assert!(ghosts.places.len() <= 40);
            }
        }
    }
}
