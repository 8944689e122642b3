//! More than the pool, round and round, for a given time: a neighbour that keeps eviction busy.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bo_client::Client;

use crate::contents::{CELL_BYTES, Contents};
use crate::mismatch::{Mismatches, Place};
use crate::orders::{Plan, ThrashFigures};
use crate::station::Meter;
use crate::worker::field;

/// Rewrites the first word of every cell of an object of `bytes` until the time is over. Each
/// word is checked when it is rewritten.
pub(super) fn run(
    client: &Client,
    plan: &Plan,
    bytes: u64,
    time: Duration,
    meter: &Meter,
) -> Result<ThrashFigures> {
    let object = field::allocate(client, plan, bytes, "bench thrash")?;
    let mapping = object.map()?;
    let contents = Contents::new(plan.seed, u64::MAX - 2 - u64::from(plan.client), plan.record);
    let cells = mapping.len() / CELL_BYTES;
    let mut figures = ThrashFigures { cells: 0, mismatches: Mismatches::default() };
    let start = Instant::now();
    while start.elapsed() < time {
        let (cell, round) = (figures.cells % cells, figures.cells / cells);
        let round = u32::try_from(round).context("no memory is thrashed 2^32 times")?;
        let word = mapping.atomic_u64(cell * CELL_BYTES).context("a cell has aligned words")?;
        let found = word.swap(contents.word_record(cell, 0, round + 1), Ordering::Relaxed);
        let expected = if round == 0 { 0 } else { contents.word_record(cell, 0, round) };
        let place = Place { client: plan.client, object: 0, offset: cell * CELL_BYTES };
        figures.mismatches.compare(place, &expected.to_le_bytes(), &found.to_le_bytes());
        figures.cells += 1;
        meter.add(1);
    }
    Ok(figures)
}
