//! What this host has of huge pages, and taking some of it for ourselves.
//!
//! Two kinds. The *pool* is memory that the host has set aside in pages of 2 MiB and uses for
//! nothing else (hugetlb). *Huge folios* (THP) are pages of 2 MiB that the kernel puts together
//! where it can, in shared memory only if the operator allows it.

use std::{
    fmt, fs,
    io::{self, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;

use crate::HUGE_PAGE_BYTES;

/// The pool of 2 MiB pages.
const POOL: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/// Where the operator says which shared memory may have huge folios.
pub const SHMEM_ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// Which shared memory gets huge folios: the word that [`SHMEM_ENABLED`] has in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShmemHuge {
    /// None; also a kernel that does not know them.
    Never,
    /// None, not even what a file system was mounted for.
    Deny,
    /// What madvise(2) asks for in a mapping. A write(2) has no mapping, so it gets none.
    Advise,
    /// What lies wholly within its file.
    WithinSize,
    /// Everything.
    Always,
    /// Everything, for testing.
    Force,
}

impl ShmemHuge {
    /// What this host says now.
    #[must_use]
    pub fn of_this_host() -> ShmemHuge {
        fs::read_to_string(SHMEM_ENABLED).map_or(ShmemHuge::Never, |text| ShmemHuge::parse(&text))
    }

    fn parse(text: &str) -> ShmemHuge {
        match text.split(['[', ']']).nth(1) {
            Some("always") => ShmemHuge::Always,
            Some("within_size") => ShmemHuge::WithinSize,
            Some("advise") => ShmemHuge::Advise,
            Some("deny") => ShmemHuge::Deny,
            Some("force") => ShmemHuge::Force,
            Some(_) | None => ShmemHuge::Never,
        }
    }

    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ShmemHuge::Never => "never",
            ShmemHuge::Deny => "deny",
            ShmemHuge::Advise => "advise",
            ShmemHuge::WithinSize => "within_size",
            ShmemHuge::Always => "always",
            ShmemHuge::Force => "force",
        }
    }

    /// Whether write(2) and fallocate(2) on a memory file make huge folios.
    #[must_use]
    pub fn applies_to_writes(self) -> bool {
        match self {
            ShmemHuge::WithinSize | ShmemHuge::Always | ShmemHuge::Force => true,
            ShmemHuge::Never | ShmemHuge::Deny | ShmemHuge::Advise => false,
        }
    }
}

impl fmt::Display for ShmemHuge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What is in the pool, in pages of 2 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolCounts {
    /// All of them.
    pub total: u64,
    /// Those in no file.
    pub free: u64,
    /// Those among the free that are promised to somebody's mapping.
    pub reserved: u64,
    /// Those that go back to the host as soon as they are free.
    pub surplus: u64,
}

impl PoolCounts {
    /// What this host has at this moment.
    ///
    /// # Errors
    ///
    /// `NotFound` if the kernel has no pool of 2 MiB pages.
    pub fn of_this_host() -> io::Result<PoolCounts> {
        PoolCounts::read(Path::new(POOL))
    }

    fn read(pool: &Path) -> io::Result<PoolCounts> {
        let count = |name: &str| -> io::Result<u64> {
            let text = fs::read_to_string(pool.join(name))?;
            text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
        };
        Ok(PoolCounts {
            total: count("nr_hugepages")?,
            free: count("free_hugepages")?,
            reserved: count("resv_hugepages")?,
            surplus: count("surplus_hugepages")?,
        })
    }

    /// Pages that a new file could have.
    #[must_use]
    pub fn available(&self) -> u64 {
        self.free.saturating_sub(self.reserved)
    }

    /// The size that the operator has chosen: what a write to `nr_hugepages` sets.
    fn persistent(&self) -> u64 {
        self.total.saturating_sub(self.surplus)
    }
}

/// Pages by which this process has enlarged the host's pool. Dropping it gives them back.
///
/// The size of the pool belongs to the host: enlarging and giving back are by a number of pages,
/// under a lock of the file that says the size, so that several can do so at one time.
#[derive(Debug)]
pub struct Reservation {
    pool: PathBuf,
    pages: u64,
}

/// Why there is no reservation.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// There are fewer: by what is free, or by what the kernel then found in one piece. None have
    /// been kept.
    #[error("only {had} of {asked} pages of 2 MiB can be had on this host now")]
    Short {
        /// Pages asked for.
        asked: u64,
        /// Pages that could be had, those among them that are free in the pool already.
        had: u64,
    },
    /// The size of the pool cannot be read or set: no such pool, or not root.
    #[error("the size of the pool of huge pages cannot be set")]
    Host(#[source] io::Error),
}

/// What came of giving back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenBack {
    /// Pages by which the pool is smaller now.
    pub pages: u64,
    /// Pages that somebody still uses; the host has each as soon as it is free.
    pub in_use: u64,
}

impl Reservation {
    /// Enlarges the pool so that at least `pages` are free in it. None are added if they are free
    /// already. Not more are asked of the kernel than it calls available: it would take the last
    /// page of everybody else before it said no.
    ///
    /// # Errors
    ///
    /// See [`ReserveError`]. The pool is as it was then.
    pub fn make(pages: u64) -> Result<Reservation, ReserveError> {
        Reservation::make_in(Path::new(POOL), pages)
    }

    fn make_in(pool: &Path, pages: u64) -> Result<Reservation, ReserveError> {
        let mut file = lock(pool).map_err(ReserveError::Host)?;
        let before = PoolCounts::read(pool).map_err(ReserveError::Host)?;
        let missing = pages.saturating_sub(before.available());
        if missing == 0 {
            return Ok(Reservation { pool: pool.to_owned(), pages: 0 });
        }
        let short = |added| ReserveError::Short { asked: pages, had: before.available() + added };
        let possible = memory_available().map_err(ReserveError::Host)? / HUGE_PAGE_BYTES;
        if possible < missing {
            return Err(short(possible));
        }
        set(&mut file, before.persistent() + missing).map_err(ReserveError::Host)?;
        let after = PoolCounts::read(pool).map_err(ReserveError::Host)?;
        let added = after.persistent().saturating_sub(before.persistent());
        if added < missing {
            set(&mut file, before.persistent()).map_err(ReserveError::Host)?;
            return Err(short(added));
        }
        Ok(Reservation { pool: pool.to_owned(), pages: missing })
    }

    /// Pages that were added to the pool.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Makes the pool smaller by what was added to it.
    ///
    /// # Errors
    ///
    /// If its size cannot be set any more. Nothing has been given back then.
    pub fn give_back(mut self) -> io::Result<GivenBack> {
        self.shrink()
    }

    fn shrink(&mut self) -> io::Result<GivenBack> {
        if self.pages == 0 {
            return Ok(GivenBack { pages: 0, in_use: 0 });
        }
        let mut file = lock(&self.pool)?;
        let before = PoolCounts::read(&self.pool)?;
        set(&mut file, before.persistent().saturating_sub(self.pages))?;
        let after = PoolCounts::read(&self.pool)?;
        self.pages = 0;
        Ok(GivenBack {
            pages: before.persistent().saturating_sub(after.persistent()),
            in_use: after.surplus.saturating_sub(before.surplus),
        })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // Whoever wants to know gives it back by hand.
        let _unheard = self.shrink();
    }
}

/// What the kernel calls available, in bytes: free, or to be had without swapping.
fn memory_available() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
    let kib: Option<u64> = kib.and_then(|kib| kib.trim().parse().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The file that says the pool's size, locked until it is dropped.
fn lock(pool: &Path) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new().write(true).open(pool.join("nr_hugepages"))?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(file.as_fd(), FlockOperation::LockExclusive))?;
    Ok(file)
}

/// Sets the pool's size. The kernel does what it can and says nothing.
fn set(file: &mut fs::File, pages: u64) -> io::Result<()> {
    file.write_all(format!("{pages}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_in_brackets_is_the_choice() {
        let text = "always [within_size] advise never deny force\n";
        assert_eq!(ShmemHuge::parse(text), ShmemHuge::WithinSize);
        assert_eq!(ShmemHuge::parse("always advise [never]"), ShmemHuge::Never);
        assert_eq!(ShmemHuge::parse(""), ShmemHuge::Never);
        for kind in [ShmemHuge::Always, ShmemHuge::Advise, ShmemHuge::Deny, ShmemHuge::Force] {
            assert_eq!(ShmemHuge::parse(&format!("x [{kind}] y")), kind);
        }
    }

    #[test]
    fn what_is_promised_to_others_is_not_available() {
        let counts = PoolCounts { total: 9, free: 5, reserved: 2, surplus: 1 };
        assert_eq!((counts.available(), counts.persistent()), (3, 8));
        let overdrawn = PoolCounts { reserved: 6, ..counts };
        assert_eq!(overdrawn.available(), 0);
    }

    #[test]
    fn the_host_says_what_is_available() {
        assert!(memory_available().unwrap() > HUGE_PAGE_BYTES);
    }

    #[test]
    fn a_host_without_a_pool_is_told() {
        let nowhere = Path::new("/nonexistent");
        assert_eq!(PoolCounts::read(nowhere).unwrap_err().kind(), io::ErrorKind::NotFound);
        let error = Reservation::make_in(nowhere, 1).unwrap_err();
        assert!(matches!(error, ReserveError::Host(_)), "{error:?}");
    }
}
