//! The main figures of a run, and how those of two sides compare.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::Report;
use crate::spread::Spread;

/// Name in the JSON, and what the table calls it.
pub(super) const FIGURES: [(&str, &str); 9] = [
    ("throughput_ops_per_s", "throughput, ops/s"),
    ("seconds", "pattern, s"),
    ("op_mean_us", "operation, mean, µs"),
    ("fault_p50_us", "fault, p50, µs"),
    ("fault_p99_us", "fault, p99, µs"),
    ("faults", "faults"),
    ("hit_ns", "resident access, ns"),
    ("write_sweep_gbps", "write sweep, GB/s"),
    ("read_sweep_gbps", "read sweep, GB/s"),
];

/// The figures of one run by name, those that it has.
pub(super) type Values = BTreeMap<&'static str, f64>;

/// The main figures of a report.
pub(super) fn of(report: &Report) -> Values {
    let all = [
        ("throughput_ops_per_s", Some(report.throughput_ops_per_s)),
        ("seconds", Some(report.seconds)),
        ("op_mean_us", report.op_us.mean),
        ("fault_p50_us", report.fault_us.p50),
        ("fault_p99_us", report.fault_us.p99),
        ("faults", Some(report.faults as f64)),
        ("hit_ns", Some(report.hit_ns)),
        ("write_sweep_gbps", report.write_sweep_gbps),
        ("read_sweep_gbps", report.read_sweep_gbps),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// One round of both sides.
pub(super) struct Row {
    pub(super) a: Values,
    pub(super) b: Values,
}

/// One figure over all rounds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Figure {
    pub(super) a: Spread,
    pub(super) b: Spread,
    /// B over A of each round; `None` when A was zero throughout.
    pub(super) ratio: Option<Spread>,
}

/// Every figure that both sides have in each round.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Compared(BTreeMap<&'static str, Figure>);

impl Compared {
    pub(super) fn new(rows: &[Row]) -> Compared {
        let compared = FIGURES.iter().filter_map(|(name, _)| {
            let a: Option<Vec<f64>> = rows.iter().map(|row| row.a.get(name).copied()).collect();
            let b: Option<Vec<f64>> = rows.iter().map(|row| row.b.get(name).copied()).collect();
            let (a, b) = (a?, b?);
            let ratio = Spread::of_ratios(&b, &a);
            Some((*name, Figure { a: Spread::of(a)?, b: Spread::of(b)?, ratio }))
        });
        Compared(compared.collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Figure> {
        self.0.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(a: f64, b: f64) -> Row {
        Row { a: Values::from([("seconds", a)]), b: Values::from([("seconds", b)]) }
    }

    #[test]
    fn a_figure_is_compared_round_by_round() {
        let compared = Compared::new(&[row(1.0, 2.0), row(10.0, 30.0), row(2.0, 2.0)]);
        let figure = compared.get("seconds").expect("both sides have it");
        let ratio = figure.ratio.expect("A was never zero");
        assert_eq!((ratio.median, ratio.min, ratio.max), (2.0, 1.0, 3.0));
        assert_eq!((figure.a.median, figure.b.median), (2.0, 2.0));
    }

    #[test]
    fn a_figure_that_one_side_lacks_cannot_be_compared() {
        let lacking = Row { a: Values::from([("hit_ns", 1.0)]), b: Values::new() };
        assert!(Compared::new(&[lacking]).get("hit_ns").is_none());
    }

    #[test]
    fn a_figure_that_is_zero_on_one_side_has_no_ratio() {
        let compared = Compared::new(&[row(0.0, 5.0)]);
        assert!(compared.get("seconds").expect("it is there").ratio.is_none());
    }
}
