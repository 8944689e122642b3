//! One large object written from end to end, read from end to end, then checked.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use bo_client::Client;

use crate::contents::{CELL_BYTES, Contents};
use crate::mismatch::{Mismatches, Place};
use crate::orders::{Plan, SweepFigures};
use crate::sizes;
use crate::station::Meter;
use crate::worker::field;

/// One copy.
const BLOCK_BYTES: usize = 1 << 20;

/// The far side of the copies is as large as that of the memcpy calibration, so that both miss
/// the caches alike.
const BUFFER_BLOCKS: usize = 64;

/// Each round through the buffer starts a cache line later, so that no two blocks are alike.
const SHIFT_BYTES: usize = 64;
const SHIFTS: usize = 64;

/// Sweeps over one exclusive object of at least `bytes`, with plain copies.
pub(super) fn run(client: &Client, plan: &Plan, bytes: u64, meter: &Meter) -> Result<SweepFigures> {
    let source = Source::new(plan);
    let object = field::allocate(client, plan, bytes, "bench sweep")?;
    let mut memory = object.into_exclusive()?;
    let write_seconds = write(&mut memory, &source, meter);
    let read_seconds = read(&memory, meter);
    let mismatches = compare(&memory, &source, plan.client, meter);
    let bytes = sizes::as_u64(memory.len());
    Ok(SweepFigures { bytes, write_seconds, read_seconds, mismatches })
}

fn write(memory: &mut [u8], source: &Source, meter: &Meter) -> f64 {
    let start = Instant::now();
    for (number, block) in memory.chunks_mut(BLOCK_BYTES).enumerate() {
        block.copy_from_slice(source.block(number, block.len()));
        meter.add(sizes::as_u64(block.len()));
    }
    start.elapsed().as_secs_f64()
}

fn read(memory: &[u8], meter: &Meter) -> f64 {
    // Touched here, so that the sweep does not pay for its first use.
    let mut buffer = vec![1; BLOCK_BYTES * BUFFER_BLOCKS];
    let start = Instant::now();
    for (number, block) in memory.chunks(BLOCK_BYTES).enumerate() {
        let at = number % BUFFER_BLOCKS * BLOCK_BYTES;
        let target = &mut buffer[at..at + block.len()];
        target.copy_from_slice(block);
        black_box(target);
        meter.add(sizes::as_u64(block.len()));
    }
    start.elapsed().as_secs_f64()
}

/// Not timed, so that comparing slows down neither sweep.
fn compare(memory: &[u8], source: &Source, client: u32, meter: &Meter) -> Mismatches {
    let mut mismatches = Mismatches::default();
    for (number, block) in memory.chunks(BLOCK_BYTES).enumerate() {
        let place = Place { client, object: 0, offset: sizes::as_u64(number * BLOCK_BYTES) };
        mismatches.compare(place, source.block(number, block.len()), block);
        meter.add(sizes::as_u64(block.len()));
    }
    mismatches
}

/// Pseudo-random bytes, a different megabyte for each of the first 4096 blocks.
struct Source(Vec<u8>);

impl Source {
    fn new(plan: &Plan) -> Source {
        // No object of the pattern has this number.
        let contents = Contents::new(plan.seed, u64::MAX, plan.record);
        let mut bytes = vec![0; BLOCK_BYTES * BUFFER_BLOCKS + SHIFT_BYTES * SHIFTS];
        let cells = bytes.chunks_exact_mut(sizes::in_memory(CELL_BYTES));
        for (cell, target) in (0u64..).zip(cells) {
            contents.write_cell(cell, 0, target);
        }
        Source(bytes)
    }

    fn block(&self, number: usize, len: usize) -> &[u8] {
        let shift = number / BUFFER_BLOCKS % SHIFTS * SHIFT_BYTES;
        let at = number % BUFFER_BLOCKS * BLOCK_BYTES + shift;
        &self.0[at..at + len]
    }
}
