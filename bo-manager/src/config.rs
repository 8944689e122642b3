//! What the operator chose.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use bo_core::CoreConfig;
use bo_units::{ByteCount, PageSize};

use crate::percent::Percent;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
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
    /// The page size of objects whose maker does not choose; `None`: chosen by their size.
    pub page_size: Option<PageSize>,
    /// Threads that read faults; `None`: one for each allowed CPU, up to eight.
    pub fault_threads: Option<usize>,
    /// A fault may bring in neighbours up to this extent, in bytes. Zero: never.
    pub fault_around: ByteCount,
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
            page_size: None,
            fault_threads: None,
            fault_around: ByteCount::kib(64),
            reclaim_start: Percent::RECLAIM_START,
            reclaim_stop: Percent::RECLAIM_STOP,
            reclaim_yield: true,
            clean_start: Some(Percent::CLEAN_START),
            user_mode_only: UserModeOnly::Refuse,
            #[cfg(feature = "saboteur")]
            skip_protect: false,
        }
    }

    /// Checks what can be checked before anything is opened.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.vram >= ByteCount::kib(64),
            "a pool of {} is too small: give --vram at least 64 KiB (sixteen pages of 4 KiB)",
            self.vram
        );
        let sum = self.vram.checked_add(self.ram).context("VRAM and RAM together pass 2^64")?;
        ensure!(
            sum <= ByteCount::gib(8191),
            "--vram and --ram are {sum} together: at most 8191 GiB can be managed"
        );
        ensure!(
            self.fault_threads.is_none_or(|threads| (1..=256).contains(&threads)),
            "--fault-threads must be between 1 and 256"
        );
        ensure!(
            self.fault_around <= ByteCount::mib(2),
            "--fault-around is {}: at most 2 MiB",
            self.fault_around
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
        Ok(())
    }

    pub(crate) fn core(&self) -> CoreConfig {
        let free = |mark: Percent| self.vram.saturating_sub(mark.of(self.vram));
        CoreConfig {
            fault_around: self.fault_around,
            reclaim_start_free: free(self.reclaim_start),
            reclaim_stop_free: free(self.reclaim_stop),
            reclaim_yields: self.reclaim_yield,
            clean_start: self.clean_start.map(|mark| mark.of(self.vram)),
            ..CoreConfig::new(self.vram, self.ram)
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new(ByteCount::mib(1), ByteCount::mib(4), "/tmp/socket".into())
    }

    #[test]
    fn usual_settings_are_accepted() {
        assert!(config().check().is_ok());
    }

    #[test]
    fn a_pool_of_nothing_is_refused_with_what_to_do() {
        let error = Config { vram: ByteCount::new(4096), ..config() }.check().unwrap_err();
        assert!(error.to_string().contains("--vram at least 64 KiB"), "{error}");
    }

    #[test]
    fn pages_too_large_for_the_pool_are_refused() {
        let page_size = PageSize::new(2 << 20).ok();
        let error = Config { page_size, ..config() }.check().unwrap_err();
        assert!(error.to_string().contains("sixteen pages"), "{error}");
    }

    #[test]
    fn no_threads_are_refused() {
        assert!(Config { fault_threads: Some(0), ..config() }.check().is_err());
    }

    #[test]
    fn marks_become_bytes_of_the_pool() {
        let core = config().core();
        assert_eq!(core.reclaim_start_free.get(), (1 << 20) - (1 << 20) * 9 / 10);
        assert_eq!(core.reclaim_stop_free.get(), (1 << 20) - (1 << 20) * 7 / 10);
        assert_eq!(core.clean_start.map(ByteCount::get), Some((1 << 20) * 7 / 10));
        assert_eq!(Config { clean_start: None, ..config() }.core().clean_start, None);
    }

    #[test]
    fn reclaim_that_stops_no_lower_than_it_starts_is_refused() {
        let (start, stop) = (Percent::RECLAIM_STOP, Percent::RECLAIM_STOP);
        let bad = Config { reclaim_start: start, reclaim_stop: stop, ..config() };
        let error = bad.check().unwrap_err().to_string();
        assert!(error.contains("--reclaim-stop (70%) must be below"), "{error}");
    }

    #[test]
    fn sizes_that_wrap_are_refused() {
        let vram = ByteCount::new(u64::MAX);
        assert!(Config { vram, ..config() }.check().is_err());
    }
}
