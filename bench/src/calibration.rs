//! What this machine can do by itself, measured in the same run as everything else.

mod memory;
mod pingpong;

pub(crate) use memory::{PlainMemory, copy_gbps};
pub(crate) use pingpong::{PingPong, pong};

use anyhow::{Context, Result};
use serde::Serialize;

/// How long to look. More rounds, less doubt.
#[derive(Debug, Clone, Copy)]
struct Effort {
    copies: u32,
    round_trips: u32,
    /// Blocks of pages, each of which gives one sample.
    page_blocks: u64,
}

const FULL: Effort = Effort { copies: 15, round_trips: 4000, page_blocks: 32 };
const SHORT: Effort = Effort { copies: 5, round_trips: 800, page_blocks: 8 };

/// Copying a few KiB that no cache holds, at 2 GB/s: slower than the machines we know.
const COLD_COPY_BYTES_PER_US: f64 = 2000.0;

/// Medians. What cannot be measured here is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Calibration {
    /// Copying blocks of 64 MiB, in decimal gigabytes copied per second.
    pub(crate) memcpy_gbps: f64,
    /// One byte there and back between two processes on one CPU.
    pub(crate) pingpong_same_cpu_us: f64,
    /// The same across two CPUs; `None` on a machine that allows us only one.
    pub(crate) pingpong_cross_cpu_us: Option<f64>,
    /// First write to a 4 KiB page of a new memfd.
    pub(crate) first_touch_us: f64,
    /// First write through a second mapping of a page that is there.
    pub(crate) minor_fault_us: f64,
}

impl Calibration {
    /// Takes about two seconds, a fifth of that when short.
    ///
    /// # Errors
    ///
    /// When this host gives us no memory, no CPU to pin to, or no process.
    pub(crate) fn measure(short: bool) -> Result<Calibration> {
        let effort = if short { SHORT } else { FULL };
        let cpus = bo_sys::thread::allowed_cpus().context("cannot see which CPUs are allowed")?;
        let here = cpus.first().copied().unwrap_or(0);
        let cross = cpus.get(1).map(|there| pingpong::measure(here, *there, effort.round_trips));
        let (first_touch_us, minor_fault_us) = memory::page_faults(effort.page_blocks)?;
        Ok(Calibration {
            memcpy_gbps: copy_gbps(effort.copies),
            pingpong_same_cpu_us: pingpong::measure(here, here, effort.round_trips)?,
            pingpong_cross_cpu_us: cross.transpose()?,
            first_touch_us,
            minor_fault_us,
        })
    }

    /// What tells a fault that another process answered from one the kernel answers alone, or
    /// from none: the middle between a native minor fault and the cheapest round trip to another
    /// process, which each answer has to make; and the time to copy what was accessed.
    pub(crate) fn fault_threshold_us(&self, access_bytes: u64) -> f64 {
        let copy_us = access_bytes as f64 / COLD_COPY_BYTES_PER_US;
        (self.minor_fault_us + self.pingpong_same_cpu_us) / 2.0 + copy_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_lies_between_a_minor_fault_and_a_round_trip() {
        let calibration = Calibration {
            memcpy_gbps: 8.0,
            pingpong_same_cpu_us: 6.0,
            pingpong_cross_cpu_us: None,
            first_touch_us: 3.0,
            minor_fault_us: 1.5,
        };
        assert!((calibration.fault_threshold_us(0) - 3.75).abs() < 1e-9);
        assert!((calibration.fault_threshold_us(4096) - 5.798).abs() < 1e-9);
    }
}
