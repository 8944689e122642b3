//! Memory written from end to end, read from end to end, and compared, with plain copies.

use std::hint::black_box;
use std::time::Instant;

use crate::contents::{CELL_BYTES, Contents, RecordBytes};
use crate::mismatch::{Mismatches, Place};
use crate::sizes;
use crate::station::Meter;

/// One copy.
const BLOCK_BYTES: usize = 1 << 20;

/// The far side of the copies is as large as that of the memcpy calibration, so that both miss
/// the caches alike.
const BUFFER_BLOCKS: usize = 64;

/// Each round through the buffer starts a cache line later, so that no two blocks are alike.
const SHIFT_BYTES: usize = 64;
const SHIFTS: usize = 64;

/// Both far sides of the copies, touched, so that no sweep pays for their first use.
pub(crate) struct Sweeper {
    /// Pseudo-random bytes, a different megabyte for each of the first 4096 blocks.
    source: Vec<u8>,
    target: Vec<u8>,
}

impl Sweeper {
    pub(crate) fn new(seed: u64) -> Sweeper {
        // No object of a pattern has this number.
        let contents = Contents::new(seed, u64::MAX, RecordBytes::WORD);
        let mut source = vec![0; BLOCK_BYTES * BUFFER_BLOCKS + SHIFT_BYTES * SHIFTS];
        let cells = source.chunks_exact_mut(sizes::in_memory(CELL_BYTES));
        for (cell, target) in (0u64..).zip(cells) {
            contents.write_cell(cell, 0, target);
        }
        Sweeper { source, target: vec![1; BLOCK_BYTES * BUFFER_BLOCKS] }
    }

    /// Writes all of `memory`, and returns the seconds that took.
    pub(crate) fn write(&self, memory: &mut [u8], meter: &Meter) -> f64 {
        let start = Instant::now();
        for (number, block) in memory.chunks_mut(BLOCK_BYTES).enumerate() {
            block.copy_from_slice(self.block(number, block.len()));
            meter.add(sizes::as_u64(block.len()));
        }
        start.elapsed().as_secs_f64()
    }

    /// Reads all of `memory`, and returns the seconds that took.
    pub(crate) fn read(&mut self, memory: &[u8], meter: &Meter) -> f64 {
        let start = Instant::now();
        for (number, block) in memory.chunks(BLOCK_BYTES).enumerate() {
            let at = number % BUFFER_BLOCKS * BLOCK_BYTES;
            let target = &mut self.target[at..at + block.len()];
            target.copy_from_slice(block);
            black_box(target);
            meter.add(sizes::as_u64(block.len()));
        }
        start.elapsed().as_secs_f64()
    }

    /// Compares all of `memory` with what was written. Not timed, so that it slows down no sweep.
    pub(crate) fn compare(&self, memory: &[u8], client: u32, meter: &Meter) -> Mismatches {
        let mut mismatches = Mismatches::default();
        for (number, block) in memory.chunks(BLOCK_BYTES).enumerate() {
            let place = Place { client, object: 0, offset: sizes::as_u64(number * BLOCK_BYTES) };
            mismatches.compare(place, self.block(number, block.len()), block);
            meter.add(sizes::as_u64(block.len()));
        }
        mismatches
    }

    /// What a sweep writes into cell number `cell` of any memory.
    pub(crate) fn cell(&self, cell: usize) -> &[u8] {
        let cell_bytes = sizes::in_memory(CELL_BYTES);
        let at = cell * cell_bytes;
        let block = self.block(at / BLOCK_BYTES, BLOCK_BYTES);
        &block[at % BLOCK_BYTES..][..cell_bytes]
    }

    fn block(&self, number: usize, len: usize) -> &[u8] {
        let shift = number / BUFFER_BLOCKS % SHIFTS * SHIFT_BYTES;
        let at = number % BUFFER_BLOCKS * BLOCK_BYTES + shift;
        &self.source[at..at + len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_swept_is_compared_to_the_byte() {
        let (mut sweeper, meter) = (Sweeper::new(5), Meter::default());
        let mut memory = vec![0; BLOCK_BYTES * (BUFFER_BLOCKS + 1) + 4096];
        sweeper.write(&mut memory, &meter);
        sweeper.read(&memory, &meter);
        assert_eq!(sweeper.compare(&memory, 0, &meter).bytes, 0);
        memory[BLOCK_BYTES + 17] ^= 1;
        let mismatches = sweeper.compare(&memory, 3, &meter);
        assert_eq!(mismatches.bytes, 1);
        assert_eq!(mismatches.first[0].place.offset, sizes::as_u64(BLOCK_BYTES + 16));
    }

    #[test]
    fn a_cell_is_part_of_its_block_also_after_a_round_through_the_buffer() {
        let (sweeper, meter) = (Sweeper::new(6), Meter::default());
        let mut memory = vec![0; BLOCK_BYTES * (BUFFER_BLOCKS + 1)];
        sweeper.write(&mut memory, &meter);
        for (number, cell) in memory.chunks_exact(4096).enumerate() {
            assert!(cell == sweeper.cell(number), "cell {number}");
        }
        assert_ne!(sweeper.cell(0), sweeper.cell(BUFFER_BLOCKS * 256));
    }
}
