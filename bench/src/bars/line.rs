//! The bars themselves, and the lines of their table.

use std::collections::BTreeMap;

use anyhow::Result;
use comfy_table::Table;
use serde::Serialize;

use crate::report::ratios::Aim;
use crate::report::table::{new_table, row};
use crate::spread::{Spread, digits};

/// What is required of one ratio.
pub(super) struct Bar {
    pub(super) id: &'static str,
    /// Those of one group are measured together.
    pub(super) group: &'static str,
    pub(super) what: &'static str,
    pub(super) aim: Aim,
}

const fn bar(id: &'static str, group: &'static str, what: &'static str, aim: Aim) -> Bar {
    Bar { id, group, what, aim }
}

/// All of them, in the order of the table.
pub(super) const BARS: [Bar; 18] = [
    bar("hit", "hit", "hit, to an ordinary memfd", Aim::AtMost(1.01)),
    bar("hit_reclaim", "hit", "hit, while another object is thrashed", Aim::AtMost(1.01)),
    bar("write_huge", "huge", "write sweep, 2 MiB pages, to memcpy", Aim::AtLeast(0.35)),
    bar("read_clean_huge", "huge", "read sweep, clean, 2 MiB, to memcpy", Aim::AtLeast(0.6)),
    bar("clean_to_dirty", "huge", "evicting clean, to dirty, bytes/s", Aim::AtLeast(8.0)),
    bar("write_pages", "pages", "write sweep, 4 KiB frames, to memcpy", Aim::AtLeast(0.15)),
    bar("read_pages", "pages", "read sweep, 4 KiB frames, to memcpy", Aim::AtLeast(0.2)),
    bar("stopped", "stopped", "others beside a stopped client, to without", Aim::AtLeast(0.97)),
    bar("fault_p50", "fault", "4 KiB fault, p50, to a ping-pong", Aim::AtMost(2.5)),
    bar("fault_p99", "fault", "4 KiB fault, p99, to a ping-pong", Aim::AtMost(10.0)),
    bar("fault_rate", "rate", "faults/s of two processes x ping-pong", Aim::AtLeast(0.4)),
    bar("zram_uniform", "zram", "4 KiB rewrite, mean time, to zram", Aim::AtMost(1.0)),
    bar("zram_write", "zram", "write sweep, to zram", Aim::AtLeast(5.0)),
    bar("zram_read", "zram", "read sweep, to zram", Aim::AtLeast(5.0)),
    bar("rush_fills", "rush", "64 threads on one page: fills, most", Aim::AtMost(1.0)),
    bar("rush_least", "rush", "64 threads on one page: fills, mean", Aim::AtLeast(1.0)),
    bar("rush_errors", "rush", "64 threads on one page: errors", Aim::AtMost(0.0)),
    bar("eight_to_one", "clients", "throughput of 8 clients, to 1", Aim::AtLeast(1.0)),
];

/// What came of measuring one bar.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) id: &'static str,
    pub(super) value: f64,
    /// Of the ratio over rounds or slices.
    pub(super) spread: Option<Spread>,
    /// Where noise decides what is required.
    pub(super) aim: Option<Aim>,
    /// How it was measured, where there was a choice.
    pub(super) note: Option<String>,
    /// What the ratio was made of.
    pub(super) details: BTreeMap<&'static str, f64>,
}

impl Reached {
    pub(super) fn value(id: &'static str, value: f64) -> Reached {
        let details = BTreeMap::new();
        Reached { id, value, spread: None, aim: None, note: None, details }
    }

    pub(super) fn spread(id: &'static str, spread: Spread) -> Reached {
        Reached { spread: Some(spread), ..Reached::value(id, spread.median) }
    }

    /// Adds what is there of these.
    pub(super) fn with(
        mut self,
        details: impl IntoIterator<Item = (&'static str, Option<f64>)>,
    ) -> Reached {
        let there = details.into_iter().filter_map(|(name, value)| Some((name, value?)));
        self.details.extend(there);
        self
    }
}

/// One line of the table. The names of the fields are keys of the JSON.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    id: &'static str,
    what: &'static str,
    required: Aim,
    reached: Option<f64>,
    met: Option<bool>,
    spread: Option<Spread>,
    /// Why there is no figure.
    why_not: Option<String>,
    note: Option<String>,
    details: BTreeMap<&'static str, f64>,
}

/// The lines of one group. A bar that was not reached at all says why.
pub(super) fn lines_of(group: &str, measured: Result<Vec<Reached>>) -> Vec<Line> {
    let (mut measured, failure) = match measured {
        Ok(measured) => (measured, None),
        Err(error) => (Vec::new(), Some(format!("{error:#}"))),
    };
    let bars = BARS.iter().filter(|bar| bar.group == group);
    bars.map(|bar| {
        let at = measured.iter().position(|reached| reached.id == bar.id);
        match at.map(|at| measured.swap_remove(at)) {
            Some(reached) => line(bar, reached),
            None => Line {
                id: bar.id,
                what: bar.what,
                required: bar.aim,
                reached: None,
                met: None,
                spread: None,
                why_not: failure.clone().or_else(|| Some("nothing to compare with".to_owned())),
                note: None,
                details: BTreeMap::new(),
            },
        }
    })
    .collect()
}

fn line(bar: &Bar, reached: Reached) -> Line {
    let Reached { id, value, spread, aim, note, details } = reached;
    let required = aim.unwrap_or(bar.aim);
    Line {
        id,
        what: bar.what,
        required,
        reached: Some(value),
        met: required.is_met(value),
        spread,
        why_not: None,
        note,
        details,
    }
}

/// The table, and below it what has no room in it.
pub(super) fn table(lines: &[Line]) -> String {
    let mut table: Table = new_table(&["bar", "required", "reached", "lowest..highest", "met"]);
    let mut remarks = Vec::new();
    for line in lines {
        let required = match line.required {
            Aim::AtMost(most) => format!("<= {}", digits(most)),
            Aim::AtLeast(least) => format!(">= {}", digits(least)),
            Aim::NotForThese => String::new(),
        };
        let spread = line.spread.map(|one| format!("{}..{}", digits(one.min), digits(one.max)));
        let met = match line.met {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not measured",
        };
        let reached = line.reached.map_or("-".to_owned(), digits);
        row(&mut table, line.what, &[required, reached, spread.unwrap_or_default(), met.into()]);
        let details = line.details.iter().map(|(name, value)| format!("{name} {}", digits(*value)));
        let details = details.collect::<Vec<_>>().join(", ");
        let texts = [line.why_not.as_deref(), line.note.as_deref(), Some(details.as_str())];
        let texts: Vec<&str> = texts.into_iter().flatten().filter(|it| !it.is_empty()).collect();
        if !texts.is_empty() {
            remarks.push(format!("{}: {}", line.id, texts.join("; ")));
        }
    }
    format!("{table}\n\n{}", remarks.join("\n"))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn every_bar_has_a_name_of_its_own() {
        for (at, bar) in BARS.iter().enumerate() {
            assert!(BARS[..at].iter().all(|other| other.id != bar.id), "{}", bar.id);
        }
    }

    #[test]
    fn a_bar_is_met_or_missed_by_what_was_reached() {
        let reached = vec![Reached::value("hit", 1.0), Reached::value("hit_reclaim", 1.2)];
        let lines = lines_of("hit", Ok(reached));
        assert_eq!(
            lines.iter().map(|line| line.met).collect::<Vec<_>>(),
            [Some(true), Some(false)]
        );
    }

    #[test]
    fn what_was_not_measured_says_why_and_is_neither_met_nor_missed() {
        let lines = lines_of("zram", Err(anyhow!("no root")));
        assert_eq!(lines.len(), 3);
        for line in &lines {
            assert_eq!((line.met, line.why_not.as_deref()), (None, Some("no root")));
        }
        assert!(table(&lines).contains("zram_write: no root"));
        let lines = lines_of("hit", Ok(vec![Reached::value("hit", 1.0)]));
        assert!(lines[1].why_not.is_some());
    }

    #[test]
    fn noise_may_decide_what_is_required() {
        let aim = Some(Aim::AtLeast(0.5));
        let lines =
            lines_of("stopped", Ok(vec![Reached { aim, ..Reached::value("stopped", 0.6) }]));
        assert_eq!(lines[0].met, Some(true));
    }

    #[test]
    fn details_that_are_not_there_are_left_out() {
        let reached = Reached::value("hit", 1.0).with([("a", Some(2.0)), ("b", None)]);
        assert_eq!(reached.details, BTreeMap::from([("a", 2.0)]));
    }
}
