//! The flags that change how the daemon does its work.

use std::time::Duration;

use bo_core::{LinkConfig, PrefetchMode, policy};
use bo_units::{ByteCount, ByteRate, parse_duration};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::config::{Backing, Config};
use crate::cpus::CpuList;
use crate::limits::UFFD_SHARDS_USUAL;
use crate::percent::Percent;

/// Flags that change how the daemon does its work, and not what it offers to whom. Whoever embeds
/// a daemon can flatten them into a command line of its own, as the bench does.
#[derive(Debug, Clone, Args)]
pub struct Tuning {
    /// What pages of 2 MiB are made of; smaller ones are ordinary shared memory in any case.
    #[arg(long, env = "BO_BACKING", value_enum, default_value_t)]
    pub backing: Backing,

    /// Take the huge pages that are missing for --vram out of the host's memory, as root, and give
    /// them back at the end.
    #[arg(long, env = "BO_RESERVE")]
    pub reserve: bool,

    /// Threads that read faults, 1 to 256 [default: one for each allowed CPU, at most 8].
    #[arg(long, env = "BO_FAULT_THREADS", value_name = "N")]
    pub fault_threads: Option<usize>,

    /// CPUs that fault readers are pinned to, one thread each, such as 0-3,8 [default: the allowed
    /// ones, if there are no more threads than CPUs].
    #[arg(long, env = "BO_FAULT_CPUS", value_name = "LIST")]
    pub fault_cpus: Option<CpuList>,

    /// The eviction policy: which pages leave next.
    #[arg(long, env = "BO_POLICY", value_name = "NAME", default_value = policy::DEFAULT,
          value_parser = PossibleValuesParser::new(policy::NAMES))]
    pub policy: String,

    /// Fault readers poll for up to this long before they sleep, while faults come fast; 0s: never.
    #[arg(long, env = "BO_BUSY_POLL", default_value = "0s", value_name = "TIME",
          value_parser = parse_duration)]
    pub busy_poll: Duration,

    /// Fault readers that may poll at the same time.
    #[arg(long, env = "BO_BUSY_POLL_THREADS", default_value_t = 1, value_name = "N")]
    pub busy_poll_threads: usize,

    /// Userfaultfds of each client, 1 to 16: more keep threads that fault at once off one queue.
    #[arg(long, env = "BO_UFFD_SHARDS", default_value_t = UFFD_SHARDS_USUAL, value_name = "N")]
    pub uffd_shards: usize,

    /// Let moves between pool and store take as long as over a link with this bandwidth each way,
    /// 1MiB/s to 1TiB/s, such as 16GiB/s [default: no link].
    #[arg(long, env = "BO_LINK_BANDWIDTH", value_name = "SIZE/s")]
    pub link_bandwidth: Option<ByteRate>,

    /// The link's latency: what each transfer takes besides, 0s to 1s, such as 2us [default: 0s].
    #[arg(
        long,
        env = "BO_LINK_LATENCY",
        value_name = "DURATION",
        requires = "link_bandwidth",
        value_parser = parse_duration
    )]
    pub link_latency: Option<Duration>,

    /// Copy queues of the link, which share its bandwidth, 1 to 16 each way [default: 1].
    #[arg(long, env = "BO_LINK_QUEUES", value_name = "N", requires = "link_bandwidth")]
    pub link_queues: Option<u32>,

    /// A fault may bring in neighbours up to this extent, when the pool has room; 0B: never.
    #[arg(long, env = "BO_FAULT_AROUND", default_value = "64KiB", value_name = "SIZE")]
    pub fault_around: ByteCount,

    /// Which pages come beyond that ahead of need, when the pool has room.
    #[arg(long, env = "BO_PREFETCH", value_enum, default_value_t)]
    pub prefetch: Guesses,

    /// Complete a region of up to 2 MiB when more than so many percent of it are there; 100: never.
    #[arg(long, env = "BO_PREFETCH_THRESHOLD", default_value_t = 51, value_name = "PERCENT",
        value_parser = clap::value_parser!(u8).range(..=100))]
    pub prefetch_threshold: u8,

    /// Background reclaim starts when more of the pool than this is in use.
    #[arg(long, env = "BO_RECLAIM_START", default_value_t = Percent::RECLAIM_START)]
    #[arg(value_name = "PERCENT")]
    pub reclaim_start: Percent,

    /// Background reclaim stops when no more of the pool than this is in use.
    #[arg(long, env = "BO_RECLAIM_STOP", default_value_t = Percent::RECLAIM_STOP)]
    #[arg(value_name = "PERCENT")]
    pub reclaim_stop: Percent,

    /// Whether these two marks give way to pages that come back while there is room for them.
    #[arg(long, env = "BO_RECLAIM_YIELD", value_enum, default_value_t = Switch::On)]
    pub reclaim_yield: Switch,

    /// Dirty pages are copied to the store ahead of their eviction while more of the pool than this
    /// is in use; 'off': never.
    #[arg(long, env = "BO_CLEAN_START", default_value = "70%", value_parser = mark_or_off)]
    #[arg(value_name = "PERCENT")]
    pub clean_start: Mark,
}

impl Tuning {
    /// The same configuration with these flags in force.
    #[must_use]
    pub fn apply(&self, config: Config) -> Config {
        let Self {
            backing,
            reserve,
            fault_threads,
            fault_cpus,
            policy,
            busy_poll,
            busy_poll_threads,
            uffd_shards,
            fault_around,
            link_bandwidth: _,
            link_latency: _,
            link_queues: _,
            prefetch,
            prefetch_threshold,
            reclaim_start,
            reclaim_stop,
            reclaim_yield,
            clean_start,
        } = self.clone();
        Config {
            backing,
            reserve,
            fault_threads,
            fault_cpus,
            policy,
            busy_poll,
            busy_poll_threads,
            uffd_shards,
            fault_around,
            link: self.link(),
            prefetch: match prefetch {
                Guesses::None => PrefetchMode::None,
                Guesses::Stream => PrefetchMode::Stream,
                Guesses::Density => PrefetchMode::Density,
            },
            prefetch_threshold,
            reclaim_start,
            reclaim_stop,
            reclaim_yield: reclaim_yield == Switch::On,
            clean_start: clean_start.0,
            ..config
        }
    }

    /// The link that is asked for.
    pub(super) fn link(&self) -> Option<LinkConfig> {
        let latency = self.link_latency.unwrap_or(Duration::ZERO);
        let queues = self.link_queues.unwrap_or(1);
        self.link_bandwidth.map(|bandwidth| LinkConfig { bandwidth, latency, queues })
    }
}

/// Values of `--prefetch`.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub enum Guesses {
    /// Nothing beyond --fault-around.
    None,
    /// What follows in a sequential or strided stream of faults.
    Stream,
    /// That, and the rest of regions that are mostly present.
    #[default]
    Density,
}

/// Something that is done or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// Done.
    On,
    /// Not done.
    Off,
}

/// A part of the pool, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(Option<Percent>);

fn mark_or_off(text: &str) -> Result<Mark, String> {
    match text {
        "off" => Ok(Mark(None)),
        text => text.parse().map(|mark| Mark(Some(mark))),
    }
}
