//! The bars of our own policy, which is the last of all.

use anyhow::{Context, Result};
use bo_core::policy::NAMES;
use serde::Serialize;

use crate::policy::lab::{self, Column};
use crate::policy::pools::{self, Size};
use crate::policy::replay::View;
use crate::policy::scenario::{self, Made, Spec};
use crate::policy::trace::Trace;
use crate::report::table::new_table;

/// What it is compared with.
const PLAIN: &str = "lru";

/// How much of the gap to the best policy that sees every access is to be closed.
const CLOSED_LEAST: f64 = 0.5;

/// How much worse than the plain policy it may be.
const EXCESS_MOST: f64 = 0.02;

/// How much of the pool a scan larger than the pool is to leave in place: some, where the plain
/// policy keeps none.
const KEPT_LEAST: f64 = 0.05;

/// Scenarios that are one scan larger than the pool, over and over.
const SCANS: [&str; 4] = ["loop-near", "thrash", "sweep", "loop-far"];

/// All of them. The names of the fields are keys of the JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Bars {
    /// Our own policy.
    policy: &'static str,
    /// On the trace, for each pool.
    pools: Vec<Gap>,
    scenarios: Vec<Excess>,
    scans: Vec<Kept>,
    /// Every one of them.
    pub(crate) met: bool,
}

/// How much of the gap is closed. Ratios are of misses to accesses.
#[derive(Debug, Serialize)]
struct Gap {
    pool: String,
    lru_faults: f64,
    /// Of all but our own, the one with the fewest misses when it sees every access.
    best: String,
    best_all: f64,
    ours_faults: f64,
    /// 1: as good as the best; `null`: there is no gap.
    closed: Option<f64>,
    met: bool,
}

/// How much worse than the plain policy ours is, faults only, in the pool of the scenario.
#[derive(Debug, Serialize)]
struct Excess {
    scenario: String,
    lru_misses: u64,
    ours_misses: u64,
    /// Misses of ours as a multiple of the other's, less 1.
    excess: f64,
    met: bool,
}

/// How much of the pool is hit by each round of a scan, in the second half of the accesses.
#[derive(Debug, Serialize)]
struct Kept {
    scenario: String,
    /// Pages scanned, as a multiple of the pool.
    times: f64,
    lru_share: f64,
    ours_share: f64,
    met: bool,
}

impl Bars {
    /// Measures all, if there is more than one policy. `columns` are those of the trace.
    ///
    /// # Errors
    ///
    /// If a scenario cannot be run.
    pub(crate) fn measure(trace: &Trace, columns: &[Column], spec: Spec) -> Result<Option<Bars>> {
        let Some((ours, others)) = NAMES.split_last().filter(|(_, others)| !others.is_empty())
        else {
            return Ok(None);
        };
        if trace.recorded().is_some() {
            anyhow::bail!("{} is a recording: the bars are for traces of all accesses", trace.name);
        }
        let gaps = columns.iter().map(|column| gap(column, ours, others));
        let pools = gaps.collect::<Option<Vec<_>>>().context("a policy was not run")?;
        let (mut scenarios, mut scans) = (Vec::new(), Vec::new());
        for name in scenario::names() {
            let made = scenario::make(name, spec)?;
            let Some([plain, ours]) = pair(&made, ours)? else { continue };
            if SCANS.contains(&name) {
                scans.push(kept(name, &made, plain[1], ours[1]));
            }
            let excess = ours[0] as f64 / plain[0].max(1) as f64 - 1.0;
            scenarios.push(Excess {
                scenario: name.to_owned(),
                lru_misses: plain[0],
                ours_misses: ours[0],
                excess,
                met: excess <= EXCESS_MOST,
            });
        }
        let met = pools.iter().all(|each| each.met)
            && scenarios.iter().all(|each| each.met)
            && scans.iter().all(|each| each.met);
        Ok(Some(Bars { policy: ours, pools, scenarios, scans, met }))
    }

    pub(crate) fn table(&self) -> String {
        let ours = self.policy;
        let header = ["pool", "lru, faults", "best, all", "", ours, "gap closed", "bar", "met"];
        let mut gaps = new_table(&header);
        for gap in &self.pools {
            let Gap { pool, lru_faults, best, best_all, ours_faults, closed, met } = gap;
            gaps.add_row([
                pool.clone(),
                format!("{lru_faults:.4}"),
                format!("{best_all:.4}"),
                best.clone(),
                format!("{ours_faults:.4}"),
                closed.map_or("no gap".to_owned(), |closed| format!("{closed:.3}")),
                format!(">= {CLOSED_LEAST}"),
                word(*met),
            ]);
        }
        let mut excesses = new_table(&["scenario", "lru", ours, "worse by", "bar", "met"]);
        for Excess { scenario, lru_misses, ours_misses, excess, met } in &self.scenarios {
            excesses.add_row([
                scenario.clone(),
                lru_misses.to_string(),
                ours_misses.to_string(),
                format!("{:.2} %", excess * 100.0),
                format!("<= {:.0} %", EXCESS_MOST * 100.0),
                word(*met),
            ]);
        }
        let mut scans = new_table(&["scan", "x pool", "lru keeps", "ours keeps", "bar", "met"]);
        for Kept { scenario, times, lru_share, ours_share, met } in &self.scans {
            scans.add_row([
                scenario.clone(),
                format!("{times:.2}"),
                format!("{:.1} %", lru_share * 100.0),
                format!("{:.1} %", ours_share * 100.0),
                format!(">= {:.0} %", KEPT_LEAST * 100.0),
                word(*met),
            ]);
        }
        let verdict = if self.met { "every bar is met" } else { "NOT every bar is met" };
        format!(
            "bars of {ours}; miss ratios on the trace\n\n{gaps}\n\nmisses, faults only, each \
             scenario in its own pool\n\n{excesses}\n\nshare of the pool that a round of a scan \
             hits, faults only\n\n{scans}\n\n{verdict}"
        )
    }
}

fn word(met: bool) -> String {
    if met { "yes" } else { "NO" }.to_owned()
}

fn gap(column: &Column, ours: &str, others: &[&str]) -> Option<Gap> {
    let ratio = |policy, view| column.run(policy, view).map(|run| run.figures.miss_ratio);
    let (lru_faults, ours_faults) = (ratio(PLAIN, View::Faults)?, ratio(ours, View::Faults)?);
    let seeing = others.iter().filter_map(|name| Some((*name, ratio(name, View::All)?)));
    let (best, best_all) = seeing.min_by(|a, b| a.1.total_cmp(&b.1))?;
    let closed =
        (best_all < lru_faults).then(|| (lru_faults - ours_faults) / (lru_faults - best_all));
    Some(Gap {
        pool: column.pool.clone(),
        lru_faults,
        best: best.to_owned(),
        best_all,
        ours_faults,
        closed,
        met: closed.map_or(ours_faults <= lru_faults, |closed| closed >= CLOSED_LEAST),
    })
}

/// The misses of the plain policy and of ours, and those in the second half, in the scenario's own
/// pool; `None` if that is too small.
fn pair(made: &Made, ours: &str) -> Result<Option<[[u64; 2]; 2]>> {
    let Ok(pool) = pools::pool(&made.trace, Size::Pages(made.pool)) else { return Ok(None) };
    let policies = [PLAIN, ours].map(str::to_owned);
    let columns = lab::run(&made.trace, &[pool], &policies, &[View::Faults])?;
    let misses = |policy: &str| {
        let run = columns.first().and_then(|column| column.run(policy, View::Faults));
        run.map(|run| [run.figures.misses, run.figures.late_misses])
    };
    Ok(misses(PLAIN).zip(misses(ours)).map(|(plain, ours)| [plain, ours]))
}

fn kept(name: &str, made: &Made, plain: u64, ours: u64) -> Kept {
    let accesses = crate::sizes::as_u64(made.trace.accesses.len());
    let late = accesses - accesses / 2;
    let rounds = late as f64 / made.trace.pages() as f64;
    let share = |misses: u64| (late - misses) as f64 / rounds / made.pool as f64;
    Kept {
        scenario: name.to_owned(),
        times: made.trace.pages() as f64 / made.pool as f64,
        lru_share: share(plain),
        ours_share: share(ours),
        met: share(ours) >= KEPT_LEAST,
    }
}
