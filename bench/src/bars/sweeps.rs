//! Whole objects written and read from end to end: against memcpy, against zram, and what an
//! eviction costs meanwhile.

use anyhow::{Context, Result, anyhow};

use crate::bars::line::Reached;
use crate::bars::suite::Suite;
use crate::crew::Crew;
use crate::daemon::Service;
use crate::ground::orders::{GroundAnswer, GroundOrder, GroundPlan, Kind};
use crate::peer;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::sizes;
use crate::spread::Spread;
use crate::status::Change;

type Worker = Crew<GroundOrder, GroundAnswer>;

/// Kinds of huge frames, the best first.
const HUGE: [&str; 2] = ["--backing huge --reserve", "--backing thp"];

/// Sweeps in 2 MiB pages, on huge frames of whatever kind this host gives.
pub(super) fn huge(suite: &mut Suite) -> Result<Vec<Reached>> {
    let settings = suite.settings(suite.choose("--vram 128MiB", "--vram 32MiB"))?;
    let mut reasons = Vec::new();
    for kind in HUGE {
        let service = suite.tuning(kind).and_then(|tuning| suite.service(&settings, &tuning));
        let swept = service.and_then(|service| {
            let swept = sweeps(suite, &service, &settings, Some(2 << 20));
            service.stop();
            swept
        });
        match swept {
            Ok(swept) => {
                let note = Some(format!("with {kind}"));
                let reached = swept.huge();
                return Ok(reached
                    .into_iter()
                    .map(|it| Reached { note: note.clone(), ..it })
                    .collect());
            }
            Err(error) => reasons.push(format!("{kind}: {error:#}")),
        }
    }
    Err(anyhow!("no huge frames: {}", reasons.join("; ")))
}

/// Sweeps on ordinary frames, with pages as the daemon chooses them.
pub(super) fn pages(suite: &mut Suite) -> Result<Vec<Reached>> {
    let settings = suite.settings("")?;
    // A daemon that does not know kinds of frames has ordinary ones.
    let tuning = suite.tuning("--backing pages").or_else(|_| suite.tuning(""))?;
    let service = suite.service(&settings, &tuning)?;
    let swept = sweeps(suite, &service, &settings, None);
    service.stop();
    Ok(swept?.pages())
}

/// Everything against zram, as `peer zram` measures it.
pub(super) fn zram(suite: &mut Suite) -> Result<Vec<Reached>> {
    let report = peer::measure(&suite.zram_args()?)?;
    suite.bytes_verified += report.bytes_verified;
    suite.wrong_bytes += report.mismatches;
    let median = |spread: Option<Spread>| spread.map(|spread| spread.median);
    let (ours, zram) = (&report.ours, &report.zram);
    let lines = [
        ("zram_uniform", report.spread.uniform_mean, ours.uniform_mean_us, zram.uniform_mean_us),
        ("zram_write", report.spread.write_sweep, ours.write_sweep_gbps, zram.write_sweep_gbps),
        ("zram_read", report.spread.read_sweep, ours.read_sweep_gbps, zram.read_sweep_gbps),
    ];
    let reached = lines.into_iter().filter_map(|(id, ratio, ours, zram)| {
        Some(Reached::spread(id, ratio?).with([("ours", median(ours)), ("zram", median(zram))]))
    });
    Ok(reached.collect())
}

/// All rounds of sweeps over one object of twice the pool.
#[derive(Default)]
struct Swept {
    memcpy_gbps: Vec<f64>,
    write_gbps: Vec<f64>,
    /// Right after the write: what is evicted is dirty at first.
    read_gbps: Vec<f64>,
    /// Once more: all that is evicted is clean.
    clean_read_gbps: Vec<f64>,
    /// Bytes evicted in a second of the daemon's evicting.
    dirty_evict_gbps: Vec<f64>,
    clean_evict_gbps: Vec<f64>,
}

impl Swept {
    fn huge(&self) -> Vec<Reached> {
        let clean = Spread::of_ratios(&self.clean_evict_gbps, &self.dirty_evict_gbps);
        [
            self.against_memcpy("write_huge", &self.write_gbps),
            self.against_memcpy("read_clean_huge", &self.clean_read_gbps),
            clean.map(|ratio| {
                Reached::spread("clean_to_dirty", ratio).with([
                    ("clean_gbps", middle(&self.clean_evict_gbps)),
                    ("dirty_gbps", middle(&self.dirty_evict_gbps)),
                ])
            }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn pages(&self) -> Vec<Reached> {
        let clean = [("clean_read_gbps", middle(&self.clean_read_gbps))];
        let write = self.against_memcpy("write_pages", &self.write_gbps);
        let read = self.against_memcpy("read_pages", &self.read_gbps);
        write.into_iter().chain(read.map(|read| read.with(clean))).collect()
    }

    fn against_memcpy(&self, id: &'static str, gbps: &[f64]) -> Option<Reached> {
        let ratio = Spread::of_ratios(gbps, &self.memcpy_gbps)?;
        let details = [("gbps", middle(gbps)), ("memcpy_gbps", middle(&self.memcpy_gbps))];
        Some(Reached::spread(id, ratio).with(details))
    }
}

fn middle(values: &[f64]) -> Option<f64> {
    Spread::of(values.iter().copied()).map(|spread| spread.median)
}

fn sweeps(
    suite: &mut Suite,
    service: &Service,
    settings: &Settings,
    page_bytes: Option<u32>,
) -> Result<Swept> {
    let mut worker = Worker::start("ground", 1)?;
    let kind = Kind::Object { socket: service.socket().to_owned(), page_bytes };
    tell(&mut worker, &GroundOrder::Prepare(GroundPlan { seed: settings.seed, kind }))?;
    let mut swept = Swept::default();
    for _ in 0..suite.choose(5, 1) {
        tell(&mut worker, &GroundOrder::Take { bytes: settings.vram_bytes * 2 })?;
        let before = suite.memcpy_gbps();
        let (write, dirty) = step(&mut worker, service, &GroundOrder::Write)?;
        let (read, _) = step(&mut worker, service, &GroundOrder::Read)?;
        let (clean_read, clean) = step(&mut worker, service, &GroundOrder::Read)?;
        swept.memcpy_gbps.push(f64::midpoint(before, suite.memcpy_gbps()));
        swept.write_gbps.push(write);
        swept.read_gbps.push(read);
        swept.clean_read_gbps.push(clean_read);
        if let (Some(dirty), Some(clean)) = (evict_gbps(&dirty), evict_gbps(&clean)) {
            swept.dirty_evict_gbps.push(dirty);
            swept.clean_evict_gbps.push(clean);
        }
        let answer = tell(&mut worker, &GroundOrder::Check)?;
        let GroundAnswer::Checked(checked) = answer else { return peer::out_of_turn(&answer) };
        suite.count_checked(&checked);
        tell(&mut worker, &GroundOrder::Leave)?;
    }
    worker.dismiss()?;
    Ok(swept)
}

/// One sweep, and what the daemon did meanwhile.
fn step(worker: &mut Worker, service: &Service, order: &GroundOrder) -> Result<(f64, Change)> {
    let before = service.status()?;
    let gbps = peer::sweep(worker, "sweep", order)?;
    Ok((gbps, service.status()?.since(&before)))
}

fn evict_gbps(change: &Change) -> Option<f64> {
    let evicted = Some(change.counters.evicted_bytes).filter(|bytes| 0 < *bytes)?;
    sizes::gbps(evicted, change.evict.seconds)
}

fn tell(worker: &mut Worker, order: &GroundOrder) -> Result<GroundAnswer> {
    worker.tell_one(0, &Progress::hidden(), order).context("the process that sweeps")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Counters, Stage};

    #[test]
    fn evicting_is_rated_by_the_time_spent_on_it() {
        let change = |evicted_bytes, seconds| Change {
            counters: Counters { evicted_bytes, ..Counters::default() },
            fill: Stage::default(),
            evict: Stage { seconds, count: 1 },
        };
        assert_eq!(evict_gbps(&change(3_000_000_000, 1.5)), Some(2.0));
        assert_eq!(evict_gbps(&change(0, 1.5)), None);
        assert_eq!(evict_gbps(&change(1, 0.0)), None);
    }

    #[test]
    fn a_sweep_is_compared_with_the_memcpy_of_its_own_round() {
        let swept = Swept {
            memcpy_gbps: vec![8.0, 4.0],
            write_gbps: vec![4.0, 2.0],
            read_gbps: vec![2.0, 1.0],
            ..Swept::default()
        };
        let values: Vec<(&str, f64)> =
            swept.pages().iter().map(|reached| (reached.id, reached.value)).collect();
        assert_eq!(values, [("write_pages", 0.5), ("read_pages", 0.25)]);
        assert_eq!(swept.huge().len(), 1);
    }
}
