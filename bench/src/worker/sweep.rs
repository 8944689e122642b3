//! One large object written from end to end, read from end to end, then checked.

use anyhow::Result;
use bo_client::Client;

use crate::orders::{Plan, SweepFigures};
use crate::sizes;
use crate::station::Meter;
use crate::sweep::Sweeper;
use crate::worker::field;

/// Sweeps over one exclusive object of at least `bytes`, with plain copies.
pub(super) fn run(client: &Client, plan: &Plan, bytes: u64, meter: &Meter) -> Result<SweepFigures> {
    let mut sweeper = Sweeper::new(plan.seed);
    let object = field::allocate(client, plan, bytes, "bench sweep")?;
    let mut memory = object.into_exclusive()?;
    let write_seconds = sweeper.write(&mut memory, meter);
    let read_seconds = sweeper.read(&memory, meter);
    let mismatches = sweeper.compare(&memory, plan.client, meter);
    let bytes = sizes::as_u64(memory.len());
    Ok(SweepFigures { bytes, write_seconds, read_seconds, mismatches })
}
