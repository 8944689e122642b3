//! When a fault reader polls instead of sleeping.
//!
//! A reader that sleeps is woken by the kernel, and a wake-up costs more than everything that the
//! daemon does for a fault. One that polls burns a processor. So it polls after it has seen work,
//! for as long as work used to come soon: the window grows when a sleep turns out to have been
//! short, and closes when polling found nothing, as KVM's halt polling does (`halt_poll_ns_grow`,
//! `halt_poll_ns_grow_start` and `halt_poll_ns_shrink`, with their default values).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The first window that opens.
const GROW_START: Duration = Duration::from_micros(10);

/// How much a window grows by.
const GROW: u32 = 2;

/// How long one reader polls before it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    most: Duration,
    now: Duration,
}

impl Window {
    /// Closed; it never opens wider than `most`. Zero: it never opens.
    pub(crate) fn new(most: Duration) -> Self {
        Self { most, now: Duration::ZERO }
    }

    /// How long to poll now.
    pub(crate) fn get(self) -> Duration {
        self.now
    }

    /// Polling found work, or was not tried, and the sleep that followed took this long.
    pub(crate) fn slept(&mut self, time: Duration) {
        if time > self.most {
            self.now = Duration::ZERO;
        } else if time > self.now {
            self.now = (self.now * GROW).max(GROW_START).min(self.most);
        }
    }
}

/// How many readers may poll at one time.
#[derive(Debug)]
pub(crate) struct Permits {
    taken: AtomicUsize,
    most: usize,
}

impl Permits {
    pub(crate) fn new(most: usize) -> Self {
        Self { taken: AtomicUsize::new(0), most }
    }

    /// Leave to poll until the permit is dropped, if enough others do not.
    pub(crate) fn take(&self) -> Option<Permit<'_>> {
        let more = |taken: usize| (taken < self.most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Permit(self))
    }
}

/// Leave to poll.
#[derive(Debug)]
pub(crate) struct Permit<'permits>(&'permits Permits);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_micros(50);

    fn micros(count: u64) -> Duration {
        Duration::from_micros(count)
    }

    #[test]
    fn a_window_grows_while_sleeps_are_short_and_no_wider_than_it_may() {
        let mut window = Window::new(MOST);
        assert_eq!(window.get(), Duration::ZERO);
        let mut seen = Vec::new();
        for _ in 0..5 {
            window.slept(micros(49));
            seen.push(window.get());
        }
        assert_eq!(seen, [10, 20, 40, 50, 50].map(micros));
    }

    #[test]
    fn a_window_that_is_wide_enough_stays() {
        let mut window = Window::new(MOST);
        window.slept(micros(15));
        window.slept(micros(5));
        assert_eq!(window.get(), micros(10));
    }

    #[test]
    fn a_long_sleep_closes_it() {
        let mut window = Window::new(MOST);
        window.slept(micros(20));
        window.slept(micros(51));
        assert_eq!(window.get(), Duration::ZERO);
    }

    #[test]
    fn a_window_of_zero_never_opens() {
        let mut window = Window::new(Duration::ZERO);
        window.slept(Duration::ZERO);
        window.slept(micros(1));
        assert_eq!(window.get(), Duration::ZERO);
    }

    #[test]
    fn no_more_readers_poll_than_may() {
        let permits = Permits::new(1);
        let first = permits.take();
        assert!(first.is_some() && permits.take().is_none());
        drop(first);
        assert!(permits.take().is_some());
        assert!(Permits::new(0).take().is_none());
    }
}
