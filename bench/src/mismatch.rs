//! Bytes that are not what they must be: all of them counted, the first few shown.

use serde::{Deserialize, Serialize};

use crate::sizes;

/// A page of wrong bytes says no more than its first few words.
const SHOWN_MAX: usize = 8;

/// Where a wrong word lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) client: u32,
    pub(crate) object: u32,
    /// In bytes from the start of the object.
    pub(crate) offset: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mismatch {
    #[serde(flatten)]
    pub(crate) place: Place,
    /// Up to eight bytes, as hexadecimal digits in memory order.
    pub(crate) expected: String,
    pub(crate) found: String,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mismatches {
    /// Wrong bytes.
    pub(crate) bytes: u64,
    pub(crate) first: Vec<Mismatch>,
}

impl Mismatches {
    /// Compares two runs of bytes of the same length; `place` is where they begin.
    pub(crate) fn compare(&mut self, place: Place, expected: &[u8], found: &[u8]) {
        assert_eq!(expected.len(), found.len(), "only runs of one length can be compared");
        if expected == found {
            return;
        }
        for (word, (expected, found)) in (0u64..).zip(expected.chunks(8).zip(found.chunks(8))) {
            let wrong = expected.iter().zip(found).filter(|(a, b)| a != b).count();
            if wrong == 0 {
                continue;
            }
            self.bytes += sizes::as_u64(wrong);
            let place = Place { offset: place.offset + word * 8, ..place };
            self.show(Mismatch { place, expected: hex(expected), found: hex(found) });
        }
    }

    pub(crate) fn add(&mut self, other: Mismatches) {
        self.bytes += other.bytes;
        for mismatch in other.first {
            self.show(mismatch);
        }
    }

    fn show(&mut self, mismatch: Mismatch) {
        if self.first.len() < SHOWN_MAX {
            self.first.push(mismatch);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { client: 1, object: 2, offset: 4096 };

    #[test]
    fn equal_bytes_are_no_mismatch() {
        let mut mismatches = Mismatches::default();
        mismatches.compare(PLACE, &[7; 64], &[7; 64]);
        assert_eq!(mismatches, Mismatches::default());
    }

    #[test]
    fn each_wrong_byte_counts_and_its_word_is_named() {
        let mut found = [7; 64];
        found[17] = 1;
        found[18] = 2;
        let mut mismatches = Mismatches::default();
        mismatches.compare(PLACE, &[7; 64], &found);
        assert_eq!(mismatches.bytes, 2);
        assert_eq!(mismatches.first[0].place.offset, 4096 + 16);
        assert_eq!(mismatches.first[0].found, "0701020707070707");
    }

    #[test]
    fn many_mismatches_are_counted_but_not_all_shown() {
        let mut mismatches = Mismatches::default();
        mismatches.compare(PLACE, &[0; 4096], &[1; 4096]);
        let mut sum = mismatches.clone();
        sum.add(mismatches);
        assert_eq!((sum.bytes, sum.first.len()), (8192, SHOWN_MAX));
    }
}
