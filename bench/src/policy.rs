//! `bo-bench policy`: the policy laboratory. Traces go through the real core, without a kernel,
//! under every policy and in pools of several sizes, beside the optimum that no policy can beat.
//!
//! The core is set so that it does nothing but what a trace asks for: pages of 4 KiB, no
//! prefetch, no reclaim ahead of need, no cleaner, and victims in exactly the order of the policy.
//! A miss in a full pool then evicts one page. What is measured is the policy, not the daemon.
//!
//! JSON keys (`--json`), all of which are always there:
//!
//! ```text
//! traces[]
//!   trace
//!     name                  what was run
//!     kind                  oracle-general, scenario or recording
//!     seed                  of a scenario, else null
//!     accesses, writes      how many
//!     pages, objects        different ones that are accessed
//!     footprint_bytes       of all these pages
//!     page_bytes            of one; null if they differ
//!     recorded              null, or what a recording says: policy, pool_bytes, faults, misses,
//!                           filled_ahead, evictions, freed, lost, cut_bytes, seconds
//!   pools[]
//!     pool, bytes, share    as it was asked for; in bytes; as a part of the footprint
//!     optimum               Belady's figures; null if pages differ in size
//!     runs[]                figures, and
//!       policy, view        all: each access is seen; faults: only what faults
//!       to_optimum          misses as a multiple of the optimum's; else null
//!       to_recorded         misses as a multiple of those recorded; else null
//!       cpu_seconds         CPU time of this run
//! bars                      null without --bars: see `bars::Bars`
//!
//! figures
//!   misses, miss_ratio      accesses to absent pages; as a part of all accesses
//!   refaults                misses of pages that had been there before
//!   evictions               pages
//!   filled_bytes            brought in
//!   dirty_bytes             evicted, and written to since the last copy
//!   moved_bytes             both
//! ```

mod bars;
mod belady;
mod figures;
mod lab;
mod oracle;
mod picture;
mod pools;
mod recording;
mod replay;
mod report;
mod scenario;
mod trace;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use bo_core::journal::MAGIC;
use bo_core::policy::NAMES;
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::out;
use crate::policy::bars::Bars;
use crate::policy::pools::Size;
use crate::policy::replay::View;
use crate::policy::report::{Report, TraceReport};
use crate::policy::scenario::Spec;
use crate::policy::trace::Trace;

/// What the laboratory can be told.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// A trace: a recording of `bo-manager serve --record`, or one in libCacheSim's oracleGeneral
    /// format. Which it is shows in its content
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    trace: Option<PathBuf>,

    /// A trace that is made up, by its name; repeatable
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(scenario::values()))]
    scenario: Vec<String>,

    /// A policy; repeatable [default: all]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(NAMES))]
    policy: Vec<String>,

    /// A pool: a percentage of all pages of the trace (of the recorded pool, for a recording), a
    /// size such as 64MiB, or pages such as 1000p; repeatable [default: 1%, 5%, 10% and 30%, as
    /// far as 16 pages fit, and for a scenario the pool that it is meant for; for a recording 50%,
    /// 100% and 200%]
    #[arg(long, value_name = "SIZE")]
    pool: Vec<Size>,

    /// What the policies see: every access, or only what faults; repeatable [default: both; of a
    /// recording, which has nothing else, faults]
    #[arg(long, value_enum)]
    view: Vec<View>,

    /// Run no more than so many accesses
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    /// Pages of a scenario
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(64..=100_000_000))]
    pages: u32,

    /// Seed of a scenario
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Hold the last of all policies against the bars, on the trace of --trace and every scenario
    #[arg(long, requires = "trace", conflicts_with_all = ["scenario", "policy", "pool", "view"])]
    bars: bool,

    /// Write the trace in the oracleGeneral format, and run nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bars", "svg", "json"])]
    write_trace: Option<PathBuf>,

    /// Draw the miss ratio against the size of the pool, as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Write the figures as JSON to this file, or `-` for standard output
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
}

/// A trace and the pools that it is run in if none are asked for.
struct Subject {
    trace: Trace,
    sizes: Vec<Size>,
}

/// Runs everything and reports. `Ok(false)` when a bar was missed.
///
/// # Errors
///
/// When a trace cannot be read, a pool is too small for it, or something cannot be written.
pub(crate) fn run(args: &PolicyArgs) -> Result<bool> {
    let subjects = subjects(args)?;
    if let Some(path) = &args.write_trace {
        let [subject] = &subjects[..] else { bail!("--write-trace writes one trace at a time") };
        oracle::write(&subject.trace, path)?;
        let (accesses, pages) = (subject.trace.accesses.len(), subject.trace.pages());
        out::line(&format!("{}: {accesses} accesses to {pages} pages", path.display()))?;
        return Ok(true);
    }
    ensure!(
        args.svg.is_none() || subjects.len() == 1,
        "--svg draws one trace: give one --scenario"
    );
    let mut report = Report { traces: Vec::new(), bars: None };
    for subject in &subjects {
        report.traces.push(run_one(args, subject)?);
    }
    if args.bars {
        let [subject] = &subjects[..] else { bail!("--bars wants one --trace") };
        let columns = &report.traces[0].pools;
        report.bars = Bars::measure(&subject.trace, columns, spec(args))?;
    }
    if let (Some(path), Some(trace)) = (&args.svg, report.traces.first()) {
        picture::draw(trace, path)?;
    }
    let json = serde_json::to_string_pretty(&report).context("cannot write the figures as JSON")?;
    out::publish(args.json.as_deref(), &report.table(args.bars), &json)?;
    Ok(report.bars.is_none_or(|bars| bars.met))
}

fn run_one(args: &PolicyArgs, subject: &Subject) -> Result<TraceReport> {
    let Subject { trace, sizes } = subject;
    let sizes = if args.pool.is_empty() { sizes } else { &args.pool };
    ensure!(
        !sizes.is_empty(),
        "{} has {} pages, and 30 % of them are fewer than 16: give --pool",
        trace.name,
        trace.pages()
    );
    let mut pools: Vec<_> =
        sizes.iter().map(|size| pools::pool(trace, *size)).collect::<Result<_>>()?;
    pools.sort_by_key(|pool| pool.bytes);
    pools.dedup_by_key(|pool| pool.bytes);
    let all: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let policies = if args.policy.is_empty() { &all } else { &args.policy };
    let views = views(args, trace)?;
    let columns = lab::run(trace, &pools, policies, &views)?;
    Ok(TraceReport::new(trace, columns))
}

/// A recording is a view by itself: hits are not in it.
fn views(args: &PolicyArgs, trace: &Trace) -> Result<Vec<View>> {
    let recorded = trace.recorded().is_some();
    if recorded && args.view.contains(&View::All) {
        bail!("{} is a recording, which has only faults: leave --view away", trace.name);
    }
    Ok(match (args.view.is_empty(), recorded) {
        (true, true) => vec![View::Faults],
        (true, false) => vec![View::All, View::Faults],
        (false, _) => {
            let mut views = args.view.clone();
            views.dedup();
            views
        }
    })
}

fn spec(args: &PolicyArgs) -> Spec {
    let accesses = args.limit.map(|limit| limit as usize);
    Spec { pages: args.pages, accesses, seed: args.seed }
}

fn subjects(args: &PolicyArgs) -> Result<Vec<Subject>> {
    if let Some(path) = &args.trace {
        let limit = args.limit.map_or(u32::MAX as usize - 1, |limit| limit as usize);
        let trace = read(path, limit)?;
        let sizes = pools::usual(&trace);
        return Ok(vec![Subject { trace, sizes }]);
    }
    ensure!(
        !args.scenario.is_empty(),
        "give a trace: --trace FILE, or --scenario with one of {}",
        scenario::names().join(", ")
    );
    let made = args.scenario.iter().map(|name| {
        let made = scenario::make(name, spec(args))?;
        let mut sizes = pools::usual(&made.trace);
        sizes.push(Size::Pages(made.pool));
        Ok(Subject { trace: made.trace, sizes })
    });
    made.collect()
}

/// Reads a trace of either format, which its first bytes tell.
fn read(path: &Path, limit: usize) -> Result<Trace> {
    let open = || File::open(path).with_context(|| format!("cannot open {}", path.display()));
    let mut first = [0; MAGIC.len()];
    let mut start = open()?;
    let known = start.read_exact(&mut first).is_ok() && first == MAGIC;
    match known {
        true => recording::read(open()?, path, limit),
        false => oracle::read(open()?, path, limit),
    }
}
