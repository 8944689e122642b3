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
    bo_sys::thread::pin_to_cpu(here).with_context(|| format!("cannot pin to CPU {here}"))?;
    let mut far = Command::new(PROGRAM)
        .arg0("bo-bench")
        .args(["pong", "--cpu", &there.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the far end of the ping-pong calibration")?;
    let result = round_trip_us(&mut far, round_trips).context("cannot play ping-pong");
    // Its input is closed by now, so it exits by itself.
    far.wait().context("cannot wait for the far end of the ping-pong calibration")?;
    result
}

fn round_trip_us(far: &mut Child, round_trips: u32) -> io::Result<f64> {
    let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut to = File::from(OwnedFd::from(far.stdin.take().ok_or_else(closed)?));
    let mut from = File::from(OwnedFd::from(far.stdout.take().ok_or_else(closed)?));
    let mut samples = Vec::new();
    for round in 0..WARM_UP + round_trips {
        let start = Instant::now();
        to.write_all(&[1])?;
        from.read_exact(&mut [0])?;
        if WARM_UP <= round {
            samples.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(sizes::median(&mut samples).unwrap_or(0.0))
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
