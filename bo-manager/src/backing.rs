//! Which frames the pool is made of, chosen once at the start.
//!
//! Huge frames are moved at the speed of memcpy and installed by one entry. They are for objects in
//! VRAM whose pages are 2 MiB; all others stay on pages of 4 KiB, whatever the pool.

mod fills;
mod resize;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail, ensure};
use bo_core::Placement;
use bo_sys::HUGE_PAGE_BYTES;
use bo_sys::hugepages::{PoolCounts, Reservation, ReserveError, SHMEM_ENABLED, ShmemHuge};
use bo_sys::memfd::ObjectFile;
use bo_sys::window::{Filler, Window};
use bo_units::{ByteCount, PageSize};
use parking_lot::Mutex;

use crate::config::{Backing, Config};

/// A page may be at most this part of the pool, so a smaller pool has no page of 2 MiB.
const VRAM_FOR_HUGE: ByteCount = ByteCount::mib(32);

/// Windows are kept for the fills to come as long as there are fewer than this part of what the
/// host allows a process in mappings; beyond that each fill opens its own.
const WINDOWS_SHARE: usize = 4;

/// The kernel's default for vm.max_map_count.
const MAPPINGS_USUAL: usize = 65_530;

/// What frames of 2 MiB are made of, if there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frames {
    /// Ordinary shared memory.
    Pages,
    /// Huge folios of shared memory.
    Thp,
    /// The host's pool of huge pages.
    Huge,
}

impl Frames {
    pub(crate) const ALL: [Frames; 3] = [Frames::Pages, Frames::Thp, Frames::Huge];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Frames::Pages => "pages",
            Frames::Thp => "thp",
            Frames::Huge => "huge",
        }
    }
}

/// The frames, and all that is needed to fill them.
#[derive(Debug)]
pub(crate) struct Backed {
    pub(crate) frames: Frames,
    /// Why these, for people.
    pub(crate) reason: String,
    /// Until it is given back.
    reserved: Mutex<Option<Reservation>>,
    /// Set if some files have to be filled by way of windows.
    filler: Option<Filler>,
    /// Whether a write(2) to ordinary shared memory would make huge folios of small pages.
    writes_make_folios: bool,
    windows: Arc<AtomicUsize>,
    windows_max: usize,
}

/// A window that stays open, and its place in the count.
#[derive(Debug)]
pub(crate) struct KeptWindow {
    window: Window,
    count: Arc<AtomicUsize>,
}

impl Drop for KeptWindow {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the host has, as far as the choice depends on it.
#[derive(Debug, Clone, Copy)]
struct Host {
    shmem: ShmemHuge,
    /// `None`: the kernel has no pool of huge pages.
    pool: Option<PoolCounts>,
}

/// What has been chosen, before anything is taken from the host.
#[derive(Debug, PartialEq, Eq)]
struct Choice<Taken> {
    frames: Frames,
    reason: String,
    taken: Option<Taken>,
}

impl Backed {
    /// Looks at the host and takes from it what the operator wants.
    pub(crate) fn choose(config: &Config) -> anyhow::Result<Self> {
        let host = Host { shmem: ShmemHuge::of_this_host(), pool: PoolCounts::of_this_host().ok() };
        let Choice { frames, reason, taken } = choose(config, host, Reservation::make)?;
        let writes_make_folios = host.shmem.applies_to_writes();
        let mut backed = Self {
            frames,
            reason,
            reserved: Mutex::new(taken),
            filler: None,
            writes_make_folios,
            windows: Arc::default(),
            windows_max: max_mappings() / WINDOWS_SHARE,
        };
        if frames == Frames::Huge || writes_make_folios {
            let filler = Filler::new().context("cannot make a userfaultfd of the daemon's own")?;
            backed.filler = Some(filler);
        }
        Ok(backed)
    }

    /// Bytes by which the host's pool of huge pages was enlarged.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        self.reserved.lock().as_ref().map_or(0, Reservation::pages) * HUGE_PAGE_BYTES
    }

    /// Makes the file of an object. Says also whether it must be filled by way of a window.
    pub(crate) fn create_file(
        &self,
        label: &str,
        bytes: ByteCount,
        page_size: PageSize,
        placement: Placement,
    ) -> std::io::Result<(ObjectFile, bool)> {
        // What is placed in RAM is not in the pool, so none of its frames are for it.
        let in_huge = page_size.bytes() == HUGE_PAGE_BYTES && placement == Placement::Vram;
        let frames = if in_huge { self.frames } else { Frames::Pages };
        match frames {
            Frames::Huge => Ok((ObjectFile::create_huge(label, bytes.get())?, true)),
            Frames::Thp => Ok((ObjectFile::create(label, bytes.get())?, false)),
            Frames::Pages => Ok((ObjectFile::create(label, bytes.get())?, self.writes_make_folios)),
        }
    }
}

impl Backed {
    /// Makes the host's pool of huge pages smaller again by what was added to it, once.
    pub(crate) fn give_back(&self) {
        let Some(reservation) = self.reserved.lock().take() else { return };
        let asked = reservation.pages();
        match reservation.give_back() {
            Ok(given) if given.pages == asked && given.in_use == 0 => {}
            Ok(given) => tracing::warn!(
                asked,
                given = given.pages,
                in_use = given.in_use,
                "of the huge pages that were reserved, the host has those in use back only when \
                 the clients that hold them end"
            ),
            Err(error) => tracing::error!(
                %error,
                pages = asked,
                "cannot give the reserved huge pages back: lower \
                 /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages by this number"
            ),
        }
    }
}

impl Drop for Backed {
    /// For a start that fails after it has taken something.
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Decides, and takes by `reserve` what the operator allows to be taken.
fn choose<Taken>(
    config: &Config,
    host: Host,
    reserve: impl FnOnce(u64) -> Result<Taken, ReserveError>,
) -> anyhow::Result<Choice<Taken>> {
    let pages = |reason: String| Choice { frames: Frames::Pages, reason, taken: None };
    match config.backing {
        Backing::Pages => Ok(pages("asked for".to_owned())),
        Backing::Thp => {
            let reason =
                thp(config, host).map_err(|why| anyhow::anyhow!("--backing thp: {why}"))?;
            Ok(Choice { frames: Frames::Thp, reason: format!("asked for; {reason}"), taken: None })
        }
        Backing::Huge => {
            let (reason, taken) = huge(config, host, reserve).context("--backing huge")?;
            Ok(Choice { frames: Frames::Huge, reason: format!("asked for; {reason}"), taken })
        }
        Backing::Auto => {
            let no_huge = match huge(config, host, reserve) {
                Ok((reason, taken)) => return Ok(Choice { frames: Frames::Huge, reason, taken }),
                Err(why) => format!("{why:#}"),
            };
            match thp(config, host) {
                Ok(reason) => {
                    let reason = format!("{reason}; not huge: {no_huge}");
                    Ok(Choice { frames: Frames::Thp, reason, taken: None })
                }
                Err(no_thp) => Ok(pages(format!("not huge: {no_huge}; not thp: {no_thp}"))),
            }
        }
    }
}

/// Why huge folios can be had; otherwise why not, and what to do.
fn thp(config: &Config, host: Host) -> Result<String, String> {
    if config.vram < VRAM_FOR_HUGE {
        return Err(too_small(config));
    }
    match host.shmem.applies_to_writes() {
        true => Ok(format!("{SHMEM_ENABLED} is {}", host.shmem)),
        false => {
            Err(format!("{SHMEM_ENABLED} is {}: echo within_size > {SHMEM_ENABLED}", host.shmem))
        }
    }
}

/// Takes as many huge pages as the pool has room for.
fn huge<Taken>(
    config: &Config,
    host: Host,
    reserve: impl FnOnce(u64) -> Result<Taken, ReserveError>,
) -> anyhow::Result<(String, Option<Taken>)> {
    ensure!(config.vram >= VRAM_FOR_HUGE, too_small(config));
    ensure!(
        config.vram.get().is_multiple_of(HUGE_PAGE_BYTES),
        "a pool of huge frames is made of whole ones: --vram {} is no multiple of 2 MiB",
        config.vram
    );
    let Some(counts) = host.pool else {
        bail!("this kernel has no pool of 2 MiB pages (CONFIG_HUGETLBFS)")
    };
    let wanted = config.vram.get() / HUGE_PAGE_BYTES;
    let free = counts.available();
    if config.reserve {
        let taken = reserve(wanted).map_err(|error| cannot_reserve(wanted, error))?;
        return Ok((format!("{wanted} huge pages reserved"), Some(taken)));
    }
    ensure!(
        wanted <= free,
        "{} needs {wanted} free pages of 2 MiB and the host has {free}: give --reserve (as root), \
         or echo {} > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
        config.vram,
        counts.total + (wanted - free.min(wanted))
    );
    Ok((format!("{free} free huge pages are enough for {wanted}"), None))
}

fn cannot_reserve(wanted: u64, error: ReserveError) -> anyhow::Error {
    match error {
        ReserveError::Short { had, .. } => anyhow::anyhow!(
            "of {wanted} huge pages this host can give {had}: give --vram {}MiB or less, or more \
             memory in one piece (echo 1 > /proc/sys/vm/compact_memory)",
            had * (HUGE_PAGE_BYTES >> 20)
        ),
        ReserveError::Host(error) => anyhow::Error::new(error).context(
            "--reserve sets /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages, which takes \
             root",
        ),
    }
}

fn too_small(config: &Config) -> String {
    format!(
        "a pool of {} is too small for pages of 2 MiB: sixteen must fit, give --vram at least \
         {VRAM_FOR_HUGE}",
        config.vram
    )
}

/// How many mappings the host allows a process.
fn max_mappings() -> usize {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(MAPPINGS_USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: PoolCounts = PoolCounts { total: 64, free: 48, reserved: 16, surplus: 0 };
    const EMPTY: PoolCounts = PoolCounts { total: 0, free: 0, reserved: 0, surplus: 0 };

    fn config(backing: Backing, reserve: bool, vram_mib: u64) -> Config {
        let vram = ByteCount::mib(vram_mib);
        let config = Config::new(vram, ByteCount::mib(256), "/tmp/socket".into());
        Config { backing, reserve, ..config }
    }

    fn host(shmem: ShmemHuge, pool: PoolCounts) -> Host {
        Host { shmem, pool: Some(pool) }
    }

    /// What comes of it where anything can be reserved.
    fn outcome(config: &Config, host: Host) -> Result<Choice<u64>, String> {
        choose(config, host, Ok).map_err(|error| format!("{error:#}"))
    }

    #[track_caller]
    fn refused(config: &Config, host: Host, words: &[&str]) {
        let error = outcome(config, host).expect_err("it must be refused");
        for word in words {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    }

    #[test]
    fn the_best_there_is_is_taken_and_says_why() {
        let auto = |shmem, pool| outcome(&config(Backing::Auto, false, 64), host(shmem, pool));
        let best = auto(ShmemHuge::Always, ENOUGH).expect("auto never fails");
        assert_eq!((best.frames, best.taken), (Frames::Huge, None));
        assert!(best.reason.contains("32 free huge pages"), "{}", best.reason);
        let second = auto(ShmemHuge::WithinSize, EMPTY).expect("auto never fails");
        assert_eq!(second.frames, Frames::Thp);
        assert!(second.reason.contains("within_size; not huge: "), "{}", second.reason);
        let last = auto(ShmemHuge::Advise, EMPTY).expect("auto never fails");
        assert_eq!(last.frames, Frames::Pages);
        assert!(last.reason.contains("not thp: ") && last.reason.contains("--reserve"));
    }

    #[test]
    fn pages_promised_to_others_are_not_counted() {
        let (almost, enough) = (config(Backing::Huge, false, 66), config(Backing::Huge, false, 64));
        let host = host(ShmemHuge::Never, ENOUGH);
        refused(&almost, host, &["needs 33 free pages", "has 32", "echo 65 >"]);
        assert!(outcome(&enough, host).is_ok());
    }

    #[test]
    fn reserving_takes_the_whole_pool_and_only_for_huge_frames() {
        let never = host(ShmemHuge::Never, EMPTY);
        for backing in [Backing::Auto, Backing::Huge] {
            let choice = outcome(&config(backing, true, 64), never).expect("it can be had");
            assert_eq!((choice.frames, choice.taken), (Frames::Huge, Some(32)));
        }
        let pages = outcome(&config(Backing::Pages, true, 64), never).expect("as ever");
        assert_eq!((pages.frames, pages.taken), (Frames::Pages, None));
    }

    #[test]
    fn what_cannot_be_reserved_is_said_with_the_number() {
        let short = |asked| Err::<u64, _>(ReserveError::Short { asked, had: 20 });
        let never = host(ShmemHuge::Never, EMPTY);
        let error = choose(&config(Backing::Huge, true, 64), never, short).expect_err("too few");
        let error = format!("{error:#}");
        assert!(error.contains("of 32 huge pages this host can give 20"), "{error}");
        assert!(error.contains("--vram 40MiB"), "{error}");
        let auto = choose(&config(Backing::Auto, true, 64), never, short).expect("never fails");
        assert_eq!(auto.frames, Frames::Pages);
        assert!(auto.reason.contains("can give 20"), "{}", auto.reason);
    }

    #[test]
    fn what_a_host_does_not_have_is_refused_with_what_to_do() {
        let thp = config(Backing::Thp, false, 64);
        refused(&thp, host(ShmemHuge::Advise, ENOUGH), &["echo within_size > /sys/"]);
        let none = Host { shmem: ShmemHuge::Never, pool: None };
        refused(&config(Backing::Huge, true, 64), none, &["CONFIG_HUGETLBFS"]);
    }

    #[test]
    fn pools_of_huge_frames_have_a_size_that_fits() {
        let host = host(ShmemHuge::Always, ENOUGH);
        let odd = Config { vram: ByteCount::kib(33 << 10), ..config(Backing::Huge, false, 0) };
        refused(&odd, host, &["33 MiB is no multiple of 2 MiB"]);
        for backing in [Backing::Huge, Backing::Thp] {
            refused(&config(backing, false, 30), host, &["at least 32 MiB"]);
        }
        let auto = outcome(&config(Backing::Auto, false, 16), host).expect("auto never fails");
        assert_eq!(auto.frames, Frames::Pages);
    }
}
