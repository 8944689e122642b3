//! Settings of the whole host, changed for one story and put back.

use std::fs::{self, File};
use std::os::fd::AsFd;

use bo_sys::hugepages::{PoolCounts, SHMEM_ENABLED, ShmemHuge};
use rustix::fs::FlockOperation;

/// One story at a time, whatever process it is in; the tests of `bo-sys` have the same file.
const LOCK: &str = "/tmp/bo-host-settings.lock";

/// Nobody else changes the host's settings while this lives. Dropping it puts back what was there,
/// also when the story fails.
#[derive(Debug)]
pub struct Host {
    _lock: File,
    shmem: Option<ShmemHuge>,
}

impl Host {
    /// Waits until no other story changes settings.
    ///
    /// # Panics
    ///
    /// If the lock cannot be had, or the kernel has no pool of huge pages.
    #[must_use]
    pub fn alone() -> Host {
        let lock = File::create(LOCK).expect("everybody may write there");
        let locked = rustix::fs::flock(lock.as_fd(), FlockOperation::LockExclusive);
        locked.expect("a file can be locked");
        Host { _lock: lock, shmem: None }
    }

    /// From now on ordinary shared memory gets huge folios in this way.
    ///
    /// # Panics
    ///
    /// If it cannot be set: it takes root, and a kernel that has huge folios.
    #[must_use]
    pub fn with_shmem(mut self, setting: ShmemHuge) -> Host {
        self.shmem.get_or_insert(ShmemHuge::of_this_host());
        fs::write(SHMEM_ENABLED, setting.name()).expect("root, and CONFIG_TRANSPARENT_HUGEPAGE");
        self
    }

    /// What the pool of huge pages has now.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn pool(&self) -> PoolCounts {
        PoolCounts::of_this_host().expect("CONFIG_HUGETLBFS")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(before) = self.shmem {
            // Nothing better can be done than to try.
            let _unrestored = fs::write(SHMEM_ENABLED, before.name());
        }
    }
}
