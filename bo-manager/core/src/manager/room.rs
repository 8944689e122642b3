//! Room: who gets what is freed, and what is in flight where.

use std::collections::VecDeque;

use bo_units::{MappingId, ObjectId, PageCount, PageRange};
use smallvec::SmallVec;

use crate::effect::Action;
use crate::manager::{Coming, Manager, Move, Reason, Stage, Wanted};
use crate::page::{MoveId, Residency};

impl Manager {
    /// After every change: gives room to those who wait for it, and makes more for the rest.
    ///
    /// What is freed goes to the first in the queue and to nobody else. Two fills that each held a
    /// part of the room they need could wait for each other for ever.
    pub(crate) fn settle(&mut self) {
        while let Some(at) = self.queue.front().copied() {
            let bytes = self.bytes_of(at);
            if self.is_forsaken(at) {
                self.queue.pop_front();
                self.queued -= bytes;
                self.abandon(at);
            } else if bytes <= self.pool.free() {
                self.queue.pop_front();
                self.queued -= bytes;
                self.rescues = 0;
                self.begin_fill(at);
            } else {
                break;
            }
        }
        // What waits is bounded by the pool: more cannot be present at one time anyway.
        let needed = self.queued.min(self.pool.size());
        let short = self.shortage(needed);
        if 0 < short && 0 < needed {
            // A step at a time: what it starts is reported, and then the next step is made.
            self.reclaim(short.min(self.reclaim_step()), Reason::Demand, self.asker());
        }
    }

    /// How many bytes are to leave, besides those that are leaving, until `goal` are free. What is
    /// in use beyond the size of a pool that shrinks is among them.
    pub(crate) fn shortage(&self, goal: u64) -> u64 {
        (self.pool.used() + goal).saturating_sub(self.pool.size() + self.evicting)
    }

    pub(crate) fn bytes_of(&self, at: MoveId) -> u64 {
        let entry = &self.moves[at.0 as usize];
        entry.range.count().bytes(self.object(entry.object).page_size).get()
    }

    /// True if nobody is left who wants this fill.
    fn is_forsaken(&self, at: MoveId) -> bool {
        let entry = &self.moves[at.0 as usize];
        if self.object(entry.object).dying {
            return true;
        }
        let Stage::Waiting(Coming { wanted: Wanted::Fault(primary), .. }) = &entry.stage else {
            panic!("only faults wait for room")
        };
        let waits = |mapping| self.mappings.get(mapping).is_some() && !self.sleeps(mapping);
        !waits(primary.mapping) && !entry.waiters.iter().any(|waiter| waits(waiter.mapping))
    }

    /// Takes the fills of a dying object out of the queue, wherever they are in it. They keep the
    /// object alive, its frames cannot be evicted any more, and so those in front of them could
    /// wait for ever.
    pub(crate) fn forsake(&mut self, id: ObjectId) {
        let moves = &self.moves;
        let of_it = |at: &MoveId| moves[at.0 as usize].object == id;
        let theirs: Vec<MoveId> = self.queue.iter().copied().filter(of_it).collect();
        self.queue.retain(|at| !of_it(at));
        self.abandon_all(theirs);
    }

    /// Takes the fills out of the queue that nobody waits for any more.
    pub(crate) fn forsake_unwanted(&mut self) {
        let unwanted = |at: &MoveId| self.is_forsaken(*at);
        let (forsaken, left): (Vec<MoveId>, VecDeque<MoveId>) = {
            let (gone, stay): (Vec<MoveId>, Vec<MoveId>) =
                self.queue.iter().copied().partition(unwanted);
            (gone, stay.into())
        };
        self.queue = left;
        self.abandon_all(forsaken);
    }

    fn abandon_all(&mut self, forsaken: Vec<MoveId>) {
        for at in forsaken {
            self.queued -= self.bytes_of(at);
            self.abandon(at);
        }
    }

    /// Takes a fill that has not begun out of the world.
    fn abandon(&mut self, at: MoveId) {
        let ended = self.moves.remove(at.0 as usize);
        for page in ended.range.iter() {
            self.object_mut(ended.object).set_residency(page, Residency::Absent);
        }
        let asked = match &ended.stage {
            Stage::Waiting(Coming { wanted: Wanted::Fault(primary), .. }) => Some(primary.fault()),
            Stage::Waiting(_)
            | Stage::Filling(_)
            | Stage::CopyingOut(_)
            | Stage::Punching { .. }
            | Stage::Cleaning(_) => None,
        };
        match asked.filter(|fault| self.sleeps(fault.mapping)) {
            Some(fault) => self.park(&fault, 1),
            None => self.stats.verdicts_gone += 1,
        }
        for waiter in ended.waiters {
            self.wake(waiter);
        }
        self.object_ends(ended.object);
    }

    /// Gives the room of pages that are holes again back to where it came from.
    pub(crate) fn release_room(&mut self, id: ObjectId, count: PageCount) {
        let object = self.object(id);
        let bytes = count.bytes(object.page_size).get();
        self.give_room(id, bytes);
    }

    pub(crate) fn note_ram_peak(&mut self) {
        self.ram_peak = self.ram_peak.max(self.store.held() + self.ram_placed);
    }

    /// One more effect names this mapping.
    pub(crate) fn mapping_begins(&mut self, mapping: MappingId) {
        if let Some(entry) = self.mappings.get_mut(mapping) {
            entry.in_flight += 1;
        }
    }

    /// An effect that names this mapping was reported; says whether the mapping still lives.
    pub(crate) fn mapping_ends(&mut self, mapping: MappingId) -> bool {
        let Some(entry) = self.mappings.get_mut(mapping) else { return false };
        entry.in_flight -= 1;
        if entry.closing && entry.in_flight == 0 {
            self.forget_mapping(mapping);
            self.tell(Action::Detached { mapping });
            return false;
        }
        true
    }

    /// One more run of an object's pages is on its way in or out, or being copied.
    pub(crate) fn begin_move(
        &mut self,
        object: ObjectId,
        range: PageRange,
        stage: Stage,
        reason: Reason,
    ) -> MoveId {
        self.object_mut(object).in_flight += 1;
        let waiters = SmallVec::new();
        let number = self.moves.insert(Move { object, range, waiters, stage, reason });
        MoveId(u32::try_from(number).expect("moves are few"))
    }

    /// A move or an answer of this object is over.
    pub(crate) fn object_ends(&mut self, id: ObjectId) {
        let object = self.object_mut(id);
        object.in_flight -= 1;
        if object.in_flight == 0 {
            self.note_rest(id);
        }
        self.destroy_if_idle(id);
    }

    pub(crate) fn destroy_if_idle(&mut self, id: ObjectId) {
        let object = self.object(id);
        if object.dying && object.in_flight == 0 {
            self.forget_pages(id);
        }
    }
}
