//! Evictions: protect, copy, punch. A clean page is only punched.

use bo_units::{MappingId, ObjectId, PageCount, PageIndex, PageRange};
use smallvec::SmallVec;

use crate::Access;
use crate::effect::Action;
use crate::frames::FrameId;
use crate::limits::{DYING_STEP_FRAMES, EVICT_RUN_BYTES, EVICT_RUN_PAGES, RESCUES_MAX};
use crate::manager::answer::single;
use crate::manager::{Manager, Move, Pending, Reason, Stage};
use crate::page::{MoveId, PageKey, Residency, StoreCopy, grown, run as pages};
use crate::store::Exchange;

/// A run of victims, all clean or all dirty.
#[derive(Debug, Clone, Copy)]
struct Run {
    object: ObjectId,
    range: PageRange,
    clean: bool,
    reason: Reason,
}

impl Manager {
    /// Starts evictions that will free about `want` bytes; says how many were started.
    /// What came or was seen in use since the epoch `start`, if one is given, stays.
    pub(crate) fn reclaim_older(&mut self, want: u64, reason: Reason, start: Option<u32>) -> u64 {
        let mut victims = std::mem::take(&mut self.victims);
        victims.clear();
        let dying = self.propose(want, &mut victims);
        victims.retain(|frame| start.is_none_or(|start| self.is_older(*frame, start)));
        victims.sort_unstable_by_key(|frame| self.frames.page(*frame));
        victims.dedup();
        let runs = self.runs(&victims, reason);
        self.victims = victims;
        // Clean runs first: to make room for a dirty one, copies of clean pages may be given up.
        let mut started = 0;
        for run in runs.iter().filter(|run| run.clean) {
            started += self.begin_punch(*run);
        }
        for run in runs.iter().filter(|run| !run.clean) {
            started += self.begin_copy_out(*run);
        }
        if started == 0 && dying == DYING_STEP_FRAMES {
            // Others may be behind them.
            self.want(Pending::Again, Action::Yield);
        }
        started
    }

    pub(crate) fn size_if_evictable(&self, key: PageKey) -> Option<u64> {
        let object = self.objects.at_slot(key.object)?;
        match object.pages.get(key.page).residency {
            Residency::Resident { busy: 0, .. } if !object.dying => Some(object.page_size.bytes()),
            Residency::Resident { .. }
            | Residency::Absent
            | Residency::Waiting(_)
            | Residency::Filling(..)
            | Residency::Evicting(..) => None,
        }
    }

    /// Joins neighbours that can leave together. The mechanism checks every name again here.
    fn runs(&self, victims: &[FrameId], reason: Reason) -> SmallVec<[Run; 8]> {
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

    /// Marks a run as leaving. Returns its bytes.
    fn leave(&mut self, run: Run, stage: Stage) -> (MoveId, u64) {
        let number = self.moves.insert(Move {
            object: run.object,
            range: run.range,
            waiters: SmallVec::new(),
            stage,
            reason: run.reason,
        });
        let at = MoveId(u32::try_from(number).expect("moves are few"));
        let object = self.objects.get_mut(run.object).expect("a victim has an object");
        object.in_flight += 1;
        for index in run.range.iter() {
            let page = object.pages.get_mut(index);
            let Residency::Resident { busy: 0, frame, .. } = page.residency else {
                panic!("a victim is present and idle")
            };
            page.residency = Residency::Evicting(at, frame);
            self.policy.on_gone(frame);
            self.retained.remove(frame);
        }
        object.mark_leaving(run.range);
        let bytes = run.range.count().bytes(object.page_size).get();
        self.evicting += bytes;
        (at, bytes)
    }

    fn begin_punch(&mut self, run: Run) -> u64 {
        let runs: SmallVec<[PageRange; 2]> = SmallVec::from_slice(&[run.range]);
        let (at, bytes) = self.leave(run, Stage::Punching { runs: runs.clone(), clean: true });
        self.want(Pending::Move(at), Action::Punch { object: run.object, runs });
        bytes
    }

    /// Begins with as much of the run as the store has room for.
    fn begin_copy_out(&mut self, mut run: Run) -> u64 {
        let page_size = self.object(run.object).page_size;
        let mut exchange = Exchange::default();
        let mut numbers: SmallVec<[u32; 16]> = SmallVec::new();
        while numbers.len() < run.range.count().as_usize() {
            match self.store.take(page_size, &mut exchange) {
                Some(number) => numbers.push(number),
                None if self.drop_a_copy() => {}
                None => break,
            }
        }
        self.note_ram_peak();
        run.range = pages(run.range.first(), numbers.len());
        if numbers.is_empty() {
            assert!(exchange.slots.is_empty(), "slots are discarded only for one that is taken");
            return 0;
        }
        let guards: SmallVec<[MappingId; 4]> = (self.object(run.object).mappings.iter().copied())
            .filter(|id| {
                self.mappings.get(*id).is_some_and(|each| each.access == Access::ReadWrite)
            })
            .collect();
        for guard in &guards {
            self.mapping_begins(*guard);
        }
        let slots = numbers.iter().map(|number| self.store.slot(page_size, *number)).collect();
        let (object, range) = (run.object, run.range);
        let discard = exchange.slots.clone();
        let stage = Stage::CopyingOut { slots: numbers, guards: guards.clone(), exchange };
        let (at, bytes) = self.leave(run, stage);
        let action = Action::CopyOut { object, range, slots, guards, discard };
        self.want(Pending::Move(at), action);
        bytes
    }

    /// Gives up the store's copy of a page that is present, so that another can have the slot.
    pub(crate) fn drop_a_copy(&mut self) -> bool {
        let Some(frame) = self.retained.coldest() else { return false };
        let key = self.frames.page(frame);
        let object = self.objects.id_at(key.object).expect("a framed page has an object");
        self.make_dirty(object, key.page);
        self.stats.copies_dropped += 1;
        true
    }

    /// The pages are in their slots. What was written to meanwhile stays; the rest is punched.
    pub(crate) fn on_copied(&mut self, at: MoveId, zero: &[bool]) {
        let (id, range, slots, guards) = self.end_copying(at);
        assert_eq!(zero.len(), range.count().as_usize(), "one answer for each page");
        self.guards_end(&guards);
        let mut runs: SmallVec<[PageRange; 2]> = SmallVec::new();
        for ((index, number), zero) in range.iter().zip(slots).zip(zero) {
            let wanted = self.may_rescue()
                && (self.moves[at.0 as usize].waiters.iter())
                    .any(|waiter| waiter.write && waiter.page == index);
            if wanted {
                self.rescue(id, index, number);
                continue;
            }
            self.keep_copy(id, index, number, *zero);
            match runs.last_mut() {
                Some(run) if run.end() == index => *run = grown(*run),
                Some(_) | None => runs.push(single(index)),
            }
        }
        self.answer_rescuers(at, id);
        self.go_on_punching(at, id, runs);
    }

    fn end_copying(
        &mut self,
        at: MoveId,
    ) -> (ObjectId, PageRange, SmallVec<[u32; 16]>, SmallVec<[MappingId; 4]>) {
        let entry = &mut self.moves[at.0 as usize];
        let stage = entry.stage.take();
        let Stage::CopyingOut { slots, guards, exchange } = stage else {
            panic!("copied without a copy")
        };
        self.store.exchanged(&exchange);
        (entry.object, entry.range, slots, guards)
    }

    fn guards_end(&mut self, guards: &[MappingId]) {
        for guard in guards {
            self.mapping_ends(*guard);
        }
    }

    /// Writers that call every page back could keep a small pool full for ever: while somebody
    /// waits for room, only so many may.
    fn may_rescue(&self) -> bool {
        self.queue.is_empty() || self.rescues < RESCUES_MAX
    }

    /// A write called the eviction off: the page stays, its copy is thrown away.
    fn rescue(&mut self, id: ObjectId, index: PageIndex, slot: u32) {
        self.stats.evictions_rescued += 1;
        self.rescues += 1;
        self.stay(id, index, Some(slot));
    }

    /// Puts a page that was leaving back among the resident, dirty.
    fn stay(&mut self, id: ObjectId, index: PageIndex, slot: Option<u32>) {
        let object = self.objects.get_mut(id).expect("what is in flight keeps its object");
        let bytes = object.page_size.bytes();
        if let Some(number) = slot {
            self.store.put_back(object.page_size, number);
        }
        let page = object.pages.get_mut(index);
        let Residency::Evicting(_, frame) = page.residency else { panic!("it was leaving") };
        page.copy = StoreCopy::DIRTY;
        object.set_residency(index, Residency::Resident { busy: 0, frame, since: self.epoch });
        self.evicting -= bytes;
        self.policy.on_filled(frame, Self::key(id, index));
    }

    /// Every mapping is protected and the copy is complete: the page is clean.
    fn keep_copy(&mut self, id: ObjectId, index: PageIndex, slot: u32, zero: bool) {
        let object = self.objects.get_mut(id).expect("what is in flight keeps its object");
        let copy = if zero {
            self.store.put_back(object.page_size, slot);
            self.stats.evictions_zero += 1;
            StoreCopy::guarded_zeros()
        } else {
            object.stored = PageCount::new(object.stored.get() + 1);
            self.stats.evictions_copied += 1;
            StoreCopy::guarded_in(slot)
        };
        object.pages.get_mut(index).copy = copy;
    }

    /// Lets the writes through that called pages back.
    fn answer_rescuers(&mut self, at: MoveId, id: ObjectId) {
        let waiters = std::mem::take(&mut self.moves[at.0 as usize].waiters);
        let mut rest = SmallVec::new();
        for waiter in waiters {
            match self.object(id).pages.get(waiter.page).residency {
                Residency::Resident { .. } => {
                    let crate::manager::Waiter { mapping, page, write, kind, faults } = waiter;
                    self.answer(id, mapping, page, write, kind, faults);
                }
                Residency::Absent
                | Residency::Waiting(_)
                | Residency::Filling(..)
                | Residency::Evicting(..) => rest.push(waiter),
            }
        }
        self.moves[at.0 as usize].waiters = rest;
    }

    fn go_on_punching(&mut self, at: MoveId, id: ObjectId, runs: SmallVec<[PageRange; 2]>) {
        if runs.is_empty() {
            let ended = self.moves.remove(at.0 as usize);
            assert!(ended.waiters.is_empty(), "every waiter of a page that stays is answered");
            self.object_ends(id);
            return;
        }
        self.moves[at.0 as usize].stage = Stage::Punching { runs: runs.clone(), clean: false };
        self.want(Pending::Move(at), Action::Punch { object: id, runs });
    }

    /// A mapping could not be protected, or a page not read: nothing leaves.
    pub(crate) fn on_copy_failed(&mut self, at: MoveId) {
        let (id, range, slots, guards) = self.end_copying(at);
        self.guards_end(&guards);
        for (index, number) in range.iter().zip(slots) {
            self.stats.evictions_failed += 1;
            self.stay(id, index, Some(number));
        }
        let ended = self.moves.remove(at.0 as usize);
        self.answer_waiters(id, ended);
        self.object_ends(id);
    }

    /// The frames are back with the pool, or the host refused.
    pub(crate) fn on_punched(&mut self, at: MoveId, done: bool) {
        let ended = self.moves.remove(at.0 as usize);
        let id = ended.object;
        let Stage::Punching { runs, clean } = &ended.stage else {
            panic!("punched without a punch")
        };
        for index in runs.iter().flat_map(|run| run.iter()) {
            match done {
                true => {
                    self.stats.evictions_clean += u64::from(*clean);
                    self.depart(id, index, ended.reason);
                }
                false => self.refuse_to_depart(id, index),
            }
        }
        for waiter in ended.waiters {
            self.wake(waiter);
        }
        self.object_ends(id);
    }

    fn depart(&mut self, id: ObjectId, index: PageIndex, reason: Reason) {
        let object = self.objects.get_mut(id).expect("what is in flight keeps its object");
        let page = object.pages.get_mut(index);
        let Residency::Evicting(_, frame) = page.residency else { panic!("it was leaving") };
        assert!(page.is_clean(), "no page leaves without a copy");
        object.set_residency(index, Residency::Absent);
        object.resident = object.resident.saturating_sub(PageCount::new(1));
        object.stats.evictions += 1;
        let bytes = object.page_size.bytes();
        self.frames.put_back(frame);
        self.evicting -= bytes;
        self.pool.put_back(bytes);
        self.stats.evicted_bytes += bytes;
        self.unwatch(id, index, false);
        match reason {
            Reason::Demand => self.stats.evictions_direct += 1,
            Reason::Background => {
                self.stats.evictions_background += 1;
                self.stats.evicted_background_bytes += bytes;
            }
        }
    }

    fn refuse_to_depart(&mut self, id: ObjectId, index: PageIndex) {
        self.stats.evictions_failed += 1;
        let page = self.object_mut(id).pages.get_mut(index);
        let copy = page.copy;
        self.stay(id, index, None);
        let page = self.object_mut(id).pages.get_mut(index);
        page.copy = copy;
        if let (Some(_), Some(frame)) = (copy.slot(), page.frame()) {
            self.retained.push_hottest(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use bo_units::{ByteCount, Tick};

    use super::*;
    use crate::policy::EvictionPolicy;
    use crate::{AllocRequest, CoreConfig, InstallEnd, Outcome, Placement};

    /// Names every frame that it ever saw, twice.
    #[derive(Debug, Default)]
    struct Stutter(Vec<FrameId>);

    impl EvictionPolicy for Stutter {
        fn name(&self) -> &'static str {
            "stutter"
        }
        fn on_filled(&mut self, frame: FrameId, _page: PageKey) {
            self.0.extend([frame, frame]);
        }
        fn on_touched(&mut self, _frame: FrameId) {}
        fn on_gone(&mut self, _frame: FrameId) {}
        fn propose(&self, _: u64, _: &dyn Fn(FrameId) -> Option<u64>, victims: &mut Vec<FrameId>) {
            victims.extend(&self.0);
        }
    }

    #[test]
    fn a_policy_that_repeats_itself_cannot_evict_a_page_twice() {
        let small = ByteCount::new(16 * 4096);
        let mut manager = Manager::new(CoreConfig::new(small, small));
        manager.policy = Box::new(Stutter::default());
        let client = manager.connect("a client").expect("there is room");
        let (placement, label) = (Placement::Vram, String::new());
        let request = AllocRequest { bytes: small, page_size: None, placement, label };
        let object = manager.allocate(client, &request).expect("there is room").object;
        let range = pages(PageIndex::new(0), 4);
        let (now, start) = (Tick::from_nanos(0), manager.start_prefetch());
        manager.prefetch(now, client, object, range, start).expect("it holds the object");
        let fill = manager.poll_effect().and_then(|effect| effect.id).expect("a fill");
        manager.handle_outcome(now, fill, Outcome::Filled { installed: InstallEnd::Complete });
        assert!(manager.reclaim(4096, Reason::Demand) > 0);
        manager.assert_valid();
    }
}
