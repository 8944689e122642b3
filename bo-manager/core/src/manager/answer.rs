//! Faults: from the page's state to an answer, and what is done when the answer was given.

use bo_units::{MappingId, ObjectId, PageCount, PageIndex, PageRange};

use crate::effect::{Action, Effect, InstallEnd, Protection};
use crate::entities::Object;
use crate::limits::ANSWER_RUN_PAGES;
use crate::manager::ahead::Plan;
use crate::manager::{Coming, Fault, FaultKind, Manager, Move, Pending, Stage, Waiter, Wanted};
use crate::page::{Kept, MoveId, Residency, StoreCopy, grown, run};
use crate::{Access, Placement};

/// What became of an answer that might be part of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joined {
    /// It is an answer of its own.
    Not,
    /// Its page has been added.
    Grown,
    /// Its page was in there already.
    Known,
}

pub(crate) fn single(page: PageIndex) -> PageRange {
    run(page, 1)
}

impl Manager {
    pub(crate) fn count_fault(&mut self, fault: &Fault, object: ObjectId) {
        self.stats.count_heard(fault.kind, fault.write);
        self.object_mut(object).stats.faults += 1;
        if let Some(client) = self.client_of_mut(fault.mapping) {
            client.stats.faults += 1;
        }
        self.record_fault(fault, object);
    }

    /// Looks at where the page is, and starts or joins what brings it.
    pub(crate) fn on_fault(&mut self, object: ObjectId, fault: Fault) {
        self.unwatch(object, fault.page, true);
        let page = self.object(object).pages.get(fault.page);
        // Only what was evicted once is guarded while it is absent.
        let back = page.residency == Residency::Absent && page.copy.is_guarded();
        self.accounts.heard(self.object(object).account, back);
        match page.residency {
            Residency::Absent => self.demand(object, &fault),
            Residency::Waiting(at) | Residency::Filling(at, _) | Residency::Evicting(at, _) => {
                self.stats.faults_coalesced += 1;
                self.note(at, &fault);
            }
            Residency::Resident { .. } => {
                self.stats.faults_present += u64::from(fault.kind == FaultKind::Missing);
                self.answer(object, fault.mapping, fault.page, fault.write, fault.kind, 1);
            }
        }
    }

    /// Starts a fill for a page that has no frame.
    fn demand(&mut self, object: ObjectId, fault: &Fault) {
        let Plan { primary, range, then } = self.plan(object, fault);
        if self.object(object).pages.get(fault.page).copy.is_guarded() {
            // Only what was evicted once is guarded while it is absent.
            self.stats.refaults += 1;
            self.note_refault(self.object(object).page_size.bytes());
            self.object_mut(object).stats.refaults += 1;
            if let Some(client) = self.client_of_mut(fault.mapping) {
                client.stats.refaults += 1;
            }
        }
        let Object { placement, account, priority, .. } = *self.object(object);
        if placement == Placement::Vram {
            self.ranking.set_capacity(self.accounts.room_of(account));
            self.ranking.missed(Self::key(object, fault.page), account, priority);
        }
        self.start_fill(object, range, Wanted::Fault(primary), then);
    }

    /// Remembers that this fault is to be answered when the move ends.
    fn note(&mut self, at: MoveId, fault: &Fault) {
        let waiters = &mut self.moves[at.0 as usize].waiters;
        let known = waiters.iter_mut().find(|waiter| {
            (waiter.mapping, waiter.page, waiter.write, waiter.kind)
                == (fault.mapping, fault.page, fault.write, fault.kind)
        });
        match known {
            Some(waiter) => waiter.faults += 1,
            None => waiters.push(Waiter {
                mapping: fault.mapping,
                page: fault.page,
                write: fault.write,
                kind: fault.kind,
                faults: 1,
            }),
        }
    }

    /// Answers a fault on a page that is present: an entry, or leave to write.
    ///
    /// A write makes the page dirty *here*, before it can happen.
    pub(crate) fn answer(
        &mut self,
        object: ObjectId,
        mapping: MappingId,
        page: PageIndex,
        write: bool,
        kind: FaultKind,
        faults: u32,
    ) {
        let live = self.mappings.get(mapping).filter(|entry| !entry.closing);
        let Some(access) = live.map(|entry| entry.access) else {
            // The shell wakes everybody in a range that it detaches.
            self.stats.verdicts_gone += u64::from(faults);
            return;
        };
        let asleep = self.sleeps(mapping);
        #[cfg(any(test, feature = "sim"))]
        let asleep = asleep && !self.sabotage_parking();
        if asleep {
            self.park(&Fault { mapping, page, write, kind }, faults);
            return;
        }
        if write && access == Access::ReadWrite {
            self.note_write(object, page);
            self.make_dirty(object, page);
        }
        let epoch = self.epoch;
        let entry = self.object_mut(object).pages.get_mut(page);
        let Residency::Resident { frame, since, .. } = &mut entry.residency else {
            panic!("only a page that is present is answered for")
        };
        *since = epoch;
        let (frame, guarded) = (*frame, entry.copy.is_guarded());
        let Object { placement, account, .. } = *self.object(object);
        if placement == Placement::Vram {
            self.ranking.touched(frame, account);
        }
        let range = single(page);
        let action = match kind {
            FaultKind::WriteProtected => Action::Unprotect { mapping, range },
            FaultKind::Missing => {
                let protection = protection(guarded, access);
                #[cfg(any(test, feature = "sim"))]
                let protection = self.sabotage_entry(object, page, protection);
                Action::Install { object, mapping, range, protection }
            }
        };
        match self.join_answer(object, page, faults, &action) {
            Joined::Known => {}
            Joined::Grown => self.begin_use(object, page),
            Joined::Not => {
                self.begin_use(object, page);
                self.begin_answer(object, mapping, range, faults, action);
            }
        }
    }

    /// One more answer is in flight for this page: it may not be evicted meanwhile.
    fn begin_use(&mut self, object: ObjectId, page: PageIndex) {
        let entry = self.object_mut(object).pages.get_mut(page);
        let Residency::Resident { busy, .. } = &mut entry.residency else {
            panic!("only a page that is present is answered for")
        };
        *busy = busy.checked_add(1).expect("answers in flight are bounded by mappings and threads");
    }

    /// Makes the answer part of the one decided just before, if that is of the same kind and its
    /// pages lie right before: neighbours that faulted together get their entries in one call.
    fn join_answer(
        &mut self,
        object: ObjectId,
        page: PageIndex,
        faults: u32,
        action: &Action,
    ) -> Joined {
        let Some(Effect { id: Some(id), action: last, .. }) = self.effects.back_mut() else {
            return Joined::Not;
        };
        let range = match (last, action) {
            (
                Action::Install { object: known, mapping, range, protection },
                Action::Install { mapping: other, protection: wanted, .. },
            ) if *known == object && mapping == other && protection == wanted => range,
            (Action::Unprotect { mapping, range }, Action::Unprotect { mapping: other, .. })
                if mapping == other =>
            {
                range
            }
            _ => return Joined::Not,
        };
        let grows = range.end() == page && range.count().get() < ANSWER_RUN_PAGES;
        if !grows && !range.contains(page) {
            return Joined::Not;
        }
        if grows {
            *range = grown(*range);
        }
        let Some(Pending::Answer { pages, faults: all, .. }) = self.pending.get_mut(id.0 as usize)
        else {
            panic!("an install and an un-protect are answers")
        };
        *pages = *range;
        *all += faults;
        if grows { Joined::Grown } else { Joined::Known }
    }

    fn begin_answer(
        &mut self,
        object: ObjectId,
        mapping: MappingId,
        pages: PageRange,
        faults: u32,
        action: Action,
    ) {
        self.object_mut(object).in_flight += 1;
        self.mapping_begins(mapping);
        self.want(Pending::Answer { object, mapping, pages, faults }, action);
    }

    /// Entries were installed or unprotected; `None` stands for the latter.
    pub(crate) fn on_answered(
        &mut self,
        object: ObjectId,
        mapping: MappingId,
        pages: PageRange,
        faults: u32,
        end: Option<InstallEnd>,
    ) {
        let mapped = self.mapping_ends(mapping);
        if end == Some(InstallEnd::Absent) && mapped {
            // The pages stay busy: the patch takes the place of the install.
            self.stats.holes_patched += 1;
            for page in pages.iter() {
                // Some of them is lost: what the store has is no copy of what is there now.
                self.make_dirty(object, page);
            }
            self.object_ends(object);
            let action = Action::Patch { object, mapping, range: pages };
            self.begin_answer(object, mapping, pages, faults, action);
            return;
        }
        match end {
            Some(InstallEnd::Gone) => self.stats.verdicts_gone += u64::from(faults),
            Some(InstallEnd::NotMapped) => {
                self.stats.answers_unmapped += 1;
                self.stats.verdicts_refault += u64::from(faults);
            }
            Some(InstallEnd::Complete | InstallEnd::Absent) | None => {
                self.stats.verdicts_refault += u64::from(faults);
            }
        }
        for page in pages.iter() {
            let entry = self.object_mut(object).pages.get_mut(page);
            let Residency::Resident { busy, .. } = &mut entry.residency else {
                panic!("a busy page stays present")
            };
            *busy -= 1;
        }
        self.object_ends(object);
    }

    /// The page in the frame is the only copy from now on.
    pub(crate) fn make_dirty(&mut self, object: ObjectId, page: PageIndex) {
        let entry = self.objects.get_mut(object).expect("what is in flight keeps its object");
        let at = entry.pages.get_mut(page);
        let kept = at.copy.kept();
        at.copy = StoreCopy::DIRTY;
        let frame = at.frame();
        match kept {
            Some(Kept::Slot(number)) => {
                entry.stored = entry.stored.saturating_sub(PageCount::new(1));
                self.store.put_back(entry.page_size, number);
                if let Some(frame) = frame {
                    self.retained.remove(frame);
                }
            }
            Some(Kept::Same(number)) => self.patterns.put_back(number),
            Some(Kept::Zeros) | None => {}
        }
        if let Some(frame) = frame {
            self.note_dirty(frame);
        }
    }

    /// Wakes or answers whoever joined a move that left its pages present.
    pub(crate) fn answer_waiters(&mut self, object: ObjectId, ended: Move) {
        let coming = match ended.stage {
            Stage::Waiting(coming) | Stage::Filling(coming) => Some(coming),
            Stage::CopyingOut(_) | Stage::Punching { .. } | Stage::Cleaning(_) => None,
        };
        for waiter in ended.waiters {
            // Its entry was installed with the run, but perhaps before its fault was read.
            let installed = |coming: &Coming| coming.has_installed(waiter.mapping, waiter.page);
            if coming.as_ref().is_some_and(installed) {
                self.wake(waiter);
            } else {
                let Waiter { mapping, page, write, kind, faults } = waiter;
                self.answer(object, mapping, page, write, kind, faults);
            }
        }
    }

    /// Lets a thread fault again.
    pub(crate) fn wake(&mut self, waiter: Waiter) {
        if self.mappings.get(waiter.mapping).is_some() {
            self.stats.verdicts_refault += u64::from(waiter.faults);
            self.tell_wake(waiter.mapping, waiter.page);
        } else {
            self.stats.verdicts_gone += u64::from(waiter.faults);
        }
    }

    /// Wakes the waiters of one more page, by the same call as those of its neighbour.
    fn tell_wake(&mut self, mapping: MappingId, page: PageIndex) {
        if let Some(Effect { action: Action::Wake { mapping: last, range }, .. }) =
            self.effects.back_mut()
            && *last == mapping
            && (range.contains(page) || range.end() == page)
        {
            if !range.contains(page) {
                *range = grown(*range);
            }
            return;
        }
        self.tell(Action::Wake { mapping, range: single(page) });
    }

    pub(crate) fn client_of_mut(
        &mut self,
        mapping: MappingId,
    ) -> Option<&mut crate::entities::Client> {
        let client = self.mappings.get(mapping)?.client;
        self.clients.get_mut(client)
    }
}

/// How an entry is installed. Only those who can write are watched.
pub(crate) fn protection(guarded: bool, access: Access) -> Protection {
    match (guarded, access) {
        (true, Access::ReadWrite) => Protection::WriteProtected,
        (true, Access::ReadOnly) | (false, _) => Protection::Writable,
    }
}
