//! Points in time, told from outside.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since an arbitrary start. Good for 584 years.
///
/// Whoever owns a clock makes ticks; whoever decides is told them. Ticks of two clocks have
/// nothing to say to each other.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Tick(u64);

impl Tick {
    /// The arbitrary start.
    pub const ZERO: Tick = Tick(0);

    /// The point `nanos` nanoseconds after the start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Tick {
        Tick(nanos)
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` until now, or zero if `earlier` is in fact later.
    ///
    /// Zero rather than a panic: two threads that read a clock and then take a lock may take it in
    /// the other order, and that is not a mistake.
    #[must_use]
    pub const fn saturating_since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The point `duration` later, or the last one there is.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Tick {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Tick(self.0.saturating_add(nanos))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn time_passes_forward() {
        let since = Tick::from_nanos(500).saturating_since(Tick::from_nanos(200));
        assert_eq!(since, Duration::from_nanos(300));
    }

    #[test]
    fn time_cannot_pass_backward() {
        let since = Tick::from_nanos(200).saturating_since(Tick::from_nanos(500));
        assert_eq!(since, Duration::ZERO);
    }

    #[test]
    fn the_last_tick_cannot_be_passed() {
        let last = Tick::from_nanos(u64::MAX);
        assert_eq!(last.saturating_add(Duration::MAX), last);
    }

    proptest! {
        #[test]
        fn since_undoes_add(start in 0_u64..1 << 62, nanos in 0_u64..1 << 62) {
            let (start, duration) = (Tick::from_nanos(start), Duration::from_nanos(nanos));
            prop_assert_eq!(start.saturating_add(duration).saturating_since(start), duration);
        }
    }
}
