//! What every word must hold: the last value that a client stored.

use std::collections::BTreeMap;

use bo_units::ObjectId;

/// One word.
#[derive(Debug, Clone, Copy, Default)]
struct Truth {
    value: u32,
    /// A client punched its own page, and nobody has looked since: zero is right as well.
    or_zero: bool,
}

/// The words of all objects. What is not listed was never written, and is zero.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    words: BTreeMap<(ObjectId, usize, usize), Truth>,
    pub(crate) loads: u64,
    pub(crate) stores: u64,
}

impl Oracle {
    pub(crate) fn stored(&mut self, object: ObjectId, page: usize, word: usize, value: u32) {
        self.stores += 1;
        self.words.insert((object, page, word), Truth { value, or_zero: false });
    }

    /// Checks what a load saw.
    pub(crate) fn loaded(&mut self, object: ObjectId, page: usize, word: usize, seen: u32) {
        self.loads += 1;
        let truth = self.words.entry((object, page, word)).or_default();
        let right = seen == truth.value || (truth.or_zero && seen == 0);
        let value = truth.value;
        assert!(right, "rule 1: {object:?} page {page} word {word} reads {seen}, not {value}");
        *truth = Truth { value: seen, or_zero: false };
    }

    pub(crate) fn punched(&mut self, object: ObjectId, page: usize) {
        for word in 0..2 {
            if let Some(truth) = self.words.get_mut(&(object, page, word)) {
                truth.or_zero = true;
            }
        }
    }
}
