//! The figures of a run: which rules they break, what their ratios are, and two ways to read them.

pub(crate) mod ratios;
mod rules;
mod rush;
pub(crate) mod table;

pub(crate) use crate::report::rush::Rush;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::calibration::Calibration;
use crate::latency::Percentiles;
use crate::machine::Machine;
use crate::mismatch::{Mismatch, Mismatches};
use crate::orders::{HitFigures, StormFigures, SweepFigures, VerifyFigures};
use crate::out;
use crate::report::ratios::Ratios;
use crate::settings::Settings;
use crate::sizes;
use crate::status::{Change, Status};

/// Everything that was measured.
pub(crate) struct Figures {
    pub(crate) hit: HitFigures,
    pub(crate) sweep: SweepFigures,
    pub(crate) rush: Option<Rush>,
    /// The same data and pattern with one client, if that was asked for.
    pub(crate) one_client: Option<Scene>,
    pub(crate) scene: Scene,
    /// What the daemon did from the first phase to the last.
    pub(crate) change: Change,
    pub(crate) after: Status,
    /// What the host lacks, as far as the daemon says.
    pub(crate) lacks: Vec<String>,
}

/// One fill, pattern and check.
pub(crate) struct Scene {
    pub(crate) page_bytes: u64,
    pub(crate) storm: StormFigures,
    /// What the daemon did during the pattern.
    pub(crate) change: Change,
    pub(crate) verify: VerifyFigures,
}

/// A whole run. The names of the fields are the keys of its JSON, and stay as they are.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) calibration: Calibration,
    /// Operations of the pattern that met a fault; the samples of `fault_us`.
    pub(crate) faults: u64,
    pub(crate) fault_us: Percentiles,
    pub(crate) op_us: Percentiles,
    pub(crate) hit_ns: f64,
    pub(crate) plain_hit_ns: f64,
    /// `None` when nothing was filled; likewise below.
    pub(crate) fill_gbps: Option<f64>,
    pub(crate) evict_gbps: Option<f64>,
    pub(crate) write_sweep_gbps: Option<f64>,
    pub(crate) read_sweep_gbps: Option<f64>,
    /// From the first phase to the last, as the daemon counts them.
    pub(crate) evictions: u64,
    pub(crate) evicted_bytes: u64,
    pub(crate) bytes_verified: u64,
    /// Wrong bytes, wherever they were noticed.
    pub(crate) mismatches: u64,
    pub(crate) first_mismatches: Vec<Mismatch>,
    pub(crate) vram_capacity: u64,
    pub(crate) vram_peak: u64,
    pub(crate) throughput_ops_per_s: f64,
    pub(crate) ops: u64,
    pub(crate) writes: u64,
    pub(crate) seconds: f64,
    /// In force in the pattern phase.
    pub(crate) page_bytes: u64,
    pub(crate) fault_counts: FaultCounts,
    /// Many threads on one page, if that was asked for.
    pub(crate) rush: Option<Rush>,
    pub(crate) one_client: Option<OneClient>,
    pub(crate) ratios: Ratios,
    /// Sentences; a run is clean when there are none.
    pub(crate) broken_rules: Vec<String>,
    /// Whatever the daemon misses on this host.
    pub(crate) lacks: Vec<String>,
    pub(crate) settings: Settings,
    pub(crate) machine: Machine,
}

/// The faults of the pattern as three parties count them.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct FaultCounts {
    /// Operations slower than the threshold, in which the kernel saw a page fault.
    pub(crate) client: u64,
    /// As slow, without a page fault: interrupted. Not in `fault_us`.
    pub(crate) slow_without_fault: u64,
    /// Page faults of the client threads, those included that the kernel answers alone.
    pub(crate) kernel: u64,
    /// Fault events that the daemon read.
    pub(crate) daemon: u64,
}

/// The comparison run.
#[derive(Debug, Serialize)]
pub(crate) struct OneClient {
    pub(crate) throughput_ops_per_s: f64,
    pub(crate) faults: u64,
    pub(crate) fault_us: Percentiles,
    pub(crate) op_us: Percentiles,
}

impl Report {
    pub(crate) fn new(
        settings: &Settings,
        calibration: &Calibration,
        machine: Machine,
        figures: Figures,
    ) -> Result<Report> {
        let vram = figures.after.pool("vram")?;
        let (vram_capacity, vram_peak) = (vram.capacity_bytes, vram.peak_bytes);
        let broken_rules = rules::broken(settings, &figures, vram);
        let ratios = Ratios::new(calibration, &figures);
        let Figures { hit, sweep, rush, one_client, scene, change, after: _, lacks } = figures;
        let fault_counts = scene.fault_counts();
        let throughput_ops_per_s = scene.throughput();
        let compared = one_client.as_ref().map(OneClient::new);
        let (write_sweep_gbps, read_sweep_gbps) = (sweep.write_gbps(), sweep.read_gbps());
        let (op_us, fault_us) = (scene.storm.op.percentiles(), scene.storm.fault.percentiles());
        let (ops, writes, seconds) = (scene.storm.ops, scene.storm.writes, scene.storm.seconds);
        let page_bytes = scene.page_bytes;
        let scenes = one_client.into_iter().chain([scene]);
        let (bytes_verified, mismatches) = checked(sweep, rush.as_ref(), scenes);
        Ok(Report {
            calibration: *calibration,
            faults: fault_counts.client,
            fault_us,
            op_us,
            hit_ns: hit.object_ns,
            plain_hit_ns: hit.plain_ns,
            fill_gbps: sizes::gbps(change.counters.filled_bytes, change.fill.seconds),
            evict_gbps: sizes::gbps(change.counters.evicted_bytes, change.evict.seconds),
            write_sweep_gbps,
            read_sweep_gbps,
            evictions: change.counters.evictions,
            evicted_bytes: change.counters.evicted_bytes,
            bytes_verified,
            mismatches: mismatches.bytes,
            first_mismatches: mismatches.first,
            vram_capacity,
            vram_peak,
            throughput_ops_per_s,
            ops,
            writes,
            seconds,
            page_bytes,
            fault_counts,
            rush,
            one_client: compared,
            ratios,
            broken_rules,
            lacks,
            settings: settings.clone(),
            machine,
        })
    }

    /// Whether every byte was right and every rule held.
    pub(crate) fn is_clean(&self) -> bool {
        self.mismatches == 0 && self.broken_rules.is_empty()
    }

    /// Prints the table, or writes the JSON as asked; `-` replaces the table.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(crate) fn publish(&self, json: Option<&Path>) -> Result<()> {
        let text = || serde_json::to_string_pretty(self).context("cannot write the report as JSON");
        let say = |text: &str| out::line(text).context("cannot write to standard output");
        match json {
            Some(path) if path.as_os_str() == "-" => {
                say(&text()?)?;
                eprintln!("{}", table::verdict(self));
                Ok(())
            }
            Some(path) => {
                say(&table::render(self))?;
                fs::write(path, text()? + "\n")
                    .with_context(|| format!("cannot write {}", path.display()))
            }
            None => say(&table::render(self)),
        }
    }
}

/// Bytes that were compared, and those that were wrong, in all phases.
fn checked(
    sweep: SweepFigures,
    rush: Option<&Rush>,
    scenes: impl Iterator<Item = Scene>,
) -> (u64, Mismatches) {
    let mut mismatches = sweep.mismatches;
    let mut bytes = sweep.bytes;
    if let Some(rush) = rush {
        bytes += rush.bytes_verified;
        mismatches.add(rush.mismatches.clone());
    }
    for scene in scenes {
        bytes += scene.verify.bytes;
        mismatches.add(scene.storm.mismatches);
        mismatches.add(scene.verify.mismatches);
    }
    (bytes, mismatches)
}

impl Scene {
    pub(crate) fn throughput(&self) -> f64 {
        if 0.0 < self.storm.seconds { self.storm.ops as f64 / self.storm.seconds } else { 0.0 }
    }

    fn fault_counts(&self) -> FaultCounts {
        FaultCounts {
            client: self.storm.fault.count(),
            slow_without_fault: self.storm.slow_without_fault,
            kernel: self.storm.kernel_faults,
            daemon: self.change.counters.faults,
        }
    }
}

impl OneClient {
    fn new(scene: &Scene) -> OneClient {
        OneClient {
            throughput_ops_per_s: scene.throughput(),
            faults: scene.storm.fault.count(),
            fault_us: scene.storm.fault.percentiles(),
            op_us: scene.storm.op.percentiles(),
        }
    }
}

impl SweepFigures {
    fn write_gbps(&self) -> Option<f64> {
        sizes::gbps(self.bytes, self.write_seconds)
    }

    fn read_gbps(&self) -> Option<f64> {
        sizes::gbps(self.bytes, self.read_seconds)
    }
}
