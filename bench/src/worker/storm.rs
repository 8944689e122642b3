//! The pattern: one operation after the other, each timed, each value checked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::contents::{CELL_BYTES, RecordBytes};
use crate::faults::{FaultWatch, Verdict};
use crate::latency::Latencies;
use crate::mismatch::{Mismatches, Place};
use crate::orders::{Plan, StormFigures, StormPlan, WorkerLimit};
use crate::pattern::Walk;
use crate::sizes;
use crate::station::Meter;
use crate::worker::field::{Field, Share, Spot};

/// How many operations pass between two reports of progress.
const REPORT_EVERY: u64 = 256;

/// Runs the pattern on all threads of this client.
///
/// # Errors
///
/// When a thread panicked, which is a bug of the bench.
pub(super) fn run(
    field: &mut Field,
    plan: &Plan,
    storm: &StormPlan,
    meter: &Meter,
) -> anyhow::Result<StormFigures> {
    let start = Instant::now();
    let tallies = field.on_each_thread(|field, thread, share| {
        Thread::new(field, share, plan, storm, thread).run(start, meter)
    })?;
    let mut sum = StormFigures::none();
    for tally in tallies {
        sum.add(tally);
    }
    sum.seconds = start.elapsed().as_secs_f64();
    Ok(sum)
}

impl StormFigures {
    pub(crate) fn none() -> StormFigures {
        StormFigures {
            ops: 0,
            writes: 0,
            seconds: 0.0,
            op: Latencies::new(),
            fault: Latencies::new(),
            slow_without_fault: 0,
            kernel_faults: 0,
            mismatches: Mismatches::default(),
        }
    }

    /// Adds what others did at the same time: counts add up, the longest time counts.
    pub(crate) fn add(&mut self, other: StormFigures) {
        self.ops += other.ops;
        self.writes += other.writes;
        self.seconds = self.seconds.max(other.seconds);
        self.op.add(&other.op);
        self.fault.add(&other.fault);
        self.slow_without_fault += other.slow_without_fault;
        self.kernel_faults += other.kernel_faults;
        self.mismatches.add(other.mismatches);
    }
}

/// One thread's part of the pattern.
struct Thread<'a> {
    field: &'a Field,
    share: &'a mut Share,
    walk: Walk,
    write_ratio: f64,
    ops_max: u64,
    time_max: Duration,
    record: RecordBytes,
    expected: Vec<u8>,
    found: Vec<u8>,
    watch: FaultWatch,
    /// Of the operation under way.
    verdict: Verdict,
    figures: StormFigures,
}

impl<'a> Thread<'a> {
    fn new(
        field: &'a Field,
        share: &'a mut Share,
        plan: &Plan,
        storm: &StormPlan,
        number: usize,
    ) -> Thread<'a> {
        let cells = share.cells.end - share.cells.start;
        let stream = (u64::from(plan.client) << 32) | sizes::as_u64(number);
        let part_seed = storm.part.wrapping_mul(0xd1b5_4a32_d192_ed03);
        let seed = plan.seed ^ part_seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (ops_max, time_max) = match storm.limit {
            WorkerLimit::Ops(ops) => (part(ops, number, plan.threads), Duration::MAX),
            WorkerLimit::Millis(millis) => (u64::MAX, Duration::from_millis(millis)),
        };
        let record_bytes = sizes::in_memory(plan.record.get());
        Thread {
            walk: Walk::new(storm.pattern, cells, field.cells_per_page(), seed),
            field,
            share,
            write_ratio: storm.write_ratio,
            ops_max,
            time_max,
            record: plan.record,
            expected: vec![0; record_bytes],
            found: vec![0; record_bytes],
            watch: FaultWatch::new(Duration::from_nanos(storm.fault_threshold_ns)),
            verdict: Verdict::Hit,
            figures: StormFigures::none(),
        }
    }

    fn run(mut self, start: Instant, meter: &Meter) -> StormFigures {
        while self.figures.ops < self.ops_max && start.elapsed() < self.time_max {
            let took = self.operate();
            self.count(took);
            if self.figures.ops.is_multiple_of(REPORT_EVERY) {
                meter.add(REPORT_EVERY);
            }
        }
        self.figures.kernel_faults = self.watch.page_faults();
        self.figures
    }

    /// One operation. Only its accesses to the object are timed, not the checking.
    fn operate(&mut self) -> Duration {
        self.verdict = Verdict::Hit;
        let index = self.walk.next_cell();
        let field = self.field;
        let spot = field.spot(self.share.cells.start + index);
        let index = sizes::in_memory(index);
        let writes = self.share.writes[index];
        if self.walk.writes(self.write_ratio) {
            let rewritten = writes.checked_add(1).expect("no cell is written 2^32 times in a run");
            self.share.writes[index] = rewritten;
            self.figures.writes += 1;
            self.rewrite(&spot, spot.held.contents.next_record(writes), writes)
        } else {
            let record = self.walk.below(spot.held.contents.records());
            self.read(&spot, record, writes)
        }
    }

    fn read(&mut self, spot: &Spot<'_>, record: u64, writes: u32) -> Duration {
        let version = spot.held.contents.version(record, writes);
        let offset = self.offset(spot, record);
        spot.held.contents.write_record(spot.cell, record, version, &mut self.expected);
        let took = match self.word(spot, offset) {
            Some(word) => {
                let start = Instant::now();
                let found = word.load(Ordering::Relaxed);
                let took = self.judged(start);
                self.found.copy_from_slice(&found.to_le_bytes());
                took
            }
            None => self.copy_out(spot, offset),
        };
        self.check(spot, offset);
        took
    }

    /// Reads a record, checks it, and writes its next version.
    fn rewrite(&mut self, spot: &Spot<'_>, record: u64, writes: u32) -> Duration {
        let contents = spot.held.contents;
        let version = contents.version(record, writes);
        let offset = self.offset(spot, record);
        contents.write_record(spot.cell, record, version, &mut self.expected);
        if let Some(word) = self.word(spot, offset) {
            let next = contents.word_record(spot.cell, record, writes + 1);
            let start = Instant::now();
            let found = word.swap(next, Ordering::Relaxed);
            let took = self.judged(start);
            self.found.copy_from_slice(&found.to_le_bytes());
            self.check(spot, offset);
            return took;
        }
        let reading = self.copy_out(spot, offset);
        self.check(spot, offset);
        contents.write_record(spot.cell, record, writes + 1, &mut self.expected);
        let start = Instant::now();
        let written = spot.held.mapping.write_at(offset, &self.expected);
        let writing = self.judged(start);
        written.expect("a record lies inside its object");
        reading + writing
    }

    fn copy_out(&mut self, spot: &Spot<'_>, offset: u64) -> Duration {
        let start = Instant::now();
        let read = spot.held.mapping.read_at(offset, &mut self.found);
        let took = self.judged(start);
        read.expect("a record lies inside its object");
        took
    }

    /// The time since `start`, when an access began; what the access was is noted.
    fn judged(&mut self, start: Instant) -> Duration {
        let took = start.elapsed();
        self.verdict = self.verdict.max(self.watch.judge(took));
        took
    }

    /// The record as one word, if records are words.
    fn word<'s>(&self, spot: &Spot<'s>, offset: u64) -> Option<&'s AtomicU64> {
        if self.record != RecordBytes::WORD {
            return None;
        }
        spot.held.mapping.atomic_u64(offset)
    }

    fn offset(&self, spot: &Spot<'_>, record: u64) -> u64 {
        spot.cell * CELL_BYTES + record * self.record.get()
    }

    fn check(&mut self, spot: &Spot<'_>, offset: u64) {
        let place = Place { offset, ..spot.place };
        self.figures.mismatches.compare(place, &self.expected, &self.found);
    }

    fn count(&mut self, took: Duration) {
        self.figures.ops += 1;
        self.figures.op.record(took);
        match self.verdict {
            Verdict::Hit => {}
            Verdict::Interrupted => self.figures.slow_without_fault += 1,
            Verdict::Faulted => self.figures.fault.record(took),
        }
    }
}

/// An even part of the operations for thread `number` of `threads`.
fn part(ops: u64, number: usize, threads: u32) -> u64 {
    let (number, threads) = (sizes::as_u64(number), u64::from(threads));
    ops / threads + u64::from(number < ops % threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_whole() {
        let parts: Vec<u64> = (0..3).map(|number| part(11, number, 3)).collect();
        assert_eq!(parts, [4, 4, 3]);
    }
}
