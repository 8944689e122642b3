//! Reclaim: when pages leave, and which.

use std::time::Duration;

use bo_units::{ObjectId, PageRange, Tick};
use smallvec::SmallVec;

use crate::arena::Arena;
use crate::effect::Action;
use crate::entities::Object;
use crate::frames::FrameId;
use crate::limits::{self, EVICT_RUN_BYTES, EVICT_RUN_PAGES, LOOK_AHEAD_PAGES, LOOK_AHEAD_PART};
use crate::manager::answer::single;
use crate::manager::victims::Asker;
use crate::manager::{Manager, Pending, Reason};
use crate::page::{PageKey, Residency, grown};

/// A run of pages of one object that are moved together: all clean or all dirty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) object: ObjectId,
    pub(crate) range: PageRange,
    pub(crate) clean: bool,
    pub(crate) reason: Reason,
}

/// Evictions that failed, one after the other. A host that refuses for good must not be asked
/// without end: a thread would spin, and clients hang all the same.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    in_a_row: u32,
    /// Nothing is evicted before.
    until: Option<Tick>,
    pause: Duration,
}

impl Refusals {
    /// True while eviction pauses.
    pub(crate) fn forbid(&self, now: Tick) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// One more; true if it begins a pause.
    fn add(&mut self, now: Tick) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row < limits::EVICT_FAILURES_MAX || self.forbid(now) {
            return false;
        }
        self.pause = (2 * self.pause).clamp(limits::EVICT_PAUSE_MIN, limits::EVICT_PAUSE_MAX);
        self.until = Some(now.saturating_add(self.pause));
        true
    }
}

/// When background reclaim works, besides what the operator chose.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// How far the watermarks are raised, in bytes: what was evicted below the operator's start and
    /// was wanted back while there was room for it.
    raised: u64,
    /// Background reclaim has begun, and has not come to its lower mark.
    on: bool,
    /// The store had no slot when it held so much.
    slotless: Option<u64>,
    /// Nothing could leave, and no outcome was reported since.
    fruitless: bool,
}

impl Manager {
    /// True if background reclaim has work.
    #[must_use]
    pub fn wants_reclaim(&self) -> bool {
        let slotless = self.pace.slotless.is_some_and(|held| held <= self.store.held())
            && self.retained.coldest().is_none();
        let vain = slotless || self.pace.fruitless || self.refusals.forbid(self.now);
        (self.is_short() && !vain) || self.wants_expel()
    }

    /// True if the pool is fuller than the upper mark, or on its way down to the lower one.
    fn is_short(&self) -> bool {
        let goal = if self.pace.on { self.stop_free() } else { self.start_free() };
        0 < self.shortage(goal) && !self.draining
    }

    /// When [`Self::handle_reclaim`] is to be called although nothing has happened: evictions that
    /// are wanted failed again and again, and are to be tried once more.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Tick> {
        let waits = self.is_short() || !self.queue.is_empty() || self.sleepers.have_work();
        match self.refusals.until.filter(|_| waits) {
            Some(until) => Some(until),
            None => self.sleepers.retry(),
        }
    }

    /// Frees some room ahead of need, from the upper mark down to the lower one. Effects come out
    /// of [`Self::poll_effect`]; false means that enough is free, or on its way, or that nothing
    /// can leave now.
    pub fn handle_reclaim(&mut self, now: Tick) -> bool {
        self.now = now;
        if self.refusals.forbid(now) {
            return false;
        }
        if self.refusals.until.take().is_some() {
            // Those who wait for room come first.
            self.settle();
        }
        let expelled = self.expel_step();
        self.reclaim_ahead() || expelled
    }

    fn reclaim_ahead(&mut self) -> bool {
        // Between the marks only a reclaim that has begun goes on: the cleaner's calls, too, come
        // by here.
        self.pace.on = self.is_short();
        let want = self.shortage(self.stop_free()).min(self.reclaim_step());
        if !self.pace.on || want == 0 {
            return false;
        }
        let started = self.reclaim(want, Reason::Background, Asker::default());
        self.pace.fruitless = started == 0;
        0 < started
    }

    /// Something was reported: what could not leave before may be able to now, and perhaps enough
    /// has left.
    pub(crate) fn note_outcome(&mut self) {
        self.pace.fruitless = false;
        self.pace.on &= self.is_short();
    }

    /// Free bytes at which background reclaim starts, as things stand.
    pub(crate) fn start_free(&self) -> u64 {
        let start = self.config.marks.reclaim_start_free.get();
        start.saturating_sub(self.pace.raised).max(start.min(self.config.marks.reserve.get() / 2))
    }

    /// Free bytes at which it stops.
    pub(crate) fn stop_free(&self) -> u64 {
        let stop = self.config.marks.reclaim_stop_free.get();
        stop.saturating_sub(self.pace.raised).max(stop.min(self.config.marks.reserve.get()))
    }

    /// A page that had been evicted is wanted back. If there is room for it, and for the reserve,
    /// it was evicted too early: reclaim yields to the working set.
    ///
    /// With fixed marks of 90 % and 70 % a program that uses 95 % of the pool over and over would
    /// lose and refill a quarter of it for ever, although it fits.
    pub(crate) fn note_refault(&mut self, bytes: u64) {
        if self.config.reclaim_yields && self.config.marks.reserve.get() + bytes <= self.pool.free()
        {
            let stop = self.config.marks.reclaim_stop_free.get();
            let most = stop.saturating_sub(self.config.marks.reserve.get());
            self.pace.raised = (self.pace.raised + bytes).min(most);
        }
    }

    /// The marks are others: what they are raised by stays within them.
    pub(crate) fn clip_pace(&mut self) {
        let marks = self.config.marks;
        let most = marks.reclaim_stop_free.saturating_sub(marks.reserve).get();
        self.pace.raised = self.pace.raised.min(most);
        self.pace.slotless = None;
        self.pace.fruitless = false;
    }

    /// A page left ahead of need.
    pub(crate) fn note_background(&mut self, bytes: u64) {
        self.pace.raised = self.pace.raised.saturating_sub(bytes / limits::YIELD_WEIGHT);
    }

    /// The host would not let a run of pages leave.
    pub(crate) fn note_refusal(&mut self) {
        self.stats.eviction_pauses += u64::from(self.refusals.add(self.now));
    }

    /// The host has let pages leave.
    pub(crate) fn note_success(&mut self) {
        self.refusals = Refusals::default();
    }

    /// How much one step frees: a few pages of the smallest size in use, so that the lock is free
    /// again in microseconds.
    pub(crate) fn reclaim_step(&self) -> u64 {
        (limits::RECLAIM_STEP_PAGES * self.smallest_page())
            .clamp(limits::RECLAIM_STEP_BYTES_MIN, limits::RECLAIM_STEP_BYTES_MAX)
    }

    fn smallest_page(&self) -> u64 {
        self.page_sizes.iter().position(|count| *count > 0).map_or(4096, |at| 4096 << at)
    }

    /// Starts evictions that will free about `want` bytes; says how many were started.
    pub(crate) fn reclaim(&mut self, want: u64, reason: Reason, asker: Asker) -> u64 {
        if self.refusals.forbid(self.now) {
            return 0;
        }
        let mut victims = std::mem::take(&mut self.victims);
        victims.clear();
        let more = self.propose(want + self.look_ahead(want), asker, &mut victims);
        self.prefer_clean(want, &mut victims);
        let runs = self.runs(&mut victims, reason);
        self.victims = victims;
        // Clean runs first: to make room for a dirty one, copies of clean pages may be given up.
        let mut started = 0;
        for run in runs.iter().filter(|run| run.clean) {
            started += self.begin_punch(*run);
        }
        let mut slotless = false;
        for run in runs.iter().filter(|run| !run.clean) {
            let bytes = self.begin_copy_out(*run);
            slotless |= bytes == 0;
            started += bytes;
        }
        self.pace.slotless = (slotless && started == 0).then(|| self.store.held());
        if started == 0 && more {
            // Others may be behind them.
            self.want(Pending::Again, Action::Yield);
        }
        started
    }

    /// How much further than what is wanted clean pages are looked for: as much again, a few
    /// pages at the least, and never so far that a small pool loses what is in use.
    fn look_ahead(&self, want: u64) -> u64 {
        if !self.config.prefer_clean {
            return 0;
        }
        let least = LOOK_AHEAD_PAGES * self.smallest_page();
        want.max(least).min(self.pool.size() / LOOK_AHEAD_PART)
    }

    /// Of pages that are about equally cold the clean ones leave first: they cost a punch, where
    /// the others cost a protection in each mapping and a copy as well. A dirty page gives way
    /// once.
    fn prefer_clean(&mut self, want: u64, victims: &mut Vec<FrameId>) {
        if !self.config.prefer_clean {
            return;
        }
        let mut passed_over: SmallVec<[FrameId; 64]> = SmallVec::new();
        let goes_first = |frame: FrameId, key: PageKey| {
            let object = self.objects.at_slot(key.object);
            object.is_some_and(|object| object.pages.get(key.page).is_clean())
                || self.was_passed_over(frame)
        };
        let size = |key| self.size_if_evictable(key).unwrap_or(0);
        let keys = victims.iter().map(|frame| (*frame, self.frames.page(*frame)));
        let first = keys.filter(|(frame, key)| goes_first(*frame, *key));
        let first: u64 = first.map(|(_, key)| size(key)).sum();
        let (mut first_left, mut dirty_left) = (want, want.saturating_sub(first));
        // Those whose turn it is; the others were only looked at for clean ones among them.
        let mut due = want;
        victims.retain(|frame| {
            let key = self.frames.page(*frame);
            let is_first = goes_first(*frame, key);
            let left = if is_first { &mut first_left } else { &mut dirty_left };
            let goes = *left > 0;
            *left = left.saturating_sub(size(key));
            if !goes && !is_first && due > 0 {
                passed_over.push(*frame);
            }
            due = due.saturating_sub(size(key));
            goes
        });
        for frame in passed_over {
            self.pass_over(frame);
        }
    }

    pub(crate) fn size_if_evictable(&self, key: PageKey) -> Option<u64> {
        size_if_evictable(&self.objects, key)
    }
}

/// The bytes that this page would free, if it can leave now.
pub(crate) fn size_if_evictable(objects: &Arena<ObjectId, Object>, key: PageKey) -> Option<u64> {
    let object = objects.at_slot(key.object)?;
    match object.pages.get(key.page).residency {
        Residency::Resident { busy: 0, .. } if !object.dying => Some(object.page_size.bytes()),
        Residency::Resident { .. }
        | Residency::Absent
        | Residency::Waiting(_)
        | Residency::Filling(..)
        | Residency::Evicting(..) => None,
    }
}

impl Manager {
    /// Joins neighbours that can be moved together. The mechanism checks every name again here.
    pub(crate) fn runs(&self, victims: &mut Vec<FrameId>, reason: Reason) -> SmallVec<[Run; 8]> {
        victims.sort_unstable_by_key(|frame| self.frames.page(*frame));
        victims.dedup();
        let mut runs: SmallVec<[Run; 8]> = SmallVec::new();
        for frame in victims {
            let key = self.frames.page(*frame);
            if self.size_if_evictable(key).is_none() {
                continue;
            }
            let object = self.objects.id_at(key.object).expect("an evictable page has an object");
            let entry = self.object(object);
            let clean = entry.pages.get(key.page).is_clean();
            let pages = (EVICT_RUN_BYTES / entry.page_size.bytes()).max(1);
            let pages = u32::try_from(pages).unwrap_or(u32::MAX).min(EVICT_RUN_PAGES);
            match runs.last_mut() {
                Some(run)
                    if run.object == object
                        && run.clean == clean
                        && run.range.end() == key.page
                        && run.range.count().get() < pages =>
                {
                    run.range = grown(run.range);
                }
                Some(_) | None => {
                    runs.push(Run { object, range: single(key.page), clean, reason });
                }
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use bo_units::{ByteCount, PageIndex};

    use super::*;
    use crate::page::run as pages;
    use crate::policy::{Books, Departure, EvictionPolicy};
    use crate::ranking::Priority;
    use crate::{AllocRequest, CoreConfig, InstallEnd, Outcome, Placement};

    /// Names every frame that it ever saw, twice.
    #[derive(Debug, Default)]
    struct Stutter(Vec<FrameId>);

    impl EvictionPolicy for Stutter {
        fn name(&self) -> &'static str {
            "stutter"
        }
        fn on_filled(&mut self, _: &mut Books, frame: FrameId, _page: PageKey) {
            self.0.extend([frame, frame]);
        }
        fn on_touched(&mut self, _: &mut Books, _frame: FrameId) {}
        fn on_gone(&mut self, _: &mut Books, _frame: FrameId, _page: PageKey, _: Departure) {}
        fn propose(
            &mut self,
            _: &mut Books,
            _: u64,
            _: &dyn Fn(FrameId) -> Option<u64>,
            victims: &mut Vec<FrameId>,
        ) {
            victims.extend(&self.0);
        }
    }

    #[test]
    fn a_policy_that_repeats_itself_cannot_evict_a_page_twice() {
        let small = ByteCount::new(16 * 4096);
        let mut manager = Manager::new(CoreConfig::new(small, small));
        let client = manager.connect("a client").expect("there is room");
        let account = manager.clients.get(client).expect("it came a moment ago").account;
        manager.ranking.put(account, Priority::Normal, Box::<Stutter>::default());
        let (placement, label) = (Placement::Vram, String::new());
        let request = AllocRequest { bytes: small, page_size: None, placement, label };
        let object = manager.allocate(client, &request).expect("there is room").object;
        let range = pages(PageIndex::new(0), 4);
        let (now, start) = (Tick::from_nanos(0), manager.start_prefetch());
        manager.prefetch(now, client, object, range, start).expect("it holds the object");
        let fill = manager.poll_effect().and_then(|effect| effect.id).expect("a fill");
        manager.handle_outcome(now, fill, Outcome::Filled { installed: InstallEnd::Complete });
        assert!(manager.reclaim(4096, Reason::Demand, Asker::default()) > 0);
        manager.assert_valid();
    }

    #[test]
    fn pauses_grow_up_to_a_limit_and_a_success_ends_them() {
        let mut refusals = Refusals::default();
        let mut now = Tick::from_nanos(0);
        for _ in 1..limits::EVICT_FAILURES_MAX {
            assert!(!refusals.add(now));
        }
        assert!(refusals.add(now) && refusals.forbid(now));
        assert!(!refusals.add(now), "what was begun before the pause begins no other");
        let mut pauses = vec![refusals.pause];
        for _ in 0..12 {
            now = refusals.until.expect("a pause has an end");
            assert!(!refusals.forbid(now) && refusals.add(now));
            pauses.push(refusals.pause);
        }
        assert_eq!(pauses[1], 2 * limits::EVICT_PAUSE_MIN);
        assert_eq!(pauses[12], limits::EVICT_PAUSE_MAX);
    }
}
