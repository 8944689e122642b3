//! What a run tells its client processes, and what they answer.

use serde::{Deserialize, Serialize};

use crate::contents::RecordBytes;
use crate::latency::Latencies;
use crate::mismatch::Mismatches;
use crate::pattern::Pattern;

/// One phase, or a step between two. A worker answers each before the next is given.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Connect to the daemon. First.
    Connect(Plan),
    /// Measure resident accesses against an ordinary memfd.
    Hit(HitPlan),
    /// Write, then read, then check one large object.
    Sweep { bytes: u64 },
    /// Make a page to meet on, and ballast of so many bytes, more than the pool.
    PrepareRush { ballast_bytes: u64 },
    /// Drive that page out of the pool.
    Displace,
    /// Let so many threads read it at once.
    Rush { threads: u32 },
    /// Rewrite an object of so many bytes round and round for a time.
    Thrash { bytes: u64, millis: u64 },
    /// Allocate the objects and write every byte.
    Fill,
    /// Run the pattern.
    Storm(StormPlan),
    /// Compare every byte with what it must be.
    Verify,
}

/// Who a worker is and what it will hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) socket: std::path::PathBuf,
    /// Of this worker, from zero.
    pub(crate) client: u32,
    pub(crate) threads: u32,
    pub(crate) objects: u32,
    pub(crate) object_bytes: u64,
    pub(crate) page_bytes: Option<u32>,
    pub(crate) record: RecordBytes,
    pub(crate) seed: u64,
}

/// The hit loop, which ends at whichever comes first.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct HitPlan {
    pub(crate) rounds: u32,
    pub(crate) millis: u64,
}

/// The pattern phase of one worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StormPlan {
    pub(crate) pattern: Pattern,
    pub(crate) write_ratio: f64,
    pub(crate) limit: WorkerLimit,
    pub(crate) fault_threshold_ns: u64,
    /// Each part of a pattern that runs in several goes to other cells.
    pub(crate) part: u64,
}

/// What ends the pattern of one worker.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum WorkerLimit {
    /// Operations of all its threads together.
    Ops(u64),
    Millis(u64),
}

/// What came of an order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Connected,
    Hit(HitFigures),
    Swept(SweepFigures),
    RushPrepared { page_bytes: u64 },
    Displaced,
    Rushed(RushFigures),
    Thrashed(ThrashFigures),
    Filled { page_bytes: u64 },
    Stormed(Box<StormFigures>),
    Verified(VerifyFigures),
}

/// Nanoseconds of one access, the medians of all rounds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct HitFigures {
    pub(crate) object_ns: f64,
    pub(crate) plain_ns: f64,
    /// Faults of the loop on the object, none if it stayed.
    pub(crate) object_faults: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SweepFigures {
    pub(crate) bytes: u64,
    pub(crate) write_seconds: f64,
    pub(crate) read_seconds: f64,
    pub(crate) mismatches: Mismatches,
}

/// Of one meeting of many threads, or several.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RushFigures {
    /// Of each thread, from the start signal until it had the bytes.
    pub(crate) first_read: Latencies,
    /// Fault events on that page, as the daemon counts them.
    pub(crate) faults: u64,
    /// Times that it was filled.
    pub(crate) fills: u64,
    /// The most of one meeting.
    pub(crate) fills_max: u64,
    /// Times that it was evicted again meanwhile.
    pub(crate) evictions: u64,
    /// Reads that were refused.
    pub(crate) errors: u64,
    /// Read and checked.
    pub(crate) bytes: u64,
    pub(crate) mismatches: Mismatches,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ThrashFigures {
    /// Rewritten, and checked at the word that was rewritten.
    pub(crate) cells: u64,
    pub(crate) mismatches: Mismatches,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StormFigures {
    pub(crate) ops: u64,
    pub(crate) writes: u64,
    pub(crate) seconds: f64,
    pub(crate) op: Latencies,
    /// Of the operations that faulted.
    pub(crate) fault: Latencies,
    /// Slower than the threshold, yet without a page fault: something else took the time.
    pub(crate) slow_without_fault: u64,
    /// Page faults of the threads as their own kernel counts them.
    pub(crate) kernel_faults: u64,
    pub(crate) mismatches: Mismatches,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct VerifyFigures {
    pub(crate) bytes: u64,
    pub(crate) mismatches: Mismatches,
}
