//! Who sets up the swap device and the cgroup, and takes them down whatever becomes of the bench.
//!
//! It is a process of its own, in a process group of its own, with all signals blocked. It takes
//! everything down when its standard input ends: when it is let go, and just as well when the
//! bench was interrupted, panicked or was killed.

use std::fs;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::crew::Crew;
use crate::peer::cgroup::{Cgroup, Version};
use crate::peer::plan::Plan;
use crate::peer::zram::Zram;
use crate::progress::Progress;
use crate::station;

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    SetUp(Plan),
    /// Put a process under the limit.
    Admit(u32),
    Look,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Ready(Setup),
    Admitted,
    Seen(Sight),
}

/// What was set up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// Of the cgroup.
    pub(crate) cgroup: Version,
    pub(crate) limit_bytes: u64,
    pub(crate) swap_bytes: u64,
    /// That zram compresses with.
    pub(crate) algorithm: String,
    /// Of the machine, as they were found: how eager it is to swap, and how many pages it brings
    /// in at once.
    pub(crate) swappiness: String,
    pub(crate) page_cluster: String,
    /// Whether anonymous memory gets huge pages.
    pub(crate) anonymous_huge_pages: String,
}

/// What happened by now, or between two looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sight {
    pub(crate) swapped_in_pages: u64,
    pub(crate) swapped_out_pages: u64,
    /// In the device now.
    pub(crate) stored_bytes: u64,
    pub(crate) compressed_bytes: u64,
    /// The most that the cgroup held; `None` on kernels that do not keep it.
    pub(crate) cgroup_peak_bytes: Option<u64>,
}

impl Sight {
    /// Counts since an earlier look; what is, rather than was, as it is now.
    pub(crate) fn since(&self, earlier: &Sight) -> Sight {
        Sight {
            swapped_in_pages: self.swapped_in_pages - earlier.swapped_in_pages,
            swapped_out_pages: self.swapped_out_pages - earlier.swapped_out_pages,
            ..*self
        }
    }
}

/// The parent's end.
pub(crate) struct Keeper(Crew<Order, Answer>);

impl Keeper {
    pub(crate) fn start() -> Result<Keeper> {
        Ok(Keeper(Crew::start_apart("keeper")?))
    }

    /// # Errors
    ///
    /// When the host refuses; nothing stays behind.
    pub(crate) fn set_up(&mut self, plan: &Plan) -> Result<Setup> {
        let answer = self.ask(&Order::SetUp(*plan))?;
        let Answer::Ready(setup) = answer else { return out_of_turn(&answer) };
        Ok(setup)
    }

    pub(crate) fn admit(&mut self, process: u32) -> Result<()> {
        let answer = self.ask(&Order::Admit(process))?;
        let Answer::Admitted = answer else { return out_of_turn(&answer) };
        Ok(())
    }

    pub(crate) fn look(&mut self) -> Result<Sight> {
        let answer = self.ask(&Order::Look)?;
        let Answer::Seen(sight) = answer else { return out_of_turn(&answer) };
        Ok(sight)
    }

    /// Lets it take everything down.
    ///
    /// # Errors
    ///
    /// When something stays behind; the keeper said what, on standard error.
    pub(crate) fn dismiss(self) -> Result<()> {
        self.0.dismiss().context("not everything that was set up for zram could be taken down")
    }

    fn ask(&mut self, order: &Order) -> Result<Answer> {
        let answer = self.0.tell_one(0, &Progress::hidden(), order);
        answer.context("the keeper of swap device and cgroup")
    }
}

fn out_of_turn<T>(answer: &Answer) -> Result<T> {
    bail!("the keeper gave the answer to another question: {answer:?}")
}

/// The keeper's own end.
///
/// # Errors
///
/// When something could not be set up, or stays behind.
pub(crate) fn serve() -> Result<()> {
    bo_sys::thread::block_all_signals().context("cannot block signals")?;
    let mut kept = Kept::default();
    let served = station::serve(|order, _| kept.act(order));
    let taken_down = kept.take_down();
    served.and(taken_down)
}

/// What there is to take down.
#[derive(Default)]
struct Kept {
    zram: Option<Zram>,
    cgroup: Option<Cgroup>,
}

impl Kept {
    fn act(&mut self, order: Order) -> Result<Answer> {
        match order {
            Order::SetUp(plan) => self.set_up(&plan).map(Answer::Ready),
            Order::Admit(process) => {
                self.cgroup.as_ref().context("`SetUp` comes first")?.admit(process)?;
                Ok(Answer::Admitted)
            }
            Order::Look => self.look().map(Answer::Seen),
        }
    }

    fn set_up(&mut self, plan: &Plan) -> Result<Setup> {
        let name = format!("bo-bench-{}", std::process::id());
        let cgroup = self.cgroup.insert(Cgroup::make(&name, plan.limit_bytes)?);
        let zram = self.zram.insert(Zram::add()?);
        zram.swap_on(plan.swap_bytes)?;
        let shown = |path: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            if text.is_empty() { "unknown".to_owned() } else { text.trim().to_owned() }
        };
        Ok(Setup {
            cgroup: cgroup.version(),
            limit_bytes: plan.limit_bytes,
            swap_bytes: plan.swap_bytes,
            algorithm: zram.algorithm()?,
            swappiness: shown("/proc/sys/vm/swappiness"),
            page_cluster: shown("/proc/sys/vm/page-cluster"),
            anonymous_huge_pages: shown("/sys/kernel/mm/transparent_hugepage/enabled"),
        })
    }

    fn look(&self) -> Result<Sight> {
        let (zram, cgroup) =
            self.zram.as_ref().zip(self.cgroup.as_ref()).context("`SetUp` first")?;
        let text = fs::read_to_string("/proc/vmstat").context("cannot read /proc/vmstat")?;
        let stored = zram.stored()?;
        Ok(Sight {
            swapped_in_pages: counter(&text, "pswpin")?,
            swapped_out_pages: counter(&text, "pswpout")?,
            stored_bytes: stored.bytes,
            compressed_bytes: stored.compressed_bytes,
            cgroup_peak_bytes: cgroup.peak_bytes(),
        })
    }

    /// Everything is tried, and the first failure told: processes first, whose memory then need
    /// not be brought back; then the device; then the group.
    fn take_down(self) -> Result<()> {
        let emptied = self.cgroup.as_ref().map_or(Ok(()), Cgroup::empty);
        let removed = self.zram.map_or(Ok(()), Zram::remove);
        let ungrouped = self.cgroup.map_or(Ok(()), Cgroup::remove);
        emptied.and(removed).and(ungrouped)
    }
}

/// The value of a line `name value`.
fn counter(vmstat: &str, name: &str) -> Result<u64> {
    let mut lines = vmstat.lines().filter_map(|line| line.split_once(' '));
    let value = lines.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse().ok());
    value.with_context(|| format!("/proc/vmstat has no {name}: a kernel without swap?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_whole_name() {
        let text = "pswpin 12\npswpout 34\n";
        assert_eq!(counter(text, "pswpout").ok(), Some(34));
        assert!(counter(text, "pswp").is_err());
    }

    #[test]
    fn counts_are_differences_and_contents_are_not() {
        let before = Sight { swapped_out_pages: 10, stored_bytes: 1, ..Sight::default() };
        let after = Sight { swapped_out_pages: 25, stored_bytes: 7, ..Sight::default() };
        let since = after.since(&before);
        assert_eq!((since.swapped_out_pages, since.stored_bytes), (15, 7));
    }
}
