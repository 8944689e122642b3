//! Fills: which pages come with the one that is wanted, and what is true when they have come.

use bo_units::{MappingId, ObjectId, PageCount, PageIndex, PageRange};
use smallvec::SmallVec;

use crate::effect::{Action, Install, InstallEnd, Protection, Source};
use crate::limits::{PREFETCH_MAPPINGS_MAX, STREAM_DOUBLINGS_MAX, STREAM_FAULTS_MIN};
use crate::manager::answer::{protection, single};
use crate::manager::{FaultKind, Manager, Move, Pending, Primary, Reason, Stage};
use crate::page::{Kept, MoveId, Residency, grown, run};
use crate::{Access, Placement};

impl Manager {
    /// True if the faults of this mapping come page after page.
    pub(crate) fn follow_stream(&mut self, mapping: MappingId, page: PageIndex) -> bool {
        let Some(entry) = self.mappings.get_mut(mapping) else { return false };
        let stream = &mut entry.stream;
        stream.faults = match stream.next == page {
            true => stream.faults.saturating_add(1),
            false => 0,
        };
        stream.next = page + PageCount::new(1);
        stream.faults >= STREAM_FAULTS_MIN
    }

    /// The run of absent pages that comes with the page of `primary`.
    ///
    /// A stream looks ahead only, and further with each fault, as CRIU's lazy pages do; a lone
    /// fault takes what is around it in the aligned window, as the kernel does for files.
    /// Neighbours never make anybody wait for an eviction: without room they stay away.
    pub(crate) fn extent(&self, id: ObjectId, primary: &Primary) -> PageRange {
        let object = self.object(id);
        let alone = single(primary.page);
        let page_bytes = object.page_size.bytes();
        let Some(mapping) = self.mappings.get(primary.mapping) else { return alone };
        let doublings = match primary.stream {
            true => u32::from(mapping.stream.faults - STREAM_FAULTS_MIN).min(STREAM_DOUBLINGS_MAX),
            false => 0,
        };
        let window = (self.config.fault_around.get() << doublings) / page_bytes;
        let room = match object.placement {
            Placement::Ram => u64::MAX,
            Placement::Vram if primary.stream => self.pool.free() / 2,
            Placement::Vram => self.pool.free().saturating_sub(self.config.reserve.get()),
        };
        let window = u32::try_from(window.min(room / page_bytes)).unwrap_or(u32::MAX);
        if window <= 1 || !self.queue.is_empty() {
            return alone;
        }
        let at = primary.page.get();
        let start = if primary.stream { at } else { at - at % window };
        let low = start.max(mapping.range.first().get());
        let high = start.saturating_add(window).min(mapping.range.end().get());
        let absent =
            |number: &u32| object.pages.get(PageIndex::new(*number)).residency == Residency::Absent;
        let before = (low..at).rev().take_while(absent).count();
        let after = (at + 1..high).take_while(absent).count();
        let first = at - u32::try_from(before).expect("a window fits its object");
        run(PageIndex::new(first), before + 1 + after)
    }

    /// Fills now if there is room, or joins the queue.
    pub(crate) fn start_fill(
        &mut self,
        object: ObjectId,
        range: PageRange,
        primary: Option<Primary>,
    ) {
        let entry = self.object_mut(object);
        entry.in_flight += 1;
        let bytes = range.count().bytes(entry.page_size).get();
        let in_ram = entry.placement == Placement::Ram;
        let stage = Stage::Waiting(primary);
        let reason = Reason::Demand;
        let waiters = SmallVec::new();
        let number = self.moves.insert(Move { object, range, waiters, stage, reason });
        let at = MoveId(u32::try_from(number).expect("moves are few"));
        if in_ram || (self.queue.is_empty() && bytes <= self.pool.free()) {
            self.begin_fill(at);
            return;
        }
        assert_eq!(range.count(), PageCount::ONE, "room can be made for any page, not for any run");
        self.object_mut(object).pages.get_mut(range.first()).residency = Residency::Waiting(at);
        self.stats.faults_starved += u64::from(primary.is_some());
        self.queue.push_back(at);
    }

    /// Takes frames for a move that has room, and asks for the bytes.
    pub(crate) fn begin_fill(&mut self, at: MoveId) {
        let entry = &self.moves[at.0 as usize];
        let (id, range) = (entry.object, entry.range);
        let Stage::Waiting(primary) = entry.stage else { panic!("a fill begins once") };
        let object = self.objects.get_mut(id).expect("what is in flight keeps its object");
        let bytes = range.count().bytes(object.page_size).get();
        match object.placement {
            Placement::Vram => self.pool.take(bytes),
            Placement::Ram => self.ram_placed += bytes,
        }
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
        self.note_ram_peak();
        let install = primary.and_then(|primary| self.install_for(id, range, &primary));
        match &install {
            Some(install) => self.mapping_begins(install.mapping),
            // Whoever wanted it has left while it waited for room.
            None => self.stats.verdicts_gone += u64::from(primary.is_some()),
        }
        let primary = primary.filter(|_| install.is_some());
        self.moves[at.0 as usize].stage = Stage::Filling(primary);
        self.want(Pending::Move(at), Action::Fill { object: id, range, sources, install });
    }

    /// True if the page will be dirty when the fill ends: it is about to be written, or its first
    /// write would not be seen.
    fn becomes_dirty(&self, id: ObjectId, index: PageIndex, primary: Option<&Primary>) -> bool {
        let written = primary.is_some_and(|primary| {
            let writes = primary.write
                && (self.mappings.get(primary.mapping))
                    .is_none_or(|mapping| mapping.access == Access::ReadWrite);
            writes && (primary.stream || primary.page == index)
        });
        written || !self.object(id).pages.get(index).copy.is_guarded()
    }

    fn install_for(&self, id: ObjectId, range: PageRange, primary: &Primary) -> Option<Install> {
        let mapping = self.mappings.get(primary.mapping).filter(|entry| !entry.closing)?;
        let mut runs: SmallVec<[(PageRange, Protection); 3]> = SmallVec::new();
        for index in range.iter() {
            let guarded = !self.becomes_dirty(id, index, Some(primary));
            let wanted = protection(guarded, mapping.access);
            match runs.last_mut() {
                Some((run, protection)) if *protection == wanted => {
                    *run = grown(*run);
                }
                Some(_) | None => runs.push((single(index), wanted)),
            }
        }
        Some(Install { mapping: primary.mapping, runs })
    }

    /// The bytes are there.
    pub(crate) fn on_filled(&mut self, at: MoveId, installed: InstallEnd) {
        let ended = self.moves.remove(at.0 as usize);
        let (id, range) = (ended.object, ended.range);
        let Stage::Filling(primary) = ended.stage else { panic!("only a fill is filled") };
        for index in range.iter() {
            self.arrive(id, index, primary.as_ref());
        }
        self.count_fill(id, range, primary.as_ref());
        match primary {
            Some(primary) => self.finish_primary(&primary, range, installed),
            None => self.install_everywhere(id, range),
        }
        self.answer_waiters(id, ended);
        self.object_ends(id);
    }

    fn arrive(&mut self, id: ObjectId, index: PageIndex, primary: Option<&Primary>) {
        let dirty = self.becomes_dirty(id, index, primary);
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
        page.residency = Residency::Resident { busy: 0, frame };
        let stored = page.copy.slot().is_some();
        object.resident = PageCount::new(object.resident.get() + 1);
        if object.placement == Placement::Vram {
            self.policy.on_filled(frame, Self::key(id, index));
        }
        match (dirty, stored) {
            (true, _) => self.make_dirty(id, index),
            (false, true) => self.retained.push_hottest(frame),
            (false, false) => {}
        }
    }

    /// Nobody waits for pages that were prefetched, so nobody would install them: their first use
    /// would still be a fault.
    fn install_everywhere(&mut self, id: ObjectId, range: PageRange) {
        let mappings = self.object(id).mappings.clone();
        for mapping in mappings.into_iter().take(PREFETCH_MAPPINGS_MAX) {
            let Some(shown) = self.mappings.get(mapping) else { continue };
            for page in shown.range.intersect(range).into_iter().flatten() {
                self.answer(id, mapping, page, false, FaultKind::Missing, 0);
            }
        }
    }

    fn count_fill(&mut self, id: ObjectId, range: PageRange, primary: Option<&Primary>) {
        let bytes = range.count().bytes(self.object(id).page_size).get();
        self.stats.filled_bytes += bytes;
        let pages = u64::from(range.count().get());
        match primary {
            Some(_) => self.stats.fills_around_pages += pages - 1,
            None => self.stats.fills_prefetch_pages += pages,
        }
    }

    fn finish_primary(&mut self, primary: &Primary, range: PageRange, installed: InstallEnd) {
        if let Some(mapping) = self.mappings.get_mut(primary.mapping) {
            mapping.stream.next = range.end();
        }
        self.mapping_ends(primary.mapping);
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
        let Stage::Filling(primary) = ended.stage else { panic!("only a fill can fail to fill") };
        self.stats.fills_failed += 1;
        let mut holes = 0;
        for index in range.iter() {
            match self.object(id).pages.get(index).copy.kept() {
                Some(Kept::Slot(_) | Kept::Same(_)) => {
                    let page = self.object_mut(id).pages.get_mut(index);
                    let frame = page.frame().expect("a filling page has a frame");
                    page.residency = Residency::Absent;
                    self.frames.put_back(frame);
                    holes += 1;
                }
                Some(Kept::Zeros) | None => self.settle_in(id, index, true),
            }
        }
        self.release_room(id, PageCount::new(holes));
        let mut losers: SmallVec<[(MappingId, PageIndex, u32); 4]> = SmallVec::new();
        if let Some(primary) = primary {
            self.mapping_ends(primary.mapping);
            losers.push((primary.mapping, primary.page, 1));
        }
        losers.extend(ended.waiters.iter().map(|each| (each.mapping, each.page, each.faults)));
        for (mapping, page, faults) in losers {
            self.stats.verdicts_oom += u64::from(faults);
            self.tell(Action::Poison { mapping, range: single(page) });
        }
        self.object_ends(id);
    }
}
