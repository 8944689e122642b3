//! What the demonstration tells its two client processes, and what they answer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::latency::Latencies;

/// Written by both processes at once; its words only ever count up.
pub(crate) const SCRATCH_BYTES: u64 = 4 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// First.
    Connect {
        socket: PathBuf,
        name: String,
    },
    Do(Task),
}

/// What a connected process does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Make each file an object.
    Load {
        files: Vec<PathBuf>,
    },
    /// Hand out the files at these places, and make and hand out the scratch object if told so.
    Export {
        files: Vec<usize>,
        scratch: bool,
    },
    Import(Import),
    /// Read at random, compare with the file, and count in the scratch object.
    Storm {
        millis: u64,
        threads: u32,
        seed: u64,
        fault_threshold_ns: u64,
    },
    /// Compare the SHA-256 of everything held, own and imported.
    Check,
}

/// What one process takes over from the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Import {
    /// With the token of each, for reading only.
    pub(crate) files: Vec<(LoadedFile, String)>,
    /// For writing.
    pub(crate) scratch: Option<String>,
}

/// A file that is an object now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LoadedFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// Of the bytes as they were read from the file system, as hexadecimal digits.
    pub(crate) sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Connected,
    Loaded(Vec<LoadedFile>),
    Exported { tokens: Vec<String>, scratch: Option<String> },
    Imported,
    Stormed(Box<StormFigures>),
    Checked(CheckFigures),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StormFigures {
    pub(crate) reads: u64,
    /// Reads of 4 KiB that were not what the file holds.
    pub(crate) wrong_reads: u64,
    /// Increments of the scratch object.
    pub(crate) increments: u64,
    /// Of reads that met a fault.
    pub(crate) fault: Latencies,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CheckFigures {
    pub(crate) own: u64,
    pub(crate) imported: u64,
    pub(crate) bytes: u64,
    /// Files whose SHA-256 is another one now.
    pub(crate) wrong: Vec<PathBuf>,
    /// The sum of the scratch object as this process sees it.
    pub(crate) scratch_sum: u64,
}
