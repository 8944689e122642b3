//! Which accesses met a fault that someone else had to answer.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

/// What an access of some length was. The worst of several is what their operation was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Too quick for an answer from another process.
    Hit,
    /// Slow, without a page fault: something else had the processor.
    Interrupted,
    /// Slow, and the kernel counted a page fault meanwhile.
    Faulted,
}

/// Judges the accesses of the thread that made it, one after the other.
#[derive(Debug)]
pub(crate) struct FaultWatch {
    threshold: Duration,
    at_start: u64,
    seen: u64,
}

impl FaultWatch {
    /// Nothing quicker than `threshold` is taken for a fault.
    pub(crate) fn new(threshold: Duration) -> FaultWatch {
        let now = thread_faults();
        FaultWatch { threshold, at_start: now, seen: now }
    }

    /// Judges the access that was just made. Asks the kernel only about slow ones, which costs
    /// a fraction of what they took.
    pub(crate) fn judge(&mut self, took: Duration) -> Verdict {
        if took < self.threshold {
            return Verdict::Hit;
        }
        let faults = thread_faults();
        let rose = self.seen < faults;
        self.seen = faults;
        if rose { Verdict::Faulted } else { Verdict::Interrupted }
    }

    /// Page faults of this thread since the watch was made, the kernel's own included.
    pub(crate) fn page_faults(&self) -> u64 {
        thread_faults() - self.at_start
    }
}

/// Page faults of the calling thread since it started.
fn thread_faults() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("a thread may ask about itself");
    u64::try_from(usage.minor_page_faults() + usage.major_page_faults()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::calibration::PlainMemory;

    const THRESHOLD: Duration = Duration::from_micros(3);
    const SLOW: Duration = Duration::from_micros(20);

    /// A memfd, because memory of the allocator may have been touched before.
    fn touch_new_memory() {
        let memory = PlainMemory::new(1 << 20, 4096).expect("a megabyte can be had");
        memory.bytes().iter().step_by(4096).for_each(|byte| byte.store(1, Ordering::Relaxed));
    }

    #[test]
    fn a_slow_access_with_a_page_fault_is_a_fault() {
        let mut watch = FaultWatch::new(THRESHOLD);
        touch_new_memory();
        assert_eq!(watch.judge(SLOW), Verdict::Faulted);
        assert!(256 <= watch.page_faults());
    }

    #[test]
    fn a_slow_access_without_a_page_fault_cannot_be_a_fault() {
        let mut watch = FaultWatch::new(THRESHOLD);
        touch_new_memory();
        assert_eq!(watch.judge(SLOW), Verdict::Faulted);
        // The test's own code may fault in once or twice.
        assert!((0..100).any(|_| watch.judge(SLOW) == Verdict::Interrupted));
    }

    #[test]
    fn a_quick_access_cannot_be_a_fault() {
        let mut watch = FaultWatch::new(THRESHOLD);
        touch_new_memory();
        assert_eq!(watch.judge(Duration::from_nanos(90)), Verdict::Hit);
    }
}
