//! What the shell counts itself: what never reaches the core.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that any thread may raise.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of the shell, since its start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Reads of a userfaultfd that gave at least one fault.
    pub(crate) fault_reads: Counter,
    /// Wake-ups of a reader that found nothing: another was faster.
    pub(crate) fault_reads_empty: Counter,
    /// Times it was looked up where a faulting thread runs.
    pub(crate) fault_looks: Counter,
    /// Times all readers began to listen to a userfaultfd, after one alone.
    pub(crate) listeners_all: Counter,
    /// Times all readers but one stopped listening to a userfaultfd.
    pub(crate) listeners_one: Counter,
    /// Times a reader that polled found faults before it would have slept.
    pub(crate) fault_polls_hit: Counter,
    /// Times it polled and found none.
    pub(crate) fault_polls_missed: Counter,
    /// Faults outside every mapping, woken.
    pub(crate) faults_stray: Counter,
    /// Events other than faults.
    pub(crate) events_foreign: Counter,
    /// Calls to the kernel that failed in a way no healthy host shows.
    pub(crate) host_failures: Counter,
    /// Messages that broke the protocol, by kind.
    pub(crate) protocol_malformed: Counter,
    /// Messages out of turn, or with the wrong descriptors.
    pub(crate) protocol_misuse: Counter,
    /// Connections that did not finish their handshake.
    pub(crate) protocol_handshake: Counter,
    /// Requests refused, by cause. See [`REFUSAL_CAUSES`].
    pub(crate) refusals: [Counter; REFUSAL_CAUSES.len()],
    /// Events of the recording that are in its file.
    pub(crate) record_written: Counter,
    /// Events that are not, because the file could not take them in time or at all.
    pub(crate) record_lost: Counter,
    /// Times a recording ended early, because its file could not be written.
    pub(crate) record_errors: Counter,
    /// Requests served.
    pub(crate) requests: Counter,
}

/// The causes of refusals, as the metric's label shows them.
pub(crate) const REFUSAL_CAUSES: [&str; 13] = [
    "never_fits",
    "out_of_memory",
    "page_too_large",
    "gone",
    "read_only",
    "limit",
    "suspended",
    "draining",
    "invalid",
    "unsupported",
    "host",
    "descriptors",
    "overlap",
];

impl Counters {
    pub(crate) fn refused(&self, cause: &str) {
        let at = REFUSAL_CAUSES.iter().position(|known| *known == cause);
        self.refusals[at.expect("every cause is in the list")].add(1);
    }
}
