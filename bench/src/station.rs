//! The worker's end of the line to its parent: orders in, answers out, one JSON line each.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Often enough for the eye, too seldom to be seen in the figures.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// One line from a worker to its parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Line<A> {
    /// How far the order under way has come, in its own unit.
    Progress(u64),
    Answer(A),
    /// The worker cannot go on; it exits after this line.
    Failed(String),
}

/// Counts what the order under way has done so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Arc<AtomicU64>);

impl Meter {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }
}

/// Carries out orders until standard input ends, which is also what a parent's death looks like.
///
/// # Errors
///
/// What `act` failed with, after it was reported to the parent.
pub(crate) fn serve<O, A>(mut act: impl FnMut(O, &Meter) -> Result<A>) -> Result<()>
where
    O: DeserializeOwned,
    A: Serialize,
{
    for line in io::stdin().lock().lines() {
        let line = line.context("cannot read an order")?;
        let order = serde_json::from_str(&line).context("cannot understand an order")?;
        match report_while(|meter| act(order, meter)) {
            Ok(answer) => send(&Line::Answer(answer))?,
            Err(error) => {
                send(&Line::<A>::Failed(format!("{error:#}")))?;
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Runs `work` and tells the parent now and then how far it is.
fn report_while<T>(work: impl FnOnce(&Meter) -> T) -> T {
    let meter = Meter::default();
    let done = Arc::new(AtomicBool::new(false));
    let reporter = thread::spawn({
        let (meter, done) = (meter.clone(), Arc::clone(&done));
        move || report_until(&meter, &done)
    });
    let result = work(&meter);
    done.store(true, Ordering::Release);
    reporter.thread().unpark();
    // The reporter only prints; should it have panicked, the answer is still worth sending.
    drop(reporter.join());
    result
}

fn report_until(meter: &Meter, done: &AtomicBool) {
    loop {
        thread::park_timeout(PROGRESS_EVERY);
        if done.load(Ordering::Acquire) {
            return;
        }
        // A parent that is gone is noticed at the next order.
        drop(send(&Line::<()>::Progress(meter.0.load(Ordering::Relaxed))));
    }
}

fn send<A: Serialize>(line: &Line<A>) -> Result<()> {
    let mut text = serde_json::to_string(line).context("cannot write an answer down")?;
    text.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot answer the parent")
}
