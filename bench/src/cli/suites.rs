//! The arguments of what runs several things in turn: `compare`, `peer` and `bars`.

use std::ffi::OsString;
use std::path::PathBuf;

use bo_manager::cli::Tuning;
use bo_units::{ByteCount, PageSize};
use clap::{Args, Subcommand};

/// What a comparison can be told.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Flags of `run` for side A, in quotes
    #[arg(long, value_name = "FLAGS", default_value = "", allow_hyphen_values = true)]
    pub(crate) a: String,

    /// Flags of `run` for side B, in quotes
    #[arg(long, value_name = "FLAGS", default_value = "", allow_hyphen_values = true)]
    pub(crate) b: String,

    /// How often each side runs
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// Write the figures as JSON to this file, or `-` for standard output
    #[arg(long, value_name = "PATH|-")]
    pub(crate) json: Option<PathBuf>,

    /// Flags of `run` for both sides; those of a side override them
    #[arg(last = true, value_name = "COMMON FLAGS")]
    pub(crate) common: Vec<OsString>,
}

/// What could be picked instead.
#[derive(Debug, Subcommand)]
pub(crate) enum Peer {
    /// The kernel's swap to a zram device, in a memory cgroup as large as the pool; needs root
    Zram(ZramArgs),
}

/// What the comparison with zram can be told.
#[derive(Debug, Clone, Args)]
pub(crate) struct ZramArgs {
    /// Bytes swept and rewritten on each side
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub(crate) data: ByteCount,

    /// The pool on our side, the limit of the cgroup on the other
    #[arg(long, value_name = "SIZE", default_value = "128MiB")]
    pub(crate) fast: ByteCount,

    /// Page size of our object, 4KiB to 2MiB [default: by object size]
    #[arg(long, value_name = "SIZE")]
    pub(crate) page_size: Option<PageSize>,

    /// How often each side runs, ours and the other in turn
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// Random rewrites of each side in each round
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ops: u64,

    /// Seed of the data and of the accesses
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Write the figures as JSON to this file, or `-` for standard output
    #[arg(long, value_name = "PATH|-")]
    pub(crate) json: Option<PathBuf>,

    /// Of our daemon.
    #[command(flatten)]
    pub(crate) tuning: Tuning,
}

/// What the measurement of all bars can be told.
#[derive(Debug, Args)]
pub(crate) struct BarsArgs {
    /// Write the figures as JSON to this file, or `-` for standard output
    #[arg(long, value_name = "PATH|-")]
    pub(crate) json: Option<PathBuf>,

    /// Small pools and few rounds: whether everything works, rather than how fast
    #[arg(long)]
    pub(crate) quick: bool,

    /// Measure only the bars of groups whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,

    /// Flags of the daemon for every bar; the kind of frames is each bar's own
    #[arg(last = true, value_name = "DAEMON FLAGS")]
    pub(crate) daemon: Vec<OsString>,
}
