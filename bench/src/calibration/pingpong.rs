//! One byte back and forth between two processes over pipes: the price of any answer.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use crate::crew::PROGRAM;
use crate::sizes;

/// Round trips before the clock runs: the far process starts, caches and branches warm up.
const WARM_UP: u32 = 100;

/// Median microseconds of a round trip from a thread on CPU `here` to a process on CPU `there`.
///
/// # Errors
///
/// When the far process cannot be started or a CPU cannot be pinned to.
pub(super) fn measure(here: usize, there: usize, round_trips: u32) -> Result<f64> {
    // A thread of its own, because pinning is for life.
    let pinger = thread::spawn(move || ping(here, there, round_trips));
    pinger.join().map_err(|_| anyhow!("the ping-pong calibration panicked"))?
}

fn ping(here: usize, there: usize, round_trips: u32) -> Result<f64> {
    pin(here)?;
    let mut samples = PingPong::start(here, there)?.trips(round_trips)?;
    Ok(sizes::median(&mut samples).unwrap_or(0.0))
}

fn pin(cpu: usize) -> Result<()> {
    bo_sys::thread::pin_to_cpu(cpu).with_context(|| format!("cannot pin to CPU {cpu}"))
}

/// A far process that stays, to play with now and then.
#[derive(Debug)]
pub(crate) struct PingPong {
    here: usize,
    far: Child,
    /// Closed to let the far process go.
    to: Option<File>,
    from: File,
}

impl PingPong {
    /// With both ends on the first CPU that is allowed.
    ///
    /// # Errors
    ///
    /// When the far process cannot be started.
    pub(crate) fn same_cpu() -> Result<PingPong> {
        let cpus = bo_sys::thread::allowed_cpus().context("cannot see which CPUs are allowed")?;
        let here = cpus.first().copied().unwrap_or(0);
        PingPong::start(here, here)
    }

    fn start(here: usize, there: usize) -> Result<PingPong> {
        let mut far = Command::new(PROGRAM)
            .arg0("bo-bench")
            .args(["pong", "--cpu", &there.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the far end of the ping-pong calibration")?;
        let (to, from) = far.stdin.take().zip(far.stdout.take()).context("both ends are pipes")?;
        let (to, from) = (File::from(OwnedFd::from(to)), File::from(OwnedFd::from(from)));
        Ok(PingPong { here, far, to: Some(to), from })
    }

    /// Microseconds of each of so many round trips, after a few that warm up.
    ///
    /// # Errors
    ///
    /// When the CPU cannot be pinned to, or the far process is gone.
    pub(crate) fn play(&mut self, round_trips: u32) -> Result<Vec<f64>> {
        // A thread of its own, because pinning is for life.
        thread::scope(|scope| {
            let pinger = scope.spawn(|| {
                pin(self.here)?;
                self.trips(round_trips)
            });
            pinger.join().map_err(|_| anyhow!("the ping-pong panicked"))?
        })
    }

    /// The calling thread is pinned by now.
    fn trips(&mut self, round_trips: u32) -> Result<Vec<f64>> {
        self.try_trips(round_trips).context("cannot play ping-pong")
    }

    fn try_trips(&mut self, round_trips: u32) -> io::Result<Vec<f64>> {
        let to = self.to.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut samples = Vec::new();
        for round in 0..WARM_UP + round_trips {
            let start = Instant::now();
            to.write_all(&[1])?;
            self.from.read_exact(&mut [0])?;
            if WARM_UP <= round {
                samples.push(start.elapsed().as_secs_f64() * 1e6);
            }
        }
        Ok(samples)
    }
}

impl Drop for PingPong {
    fn drop(&mut self) {
        // Its input ends, so it exits by itself.
        self.to = None;
        drop(self.far.wait());
    }
}

/// The far end: sends back each byte until there are no more.
///
/// # Errors
///
/// When the CPU cannot be pinned to or the pipes fail.
pub(crate) fn pong(cpu: usize) -> Result<()> {
    bo_sys::thread::pin_to_cpu(cpu).with_context(|| format!("cannot pin to CPU {cpu}"))?;
    let mut from = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut to = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut byte = [0];
    while from.read(&mut byte)? == 1 {
        to.write_all(&byte)?;
    }
    Ok(())
}
