//! What an access to a resident page costs, beside the same access to an ordinary memfd.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bo_client::Client;

use crate::calibration::PlainMemory;
use crate::contents::CELL_BYTES;
use crate::orders::{HitFigures, HitPlan, Plan};
use crate::sizes;
use crate::worker::field;

/// More pages than the first-level TLB holds, few enough bytes for the second-level cache.
const HIT_BYTES: u64 = 512 << 10;

const _: () = assert!(HIT_BYTES.is_power_of_two());

/// Mappings of this size and more are aligned to it.
const LARGE_BYTES: u64 = 2 << 20;

/// Half a millisecond or so: long against the clock, short against the noise of the machine.
const STEPS: u32 = 100_000;

/// Runs the same loop over an object and over plain memory in turn, and takes the medians.
pub(super) fn measure(client: &Client, plan: &Plan, hit: HitPlan) -> Result<HitFigures> {
    let object = field::allocate(client, plan, HIT_BYTES, "bench hit")?;
    let mapping = object.map()?;
    let watched = mapping.atomics().context("the hit loop maps its object for writing")?;
    let mapped_bytes = sizes::as_u64(watched.len());
    let alignment = if mapped_bytes < LARGE_BYTES { CELL_BYTES } else { LARGE_BYTES };
    let plain = PlainMemory::new(mapped_bytes, alignment)?;
    let walked = ..sizes::in_memory(HIT_BYTES);
    let (watched, plain) = (&watched[walked], &plain.bytes()[walked]);
    touch(watched);
    touch(plain);
    let (mut object_ns, mut plain_ns) = (Vec::new(), Vec::new());
    let faults_before = object.stat()?.faults;
    let (start, time) = (Instant::now(), Duration::from_millis(hit.millis));
    for round in 0..hit.rounds {
        if 0 < round && time <= start.elapsed() {
            break;
        }
        // Not timed: when other objects are evicted meanwhile, this one is not to be the oldest.
        object.touch()?;
        // Who goes first changes, so that neither side always finds the caches the other left.
        if round % 2 == 0 {
            object_ns.push(access_ns(watched));
            plain_ns.push(access_ns(plain));
        } else {
            plain_ns.push(access_ns(plain));
            object_ns.push(access_ns(watched));
        }
    }
    let none = "the hit loop ran no round";
    let object_faults = object.stat()?.faults - faults_before;
    Ok(HitFigures {
        object_faults,
        object_ns: sizes::median(&mut object_ns).context(none)?,
        plain_ns: sizes::median(&mut plain_ns).context(none)?,
    })
}

/// Makes every page resident, with the same bytes on both sides.
fn touch(bytes: &[AtomicU8]) {
    for byte in bytes {
        byte.store(1, Ordering::Relaxed);
    }
}

fn access_ns(bytes: &[AtomicU8]) -> f64 {
    // The first walk warms the caches and is not timed.
    let warm = chase(bytes, STEPS / 8, 1);
    let start = Instant::now();
    std::hint::black_box(chase(bytes, STEPS, warm));
    start.elapsed().as_secs_f64() * 1e9 / f64::from(STEPS)
}

/// Each load decides where the next one goes, so none can be overlapped with it.
#[inline(never)]
fn chase(bytes: &[AtomicU8], steps: u32, mut at: usize) -> usize {
    let mask = bytes.len() - 1;
    for _ in 0..steps {
        let byte = bytes[(at >> 20) & mask].load(Ordering::Relaxed);
        at = at.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(usize::from(byte));
    }
    at
}
