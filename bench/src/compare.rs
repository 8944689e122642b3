//! `bo-bench compare`: two settings in turn, A B A B, so that a machine whose speed wanders
//! wanders for both.

mod figures;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::cli::{self, CompareArgs, RunArgs};
use crate::compare::figures::{Compared, FIGURES, Row};
use crate::machine::Machine;
use crate::out;
use crate::report::Report;
use crate::report::table::{new_table, row};
use crate::run;
use crate::spread::digits;
use crate::words::Flags;

/// Everything that came of a comparison. The names of the fields are the keys of its JSON.
#[derive(Debug, Serialize)]
struct Comparison {
    /// The flags of each side, common ones included.
    a: String,
    b: String,
    rounds: u32,
    /// By the name of the figure.
    figures: Compared,
    bytes_verified: u64,
    mismatches: u64,
    /// Sentences, each with its side.
    broken_rules: Vec<String>,
    machine: Machine,
}

/// Runs both sides in turn and reports. `Ok(false)` when a byte was wrong or a rule was broken.
///
/// # Errors
///
/// When a side is no legal run, or a run could not be carried out to its end.
pub(crate) fn run(args: &CompareArgs) -> Result<bool> {
    let machine = Machine::look();
    let (a, b) = (side(args, &args.a), side(args, &args.b));
    let (run_a, run_b) = (parse("A", &a)?, parse("B", &b)?);
    let mut rows = Vec::new();
    let mut comparison = Comparison {
        a: text(a),
        b: text(b),
        rounds: args.rounds,
        figures: Compared::default(),
        bytes_verified: 0,
        mismatches: 0,
        broken_rules: Vec::new(),
        machine: machine.clone(),
    };
    for round in 1..=args.rounds {
        // Every other round the second goes first, so that neither always finds what the other
        // left behind.
        let swapped = round % 2 == 0;
        let order =
            if swapped { [("B", &run_b), ("A", &run_a)] } else { [("A", &run_a), ("B", &run_b)] };
        let mut reports = Vec::new();
        for (name, run_args) in order {
            eprintln!("round {round} of {}: {name}", args.rounds);
            reports.push(comparison.go(name, run_args, machine.clone())?);
        }
        if swapped {
            reports.swap(0, 1);
        }
        let [a, b] = <[Report; 2]>::try_from(reports).ok().context("each side ran")?;
        rows.push(Row { a: figures::of(&a), b: figures::of(&b) });
    }
    comparison.figures = Compared::new(&rows);
    let text = serde_json::to_string_pretty(&comparison);
    out::publish(args.json.as_deref(), &comparison.table(), &text.context("cannot write JSON")?)?;
    Ok(comparison.is_clean())
}

fn side(args: &CompareArgs, own: &str) -> Flags {
    Flags::new(args.common.clone()).under(Flags::of_line(own))
}

fn parse(name: &str, flags: &Flags) -> Result<RunArgs> {
    let run = cli::run_args(flags.clone().into_words())
        .with_context(|| format!("cannot compare: the flags of side {name} are no legal run"))?;
    if run.json.is_some() {
        bail!("cannot compare: give --json in front of `--`, for the comparison, not for a side");
    }
    Ok(run)
}

fn text(flags: Flags) -> String {
    let words: Vec<_> = flags.into_words();
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

impl Comparison {
    fn go(&mut self, name: &str, args: &RunArgs, machine: Machine) -> Result<Report> {
        let calibration = run::calibrate(true)?;
        let report = run::report(args, &calibration, machine)
            .with_context(|| format!("side {name} could not be run"))?;
        self.bytes_verified += report.bytes_verified;
        self.mismatches += report.mismatches;
        let sentences = report.broken_rules.iter().map(|rule| format!("{name}: {rule}"));
        self.broken_rules.extend(sentences);
        Ok(report)
    }

    fn is_clean(&self) -> bool {
        self.mismatches == 0 && self.broken_rules.is_empty()
    }

    fn table(&self) -> String {
        let mut table = new_table(&["", "A", "B", "B / A", "lowest", "highest"]);
        for (name, what) in FIGURES {
            let Some(figure) = self.figures.get(name) else { continue };
            let mut cells = vec![digits(figure.a.median), digits(figure.b.median)];
            let ratio = figure.ratio.map(|ratio| [ratio.median, ratio.min, ratio.max]);
            cells.extend(match ratio {
                Some(values) => values.map(|value| format!("{value:.3}")),
                None => ["-", "-", "-"].map(str::to_owned),
            });
            row(&mut table, what, &cells);
        }
        let verdict = if self.is_clean() {
            "all right: no byte wrong, no rule broken".to_owned()
        } else {
            format!("NOT RIGHT: {} wrong bytes\n{}", self.mismatches, self.broken_rules.join("\n"))
        };
        let head = format!("A: {}\nB: {}\n{} round(s) of each", self.a, self.b, self.rounds);
        format!("{head}; medians, and the ratios of the rounds\n\n{table}\n\n{verdict}")
    }
}
