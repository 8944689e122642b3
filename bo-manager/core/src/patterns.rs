//! Pages that hold one word over and over, kept as the word: zswap's same-filled pages.

use std::collections::BTreeMap;

use slab::Slab;

#[derive(Debug)]
struct Pattern {
    word: u64,
    /// How many pages are full of it; never zero.
    pages: u32,
}

/// The words that pages are full of, each with a small number. A word's number lives as long as a
/// page has it.
///
/// Looked up in an ordered map and not by a hash: clients choose the words, and could choose them
/// to collide.
#[derive(Debug)]
pub(crate) struct PatternTable {
    patterns: Slab<Pattern>,
    numbers: BTreeMap<u64, u32>,
    most: u32,
}

impl PatternTable {
    /// A table for at most `most` words.
    pub(crate) fn new(most: u32) -> Self {
        Self { patterns: Slab::new(), numbers: BTreeMap::new(), most }
    }

    /// One more page is full of `word`: its number, or `None` if the table is full.
    pub(crate) fn take(&mut self, word: u64) -> Option<u32> {
        if let Some(number) = self.numbers.get(&word) {
            self.patterns[*number as usize].pages += 1;
            return Some(*number);
        }
        if self.len() >= u64::from(self.most) {
            return None;
        }
        let number = self.patterns.insert(Pattern { word, pages: 1 });
        let number = u32::try_from(number).expect("a table has less than 2^32 entries");
        self.numbers.insert(word, number);
        Some(number)
    }

    /// One page less is full of the word of this number.
    pub(crate) fn put_back(&mut self, number: u32) {
        let pattern = &mut self.patterns[number as usize];
        pattern.pages -= 1;
        if pattern.pages == 0 {
            let word = pattern.word;
            self.patterns.remove(number as usize);
            self.numbers.remove(&word);
        }
    }

    /// The word of this number.
    pub(crate) fn word(&self, number: u32) -> u64 {
        self.patterns[number as usize].word
    }

    /// How many words there are.
    pub(crate) fn len(&self) -> u64 {
        self.patterns.len() as u64
    }

    /// How many pages have which number, for comparison with the pages.
    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn counts(&self) -> BTreeMap<u32, u32> {
        let number = |at: usize| u32::try_from(at).expect("a table has less than 2^32 entries");
        self.patterns.iter().map(|(at, pattern)| (number(at), pattern.pages)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_table_takes_pages_of_known_words_only() {
        let mut table = PatternTable::new(1);
        let seven = table.take(7).expect("there is room");
        assert_eq!(table.take(8), None);
        assert_eq!(table.take(7), Some(seven));
        table.put_back(seven);
        assert_eq!(table.take(8), None);
        table.put_back(seven);
        assert!(table.take(8).is_some());
    }

    #[test]
    fn a_table_for_nothing_takes_nothing() {
        assert_eq!(PatternTable::new(0).take(7), None);
    }

    proptest! {
        #[test]
        fn a_number_means_its_word_as_long_as_a_page_has_it(
            steps in proptest::collection::vec((any::<bool>(), 0_u64..6), 0..200),
        ) {
            let mut table = PatternTable::new(4);
            let mut pages: Vec<(u32, u64)> = Vec::new();
            for (take, chance) in steps {
                if take {
                    let known = pages.iter().any(|(_, word)| *word == chance);
                    let number = table.take(chance);
                    prop_assert!(number.is_some() || (!known && table.len() == 4));
                    pages.extend(number.map(|number| (number, chance)));
                } else if !pages.is_empty() {
                    let at = usize::try_from(chance).expect("small") % pages.len();
                    table.put_back(pages.swap_remove(at).0);
                }
                let mut words: Vec<u64> = pages.iter().map(|(_, word)| *word).collect();
                words.sort_unstable();
                words.dedup();
                prop_assert_eq!(table.len(), words.len() as u64);
                for (number, word) in &pages {
                    prop_assert_eq!(table.word(*number), *word);
                }
            }
        }
    }
}
