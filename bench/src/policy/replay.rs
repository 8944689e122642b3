//! A trace through the real core, under one policy in one pool.
//!
//! The core is told to do nothing but what is asked, and at once, so that a miss in a full pool
//! evicts exactly one page, in the order of the policy.

use anyhow::{Context, Result};
use bo_core::{Action, CoreConfig, FaultKind, Manager, PrefetchConfig, PrefetchMode, Protection};
use bo_units::{ByteCount, PageSize};
use serde::Serialize;

use crate::policy::figures::Figures;
use crate::policy::trace::{Shape, Trace};
use crate::scale::driver::Driver;

/// What of a trace the core is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum View {
    /// Every access: a hit is a touch.
    All,
    /// Only what faults, as in production: misses, and the first write to a page that was evicted
    /// and came back by a read.
    Faults,
}

impl View {
    pub(crate) fn name(self) -> &'static str {
        match self {
            View::All => "all",
            View::Faults => "faults",
        }
    }
}

/// The page is there.
const HERE: u8 = 1;
/// Its next write faults.
const GUARDED: u8 = 2;
/// It was written to since it was last copied out.
const WRITTEN: u8 = 4;

/// Lets the core serve a trace. `pool` is in bytes.
///
/// # Errors
///
/// If the core's own count of refaults is another than that of the trace: a mistake here or there.
pub(crate) fn run(trace: &Trace, policy: &str, view: View, pool: u64) -> Result<Figures> {
    let shapes = trace.shapes.iter().map(Shape::parts);
    let mut driver = Driver::of(config(trace, policy, pool), shapes);
    driver.map();
    let mut replay = Replay::new(trace, &driver);
    let mut frees = trace.frees.iter().peekable();
    for (at, access) in trace.accesses.iter().enumerate() {
        while let Some(free) = frees.next_if(|free| free.before <= at) {
            driver.free(free.object as usize);
            replay.carry_out(&mut driver);
            replay.pages[free.object as usize].fill(0);
        }
        let place = trace.places[access.page() as usize];
        let (object, page, write) = (place.object as usize, place.page, access.writes());
        let state = replay.pages[object][page as usize];
        if state & HERE == 0 {
            let bytes = trace.shapes[object].page_size.bytes();
            let again = driver.manager.stats().refaults;
            driver.hear(object, page, write, FaultKind::Missing);
            let again = again < driver.manager.stats().refaults;
            replay.figures.miss(at, again, bytes);
            replay.carry_out(&mut driver);
        } else if write && state & GUARDED != 0 {
            driver.hear(object, page, write, FaultKind::WriteProtected);
            replay.carry_out(&mut driver);
            replay.pages[object][page as usize] &= !GUARDED;
        } else if view == View::All {
            driver.touch(object, page);
        }
        if write {
            replay.pages[object][page as usize] |= WRITTEN;
        }
    }
    replay.check(&driver.manager)
}

/// Nothing happens that the trace does not ask for.
fn config(trace: &Trace, policy: &str, pool: u64) -> CoreConfig {
    let bytes = |shape: &Shape| shape.parts().0.bytes(shape.page_size).get();
    let all: u64 = trace.shapes.iter().map(bytes).sum();
    // Two pages of the largest size stay free of promises.
    let ram = all + 2 * PageSize::MAX.bytes();
    let mut config = CoreConfig::new(ByteCount::new(pool), ByteCount::new(ram));
    config.policy = policy.to_owned();
    config.fault_around = ByteCount::ZERO;
    config.prefetch = PrefetchConfig { mode: PrefetchMode::None, ..PrefetchConfig::DEFAULT };
    config.marks.reclaim_start_free = ByteCount::ZERO;
    config.marks.reclaim_stop_free = ByteCount::ZERO;
    config.marks.reserve = ByteCount::ZERO;
    config.reclaim_yields = false;
    config.marks.clean_start = None;
    config.prefer_clean = false;
    config.limits.objects = u32::MAX;
    config.limits.mappings = u32::MAX;
    config
}

struct Replay<'a> {
    trace: &'a Trace,
    /// What is known of each page of each object, from what the core wants done.
    pages: Vec<Vec<u8>>,
    /// Which object has which slot.
    slots: Vec<u32>,
    figures: Figures,
}

impl<'a> Replay<'a> {
    fn new(trace: &'a Trace, driver: &Driver) -> Replay<'a> {
        let pages = trace.shapes.iter().map(|shape| vec![0; shape.pages as usize]).collect();
        let mut slots = Vec::new();
        for (number, (_, object)) in (0..).zip(&driver.objects) {
            let slot = object.slot as usize;
            slots.resize(slots.len().max(slot + 1), 0);
            slots[slot] = number;
        }
        Replay { trace, pages, slots, figures: Figures::new(trace) }
    }

    fn carry_out(&mut self, driver: &mut Driver) {
        let Replay { trace, pages, slots, figures } = self;
        let number = |object: &bo_units::ObjectId| slots[object.slot as usize] as usize;
        driver.carry_out(|action| match action {
            Action::Fill { object, range, install, .. } => {
                let pages = &mut pages[number(object)];
                for page in range.iter() {
                    pages[page.as_usize()] = HERE;
                }
                for (run, protection) in install.iter().flat_map(|install| &install.runs) {
                    let guarded = *protection == Protection::WriteProtected;
                    for page in run.iter().filter(|_| guarded) {
                        pages[page.as_usize()] |= GUARDED;
                    }
                }
            }
            Action::Punch { object, runs } => {
                let number = number(object);
                let bytes = trace.shapes[number].page_size.bytes();
                for page in runs.iter().flat_map(|run| run.iter()) {
                    let state = std::mem::take(&mut pages[number][page.as_usize()]);
                    figures.evict(state & WRITTEN != 0, bytes);
                }
            }
            Action::Unprotect { .. }
            | Action::Install { .. }
            | Action::Patch { .. }
            | Action::Wake { .. }
            | Action::Poison { .. }
            | Action::CopyOut { .. }
            | Action::Discard { .. }
            | Action::Detached { .. }
            | Action::Destroy { .. }
            | Action::Freed { .. }
            | Action::Yield => {}
        });
    }

    /// The core has counted the same.
    fn check(self, manager: &Manager) -> Result<Figures> {
        let stats = manager.stats();
        let counted =
            (stats.faults_read + stats.faults_write, stats.evictions_direct, stats.filled_bytes);
        let figures = self.figures;
        let seen = (figures.misses, figures.evictions, figures.filled_bytes);
        (seen == counted).then_some(figures).with_context(|| {
            format!("the core counts other faults, evictions and bytes: {counted:?}, not {seen:?}")
        })
    }
}

#[cfg(test)]
mod tests {
    use bo_core::policy::NAMES;
    use proptest::prelude::*;

    use super::*;
    use crate::policy::trace::{Builder, Free, Kind};

    fn trace(accesses: &[(u8, bool)], object_pages: u32) -> Trace {
        let mut builder = Builder::default();
        accesses.iter().for_each(|(page, write)| builder.add((*page).into(), *write));
        builder.finish("a trace".into(), Kind::OracleGeneral, object_pages)
    }

    /// What is known of a page that is there.
    struct Known {
        page: u8,
        guarded: bool,
        written: bool,
    }

    /// The least that an LRU can be: a list, the next to leave in front.
    #[derive(Default)]
    struct Model {
        list: Vec<Known>,
        evicted: Vec<u8>,
        misses: u64,
        refaults: u64,
        evictions: u64,
        dirty: u64,
    }

    impl Model {
        fn access(&mut self, page: u8, write: bool, view: View, pool: usize) {
            let Some(at) = self.list.iter().position(|known| known.page == page) else {
                self.misses += 1;
                if self.list.len() == pool {
                    let victim = self.list.remove(0);
                    self.evictions += 1;
                    self.dirty += u64::from(victim.written);
                    self.evicted.push(victim.page);
                }
                let again = self.evicted.contains(&page);
                self.refaults += u64::from(again);
                self.list.push(Known { page, guarded: again && !write, written: write });
                return;
            };
            let faults = write && self.list[at].guarded;
            self.list[at].guarded &= !write;
            self.list[at].written |= write;
            if view == View::All || faults {
                let known = self.list.remove(at);
                self.list.push(known);
            }
        }
    }

    proptest! {
        #[test]
        fn lru_through_the_core_is_lru(
            accesses in proptest::collection::vec((0_u8..40, any::<bool>()), 1..400),
            pool in 16_usize..30,
            object_pages in 1_u32..50,
            all in any::<bool>(),
        ) {
            let view = if all { View::All } else { View::Faults };
            let trace = trace(&accesses, object_pages);
            let figures = run(&trace, "lru", view, pool as u64 * 4096).expect("the core agrees");
            let mut model = Model::default();
            for (page, write) in &accesses {
                model.access(*page, *write, view, pool);
            }
            prop_assert_eq!(figures.misses, model.misses);
            prop_assert_eq!(figures.refaults, model.refaults);
            prop_assert_eq!(figures.evictions, model.evictions);
            prop_assert_eq!(figures.dirty_bytes, model.dirty * 4096);
        }

        #[test]
        fn under_every_policy_a_miss_in_a_full_pool_evicts_one_page(
            accesses in proptest::collection::vec((0_u8..60, any::<bool>()), 1..400),
            pool in 16_u64..40,
        ) {
            let trace = trace(&accesses, 100);
            for name in NAMES {
                for view in [View::All, View::Faults] {
                    let figures = run(&trace, name, view, pool * 4096).expect("the core agrees");
                    let misses = figures.misses;
                    prop_assert_eq!(figures.evictions, misses.saturating_sub(pool), "{}", name);
                    prop_assert_eq!(figures.refaults, misses - trace.pages(), "{}", name);
                }
            }
        }
    }

    #[test]
    fn what_is_freed_makes_room() {
        let accesses: Vec<(u8, bool)> = (0..48).map(|page| (page, false)).collect();
        let mut trace = trace(&accesses, 16);
        trace.frees.extend([Free { before: 20, object: 0 }, Free { before: 40, object: 1 }]);
        let figures = run(&trace, "lru", View::Faults, 16 * 4096).expect("the core agrees");
        // The second object pushes four pages of the first out and then has the room of the others;
        // the third pushes eight of the second out and then has the room of the others.
        assert_eq!((figures.misses, figures.evictions), (48, 4 + 8));
    }
}
