//! `bo-bench bars`: measures everything that has a bar, each as a ratio within this run, and
//! prints bar, reached, met.

mod clients;
mod faults;
mod line;
mod resident;
mod suite;
mod sweeps;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::bars::line::{Line, Reached, lines_of, table};
use crate::bars::suite::Suite;
use crate::calibration::Calibration;
use crate::cli::BarsArgs;
use crate::machine::Machine;
use crate::out;
use crate::run;

/// Bars that are measured together.
struct Group {
    name: &'static str,
    measure: fn(&mut Suite) -> Result<Vec<Reached>>,
}

/// In the order of the table.
const GROUPS: [Group; 9] = [
    Group { name: "hit", measure: resident::hit },
    Group { name: "huge", measure: sweeps::huge },
    Group { name: "pages", measure: sweeps::pages },
    Group { name: "stopped", measure: clients::stopped },
    Group { name: "fault", measure: faults::latency },
    Group { name: "rate", measure: faults::rate },
    Group { name: "zram", measure: sweeps::zram },
    Group { name: "rush", measure: clients::rush },
    Group { name: "clients", measure: clients::eight_to_one },
];

/// The whole measurement. The names of the fields are the keys of its JSON, and stay as they are.
#[derive(Debug, Serialize)]
struct BarsReport {
    bars: Vec<Line>,
    /// Small pools and few rounds: the figures mean little.
    quick: bool,
    /// Flags of every daemon, beside those of the bars themselves.
    daemon: String,
    bytes_verified: u64,
    mismatches: u64,
    calibration: Calibration,
    machine: Machine,
}

/// Measures and reports. `Ok(false)` when a byte was wrong; a bar that is missed is a figure.
///
/// # Errors
///
/// When the machine could not be calibrated or the report not be written. A bar that cannot be
/// measured here is in the table, with the reason.
pub(crate) fn run(args: &BarsArgs) -> Result<bool> {
    let machine = Machine::look();
    let calibration = run::calibrate(args.quick)?;
    let mut suite = Suite::new(args, &calibration);
    let mut lines = Vec::new();
    for group in &GROUPS {
        if args.only.as_ref().is_some_and(|only| !group.name.contains(only.as_str())) {
            continue;
        }
        eprintln!("measuring: {}", group.name);
        lines.extend(lines_of(group.name, (group.measure)(&mut suite)));
    }
    let report = BarsReport {
        bars: lines,
        quick: args.quick,
        daemon: suite.daemon_text(),
        bytes_verified: suite.bytes_verified,
        mismatches: suite.wrong_bytes,
        calibration,
        machine,
    };
    let json = serde_json::to_string_pretty(&report).context("cannot write the report as JSON")?;
    out::publish(args.json.as_deref(), &report.table(), &json)?;
    Ok(report.mismatches == 0)
}

impl BarsReport {
    fn table(&self) -> String {
        let verdict = match self.mismatches {
            0 => format!("all right: {} bytes checked, none wrong", self.bytes_verified),
            wrong => format!("NOT RIGHT: {wrong} wrong bytes in {}", self.bytes_verified),
        };
        let quick = if self.quick { ", quick: the figures mean little" } else { "" };
        let Machine { kernel, cpu, cpus, commit, .. } = &self.machine;
        format!(
            "Linux {kernel}, {cpu}, {cpus} CPU(s), commit {commit}{quick}\n\n{}\n\n{verdict}",
            table(&self.bars)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars::line::BARS;

    #[test]
    fn every_bar_belongs_to_a_group_and_every_group_has_bars() {
        for bar in &BARS {
            assert!(GROUPS.iter().any(|group| group.name == bar.group), "{}", bar.id);
        }
        for group in &GROUPS {
            assert!(BARS.iter().any(|bar| bar.group == group.name), "{}", group.name);
        }
    }
}
