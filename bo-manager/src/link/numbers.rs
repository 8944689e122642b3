//! What operators see of the link.

use bo_core::{Arrival, Direction};
use bo_units::Tick;
use prometheus::{Histogram, HistogramOpts, HistogramVec, Registry, exponential_buckets};
use serde::Serialize;

use crate::link::Link;

/// The link's settings and what it has done, for the status.
#[derive(Debug, Serialize)]
pub(crate) struct LinkStatus {
    bandwidth_bytes_per_second: u64,
    latency_nanoseconds: u64,
    queues: u32,
    r#in: DirectionStatus,
    out: DirectionStatus,
}

#[derive(Debug, Serialize)]
struct DirectionStatus {
    transfers: u64,
    bytes: u64,
    busy_seconds: f64,
    in_flight: u64,
}

impl<T> Link<T> {
    pub(crate) fn status(&self) -> LinkStatus {
        let direction = |direction| {
            let totals = self.totals(direction);
            DirectionStatus {
                transfers: totals.transfers,
                bytes: totals.bytes,
                busy_seconds: totals.busy.as_secs_f64(),
                in_flight: totals.in_flight,
            }
        };
        let latency = u64::try_from(self.config.latency.as_nanos());
        LinkStatus {
            bandwidth_bytes_per_second: self.config.bandwidth.bytes_per_second().get(),
            latency_nanoseconds: latency.expect("the configuration was checked: at most a second"),
            queues: self.config.queues,
            r#in: direction(Direction::In),
            out: direction(Direction::Out),
        }
    }

    pub(super) fn observe(&self, arrival: &Arrival<T>, now: Tick) {
        let waited = arrival.started.saturating_since(arrival.submitted);
        let [into, out] = &self.waits;
        let waits = match arrival.direction {
            Direction::In => into,
            Direction::Out => out,
        };
        waits.observe(waited.as_secs_f64());
        self.late.observe(now.saturating_since(arrival.completed).as_secs_f64());
    }
}

/// The waits in and out, and by how much arrivals are taken up late.
pub(super) fn histograms(registry: &Registry) -> ([Histogram; 2], Histogram) {
    // From 1 µs to 17 s: a slow link with a full queue is as slow as that.
    let buckets = exponential_buckets(1e-6, 4.0, 13).expect("the arguments are positive");
    let options = |name, help| HistogramOpts::new(name, help).buckets(buckets.clone());
    let waits = options(
        "bo_link_wait_seconds",
        "Time that transfers wait for others of their queue before their first byte moves.",
    );
    let waits = HistogramVec::new(waits, &["direction"]).expect("the options are valid");
    let late = options(
        "bo_link_late_seconds",
        "Time from the end of a transfer in the model until a thread takes it up.",
    );
    let late = Histogram::with_opts(late).expect("the options are valid");
    registry.register(Box::new(waits.clone())).expect("names are registered once");
    registry.register(Box::new(late.clone())).expect("names are registered once");
    (Direction::ALL.map(|direction| waits.with_label_values(&[direction.name()])), late)
}
