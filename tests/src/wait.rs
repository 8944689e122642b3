//! Waiting for a condition, never for a length of time.

use std::thread;
use std::time::{Duration, Instant};

/// Far beyond what any of this takes on any machine: who waits longer has found a bug.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Short against what is waited for, long against the cost of looking.
const PAUSE: Duration = Duration::from_millis(1);

/// Looks until `found` gives something, and says how long that took.
///
/// # Panics
///
/// After [`DEADLINE`], saying what was waited for.
#[track_caller]
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> (T, Duration) {
    let start = Instant::now();
    loop {
        if let Some(value) = found() {
            return (value, start.elapsed());
        }
        assert!(start.elapsed() < DEADLINE, "waited in vain for this: {what}");
        thread::sleep(PAUSE);
    }
}
