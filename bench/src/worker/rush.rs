//! Many threads at once on one page that is not there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bo_client::{Client, Mapping, Object};

use crate::contents::{CELL_BYTES, Contents};
use crate::latency::Latencies;
use crate::mismatch::{Mismatches, Place};
use crate::orders::{Plan, RushFigures};
use crate::sizes;
use crate::worker::field;

/// Times that the whole pool is displaced before the page is said not to leave.
const DISPLACEMENTS_MAX: u32 = 16;

/// One page to meet on, and what drives it out.
pub(super) struct Rush {
    target: Object,
    target_mapping: Mapping,
    contents: Contents,
    ballast: Mapping,
    ballast_page_bytes: u64,
}

impl Rush {
    /// Allocates one page and writes it, and allocates ballast of `ballast_bytes`, which is more
    /// than the pool.
    pub(super) fn new(client: &Client, plan: &Plan, ballast_bytes: u64) -> Result<Rush> {
        let page_bytes = plan.page_bytes.map_or(CELL_BYTES, u64::from);
        let target = field::allocate(client, plan, page_bytes, "bench rush")?;
        let target_mapping = target.map()?;
        let unique = u64::MAX - 1 - u64::from(plan.client);
        let contents = Contents::new(plan.seed, unique, plan.record);
        target_mapping.write_at(0, &expected(&contents, target_mapping.len()))?;
        let ballast = field::allocate(client, plan, ballast_bytes, "bench ballast")?;
        let ballast_page_bytes = ballast.page_size().bytes();
        let ballast = ballast.map()?;
        Ok(Rush { target, target_mapping, contents, ballast, ballast_page_bytes })
    }

    pub(super) fn page_bytes(&self) -> u64 {
        self.target_mapping.len()
    }

    /// Drives the page out of the pool.
    ///
    /// # Errors
    ///
    /// When it stays however often the pool is displaced.
    pub(super) fn displace(&self) -> Result<()> {
        for _ in 0..DISPLACEMENTS_MAX {
            let mut offset = 0;
            while offset < self.ballast.len() {
                let word = self.ballast.atomic_u64(offset).context("a page has aligned words")?;
                word.fetch_add(1, Ordering::Relaxed);
                offset += self.ballast_page_bytes;
            }
            if self.target.stat()?.resident_bytes == 0 {
                return Ok(());
            }
        }
        bail!("a page stayed in the pool while {DISPLACEMENTS_MAX} times the pool was touched")
    }

    /// Lets `threads` threads read the page at the same moment, and checks what each of them read.
    pub(super) fn go(&self, plan: &Plan, threads: u32) -> Result<RushFigures> {
        let expected = expected(&self.contents, self.target_mapping.len());
        let barrier = Barrier::new(sizes::in_memory(u64::from(threads)));
        let sum = Mutex::new(RushFigures::none());
        let refused = AtomicU64::new(0);
        let before = self.target.stat()?;
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut found = vec![0; expected.len()];
                    barrier.wait();
                    let start = Instant::now();
                    let read = self.target_mapping.read_at(0, &mut found);
                    let took = start.elapsed();
                    if read.is_err() {
                        refused.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    sum.first_read.record(took);
                    let place = Place { client: plan.client, object: u32::MAX, offset: 0 };
                    sum.mismatches.compare(place, &expected, &found);
                    sum.bytes += sizes::as_u64(found.len());
                });
            }
        });
        let mut sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
        sum.errors = refused.into_inner();
        let after = self.target.stat()?;
        sum.faults = after.faults - before.faults;
        // Whatever is filled now was evicted before, and no other page is in this object.
        sum.fills = after.refaults - before.refaults;
        sum.fills_max = sum.fills;
        sum.evictions = after.evictions - before.evictions;
        Ok(sum)
    }
}

impl RushFigures {
    pub(crate) fn none() -> RushFigures {
        RushFigures {
            first_read: Latencies::new(),
            faults: 0,
            fills: 0,
            fills_max: 0,
            evictions: 0,
            errors: 0,
            bytes: 0,
            mismatches: Mismatches::default(),
        }
    }

    pub(crate) fn add(&mut self, other: RushFigures) {
        self.first_read.add(&other.first_read);
        self.faults += other.faults;
        self.fills += other.fills;
        self.fills_max = self.fills_max.max(other.fills_max);
        self.evictions += other.evictions;
        self.errors += other.errors;
        self.bytes += other.bytes;
        self.mismatches.add(other.mismatches);
    }
}

fn expected(contents: &Contents, bytes: u64) -> Vec<u8> {
    let mut all = vec![0; sizes::in_memory(bytes)];
    for (cell, target) in (0u64..).zip(all.chunks_exact_mut(sizes::in_memory(CELL_BYTES))) {
        contents.write_cell(cell, 0, target);
    }
    all
}
