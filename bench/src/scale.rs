//! What the core's decisions and tables cost as the number of objects grows. No kernel takes part,
//! so the figures are of the code under the lock alone.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use bo_core::FaultKind;
use bo_sys::heap::live_bytes;
use clap::Args;
use comfy_table::Table;
use hdrhistogram::Histogram;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;

use crate::out;

pub(crate) mod driver;

use driver::{Driver, config};

/// Object counts that are compared.
const OBJECTS: [u32; 3] = [1000, 10_000, 100_000];

/// What `scale` can be told.
#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// Pages of all objects together, half of which fit the pool; at least 100000
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(100_000..=100_000_000))]
    pages: u32,

    /// Faults of each size
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    faults: u32,

    /// Write the figures as JSON to this file, or `-` for standard output
    #[arg(long, value_name = "PATH|-")]
    json: Option<PathBuf>,
}

/// All figures. Times are in nanoseconds, and contain `timer_ns` each.
#[derive(Debug, Serialize)]
struct Report {
    /// Pages of all objects together.
    pages: u32,
    /// What two readings of the clock cost: the median.
    timer_ns: u64,
    sizes: Vec<Size>,
}

/// Figures of one number of objects.
#[derive(Debug, Serialize)]
struct Size {
    objects: u32,
    /// A fault is handed in, and the effects are taken.
    fault: Times,
    /// An outcome is reported, and the effects are taken.
    outcome: Times,
    /// A step of background reclaim, which chooses up to sixteen victims.
    reclaim: Times,
    /// `fault.p50_ns` as a multiple of the smallest size's.
    fault_p50_ratio: f64,
    /// `fault.p99_ns` as a multiple of the smallest size's.
    fault_p99_ratio: f64,
    /// Heap bytes of each page, when each has been in the pool.
    bytes_per_page: f64,
    /// Heap bytes of each object with its hold and one mapping, without its pages.
    bytes_per_object: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Times {
    count: u64,
    p50_ns: u64,
    p99_ns: u64,
    max_ns: u64,
}

/// Measures each size and says what came of it.
pub(crate) fn run(args: &ScaleArgs) -> Result<()> {
    let mut report = Report { pages: args.pages, timer_ns: timer_ns()?, sizes: Vec::new() };
    for objects in OBJECTS {
        let mut size = measure(objects, args)?;
        let first = report.sizes.first().map_or(size.fault, |first| first.fault);
        size.fault_p50_ratio = ratio(size.fault.p50_ns, first.p50_ns);
        size.fault_p99_ratio = ratio(size.fault.p99_ns, first.p99_ns);
        report.sizes.push(size);
    }
    publish(&report, args.json.as_deref())
}

fn measure(objects: u32, args: &ScaleArgs) -> Result<Size> {
    let pages_each = args.pages / objects;
    let pages = u64::from(pages_each) * u64::from(objects);
    let empty = live_bytes();
    let mut driver = Driver::new(config(pages / 2, pages), objects as usize, pages_each);
    driver.map();
    let mapped = live_bytes();
    let mut stopwatch = Stopwatch::new()?;
    for page in 0..pages_each {
        for object in 0..objects as usize {
            stopwatch.fault(&mut driver, object, page, true)?;
        }
    }
    let filled = live_bytes();
    // From here on it counts.
    let mut stopwatch = Stopwatch::new()?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    for _ in 0..args.faults {
        let object = rng.random_range(0..objects) as usize;
        let page = rng.random_range(0..pages_each);
        stopwatch.fault(&mut driver, object, page, rng.random_bool(0.5))?;
    }
    Ok(Size {
        objects,
        fault: times(&stopwatch.fault),
        outcome: times(&stopwatch.outcome),
        reclaim: times(&stopwatch.reclaim),
        fault_p50_ratio: 1.0,
        fault_p99_ratio: 1.0,
        bytes_per_page: quotient(filled - mapped, pages),
        bytes_per_object: quotient(mapped - empty, u64::from(objects)),
    })
}

/// Times of the three ways into the core.
struct Stopwatch {
    fault: Histogram<u64>,
    outcome: Histogram<u64>,
    reclaim: Histogram<u64>,
}

impl Stopwatch {
    fn new() -> Result<Stopwatch> {
        let (fault, outcome, reclaim) = (histogram()?, histogram()?, histogram()?);
        Ok(Stopwatch { fault, outcome, reclaim })
    }

    /// One fault, served to the end, and the reclaim that it calls for.
    fn fault(&mut self, driver: &mut Driver, object: usize, page: u32, write: bool) -> Result<()> {
        let start = Instant::now();
        driver.decide(object, page, write, FaultKind::Missing);
        note(&mut self.fault, start)?;
        self.finish(driver)?;
        while driver.manager.wants_reclaim() {
            let start = Instant::now();
            let more = driver.reclaim();
            note(&mut self.reclaim, start)?;
            self.finish(driver)?;
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn finish(&mut self, driver: &mut Driver) -> Result<()> {
        while let Some((id, outcome)) = driver.next() {
            let start = Instant::now();
            driver.report(id, outcome);
            note(&mut self.outcome, start)?;
        }
        Ok(())
    }
}

fn histogram() -> Result<Histogram<u64>> {
    Histogram::new(3).context("cannot make a histogram")
}

fn note(histogram: &mut Histogram<u64>, start: Instant) -> Result<()> {
    let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    histogram.record(nanos).context("a time is too long to be counted")
}

fn timer_ns() -> Result<u64> {
    let mut histogram = histogram()?;
    for _ in 0..10_000 {
        note(&mut histogram, Instant::now())?;
    }
    Ok(histogram.value_at_quantile(0.5))
}

fn times(histogram: &Histogram<u64>) -> Times {
    Times {
        count: histogram.len(),
        p50_ns: histogram.value_at_quantile(0.5),
        p99_ns: histogram.value_at_quantile(0.99),
        max_ns: histogram.max(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures to show; exact below 2^53")]
fn ratio(part: u64, of: u64) -> f64 {
    part as f64 / of.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "figures to show; exact below 2^53")]
fn quotient(bytes: i64, by: u64) -> f64 {
    bytes as f64 / by as f64
}

fn publish(report: &Report, json: Option<&Path>) -> Result<()> {
    let text = || serde_json::to_string_pretty(report).context("cannot write the report as JSON");
    match json {
        Some(path) if path == Path::new("-") => return Ok(out::line(&text()?)?),
        Some(path) => {
            let text = text()?;
            std::fs::write(path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => {}
    }
    Ok(out::line(&table(report).to_string())?)
}

fn table(report: &Report) -> Table {
    let mut table = Table::new();
    table.set_header([
        "objects", "decision", "count", "p50 ns", "p99 ns", "max ns", "p50 ×", "p99 ×", "B/page",
        "B/object",
    ]);
    for size in &report.sizes {
        let rows = [("fault", size.fault), ("outcome", size.outcome), ("reclaim", size.reclaim)];
        for (name, times) in rows {
            let fault = name == "fault";
            let shown = |value: f64, digits: usize| match fault {
                true => format!("{value:.digits$}"),
                false => String::new(),
            };
            table.add_row([
                size.objects.to_string(),
                name.to_owned(),
                times.count.to_string(),
                times.p50_ns.to_string(),
                times.p99_ns.to_string(),
                times.max_ns.to_string(),
                shown(size.fault_p50_ratio, 2),
                shown(size.fault_p99_ratio, 2),
                shown(size.bytes_per_page, 1),
                shown(size.bytes_per_object, 0),
            ]);
        }
    }
    let timer = format!("the clock itself: {} ns in each figure", report.timer_ns);
    table.add_row([timer]);
    table
}
