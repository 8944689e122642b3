//! Random rewrites: read a cell of 4 KiB, check it, write all of it anew.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::contents::{CELL_BYTES, Contents};
use crate::ground::orders::RewriteFigures;
use crate::ground::{Field, expect, place};
use crate::latency::Latencies;
use crate::mismatch::Mismatches;
use crate::sizes;
use crate::station::Meter;
use crate::sweep::Sweeper;

/// How many operations pass between two reports of progress.
const REPORT_EVERY: u64 = 256;

/// Rewrites `ops` cells, all equally likely. The two copies are timed, the checking is not.
pub(super) fn run(
    field: &mut Field,
    contents: &Contents,
    sweeper: &Sweeper,
    ops: u64,
    seed: u64,
    meter: &Meter,
) -> Result<RewriteFigures> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut figures = RewriteFigures { op: Latencies::new(), mismatches: Mismatches::default() };
    let cell_bytes = sizes::in_memory(CELL_BYTES);
    let (mut found, mut expected) = (vec![0; cell_bytes], vec![0; cell_bytes]);
    let mut next = vec![0; cell_bytes];
    for op in 1..=ops {
        let number = random.random_range(0..field.writes.len());
        let writes = field.writes[number];
        let rewritten = writes.checked_add(1).context("no cell is written 2^32 times in a run")?;
        expect(contents, sweeper, number, writes, &mut expected);
        contents.write_cell(sizes::as_u64(number), rewritten, &mut next);
        let cell = &mut field.memory.bytes_mut()[number * cell_bytes..][..cell_bytes];
        let start = Instant::now();
        found.copy_from_slice(black_box(&*cell));
        black_box(&mut found);
        cell.copy_from_slice(&next);
        figures.op.record(start.elapsed());
        field.writes[number] = rewritten;
        figures.mismatches.compare(place(number), &expected, &found);
        if op.is_multiple_of(REPORT_EVERY) {
            meter.add(REPORT_EVERY);
        }
    }
    Ok(figures)
}
