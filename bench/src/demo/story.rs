//! What the demonstration prints: a short story with figures.

use std::time::Duration;

use anyhow::Result;
use bo_units::ByteCount;

use crate::calibration::Calibration;
use crate::daemon::Service;
use crate::demo::files::Input;
use crate::demo::orders::{CheckFigures, LoadedFile, SCRATCH_BYTES, StormFigures};
use crate::latency::Latencies;
use crate::out;
use crate::sizes::about;
use crate::status::{self, Change, Status};

/// One line of the story. Whether somebody reads on makes no difference to how it ends.
macro_rules! say {
    ($($words:tt)*) => {
        drop(out::line(&format!($($words)*)))
    };
}

pub(super) fn opening(input: &Input) {
    say!(
        "Loading {} real files, {}, from {}\ninto a pool of {}: {:.1} times what fits. \
         Every access is a plain load or store.\n",
        input.files.len(),
        about(input.bytes()),
        input.folder.display(),
        input.pool,
        input.bytes() as f64 / input.pool.get() as f64,
    );
}

pub(super) fn stage(input: &Input, service: &Service) {
    say!("  daemon   runs inside this process, with a VRAM pool of {}", input.pool);
    say!("  metrics  http://{}/metrics while this runs", service.http());
    for lack in service.lacks() {
        say!("  missing  {lack}");
    }
}

pub(super) fn loaded(loaded: &[Vec<LoadedFile>], change: Change) {
    let counts = loaded.iter().map(Vec::len).map(|count| count.to_string());
    say!(
        "  loaded   {} files by processes A and B; {} faults, {} evicted on the way",
        counts.collect::<Vec<_>>().join(" + "),
        change.counters.faults,
        about(change.counters.evicted_bytes),
    );
}

pub(super) fn shared(count: usize) {
    say!(
        "  shared   {count} files with the other process, read-only, and a scratch object of {} \
         that both write",
        ByteCount::new(SCRATCH_BYTES),
    );
}

pub(super) fn stormed(
    storms: &[StormFigures],
    time: Duration,
    calibration: &Calibration,
    change: Change,
) {
    let reads: u64 = storms.iter().map(|storm| storm.reads).sum();
    let increments: u64 = storms.iter().map(|storm| storm.increments).sum();
    let mut fault = Latencies::new();
    for storm in storms {
        fault.add(&storm.fault);
    }
    say!(
        "  storm    {:.1} s, two processes x two threads: {reads} random reads of 4 KiB, each \
         compared with its file,\n           and {increments} increments of the scratch object; \
         {} met a fault",
        time.as_secs_f64(),
        fault.count(),
    );
    let percentiles = fault.percentiles();
    if let (Some(p50), Some(p99), Some(max)) = (percentiles.p50, percentiles.p99, percentiles.max) {
        say!(
            "  faults   as the clients saw them: p50 {p50:.0} µs, p99 {p99:.0} µs, longest \
             {max:.0} µs (a pipe round trip here: {:.0} µs)",
            calibration.pingpong_same_cpu_us,
        );
    }
    say!(
        "  so far   {} faults answered, {} pages evicted ({})",
        change.counters.faults,
        change.counters.evictions,
        about(change.counters.evicted_bytes),
    );
}

/// The verdict. `Ok(false)` when something was not right.
pub(super) fn ending(
    storms: &[StormFigures],
    checks: &[CheckFigures],
    after: &Status,
    change: Change,
    service: &Service,
) -> Result<bool> {
    let wrong_reads: u64 = storms.iter().map(|storm| storm.wrong_reads).sum();
    let increments: u64 = storms.iter().map(|storm| storm.increments).sum();
    let mut complaints = Vec::new();
    if 0 < wrong_reads {
        complaints.push(format!("{wrong_reads} reads were not what the file holds"));
    }
    for (name, check) in ["A", "B"].into_iter().zip(checks) {
        let CheckFigures { own, imported, bytes, wrong, scratch_sum } = check;
        say!(
            "  checked  {name}: SHA-256 of {own} own and {imported} imported files, {}: {}",
            about(*bytes),
            if wrong.is_empty() { "all right" } else { "NOT ALL RIGHT" },
        );
        let differs = |path: &std::path::PathBuf| format!("{name} sees {} differ", path.display());
        complaints.extend(wrong.iter().map(differs));
        if *scratch_sum != increments {
            complaints.push(format!("{name} counts {scratch_sum} increments of {increments}"));
        }
    }
    let vram = after.pool("vram")?;
    if vram.capacity_bytes < vram.peak_bytes {
        complaints.push("the pool held more than its capacity".to_owned());
    }
    say!(
        "  pool     at most {} of {} were ever in use; {} faults, {} evictions in all",
        about(vram.peak_bytes),
        about(vram.capacity_bytes),
        change.counters.faults,
        change.counters.evictions,
    );
    sample_metrics(service)?;
    conclude(&complaints);
    Ok(complaints.is_empty())
}

/// A few lines of what the daemon serves, so that a reader sees what they look like.
fn sample_metrics(service: &Service) -> Result<()> {
    let text = status::get(service.http(), "/metrics")?;
    let series = text.lines().filter(|line| line.starts_with("bo_"));
    let telling = ["bo_evictions_total", "bo_refaults_total", "bo_pool_"];
    say!("  metrics  {} series, such as", series.clone().count());
    for name in telling {
        if let Some(line) = series.clone().find(|line| line.starts_with(name)) {
            say!("             {line}");
        }
    }
    Ok(())
}

fn conclude(complaints: &[String]) {
    if complaints.is_empty() {
        say!("\nEvery byte was right, seen from both processes.");
        say!("Next: `bo-bench run --help` measures; `bo-manager serve --help` serves.");
        return;
    }
    say!("\nNOT RIGHT:");
    for complaint in complaints {
        say!("  {complaint}");
    }
}
