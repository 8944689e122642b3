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
    config.reclaim_start_free = ByteCount::ZERO;
    config.reclaim_stop_free = ByteCount::ZERO;
    config.reserve = ByteCount::ZERO;
    config.reclaim_yields = false;
    config.clean_start = None;
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
            format!("the core counts other faults, evictions and bytes than the trace has: {counted:?}, not {seen:?}")
        })
    }
}
