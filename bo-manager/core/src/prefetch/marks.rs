//! Three bits for each page: present or coming, leaving, watched.
//!
//! They repeat what the page table says, in a form in which 64 pages are counted or searched at
//! once. Half a byte a page; nothing for parts of an object that nobody has touched.

use std::collections::BTreeMap;
use std::ops::Range;

/// Pages of one block of marks: 2 MiB of the smallest pages.
pub(crate) const BLOCK_PAGES: u32 = 512;

const WORD: u32 = u64::BITS;

/// What the marks tell of a page's residency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It has no frame, and none is meant for it.
    Absent,
    /// It is present, on its way in, or waits for room.
    Here,
    /// It is on its way out.
    Leaving,
}

#[derive(Debug, Clone, Copy, Default)]
struct Word {
    here: u64,
    leaving: u64,
    watched: u64,
}

/// The marks of all pages of one object.
#[derive(Debug)]
pub(crate) struct Marks {
    pages: u32,
    /// The first block, as long as it needs to be. Empty until a page in it is touched.
    first: Box<[Word]>,
    /// The others, by number. A terabyte that nobody uses costs nothing.
    rest: BTreeMap<u32, Box<[Word]>>,
}

/// The words that hold `range`, each with the bits that belong to it.
fn masks(range: Range<u32>) -> impl DoubleEndedIterator<Item = (u32, u64)> {
    let words = range.start / WORD..range.end.div_ceil(WORD);
    words.map(move |word| {
        let low = range.start.saturating_sub(word * WORD);
        let high = (range.end - word * WORD).min(WORD);
        let below = |bit: u32| if bit == WORD { u64::MAX } else { (1 << bit) - 1 };
        (word, below(high) & !below(low))
    })
}

impl Marks {
    /// The marks of an object of so many pages, all absent.
    pub(crate) fn new(pages: u32) -> Self {
        Self { pages, first: Box::default(), rest: BTreeMap::new() }
    }

    fn block(&self, number: u32) -> &[Word] {
        match number {
            0 => &self.first,
            _ => self.rest.get(&number).map_or(&[], |block| block),
        }
    }

    fn word(&self, number: u32) -> Word {
        let at = (number % (BLOCK_PAGES / WORD)) as usize;
        self.block(number / (BLOCK_PAGES / WORD)).get(at).copied().unwrap_or_default()
    }

    fn word_mut(&mut self, number: u32) -> &mut Word {
        let block = number / (BLOCK_PAGES / WORD);
        let pages = (self.pages - block * BLOCK_PAGES).min(BLOCK_PAGES);
        let fresh = || vec![Word::default(); pages.div_ceil(WORD) as usize].into_boxed_slice();
        let words = match block {
            0 if self.first.is_empty() => {
                self.first = fresh();
                &mut self.first
            }
            0 => &mut self.first,
            _ => self.rest.entry(block).or_insert_with(fresh),
        };
        &mut words[(number % (BLOCK_PAGES / WORD)) as usize]
    }

    /// Pages of `range` are in `place` from now on.
    pub(crate) fn set(&mut self, range: Range<u32>, place: Place) {
        assert!(range.end <= self.pages, "a granted page is inside its object");
        for (number, mask) in masks(range) {
            let word = self.word_mut(number);
            word.here &= !mask;
            word.leaving &= !mask;
            match place {
                Place::Absent => {}
                Place::Here => word.here |= mask,
                Place::Leaving => word.leaving |= mask,
            }
        }
    }

    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn place(&self, page: u32) -> Place {
        let (word, bit) = (self.word(page / WORD), 1 << (page % WORD));
        match (word.here & bit != 0, word.leaving & bit != 0) {
            (true, true) => panic!("a page cannot come and go"),
            (true, false) => Place::Here,
            (false, true) => Place::Leaving,
            (false, false) => Place::Absent,
        }
    }

    /// How many pages of `range` are present or coming.
    pub(crate) fn count_here(&self, range: Range<u32>) -> u32 {
        if range.is_empty() {
            return 0;
        }
        // Usually one block, looked up once.
        let blocks = range.start / BLOCK_PAGES..range.end.div_ceil(BLOCK_PAGES);
        let count = |number: u32| -> u32 {
            let first = number * BLOCK_PAGES;
            let block = self.block(number);
            let inside = range.start.saturating_sub(first)..(range.end - first).min(BLOCK_PAGES);
            let here = |at: u32| block.get(at as usize).map_or(0, |word| word.here);
            masks(inside).map(|(at, mask)| (here(at) & mask).count_ones()).sum()
        };
        blocks.map(count).sum()
    }

    /// The first page of `range` that is present or coming.
    pub(crate) fn first_here(&self, range: Range<u32>) -> Option<u32> {
        self.first(range, |word| word.here)
    }

    /// The first absent page of `range`.
    pub(crate) fn first_absent(&self, range: Range<u32>) -> Option<u32> {
        self.first(range, |word| !(word.here | word.leaving))
    }

    /// The last absent page of `range`.
    pub(crate) fn last_absent(&self, range: Range<u32>) -> Option<u32> {
        self.last(range, |word| !(word.here | word.leaving))
    }

    /// Where the absent pages from the start of `range` on end.
    pub(crate) fn absent_until(&self, range: Range<u32>) -> u32 {
        let end = range.end;
        self.first(range, |word| word.here | word.leaving).unwrap_or(end)
    }

    /// Where the absent pages up to the end of `range` begin.
    pub(crate) fn absent_since(&self, range: Range<u32>) -> u32 {
        let start = range.start;
        self.last(range, |word| word.here | word.leaving).map_or(start, |page| page + 1)
    }

    fn first(&self, range: Range<u32>, bits: impl Fn(Word) -> u64) -> Option<u32> {
        masks(range).find_map(|(number, mask)| {
            let found = bits(self.word(number)) & mask;
            (found != 0).then(|| number * WORD + found.trailing_zeros())
        })
    }

    fn last(&self, range: Range<u32>, bits: impl Fn(Word) -> u64) -> Option<u32> {
        masks(range).rev().find_map(|(number, mask)| {
            let found = bits(self.word(number)) & mask;
            (found != 0).then(|| number * WORD + WORD - 1 - found.leading_zeros())
        })
    }

    /// True if the first use of this page will be noticed, and counted.
    pub(crate) fn is_watched(&self, page: u32) -> bool {
        self.word(page / WORD).watched & (1 << (page % WORD)) != 0
    }

    pub(crate) fn watch(&mut self, page: u32) {
        self.word_mut(page / WORD).watched |= 1 << (page % WORD);
    }

    pub(crate) fn unwatch(&mut self, page: u32) {
        self.word_mut(page / WORD).watched &= !(1 << (page % WORD));
    }

    /// How many pages are marked as anything but absent.
    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn marked(&self) -> u32 {
        let blocks = std::iter::once(&self.first).chain(self.rest.values());
        let bits = |word: &Word| (word.here | word.leaving).count_ones();
        blocks.flat_map(|block| block.iter()).map(bits).sum()
    }

    /// How many pages are watched.
    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn watched(&self) -> u32 {
        let blocks = std::iter::once(&self.first).chain(self.rest.values());
        blocks.flat_map(|block| block.iter()).map(|word| word.watched.count_ones()).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_object_that_nobody_touched_has_no_marks() {
        let marks = Marks::new(1 << 28);
        assert_eq!(marks.count_here((1 << 28) - 1000..1 << 28), 0);
        assert_eq!(marks.first_absent(700..1 << 28), Some(700));
        assert_eq!((marks.first.len(), marks.rest.len()), (0, 0));
    }

    #[test]
    fn a_small_object_has_small_marks() {
        let mut marks = Marks::new(3);
        marks.set(0..3, Place::Here);
        assert_eq!(marks.first.len(), 1);
    }

    proptest! {
        #[test]
        fn marks_do_what_a_list_would(
            pages in 1_u32..1500,
            steps in proptest::collection::vec((any::<u32>(), any::<u32>(), 0_u8..3), 0..40),
            first in any::<u32>(),
            len in any::<u32>(),
        ) {
            let mut marks = Marks::new(pages);
            let mut model = vec![Place::Absent; pages as usize];
            for (first, len, place) in steps {
                let place = [Place::Absent, Place::Here, Place::Leaving][place as usize];
                let start = first % pages;
                let range = start..start + len % (pages - start + 1);
                model[range.start as usize..range.end as usize].fill(place);
                marks.set(range, place);
            }
            let start = first % pages;
            let range = start..start + len % (pages - start + 1);
            let inside: Vec<(u32, Place)> =
                range.clone().map(|page| (page, model[page as usize])).collect();
            let find = |wanted: Place| {
                let page = |(page, place): &(u32, Place)| (*place == wanted).then_some(*page);
                (inside.iter().find_map(page), inside.iter().rev().find_map(page))
            };
            let here = inside.iter().filter(|(_, place)| *place == Place::Here).count();
            prop_assert_eq!(marks.count_here(range.clone()) as usize, here);
            prop_assert_eq!(marks.first_here(range.clone()), find(Place::Here).0);
            prop_assert_eq!(marks.first_absent(range.clone()), find(Place::Absent).0);
            prop_assert_eq!(marks.last_absent(range.clone()), find(Place::Absent).1);
            let absent = |(_, place): &&(u32, Place)| *place == Place::Absent;
            let up = inside.iter().take_while(absent).count();
            let down = inside.iter().rev().take_while(absent).count();
            prop_assert_eq!((marks.absent_until(range.clone()) - range.start) as usize, up);
            prop_assert_eq!((range.end - marks.absent_since(range)) as usize, down);
            let marked = model.iter().filter(|place| **place != Place::Absent).count();
            prop_assert_eq!(marks.marked() as usize, marked);
            for (page, place) in (0..).zip(model) {
                prop_assert_eq!(marks.place(page), place);
            }
        }

        #[test]
        fn watching_a_page_changes_nothing_else(page in 0_u32..1500, others in 0_u32..1500) {
            let mut marks = Marks::new(1500);
            marks.set(0..others, Place::Here);
            marks.watch(page);
            prop_assert!(marks.is_watched(page));
            prop_assert_eq!(marks.count_here(0..1500), others);
            marks.unwatch(page);
            prop_assert!(!(0..1500).any(|each| marks.is_watched(each)));
        }
    }
}
