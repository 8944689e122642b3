//! How long each stage takes.

use std::time::Instant;

use prometheus::{Histogram, HistogramOpts, HistogramVec, Registry, exponential_buckets};

/// Stages of a fault, as the metric's label shows them.
pub(crate) const FAULT_STAGES: [&str; 5] = ["queue", "decide", "make_room", "fill", "install"];

/// Stages of an eviction.
pub(crate) const EVICTION_STAGES: [&str; 3] = ["protect", "copy", "punch"];

/// Histograms, resolved once: observing one is a few atomic additions.
#[derive(Debug)]
pub(crate) struct Timings {
    /// From the read of an event until its decision begins.
    pub(crate) queue: Histogram,
    /// Waiting for the core's lock, and deciding.
    pub(crate) decide: Histogram,
    /// Evictions that a fault waited for.
    pub(crate) make_room: Histogram,
    /// Writing the bytes into the object's file.
    pub(crate) fill: Histogram,
    /// Installing page table entries, which wakes the client.
    pub(crate) install: Histogram,
    /// From the read of an event until its thread is awake.
    pub(crate) service: Histogram,
    /// Write-protecting a run in every mapping.
    pub(crate) protect: Histogram,
    /// Copying a run to the store.
    pub(crate) copy: Histogram,
    /// Punching a run out.
    pub(crate) punch: Histogram,
}

impl Timings {
    pub(crate) fn new(registry: &Registry) -> Self {
        let service = Histogram::with_opts(options(
            "bo_fault_service_duration_seconds",
            "From the read of a fault event until the faulting thread is awake again.",
        ))
        .expect("the options are valid");
        let stages = vec(
            "bo_fault_duration_seconds",
            "Time in each stage of serving faults: waiting in the batch, deciding, making room, \
             filling, installing.",
        );
        let evictions = vec(
            "bo_eviction_duration_seconds",
            "Time in each stage of evicting a run of pages: write-protecting, copying, punching.",
        );
        for collector in [&stages, &evictions] {
            registry.register(Box::new(collector.clone())).expect("names are registered once");
        }
        registry.register(Box::new(service.clone())).expect("names are registered once");
        let fault = |at: usize| stages.with_label_values(&[FAULT_STAGES[at]]);
        let eviction = |at: usize| evictions.with_label_values(&[EVICTION_STAGES[at]]);
        Self {
            queue: fault(0),
            decide: fault(1),
            make_room: fault(2),
            fill: fault(3),
            install: fault(4),
            service,
            protect: eviction(0),
            copy: eviction(1),
            punch: eviction(2),
        }
    }

    /// Name, seconds and count of every stage.
    pub(crate) fn sums(&self) -> Vec<(&'static str, f64, u64)> {
        let Self { queue, decide, make_room, fill, install, service, protect, copy, punch } = self;
        [
            ("queue", queue),
            ("decide", decide),
            ("make_room", make_room),
            ("fill", fill),
            ("install", install),
            ("service", service),
            ("protect", protect),
            ("copy", copy),
            ("punch", punch),
        ]
        .map(|(name, each)| (name, each.get_sample_sum(), each.get_sample_count()))
        .to_vec()
    }
}

/// From 1 µs to half a second in twenty steps of two.
fn buckets() -> Vec<f64> {
    exponential_buckets(1e-6, 2.0, 20).expect("the arguments are positive")
}

fn options(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(buckets())
}

fn vec(name: &str, help: &str) -> HistogramVec {
    HistogramVec::new(options(name, help), &["stage"]).expect("the options are valid")
}

/// Runs `work` and notes how long it took.
pub(crate) fn timed<R>(histogram: &Histogram, work: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = work();
    histogram.observe(start.elapsed().as_secs_f64());
    result
}
