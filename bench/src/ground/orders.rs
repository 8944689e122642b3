//! What a ground process is told, and what it answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::latency::Latencies;
use crate::mismatch::Mismatches;
use crate::orders::VerifyFigures;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum GroundOrder {
    /// Connect, if there is something to connect to, and make the far sides of all copies. First.
    Prepare(GroundPlan),
    /// Hold fresh memory of so many bytes instead of what was held.
    Take { bytes: u64 },
    /// Write it from end to end.
    Write,
    /// Read it from end to end.
    Read,
    /// Read, check and rewrite so many cells, each as likely as any other.
    Rewrite { ops: u64, part: u64 },
    /// Compare every byte.
    Check,
    /// Give the memory back.
    Leave,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GroundPlan {
    pub(crate) seed: u64,
    pub(crate) kind: Kind,
}

/// Whose memory it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Anonymous private memory, as a program's heap gives it.
    Own,
    /// An object of the daemon at this socket, in pages of this size, or of the daemon's choice.
    Object { socket: PathBuf, page_bytes: Option<u32> },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum GroundAnswer {
    Done,
    Taken { bytes: u64 },
    Swept { bytes: u64, seconds: f64 },
    Rewritten(Box<RewriteFigures>),
    Checked(VerifyFigures),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RewriteFigures {
    /// Of whole operations: reading 4 KiB and writing 4 KiB.
    pub(crate) op: Latencies,
    pub(crate) mismatches: Mismatches,
}
