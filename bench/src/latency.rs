//! Latencies as a histogram that travels between processes, and their percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::sizes;

/// The longest latency told apart from longer ones. A fault that takes a minute is a hang.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Latencies within 0.1 %, up to a minute.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "Sparse", from = "Sparse")]
pub(crate) struct Latencies(Histogram<u64>);

/// Each value that occurred, in nanoseconds, and how often.
#[derive(Serialize, Deserialize)]
struct Sparse(Vec<(u64, u64)>);

impl Latencies {
    pub(crate) fn new() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3);
        Latencies(histogram.expect("the bounds are in order and three digits are supported"))
    }

    /// Longer latencies than a minute count as a minute.
    pub(crate) fn record(&mut self, took: Duration) {
        self.0.saturating_record(sizes::nanos(took));
    }

    pub(crate) fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        if self.0.is_empty() {
            return Percentiles::default();
        }
        let at = |quantile| Some(self.0.value_at_quantile(quantile) as f64 / 1e3);
        Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: Some(self.0.max() as f64 / 1e3),
            mean: Some(self.0.mean() / 1e3),
        }
    }
}

impl From<Latencies> for Sparse {
    fn from(latencies: Latencies) -> Sparse {
        let recorded = latencies.0.iter_recorded();
        Sparse(recorded.map(|step| (step.value_iterated_to(), step.count_at_value())).collect())
    }
}

impl From<Sparse> for Latencies {
    fn from(sparse: Sparse) -> Latencies {
        let mut latencies = Latencies::new();
        for (value, count) in sparse.0 {
            latencies.0.saturating_record_n(value, count);
        }
        latencies
    }
}

/// Percentiles in microseconds; all `None` when nothing was recorded.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p999: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) mean: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::new();
        for value in micros {
            latencies.record(Duration::from_micros(value));
        }
        latencies
    }

    #[track_caller]
    fn check_near(found: Option<f64>, expected: f64) {
        let found = found.expect("a percentile");
        assert!((found - expected).abs() <= expected * 0.002, "{found} is not near {expected}");
    }

    #[test]
    fn percentiles_are_in_microseconds() {
        let percentiles = of(1..=1000).percentiles();
        check_near(percentiles.p50, 500.0);
        check_near(percentiles.p99, 990.0);
        check_near(percentiles.max, 1000.0);
        check_near(percentiles.mean, 500.5);
    }

    #[test]
    fn nothing_recorded_has_no_percentiles() {
        assert_eq!(of([]).percentiles(), Percentiles::default());
    }

    #[test]
    fn a_journey_between_processes_keeps_counts_and_percentiles() {
        let before = of((1..5000).map(|value| value * 7 % 911));
        let text = serde_json::to_string(&before).expect("it is plain data");
        let after: Latencies = serde_json::from_str(&text).expect("it was just written");
        assert_eq!(after.count(), before.count());
        check_near(after.percentiles().p99, before.percentiles().p99.expect("some"));
    }

    #[test]
    fn adding_keeps_every_sample() {
        let mut sum = of([1, 2]);
        sum.add(&of([100]));
        assert_eq!(sum.count(), 3);
        check_near(sum.percentiles().max, 100.0);
    }

    #[test]
    fn an_hour_counts_as_the_longest_latency() {
        check_near(of([3_600_000_000]).percentiles().max, 60e6);
    }
}
