//! Faults: from the page's state to an answer, and what is done when the answer was given.

use bo_units::{MappingId, ObjectId, PageCount, PageIndex, PageRange};

use crate::effect::{Action, InstallEnd, Protection};
use crate::manager::{Fault, FaultKind, Manager, Move, Pending, Primary, Stage, Waiter};
use crate::page::{Kept, MoveId, Residency, StoreCopy, run};
use crate::{Access, Placement};

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
    }

    /// Looks at where the page is, and starts or joins what brings it.
    pub(crate) fn on_fault(&mut self, object: ObjectId, fault: Fault) {
        match self.object(object).pages.get(fault.page).residency {
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
        let stream = self.follow_stream(fault.mapping, fault.page);
        let primary =
            Primary { mapping: fault.mapping, page: fault.page, write: fault.write, stream };
        let range = self.extent(object, &primary);
        if self.object(object).pages.get(fault.page).copy.is_guarded() {
            // Only what was evicted once is guarded while it is absent.
            self.stats.refaults += 1;
            self.note_refault(self.object(object).page_size.bytes());
            self.object_mut(object).stats.refaults += 1;
            if let Some(client) = self.client_of_mut(fault.mapping) {
                client.stats.refaults += 1;
            }
        }
        self.start_fill(object, range, Some(primary));
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
        if write && access == Access::ReadWrite {
            self.note_write(object, page);
            self.make_dirty(object, page);
        }
        let entry = self.object_mut(object).pages.get_mut(page);
        let guarded = entry.copy.is_guarded();
        let Residency::Resident { busy, frame } = &mut entry.residency else {
            panic!("only a page that is present is answered for")
        };
        *busy = busy.checked_add(1).expect("answers in flight are bounded by mappings and threads");
        let frame = *frame;
        if self.object(object).placement == Placement::Vram {
            self.policy.on_touched(frame);
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
        self.begin_answer(object, mapping, page, faults, action);
    }

    fn begin_answer(
        &mut self,
        object: ObjectId,
        mapping: MappingId,
        page: PageIndex,
        faults: u32,
        action: Action,
    ) {
        self.object_mut(object).in_flight += 1;
        self.mapping_begins(mapping);
        self.want(Pending::Answer { object, mapping, page, faults }, action);
    }

    /// An entry was installed or unprotected; `None` stands for the latter.
    pub(crate) fn on_answered(
        &mut self,
        object: ObjectId,
        mapping: MappingId,
        page: PageIndex,
        faults: u32,
        end: Option<InstallEnd>,
    ) {
        let mapped = self.mapping_ends(mapping);
        if end == Some(InstallEnd::Absent) && mapped {
            // The page stays busy: the patch takes the place of the install.
            self.stats.holes_patched += 1;
            // Part of it is lost: what the store has is no copy of what is there now.
            self.make_dirty(object, page);
            self.object_ends(object);
            let action = Action::Patch { object, mapping, range: single(page) };
            self.begin_answer(object, mapping, page, faults, action);
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
        let entry = self.object_mut(object).pages.get_mut(page);
        let Residency::Resident { busy, .. } = &mut entry.residency else {
            panic!("a busy page stays present")
        };
        *busy -= 1;
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
        let primary = match ended.stage {
            Stage::Waiting(primary) | Stage::Filling(primary) => primary,
            Stage::CopyingOut(_) | Stage::Punching { .. } | Stage::Cleaning(_) => None,
        };
        for waiter in ended.waiters {
            // Its entry was installed with the run, but perhaps before its fault was read.
            if primary.is_some_and(|primary| primary.mapping == waiter.mapping) {
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
            self.tell(Action::Wake { mapping: waiter.mapping, range: single(waiter.page) });
        } else {
            self.stats.verdicts_gone += u64::from(waiter.faults);
        }
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
