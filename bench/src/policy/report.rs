//! What came of the laboratory, as JSON and as tables.

use bo_units::ByteCount;
use serde::Serialize;

use crate::policy::bars::Bars;
use crate::policy::figures::Figures;
use crate::policy::lab::{Column, Run};
use crate::policy::trace::{Kind, Recorded, Trace};
use crate::report::table::new_table;

/// Everything. The names of the fields are the keys of the JSON: see [`crate::policy`].
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) traces: Vec<TraceReport>,
    pub(crate) bars: Option<Bars>,
}

/// One trace.
#[derive(Debug, Serialize)]
pub(crate) struct TraceReport {
    pub(crate) trace: Head,
    pub(crate) pools: Vec<Column>,
}

/// What was run.
#[derive(Debug, Serialize)]
pub(crate) struct Head {
    pub(crate) name: String,
    kind: &'static str,
    seed: Option<u64>,
    accesses: usize,
    writes: u64,
    pages: u64,
    objects: usize,
    footprint_bytes: u64,
    page_bytes: Option<u64>,
    pub(crate) recorded: Option<Recorded>,
}

impl TraceReport {
    pub(crate) fn new(trace: &Trace, pools: Vec<Column>) -> TraceReport {
        let (kind, seed) = match &trace.kind {
            Kind::OracleGeneral => ("oracle-general", None),
            Kind::Scenario { seed } => ("scenario", Some(*seed)),
            Kind::Recording(_) => ("recording", None),
        };
        let head = Head {
            name: trace.name.clone(),
            kind,
            seed,
            accesses: trace.accesses.len(),
            writes: trace.writes(),
            pages: trace.pages(),
            objects: trace.shapes.len(),
            footprint_bytes: trace.footprint().get(),
            page_bytes: trace.page_size().map(|size| size.bytes()),
            recorded: trace.recorded().cloned(),
        };
        TraceReport { trace: head, pools }
    }

    fn table(&self) -> String {
        let recorded = self.trace.recorded.is_some();
        let compared = if recorded { "x recorded" } else { "x optimum" };
        let header = [
            "pool",
            "policy",
            "view",
            "misses",
            "ratio",
            "refaults",
            "evictions",
            "moved",
            compared,
        ];
        let mut table = new_table(&header);
        for column in &self.pools {
            let mut pool = pool_of(column);
            if let Some(optimum) = &column.optimum {
                let label = std::mem::take(&mut pool);
                table.add_row(cells(label, "optimum", "", optimum, None));
            }
            for run in &column.runs {
                let compared = if recorded { run.to_recorded } else { run.to_optimum };
                let label = std::mem::take(&mut pool);
                let Run { policy, view, figures, .. } = run;
                table.add_row(cells(label, policy, view.name(), figures, compared));
            }
        }
        format!("{}\n\n{table}{}", self.trace.text(), self.speed())
    }

    /// How fast the runs went.
    fn speed(&self) -> String {
        let runs = self.pools.iter().flat_map(|column| &column.runs);
        let seconds: f64 = runs.clone().map(|run| run.cpu_seconds).sum();
        if seconds <= 0.0 {
            return String::new();
        }
        let accesses = self.trace.accesses as f64 * runs.count() as f64;
        format!("\n{:.2} million accesses a second of CPU time", accesses / seconds / 1e6)
    }
}

fn pool_of(column: &Column) -> String {
    let Column { pool, bytes, share, .. } = column;
    format!("{pool}: {}, {:.1} %", ByteCount::new(*bytes), share * 100.0)
}

fn cells(
    pool: String,
    policy: &str,
    view: &str,
    figures: &Figures,
    compared: Option<f64>,
) -> [String; 9] {
    [
        pool,
        policy.to_owned(),
        view.to_owned(),
        figures.misses.to_string(),
        format!("{:.4}", figures.miss_ratio),
        figures.refaults.to_string(),
        figures.evictions.to_string(),
        format!("{:.1} MiB", figures.moved_bytes as f64 / f64::from(1 << 20)),
        compared.map_or(String::new(), |times| format!("{times:.3}")),
    ]
}

impl Head {
    fn text(&self) -> String {
        let Head { name, kind, accesses, writes, pages, objects, footprint_bytes, .. } = self;
        let seed = self.seed.map_or(String::new(), |seed| format!(", seed {seed}"));
        let bytes = ByteCount::new(*footprint_bytes);
        let what = format!(
            "{name} ({kind}{seed}): {accesses} accesses, {writes} of them writes, to {pages} \
             pages ({bytes}) of {objects} object(s)"
        );
        let lines = self.recorded.iter().flat_map(Recorded::lines);
        std::iter::once(what).chain(lines).collect::<Vec<_>>().join("\n")
    }
}

impl Recorded {
    /// What a recording can tell, and what it cannot.
    fn lines(&self) -> Vec<String> {
        let Recorded { policy, faults, misses, filled_ahead, evictions, freed, seconds, .. } = self;
        let pool = ByteCount::new(self.pool_bytes);
        let mut lines = vec![
            format!(
                "recorded under {policy} in {pool} over {seconds:.1} s: {faults} faults, {misses} \
                 misses, {evictions} evictions, {freed} object(s) freed"
            ),
            "a recording has only faults: what hit is not in it. In a smaller pool some of that \
             would have missed, so the misses shown are the least there would have been; in a \
             larger one they are an estimate"
                .to_owned(),
        ];
        if *filled_ahead > 0 {
            lines.push(format!(
                "{filled_ahead} pages were filled unasked, and their uses are not in it either: \
                 for more, record with --fault-around 0B"
            ));
        }
        if self.lost > 0 {
            lines.push(format!(
                "NOTICE: {} events are missing, as the file could not take them in time",
                self.lost
            ));
        }
        if self.cut_bytes > 0 {
            lines.push(format!(
                "NOTICE: it ends in the middle of a record ({} bytes): it is read up to there",
                self.cut_bytes
            ));
        }
        lines
    }
}

impl Report {
    /// All tables. `bars`: those were asked for.
    pub(crate) fn table(&self, bars: bool) -> String {
        let mut parts: Vec<String> = self.traces.iter().map(TraceReport::table).collect();
        match &self.bars {
            Some(bars) => parts.push(bars.table()),
            None if bars => parts.push(
                "there is only one policy, and nothing to compare it with: no bar was measured"
                    .to_owned(),
            ),
            None => {}
        }
        parts.join("\n\n")
    }
}
