//! The sizes of a comparison with zram, and whether this host can bear it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use bo_units::ByteCount;
use serde::{Deserialize, Serialize};

use crate::peer::cgroup::Hierarchy;

/// What the process takes beside its data, in bytes: heap and stacks; in its own case, histograms.
const PROCESS_BYTES: u64 = 1 << 20;

/// The page tables of 4 KiB pages take a 512th of the data; the counts of writes a 1024th.
const BYTES_PER_TABLE_BYTE: u64 = 256;

/// The far sides of the copies in two processes.
const BUFFERS_BYTES: u64 = 4 * (64 << 20);

/// What is set up on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Swept and rewritten on each side.
    pub(crate) data_bytes: u64,
    /// The pool on our side.
    pub(crate) fast_bytes: u64,
    /// The limit of the cgroup: as large as the pool, and what the process needs beside its data,
    /// since our client's heap is not in the pool either.
    pub(crate) limit_bytes: u64,
    /// The size of the swap area.
    pub(crate) swap_bytes: u64,
}

impl Plan {
    /// # Errors
    ///
    /// When the data would fit into the fast memory, or sizes pass all bounds.
    pub(crate) fn new(fast: ByteCount, data: ByteCount) -> Result<Plan> {
        ensure!(
            fast < data,
            "cannot compare {data} of data in {fast} of fast memory: nothing would be swapped; \
             give --data more than --fast"
        );
        ensure!(
            data <= ByteCount::gib(1 << 10) && ByteCount::mib(1) <= fast,
            "cannot compare {data} of data in {fast}: at least 1 MiB and at most 1 TiB make sense"
        );
        let (fast_bytes, data_bytes) = (fast.get(), data.get().next_multiple_of(4096));
        let beside = PROCESS_BYTES + data_bytes / BYTES_PER_TABLE_BYTE;
        Ok(Plan {
            data_bytes,
            fast_bytes,
            limit_bytes: fast_bytes + beside,
            // All of it may be out at one time, and areas are used up unevenly.
            swap_bytes: (data_bytes + data_bytes / 4 + (16 << 20)).next_multiple_of(1 << 20),
        })
    }

    /// RAM of our daemon: all the data and one pool, as in every run.
    pub(crate) fn ram(&self) -> ByteCount {
        ByteCount::new(self.data_bytes + self.fast_bytes)
    }

    /// What one write sweep swaps out at the least: half of what does not fit.
    pub(crate) fn swapped_bytes_min(&self) -> u64 {
        self.data_bytes.saturating_sub(self.limit_bytes) / 2
    }

    /// What both sides need of the machine's memory, none of which random data saves.
    pub(crate) fn memory_bytes(&self) -> u64 {
        2 * (self.data_bytes + self.fast_bytes) + BUFFERS_BYTES
    }
}

/// Checks what can be checked before anything is changed on this host.
///
/// # Errors
///
/// What is missing, and what to do.
pub(crate) fn check_host(plan: &Plan) -> Result<()> {
    let cannot = "cannot compare with zram";
    ensure!(
        rustix::process::geteuid().is_root(),
        "{cannot}: setting up swap and a memory cgroup takes root; run this as root"
    );
    ensure!(
        Path::new("/sys/class/zram-control/hot_add").exists(),
        "{cannot}: this kernel has no zram device to add; load it with `modprobe zram`, or use a \
         kernel with CONFIG_ZRAM"
    );
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    if let Some(area) = active_swap(&swaps) {
        bail!(
            "{cannot}: {area} is active as swap and would take part; turn it off with `swapoff \
             {area}` for the time of the run, and on again with `swapon {area}`"
        );
    }
    Hierarchy::find()?;
    let memory = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let available = available_bytes(&memory).unwrap_or(u64::MAX);
    ensure!(
        plan.memory_bytes() <= available,
        "{cannot}: both sides together need {}, and {} are available; give smaller --data and \
         --fast",
        ByteCount::new(plan.memory_bytes()),
        ByteCount::new(available)
    );
    Ok(())
}

/// The first area that is in use, out of the text of /proc/swaps.
fn active_swap(swaps: &str) -> Option<&str> {
    swaps.lines().nth(1)?.split_whitespace().next()
}

fn available_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_pool_and_what_a_process_needs_beside_its_data() {
        let plan = Plan::new(ByteCount::mib(128), ByteCount::mib(256)).expect("a legal plan");
        assert_eq!(plan.limit_bytes, (128 << 20) + (1 << 20) + (1 << 20));
        assert!(plan.data_bytes < plan.swap_bytes);
        assert_eq!(plan.ram(), ByteCount::mib(384));
        assert_eq!(plan.swapped_bytes_min(), 63 << 20);
    }

    #[test]
    fn data_that_fits_cannot_be_compared() {
        let error = Plan::new(ByteCount::mib(64), ByteCount::mib(64)).expect_err("it fits");
        assert!(error.to_string().contains("more than --fast"), "{error}");
    }

    #[test]
    fn sizes_beyond_reason_are_refused() {
        assert!(Plan::new(ByteCount::new(4096), ByteCount::mib(64)).is_err());
        assert!(Plan::new(ByteCount::mib(64), ByteCount::gib(2048)).is_err());
    }

    #[test]
    fn an_area_in_use_is_found() {
        let header = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert_eq!(active_swap(header), None);
        let text = format!("{header}/swap.img                 file\t\t4194300\t0\t-2\n");
        assert_eq!(active_swap(&text), Some("/swap.img"));
        assert_eq!(active_swap(""), None);
    }

    #[test]
    fn available_memory_is_read_in_bytes() {
        assert_eq!(available_bytes("MemTotal: 9 kB\nMemAvailable:   12 kB\n"), Some(12 << 10));
        assert_eq!(available_bytes("MemTotal: 9 kB\n"), None);
    }
}
