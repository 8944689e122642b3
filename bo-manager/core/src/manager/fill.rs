//! Fills: how pages get their frames and bytes, and what is true when they have come.

use bo_units::{MappingId, ObjectId, PageCount, PageIndex, PageRange};
use smallvec::SmallVec;

use crate::effect::{Action, Install, InstallEnd, Protection, Source};
use crate::limits::PREFETCH_MAPPINGS_MAX;
use crate::manager::ahead::Guess;
use crate::manager::answer::{protection, single};
use crate::manager::{Coming, FaultKind, Manager, Pending, Primary, Reason, Stage, Waiter, Wanted};
use crate::page::{Kept, MoveId, Residency, grown};
use crate::prefetch::Cause;
use crate::{Access, Placement};

impl Manager {
    /// Fills now if there is room, or joins the queue, which only single pages that faulted may.
    pub(crate) fn start_fill(
        &mut self,
        object: ObjectId,
        range: PageRange,
        wanted: Wanted,
        then: Option<Guess>,
    ) {
        let entry = self.object(object);
        let bytes = range.count().bytes(entry.page_size).get();
        let in_ram = entry.placement == Placement::Ram;
        let faulted = wanted.asked().is_some();
        let stage = Stage::Waiting(Coming::new(wanted, then));
        let at = self.begin_move(object, range, stage, Reason::Demand);
        if in_ram || (self.queue.is_empty() && bytes <= self.pool.free()) {
            self.begin_fill(at);
            return;
        }
        assert!(faulted, "what nobody asked for never makes anybody wait");
        assert_eq!(range.count(), PageCount::ONE, "room can be made for any page, not for any run");
        self.object_mut(object).set_residency(range.first(), Residency::Waiting(at));
        self.stats.faults_starved += 1;
        self.queue.push_back(at);
        self.queued += bytes;
    }

    /// Takes frames for a move that has room, and asks for the bytes.
    pub(crate) fn begin_fill(&mut self, at: MoveId) {
        let entry = &mut self.moves[at.0 as usize];
        let (id, range) = (entry.object, entry.range);
        let Stage::Waiting(mut coming) = entry.stage.take() else { panic!("a fill begins once") };
        let object = self.object(id);
        let bytes = range.count().bytes(object.page_size).get();
        self.take_room(id, bytes);
        let object = self.objects.get_mut(id).expect("what is in flight keeps its object");
        let mut sources = SmallVec::new();
        for index in range.iter() {
            let frame = self.frames.take(Self::key(id, index));
            let page = object.pages.get_mut(index);
            assert!(page.copy.is_valid(), "an absent page has its bytes somewhere");
            page.residency = Residency::Filling(at, frame);
            sources.push(match page.copy.kept() {
                Some(Kept::Slot(at)) => Source::Stored(self.store.slot(object.page_size, at)),
                Some(Kept::Same(number)) => Source::Same(self.patterns.word(number)),
                Some(Kept::Zeros) | None => Source::Zero,
            });
        }
        object.mark_coming(range);
        self.note_ram_peak();
        let install = self.prepare_install(id, range, &mut coming);
        let ahead = matches!(coming.wanted, Wanted::Guess { .. });
        self.moves[at.0 as usize].stage = Stage::Filling(coming);
        self.want(Pending::Move(at), Action::Fill { object: id, range, sources, install });
        if let Some(effect) = self.effects.back_mut() {
            effect.ahead = ahead;
        }
    }

    /// Decides which page to watch, and which entries to install.
    fn prepare_install(
        &mut self,
        id: ObjectId,
        range: PageRange,
        coming: &mut Coming,
    ) -> Option<Install> {
        let lives = |mapping| self.mappings.get(mapping).is_some_and(|entry| !entry.closing);
        if coming.wanted.mapping().is_some_and(|mapping| !lives(mapping)) {
            // Whoever wanted it has left while it waited for room.
            self.stats.verdicts_gone += u64::from(coming.wanted.asked().is_some());
            *coming = Coming::new(Wanted::Nobody, None);
        }
        if coming.wanted.mapping().is_some_and(|mapping| self.sleeps(mapping)) {
            if let Wanted::Fault(primary) = &coming.wanted {
                self.park(&primary.fault(), 1);
            }
            *coming = Coming::new(Wanted::Nobody, None);
        }
        let mapping = coming.wanted.mapping();
        if coming.wanted.cause().is_some() {
            let asked = coming.wanted.asked();
            let unasked = range.count().get() - u32::from(asked.is_some());
            let chosen = self.choose_watched(mapping, unasked).map(|number| number as usize);
            coming.watched =
                chosen.and_then(|at| range.iter().filter(|page| asked != Some(*page)).nth(at));
        }
        let install = self.install_for(id, range, coming, mapping?)?;
        coming.installing = mapping;
        self.mapping_begins(install.mapping);
        Some(install)
    }

    /// True if the page will be dirty when the fill ends: it is about to be written, or its first
    /// write would not be seen.
    fn becomes_dirty(&self, id: ObjectId, index: PageIndex, wanted: &Wanted) -> bool {
        let can_write = |mapping| {
            self.mappings.get(mapping).is_none_or(|entry| entry.access == Access::ReadWrite)
        };
        let written = wanted.writes(index) && wanted.mapping().is_none_or(can_write);
        written || !self.object(id).pages.get(index).copy.is_guarded()
    }

    /// The entries for all pages but the one that is watched; `None` if that leaves none.
    fn install_for(
        &self,
        id: ObjectId,
        range: PageRange,
        coming: &Coming,
        mapping: MappingId,
    ) -> Option<Install> {
        let access = self.mappings.get(mapping)?.access;
        let mut runs: SmallVec<[(PageRange, Protection); 3]> = SmallVec::new();
        for index in range.iter().filter(|index| coming.watched != Some(*index)) {
            let guarded = !self.becomes_dirty(id, index, &coming.wanted);
            let wanted = protection(guarded, access);
            match runs.last_mut() {
                Some((run, protection)) if *protection == wanted && run.end() == index => {
                    *run = grown(*run);
                }
                Some(_) | None => runs.push((single(index), wanted)),
            }
        }
        (!runs.is_empty()).then_some(Install { mapping, runs })
    }

    /// The bytes are there.
    pub(crate) fn on_filled(&mut self, at: MoveId, installed: InstallEnd) {
        let mut ended = self.moves.remove(at.0 as usize);
        let (id, range) = (ended.object, ended.range);
        let Stage::Filling(coming) = &mut ended.stage else { panic!("only a fill is filled") };
        let then = coming.then.take();
        let wanted = coming.wanted;
        for index in range.iter() {
            self.arrive(id, index, &wanted);
        }
        self.count_fill(id, range, &wanted);
        self.record_fill(id, range, &wanted);
        if let (Some(page), Some(cause)) = (coming.watched, wanted.cause()) {
            let used = ended.waiters.iter().any(|waiter| waiter.page == page);
            self.watch(id, page, cause, wanted.mapping(), used);
        }
        if let Some(mapping) = coming.installing {
            self.mapping_ends(mapping);
        }
        match wanted {
            Wanted::Fault(_) => self.count_verdict(installed),
            Wanted::Guess { .. } => {}
            Wanted::Hint | Wanted::Nobody => self.install_everywhere(id, range, coming.watched),
        }
        self.answer_waiters(id, ended);
        if let Some(guess) = then {
            self.pursue(id, guess);
        }
        self.object_ends(id);
    }

    fn arrive(&mut self, id: ObjectId, index: PageIndex, wanted: &Wanted) {
        let dirty = self.becomes_dirty(id, index, wanted);
        match self.object(id).pages.get(index).copy.kept() {
            Some(Kept::Slot(_)) => self.stats.fills_stored_pages += 1,
            Some(Kept::Same(_)) => self.stats.fills_same_pages += 1,
            Some(Kept::Zeros) | None => self.stats.fills_zero_pages += 1,
        }
        self.settle_in(id, index, dirty);
    }

    /// A page is in its frame.
    fn settle_in(&mut self, id: ObjectId, index: PageIndex, dirty: bool) {
        let object = self.objects.get_mut(id).expect("what is in flight keeps its object");
        let page = object.pages.get_mut(index);
        let Residency::Filling(_, frame) = page.residency else {
            panic!("what was filling has arrived")
        };
        page.residency = Residency::Resident { busy: 0, frame, since: self.epoch };
        let stored = page.copy.slot().is_some();
        object.resident = PageCount::new(object.resident.get() + 1);
        if object.placement == Placement::Vram {
            self.rank(frame, Self::key(id, index));
        }
        match (dirty, stored) {
            (true, _) => self.make_dirty(id, index),
            (false, true) => self.retained.push_hottest(frame),
            (false, false) => {}
        }
    }

    /// Nobody waits for pages that were prefetched, so nobody would install them: their first use
    /// would still be a fault.
    fn install_everywhere(&mut self, id: ObjectId, range: PageRange, watched: Option<PageIndex>) {
        let mappings = self.object(id).mappings.iter().copied().take(PREFETCH_MAPPINGS_MAX);
        for mapping in mappings.collect::<SmallVec<[MappingId; PREFETCH_MAPPINGS_MAX]>>() {
            let Some(shown) = self.mappings.get(mapping) else { continue };
            let pages = shown.range.intersect(range).into_iter().flatten();
            for page in pages.filter(|page| watched != Some(*page)) {
                self.answer(id, mapping, page, false, FaultKind::Missing, 0);
            }
        }
    }

    fn count_fill(&mut self, id: ObjectId, range: PageRange, wanted: &Wanted) {
        let bytes = range.count().bytes(self.object(id).page_size).get();
        self.stats.filled_bytes += bytes;
        let unasked = range.count().get() - u32::from(wanted.asked().is_some());
        let Some(cause) = wanted.cause() else { return };
        let pages = match cause {
            Cause::Around => &mut self.stats.fills_around_pages,
            Cause::Stream => &mut self.stats.fills_stream_pages,
            Cause::Density => &mut self.stats.fills_density_pages,
            Cause::Hint => &mut self.stats.fills_prefetch_pages,
        };
        *pages += u64::from(unasked);
    }

    fn count_verdict(&mut self, installed: InstallEnd) {
        match installed {
            InstallEnd::Gone => self.stats.verdicts_gone += 1,
            InstallEnd::NotMapped => {
                self.stats.answers_unmapped += 1;
                self.stats.verdicts_refault += 1;
            }
            // A hole again already: the thread was woken, and faults once more.
            InstallEnd::Complete | InstallEnd::Absent => self.stats.verdicts_refault += 1,
        }
    }

    /// The host had no frame: the accessors cannot go on. What came from the store is a hole
    /// again. Zeros are present from now on, as far as they go, since somebody who met no mark may
    /// have written to them already; their holes are patched when they are touched.
    pub(crate) fn on_fill_failed(&mut self, at: MoveId) {
        let ended = self.moves.remove(at.0 as usize);
        let (id, range) = (ended.object, ended.range);
        let Stage::Filling(coming) = ended.stage else { panic!("only a fill can fail to fill") };
        self.stats.fills_failed += 1;
        let mut holes = 0;
        for index in range.iter() {
            let object = self.object_mut(id);
            let page = object.pages.get(index);
            match page.copy.kept() {
                Some(Kept::Slot(_) | Kept::Same(_)) => {
                    object.set_residency(index, Residency::Absent);
                    let frame = page.frame().expect("a filling page has a frame");
                    self.frames.put_back(frame);
                    holes += 1;
                }
                Some(Kept::Zeros) | None => {
                    self.settle_in(id, index, true);
                    self.record_fill(id, single(index), &coming.wanted);
                }
            }
        }
        self.release_room(id, PageCount::new(holes));
        if let Some(mapping) = coming.installing {
            self.mapping_ends(mapping);
        }
        match coming.wanted {
            Wanted::Fault(primary) => self.disappoint(&primary, &ended.waiters),
            // What fails for a guess harms nobody: who has come to want it asks for himself.
            Wanted::Guess { .. } | Wanted::Hint | Wanted::Nobody => {
                ended.waiters.into_iter().for_each(|waiter| self.wake(waiter));
            }
        }
        self.object_ends(id);
    }

    /// Tells those who wait for a page of this fill that it cannot be had.
    fn disappoint(&mut self, primary: &Primary, waiters: &[Waiter]) {
        let mut losers: SmallVec<[(MappingId, PageIndex, u32); 4]> = SmallVec::new();
        losers.push((primary.mapping, primary.page, 1));
        losers.extend(waiters.iter().map(|each| (each.mapping, each.page, each.faults)));
        for (mapping, page, faults) in losers {
            self.stats.verdicts_oom += u64::from(faults);
            self.tell(Action::Poison { mapping, range: single(page) });
        }
    }
}
