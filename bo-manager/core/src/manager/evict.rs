//! Evictions: protect, copy, punch. A clean page is only punched.

use bo_units::{MappingId, ObjectId, PageCount, PageIndex, PageRange};
use smallvec::SmallVec;

use crate::Access;
use crate::effect::Action;
use crate::limits::RESCUES_MAX;
use crate::manager::answer::single;
use crate::manager::reclaim::Run;
use crate::manager::{Manager, Pending, Reason, Stage, Transfer};
use crate::page::{Kept, MoveId, Residency, StoreCopy, grown, run as pages};
use crate::policy::Departure;
use crate::store::Exchange;

/// What may be done for a slot when the store has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Copies of present pages may be given up.
    Make,
    /// Nothing: it is not worth it.
    Find,
}

impl Manager {
    /// Marks a run as leaving. Returns its bytes.
    fn leave(&mut self, run: Run, stage: Stage) -> (MoveId, u64) {
        let at = self.begin_move(run.object, run.range, stage, run.reason);
        let object = self.objects.get_mut(run.object).expect("a victim has an object");
        for index in run.range.iter() {
            let page = object.pages.get_mut(index);
            let Residency::Resident { busy: 0, frame, .. } = page.residency else {
                panic!("a victim is present and idle")
            };
            page.residency = Residency::Evicting(at, frame);
            let key = Self::key(run.object, index);
            self.ranking.gone(frame, key, object.account, Departure::Evicted);
            self.retained.remove(frame);
        }
        object.mark_leaving(run.range);
        let bytes = run.range.count().bytes(object.page_size).get();
        self.evicting += bytes;
        (at, bytes)
    }

    pub(crate) fn begin_punch(&mut self, run: Run) -> u64 {
        let runs: SmallVec<[PageRange; 2]> = SmallVec::from_slice(&[run.range]);
        let (at, bytes) = self.leave(run, Stage::Punching { runs: runs.clone(), clean: true });
        self.want(Pending::Move(at), Action::Punch { object: run.object, runs });
        bytes
    }

    /// Begins with as much of the run as the store has room for.
    pub(crate) fn begin_copy_out(&mut self, run: Run) -> u64 {
        let Some((run, transfer)) = self.prepare_copy(run, Room::Make) else { return 0 };
        let action = self.copy_action(run, &transfer);
        let (at, bytes) = self.leave(run, Stage::CopyingOut(transfer));
        self.want(Pending::Move(at), action);
        bytes
    }

    /// Takes a slot for each page of the run, or of as much of it as the store has room for.
    pub(crate) fn prepare_copy(&mut self, mut run: Run, room: Room) -> Option<(Run, Transfer)> {
        let page_size = self.object(run.object).page_size;
        let mut exchange = Exchange::default();
        let mut slots: SmallVec<[u32; 16]> = SmallVec::new();
        while slots.len() < run.range.count().as_usize() {
            match self.store.take(page_size, &mut exchange) {
                Some(number) => slots.push(number),
                None if room == Room::Make && self.drop_a_copy() => {}
                None => break,
            }
        }
        self.note_ram_peak();
        run.range = pages(run.range.first(), slots.len());
        if slots.is_empty() {
            assert!(exchange.slots.is_empty(), "slots are discarded only for one that is taken");
            return None;
        }
        let guards: SmallVec<[MappingId; 4]> = (self.object(run.object).mappings.iter().copied())
            .filter(|id| {
                self.mappings.get(*id).is_some_and(|each| each.access == Access::ReadWrite)
            })
            .collect();
        for guard in &guards {
            self.mapping_begins(*guard);
        }
        Some((run, Transfer { slots, guards, exchange }))
    }

    pub(crate) fn copy_action(&self, run: Run, transfer: &Transfer) -> Action {
        let page_size = self.object(run.object).page_size;
        let slot = |number: &u32| self.store.slot(page_size, *number);
        Action::CopyOut {
            object: run.object,
            range: run.range,
            slots: transfer.slots.iter().map(slot).collect(),
            guards: transfer.guards.clone(),
            discard: transfer.exchange.slots.clone(),
        }
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
    pub(crate) fn on_copied(&mut self, at: MoveId, same: &[Option<u64>]) {
        let (id, range) = (self.moves[at.0 as usize].object, self.moves[at.0 as usize].range);
        assert_eq!(same.len(), range.count().as_usize(), "one answer for each page");
        if let Stage::Cleaning(_) = self.moves[at.0 as usize].stage {
            self.on_cleaned(at, same);
            return;
        }
        let slots = self.end_copying(at);
        let mut runs: SmallVec<[PageRange; 2]> = SmallVec::new();
        for ((index, number), same) in range.iter().zip(slots).zip(same) {
            let wanted = self.may_rescue()
                && (self.moves[at.0 as usize].waiters.iter()).any(|waiter| {
                    waiter.write && waiter.page == index && !self.sleeps(waiter.mapping)
                });
            if wanted {
                self.rescue(id, index, number);
                continue;
            }
            match self.keep_copy(id, index, number, *same) {
                Kept::Zeros => self.stats.evictions_zero += 1,
                Kept::Same(_) => self.stats.evictions_same += 1,
                Kept::Slot(_) => self.stats.evictions_copied += 1,
            }
            match runs.last_mut() {
                Some(run) if run.end() == index => *run = grown(*run),
                Some(_) | None => runs.push(single(index)),
            }
        }
        self.answer_rescuers(at, id);
        self.go_on_punching(at, id, runs);
    }

    /// Nothing names the mappings any more; says which slots the copy went to.
    pub(crate) fn end_copying(&mut self, at: MoveId) -> SmallVec<[u32; 16]> {
        let entry = &mut self.moves[at.0 as usize];
        let stage = entry.stage.take();
        let (Stage::CopyingOut(transfer) | Stage::Cleaning(transfer)) = stage else {
            panic!("copied without a copy")
        };
        self.store.exchanged(&transfer.exchange);
        for guard in transfer.guards {
            self.mapping_ends(guard);
        }
        transfer.slots
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
        self.rank(frame, Self::key(id, index));
    }

    /// Every mapping is protected and the copy is complete: the page is clean. One that is the
    /// same word over and over is kept as that word and gives its slot back, as long as there is
    /// room in the table of words.
    pub(crate) fn keep_copy(
        &mut self,
        id: ObjectId,
        index: PageIndex,
        slot: u32,
        same: Option<u64>,
    ) -> Kept {
        let object = self.objects.get_mut(id).expect("what is in flight keeps its object");
        let pattern = same.filter(|word| *word != 0).and_then(|word| self.patterns.take(word));
        let kept = match (same, pattern) {
            (Some(0), _) => Kept::Zeros,
            (_, Some(number)) => Kept::Same(number),
            (_, None) => Kept::Slot(slot),
        };
        let copy = match kept {
            Kept::Zeros => StoreCopy::guarded_zeros(),
            Kept::Same(number) => StoreCopy::guarded_same(number),
            Kept::Slot(number) => StoreCopy::guarded_in(number),
        };
        match kept {
            Kept::Zeros | Kept::Same(_) => self.store.put_back(object.page_size, slot),
            Kept::Slot(_) => object.stored = PageCount::new(object.stored.get() + 1),
        }
        object.pages.get_mut(index).copy = copy;
        kept
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
        if let Stage::Cleaning(_) = self.moves[at.0 as usize].stage {
            self.on_clean_failed(at);
            return;
        }
        let (id, range) = (self.moves[at.0 as usize].object, self.moves[at.0 as usize].range);
        let slots = self.end_copying(at);
        self.note_refusal();
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
        match done {
            true => self.note_success(),
            false => self.note_refusal(),
        }
        for run in runs.iter().filter(|_| done) {
            self.record_eviction(id, *run, ended.reason == Reason::Background, *clean);
        }
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
        self.note_used(frame, bytes);
        self.frames.put_back(frame);
        self.evicting -= bytes;
        self.give_room(id, bytes);
        self.stats.evicted_bytes += bytes;
        self.unwatch(id, index, false);
        match reason {
            Reason::Demand => self.stats.evictions_direct += 1,
            Reason::Asked => {
                self.stats.evictions_asked += 1;
                self.stats.evicted_asked_bytes += bytes;
            }
            Reason::Background => {
                self.stats.evictions_background += 1;
                self.stats.evicted_background_bytes += bytes;
                self.note_background(bytes);
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
