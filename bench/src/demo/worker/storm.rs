//! Random reads of all objects, compared with the files, and counting in a shared object.

use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bo_client::Mapping;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::demo::orders::{SCRATCH_BYTES, StormFigures};
use crate::demo::worker::held::HeldFile;
use crate::faults::{FaultWatch, Verdict};
use crate::latency::Latencies;
use crate::sizes;
use crate::station::Meter;

const READ_BYTES: usize = 4096;
const WORD_BYTES: u64 = 8;

/// One increment for so many reads.
const READS_PER_INCREMENT: u64 = 16;

/// What one process does in the storm.
pub(super) struct Plan {
    pub(super) millis: u64,
    pub(super) threads: u32,
    pub(super) seed: u64,
    pub(super) fault_threshold_ns: u64,
}

/// Rages for the planned time on the planned number of threads.
///
/// # Errors
///
/// When a file can no longer be read to compare with, or a mapping not at all.
pub(super) fn run(
    files: &[&HeldFile],
    scratch: &Mapping,
    plan: &Plan,
    meter: &Meter,
) -> Result<StormFigures> {
    let start = Instant::now();
    let results = thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads)
            .map(|number| scope.spawn(move || rage(files, scratch, plan, number, start, meter)))
            .collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.collect::<Result<Vec<_>, _>>()
    });
    let mut sum = none();
    for result in results.map_err(|_| anyhow!("a client thread panicked"))? {
        let StormFigures { reads, wrong_reads, increments, fault } = result?;
        sum.reads += reads;
        sum.wrong_reads += wrong_reads;
        sum.increments += increments;
        sum.fault.add(&fault);
    }
    Ok(sum)
}

fn none() -> StormFigures {
    StormFigures { reads: 0, wrong_reads: 0, increments: 0, fault: Latencies::new() }
}

fn rage(
    files: &[&HeldFile],
    scratch: &Mapping,
    plan: &Plan,
    number: u32,
    start: Instant,
    meter: &Meter,
) -> Result<StormFigures> {
    let time = Duration::from_millis(plan.millis);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(plan.seed << 32 | u64::from(number));
    let mut watch = FaultWatch::new(Duration::from_nanos(plan.fault_threshold_ns));
    let mut figures = none();
    let places = Places::new(files);
    let (mut seen, mut real) = ([0; READ_BYTES], [0; READ_BYTES]);
    while start.elapsed() < time {
        let (file, at, len) = places.draw(&mut random);
        let began = Instant::now();
        file.mapping.read_at(at, &mut seen[..len]).context("cannot read")?;
        let took = began.elapsed();
        match watch.judge(took) {
            Verdict::Faulted => figures.fault.record(took),
            Verdict::Hit | Verdict::Interrupted => {}
        }
        let path = || format!("cannot read {} again", file.file.path.display());
        file.original.read_exact_at(&mut real[..len], at).with_context(path)?;
        figures.wrong_reads += u64::from(seen[..len] != real[..len]);
        figures.reads += 1;
        meter.add(1);
        if figures.reads.is_multiple_of(READS_PER_INCREMENT) {
            let word = random.random_range(0..SCRATCH_BYTES / WORD_BYTES) * WORD_BYTES;
            let word = scratch.atomic_u64(word).context("no such word")?;
            word.fetch_add(1, Ordering::Relaxed);
            figures.increments += 1;
        }
    }
    Ok(figures)
}

/// The sum of all words of the scratch object.
pub(super) fn scratch_sum(scratch: &Mapping) -> u64 {
    let words = (0..SCRATCH_BYTES / WORD_BYTES).map(|word| word * WORD_BYTES);
    words.filter_map(|at| scratch.atomic_u64(at)).map(|word| word.load(Ordering::Relaxed)).sum()
}

/// Every 4 KiB of every file, each as likely as the other.
struct Places<'a> {
    /// With the number of places in front of each.
    files: Vec<(u64, &'a HeldFile)>,
    count: u64,
}

impl<'a> Places<'a> {
    fn new(files: &[&'a HeldFile]) -> Places<'a> {
        let mut count = 0;
        let files = files.iter().map(|file| {
            let first = count;
            count += file.file.bytes.div_ceil(sizes::as_u64(READ_BYTES));
            (first, *file)
        });
        Places { files: files.collect(), count }
    }

    /// A file, where to read in it, and how much there is.
    fn draw(&self, random: &mut impl Rng) -> (&'a HeldFile, u64, usize) {
        let place = random.random_range(0..self.count);
        let after = self.files.partition_point(|(first, _)| *first <= place);
        let (first, file) = self.files[after - 1];
        let at = (place - first) * sizes::as_u64(READ_BYTES);
        let left = sizes::in_memory(file.file.bytes - at);
        (file, at, left.min(READ_BYTES))
    }
}
