//! What the operator chose.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bo_core::{
    CoreConfig, LINK_QUEUES_MAX, Limits, LinkConfig, PrefetchConfig, PrefetchMode, Watermarks,
    policy,
};
use bo_units::{ByteCount, PageSize, show_duration};

use crate::cpus::CpuList;
use crate::limits::{
    BUSY_POLL_MAX, LINK_BANDWIDTH_MAX, LINK_BANDWIDTH_MIN, LINK_LATENCY_MAX, UFFD_SHARDS_MAX,
    UFFD_SHARDS_USUAL,
};
use crate::percent::Percent;

/// More objects than any machine can hold files for: a memory file takes the kernel about 2 KiB.
const OBJECTS_MAX: u32 = 1 << 24;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Which frames pages of 2 MiB are made of. Smaller pages are ordinary shared memory in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Backing {
    /// The best that the host has: huge, else thp, else pages.
    #[default]
    Auto,
    /// Ordinary shared memory.
    Pages,
    /// Huge folios of shared memory, on a host whose shmem_enabled is always or within_size.
    Thp,
    /// The host's pool of huge pages (hugetlb): as many as --vram takes must be free in it.
    Huge,
}

/// What to do on a host where no full userfaultfd can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserModeOnly {
    /// Say what is missing and how to mend it, and do not start.
    Refuse,
    /// Serve anyway: plain loads and stores work, system calls on evicted memory fail with EFAULT.
    Accept,
}

/// Everything that a daemon is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The size of the pool, in bytes.
    pub vram: ByteCount,
    /// The most RAM for evicted pages and RAM-placed objects, in bytes.
    pub ram: ByteCount,
    /// Where clients connect.
    pub socket: PathBuf,
    /// The permissions of the socket file. `0o666`: any user of this machine may connect.
    pub socket_mode: u32,
    /// Where metrics and status are served; `None`: nowhere. Port 0 takes any free one.
    pub http: Option<SocketAddr>,
    /// A file with the token that whoever changes something over `http` must show; `None`: nobody
    /// changes anything there. Only its owner may have access to it.
    pub http_token_file: Option<PathBuf>,
    /// A socket where the same is served to the daemon's own user and root, who may change things;
    /// `None`: nowhere.
    pub control: Option<PathBuf>,
    /// The page size of objects whose maker does not choose; `None`: chosen by their size.
    pub page_size: Option<PageSize>,
    /// What pages of 2 MiB are made of.
    pub backing: Backing,
    /// Whether the host's pool of huge pages is enlarged by what is missing for `vram`, until the
    /// daemon ends. Takes root. Only for [`Backing::Huge`] and [`Backing::Auto`].
    pub reserve: bool,
    /// Threads that read faults; `None`: one for each allowed CPU, up to eight.
    pub fault_threads: Option<usize>,
    /// The CPUs that fault readers are pinned to, one each; `None`: those that are allowed, if
    /// there are no more threads than CPUs.
    pub fault_cpus: Option<CpuList>,
    /// The eviction policy, one of [`bo_core::policy::NAMES`].
    pub policy: String,
    /// The longest that a fault reader polls for the next fault before it sleeps. It adapts: none
    /// polls while faults are rare. Zero: never.
    pub busy_poll: Duration,
    /// How many fault readers may poll at the same time.
    pub busy_poll_threads: usize,
    /// Userfaultfds of each client, 1 to 16, over which its mappings are spread.
    pub uffd_shards: usize,
    /// A fault may bring in neighbours up to this extent, in bytes. Zero: never.
    pub fault_around: ByteCount,
    /// Lets moves between pool and store take as long as on a link like this; `None`: they cost
    /// what they cost. Bandwidth from 1 MiB/s to 1 TiB/s, latency up to 1 s.
    pub link: Option<LinkConfig>,
    /// Objects alive at one time. Each takes the daemon one descriptor: if the hard limit allows
    /// fewer, so does the daemon, and says so.
    pub max_objects: u32,
    /// Which pages come beyond that, ahead of need.
    pub prefetch: PrefetchMode,
    /// A region of up to 2 MiB is brought in whole when strictly more than this many percent of it
    /// are present or wanted. 0 to 100; 100: never.
    pub prefetch_threshold: u8,
    /// Background reclaim starts when more of the pool than this is in use.
    pub reclaim_start: Percent,
    /// And stops when no more than this is.
    pub reclaim_stop: Percent,
    /// Whether these two marks give way, up to the free reserve, to pages that come back while
    /// there is room for them.
    pub reclaim_yield: bool,
    /// Dirty pages are copied to the store ahead of their eviction while more of the pool than this
    /// is in use; `None`: never.
    pub clean_start: Option<Percent>,
    /// A file for a recording of faults, fills, evictions and frees, which must not exist or be
    /// empty. `None`: nothing is recorded.
    pub record: Option<PathBuf>,
    /// Whether a daemon without a full userfaultfd is better than none.
    pub user_mode_only: UserModeOnly,
    /// Evicts without write-protecting first, which loses writes: the control of the test that
    /// shows why the step is there.
    #[cfg(feature = "saboteur")]
    pub skip_protect: bool,
}

impl Config {
    /// The usual settings for a pool and a store of these sizes.
    #[must_use]
    pub fn new(vram: ByteCount, ram: ByteCount, socket: PathBuf) -> Self {
        Self {
            vram,
            ram,
            socket,
            socket_mode: 0o666,
            http: None,
            http_token_file: None,
            control: None,
            page_size: None,
            backing: Backing::Auto,
            reserve: false,
            fault_threads: None,
            fault_cpus: None,
            policy: policy::DEFAULT.to_owned(),
            busy_poll: Duration::ZERO,
            busy_poll_threads: 1,
            uffd_shards: UFFD_SHARDS_USUAL,
            fault_around: ByteCount::kib(64),
            link: None,
            max_objects: Limits::DEFAULT.objects,
            prefetch: PrefetchMode::Density,
            prefetch_threshold: PrefetchConfig::DEFAULT.threshold_percent,
            reclaim_start: Percent::RECLAIM_START,
            reclaim_stop: Percent::RECLAIM_STOP,
            reclaim_yield: true,
            clean_start: Some(Percent::CLEAN_START),
            record: None,
            user_mode_only: UserModeOnly::Refuse,
            #[cfg(feature = "saboteur")]
            skip_protect: false,
        }
    }

    /// Checks what can be checked before anything is opened.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.check_vram(self.vram)?;
        ensure!(
            self.fault_threads.is_none_or(|threads| (1..=256).contains(&threads)),
            "--fault-threads must be between 1 and 256"
        );
        if let (Some(threads), Some(cpus)) = (self.fault_threads, &self.fault_cpus) {
            ensure!(
                threads == cpus.cpus().len(),
                "--fault-cpus names {} CPUs and --fault-threads is {threads}: each of them has \
                 one thread, so --fault-threads can be left out",
                cpus.cpus().len()
            );
        }
        ensure!(
            self.busy_poll <= BUSY_POLL_MAX,
            "--busy-poll is {:?}: at most {BUSY_POLL_MAX:?}",
            self.busy_poll
        );
        ensure!(
            (1..=UFFD_SHARDS_MAX).contains(&self.uffd_shards),
            "--uffd-shards must be between 1 and {UFFD_SHARDS_MAX}"
        );
        ensure!(
            self.fault_around <= ByteCount::mib(2),
            "--fault-around is {}: at most 2 MiB",
            self.fault_around
        );
        ensure!(
            policy::NAMES.contains(&self.policy.as_str()),
            "no --policy is named {}: there are {}",
            self.policy,
            policy::NAMES.join(", ")
        );
        ensure!(
            !self.reserve || matches!(self.backing, Backing::Huge | Backing::Auto),
            "--reserve takes huge pages out of the host, for --backing huge or auto only"
        );
        ensure!(
            (1..=OBJECTS_MAX).contains(&self.max_objects),
            "--max-objects must be between 1 and {OBJECTS_MAX}"
        );
        ensure!(
            self.prefetch_threshold <= 100,
            "--prefetch-threshold is {}: it is a percentage, at most 100",
            self.prefetch_threshold
        );
        ensure!(
            self.reclaim_stop < self.reclaim_start,
            "--reclaim-stop ({}) must be below --reclaim-start ({}): reclaim starts above one and \
             goes on down to the other",
            self.reclaim_stop,
            self.reclaim_start
        );
        if let Some(page_size) = self.page_size
            && page_size.bytes() > self.vram.get() / 16
        {
            bail!(
                "--page-size {page_size} is too large for a pool of {}: sixteen pages must fit",
                self.vram
            );
        }
        self.link.map_or(Ok(()), check_link)
    }

    /// Checks a size for the pool, at the start or later.
    pub(crate) fn check_vram(&self, vram: ByteCount) -> anyhow::Result<()> {
        ensure!(
            vram >= ByteCount::kib(64),
            "a pool of {vram} is too small: give --vram at least 64 KiB (sixteen pages of 4 KiB)"
        );
        ensure!(
            vram < ByteCount::gib(1024),
            "a pool of {vram} is too large: less than 1 TiB can be managed"
        );
        let sum = vram.checked_add(self.ram).context("VRAM and RAM together pass 2^64")?;
        ensure!(
            sum <= ByteCount::gib(8191),
            "--vram and --ram are {sum} together: at most 8191 GiB can be managed"
        );
        Ok(())
    }

    /// The marks that the operator chose, in bytes of a pool of this size.
    pub(crate) fn marks(&self, vram: ByteCount) -> Watermarks {
        let free = |mark: Percent| vram.saturating_sub(mark.of(vram));
        Watermarks {
            reclaim_start_free: free(self.reclaim_start),
            reclaim_stop_free: free(self.reclaim_stop),
            clean_start: self.clean_start.map(|mark| mark.of(vram)),
            ..Watermarks::usual(vram)
        }
    }

    /// `huge_frames`: pages of 2 MiB are the fastest that the pool has.
    pub(crate) fn core(&self, huge_frames: bool) -> CoreConfig {
        let prefetch = PrefetchConfig {
            mode: self.prefetch,
            threshold_percent: self.prefetch_threshold,
            ..PrefetchConfig::DEFAULT
        };
        CoreConfig {
            fault_around: self.fault_around,
            huge_frames,
            prefetch,
            marks: self.marks(self.vram),
            reclaim_yields: self.reclaim_yield,
            policy: self.policy.clone(),
            record: self.record.is_some(),
            ..CoreConfig::new(self.vram, self.ram)
        }
    }
}

fn check_link(link: LinkConfig) -> anyhow::Result<()> {
    let LinkConfig { bandwidth, latency, queues } = link;
    ensure!(
        (LINK_BANDWIDTH_MIN..=LINK_BANDWIDTH_MAX).contains(&bandwidth.bytes_per_second()),
        "--link-bandwidth is {bandwidth}: give 1MiB/s to 1TiB/s"
    );
    ensure!(
        latency <= LINK_LATENCY_MAX,
        "--link-latency is {}: give 0s to 1s",
        show_duration(latency)
    );
    ensure!(
        (1..=LINK_QUEUES_MAX).contains(&queues),
        "--link-queues is {queues}: give 1 to {LINK_QUEUES_MAX}"
    );
    Ok(())
}

/// Where a daemon listens and clients connect unless they are told otherwise: `$BO_SOCKET`, else
/// `bo-manager.sock` in `$XDG_RUNTIME_DIR`, else in `/run`.
#[must_use]
pub fn default_socket_path() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    match (set("BO_SOCKET"), set("XDG_RUNTIME_DIR")) {
        (Some(path), _) => path.into(),
        (None, Some(directory)) => PathBuf::from(directory).join("bo-manager.sock"),
        (None, None) => PathBuf::from("/run/bo-manager.sock"),
    }
}

/// Where a daemon takes orders unless it is told otherwise: beside the socket of its clients,
/// `bo-manager-control.sock` for `bo-manager.sock`.
#[must_use]
pub fn default_control_path(socket: &Path) -> PathBuf {
    let mut name = socket.file_stem().unwrap_or_default().to_owned();
    name.push("-control.sock");
    socket.with_file_name(name)
}

#[cfg(test)]
mod tests;
