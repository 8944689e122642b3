//! What every byte of every object should be: a function of seed, object, place and write count.
//!
//! An object is a row of 4 KiB cells, and a cell a row of records. The fill gives each word its
//! version 0. The n-th write of a cell rewrites record (n - 1) modulo the number of records, so the
//! count of its writes alone tells what each of its bytes must be, in constant time per record.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sizes;

/// The unit of access and of verification, whatever the page size.
pub(crate) const CELL_BYTES: u64 = 4096;

const WORD_BYTES: u64 = 8;
const CELL_WORDS: u64 = CELL_BYTES / WORD_BYTES;

/// How many bytes one operation reads or rewrites: a power of two from 8 to 4096.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RecordBytes(u32);

impl RecordBytes {
    /// One machine word, which is read and rewritten with a single instruction.
    pub(crate) const WORD: RecordBytes = RecordBytes(8);

    /// `None` unless `bytes` is a power of two from 8 to 4096.
    pub(crate) fn new(bytes: u32) -> Option<RecordBytes> {
        (bytes.is_power_of_two() && (8..=4096).contains(&bytes)).then_some(RecordBytes(bytes))
    }

    pub(crate) fn get(self) -> u64 {
        u64::from(self.0)
    }

    fn words(self) -> u64 {
        self.get() / WORD_BYTES
    }

    fn per_cell(self) -> u64 {
        CELL_BYTES / self.get()
    }
}

impl fmt::Display for RecordBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0)
    }
}

impl FromStr for RecordBytes {
    type Err = String;

    fn from_str(text: &str) -> Result<RecordBytes, String> {
        text.parse()
            .ok()
            .and_then(RecordBytes::new)
            .ok_or_else(|| "a power of two from 8 to 4096 is needed".to_owned())
    }
}

/// The bytes that one object must hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contents {
    key: u64,
    record: RecordBytes,
}

impl Contents {
    /// The contents of the object numbered `object` in a run with this seed. Numbers are unique
    /// in a run, so that bytes which strayed from another object are noticed.
    pub(crate) fn new(seed: u64, object: u64, record: RecordBytes) -> Contents {
        Contents { key: mix(mix(seed) ^ object.wrapping_add(1)), record }
    }

    /// Records in one cell.
    pub(crate) fn records(&self) -> u64 {
        self.record.per_cell()
    }

    /// The record that the next write of a cell rewrites, after `writes` writes.
    pub(crate) fn next_record(&self, writes: u32) -> u64 {
        u64::from(writes) % self.records()
    }

    /// The write that last rewrote `record` of a cell after `writes` writes; 0 is the fill.
    pub(crate) fn version(&self, record: u64, writes: u32) -> u32 {
        assert!(record < self.records(), "a cell has fewer records");
        // Below the cell's 512 records at most, so the conversion always succeeds.
        let record = u32::try_from(record).unwrap_or(u32::MAX);
        if writes <= record {
            return 0;
        }
        let records = u32::try_from(self.records()).unwrap_or(u32::MAX);
        writes - (writes - 1 - record) % records
    }

    /// Writes version `version` of `record` of `cell` into `target`, one record long.
    pub(crate) fn write_record(&self, cell: u64, record: u64, version: u32, target: &mut [u8]) {
        let first = cell * CELL_WORDS + record * self.record.words();
        self.write_words(first, version, target);
    }

    /// The word that is version `version` of `record` of `cell`, when a record is one word.
    pub(crate) fn word_record(&self, cell: u64, record: u64, version: u32) -> u64 {
        self.word(cell * CELL_WORDS + record * self.record.words(), version)
    }

    /// Writes the whole of `cell` after `writes` writes into `target`, one cell long.
    pub(crate) fn write_cell(&self, cell: u64, writes: u32, target: &mut [u8]) {
        if writes == 0 {
            self.write_words(cell * CELL_WORDS, 0, target);
            return;
        }
        let records = target.chunks_exact_mut(sizes::in_memory(self.record.get()));
        for (record, bytes) in (0u64..).zip(records) {
            self.write_record(cell, record, self.version(record, writes), bytes);
        }
    }

    fn write_words(&self, first: u64, version: u32, target: &mut [u8]) {
        for (index, bytes) in (first..).zip(target.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&self.word(index, version).to_le_bytes());
        }
    }

    fn word(&self, index: u64, version: u32) -> u64 {
        // Two odd multipliers and a bijective mix: no two places of an object share a word, and
        // no two versions of one place do.
        let place = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let life = u64::from(version).wrapping_mul(0xd1b5_4a32_d192_ed03);
        mix(self.key.wrapping_add(place).wrapping_add(life))
    }
}

/// The finaliser of SplitMix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(record_bytes: u32) -> Contents {
        Contents::new(7, 3, RecordBytes::new(record_bytes).expect("a legal size"))
    }

    fn cell(contents: &Contents, number: u64, writes: u32) -> Vec<u8> {
        let mut bytes = vec![0; sizes::in_memory(CELL_BYTES)];
        contents.write_cell(number, writes, &mut bytes);
        bytes
    }

    /// Writes one record after the other, as a client would, and compares with the formula.
    #[track_caller]
    fn check_writes_one_by_one(record_bytes: u32, writes_max: u32) {
        let contents = contents(record_bytes);
        let mut written = cell(&contents, 5, 0);
        for writes in 0..writes_max {
            let record = contents.next_record(writes);
            let from = sizes::in_memory(record * u64::from(record_bytes));
            let to = from + sizes::in_memory(u64::from(record_bytes));
            contents.write_record(5, record, writes + 1, &mut written[from..to]);
            assert_eq!(written, cell(&contents, 5, writes + 1), "after {} writes", writes + 1);
        }
    }

    #[test]
    fn the_count_of_writes_tells_every_byte_of_word_records() {
        check_writes_one_by_one(8, 1100);
    }

    #[test]
    fn the_count_of_writes_tells_every_byte_of_large_records() {
        check_writes_one_by_one(1024, 11);
    }

    #[test]
    fn a_write_of_a_whole_cell_changes_all_of_it() {
        check_writes_one_by_one(4096, 3);
    }

    #[test]
    fn objects_seeds_cells_and_versions_differ() {
        let word = RecordBytes::WORD;
        let base = Contents::new(1, 1, word);
        assert_ne!(base.word_record(0, 0, 0), Contents::new(2, 1, word).word_record(0, 0, 0));
        assert_ne!(base.word_record(0, 0, 0), Contents::new(1, 2, word).word_record(0, 0, 0));
        assert_ne!(base.word_record(0, 0, 0), base.word_record(1, 0, 0));
        assert_ne!(base.word_record(0, 0, 0), base.word_record(0, 0, 1));
    }

    #[test]
    fn a_word_record_is_the_same_bytes_as_a_written_one() {
        let mut bytes = [0; 8];
        contents(8).write_record(9, 4, 2, &mut bytes);
        assert_eq!(bytes, contents(8).word_record(9, 4, 2).to_le_bytes());
    }

    #[test]
    fn a_record_cannot_be_of_an_odd_size() {
        assert_eq!(RecordBytes::new(24), None);
        assert_eq!(RecordBytes::new(4), None);
        assert_eq!(RecordBytes::new(8192), None);
    }
}
