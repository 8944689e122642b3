//! The cleaner: pages are copied to the store while they stay, so that they can leave by a punch.
//!
//! It looks at the cold end of the pool only, at what would leave next, and once at each page for
//! each time that it grows cold. A page that is being cleaned is protected in every mapping and
//! stays in use: readers notice nothing, and a writer calls the cleaning off without waiting for
//! it, since the page is dirty in the books before its write is let through. Pages that are never
//! cleaned are never protected, and pay nothing.

use bo_units::{ObjectId, PageIndex, Tick};

use crate::frames::FrameId;
use crate::limits::{EVICT_RUN_BYTES, LOOK_AHEAD_PART, SHY_PARTS, TURNOVER_PARTS, WASTE_WEIGHT};
use crate::manager::evict::Room;
use crate::manager::reclaim::Run;
use crate::manager::{Manager, Pending, Reason, Stage};
use crate::page::{Kept, MoveId, Residency, StoreCopy};

/// The mark of a frame whose page the cleaner has copied, and nobody has written to since.
const CLEANED: u8 = 1 << 7;

/// The mark of a frame whose page was to leave, but is dirty, and clean ones left instead.
const PASSED_OVER: u8 = 1 << 6;

/// The rest of a mark: when a page was last written to although it had been cleaned, in parts of a
/// pool that were filled, from 1 to this and round again; zero: never.
const PART: u8 = PASSED_OVER - 1;

/// How far ahead the cleaner works.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    /// Bytes of the window beyond the smallest one. Pages that leave clean make it wider, pages
    /// that were cleaned for nothing narrower: with the cost of both, it settles where the cleaner
    /// saves more than it costs.
    pub(crate) grown: u64,
}

impl Manager {
    /// True if the cleaner has work that is worth waking a thread for.
    #[must_use]
    pub fn wants_clean(&self) -> bool {
        let left = self.clean_left();
        left > 0 && EVICT_RUN_BYTES.min(self.clean_window() / 2) <= left
    }

    /// Begins to copy some of the pages that would leave next. Effects come out of
    /// [`Self::poll_effect`]; false means that there was nothing to look at. Reclaim comes first:
    /// call this when [`Self::handle_reclaim`] has nothing to do.
    pub fn handle_clean(&mut self, now: Tick) -> bool {
        self.now = now;
        if self.clean_left() == 0 {
            return false;
        }
        let window = self.clean_window();
        let mut looked = std::mem::take(&mut self.victims);
        looked.clear();
        if let Some(account) = self.accounts.next(None, &[]) {
            self.ranking.survey(account, window, EVICT_RUN_BYTES, &mut looked);
        }
        let any = !looked.is_empty();
        looked.retain(|frame| self.is_worth_cleaning(*frame));
        let runs = self.runs(&mut looked, Reason::Background);
        self.victims = looked;
        for run in runs {
            self.begin_clean(run);
        }
        any
    }

    /// How many bytes may still be looked at, as things stand.
    fn clean_left(&self) -> u64 {
        let Some(start) = self.config.marks.clean_start else { return 0 };
        // A store that is nearly full is left to those who must have a slot.
        let tight = self.store.room() <= self.store.capacity() / TURNOVER_PARTS;
        let resting = self.draining || self.sealed || self.refusals.forbid(self.now);
        if self.pool.used() <= start.get() || tight || resting {
            return 0;
        }
        let next = self.accounts.next(None, &[]);
        next.map_or(0, |account| self.ranking.survey_left(account, self.clean_window()))
    }

    /// How much of the cold end is kept clean: one run at the least, at the most what one round of
    /// reclaim evicts.
    pub(crate) fn clean_window(&self) -> u64 {
        let (start, stop) =
            (self.config.marks.reclaim_start_free, self.config.marks.reclaim_stop_free);
        let least = EVICT_RUN_BYTES.min(self.pool.size() / LOOK_AHEAD_PART);
        (least + self.cleaner.grown).min(stop.get().saturating_sub(start.get()).max(least))
    }

    fn is_worth_cleaning(&self, frame: FrameId) -> bool {
        let key = self.frames.page(frame);
        let page = self.objects.at_slot(key.object).map(|object| object.pages.get(key.page));
        page.is_some_and(|page| page.copy == StoreCopy::DIRTY)
            && self.size_if_evictable(key).is_some()
            && !self.is_shy(frame)
            && !self.objects.id_at(key.object).is_some_and(|id| self.is_asleep(id))
    }

    /// True if the page was cleaned for nothing a short while ago. In a pool that stands still
    /// time does too, so that pages in use are not cleaned over and over.
    fn is_shy(&self, frame: FrameId) -> bool {
        let since = self.frames.mark(frame) & PART;
        since > 0 && (self.part() + PART - since) % PART < SHY_PARTS
    }

    /// The time, in parts of a pool that were filled. After eight pools it begins again: a page
    /// that was shy then is for a moment shy once more, which does no harm.
    fn part(&self) -> u8 {
        let parts = self.stats.filled_bytes / (self.pool.size() / TURNOVER_PARTS).max(1);
        u8::try_from(parts % u64::from(PART)).expect("the remainder is small") + 1
    }

    /// Begins with as much of the run as the store has room for.
    fn begin_clean(&mut self, run: Run) {
        let Some((run, transfer)) = self.prepare_copy(run, Room::Find) else { return };
        let action = self.copy_action(run, &transfer);
        #[cfg(any(test, feature = "sim"))]
        let action = self.sabotage(action);
        let stage = Stage::Cleaning(transfer);
        let at = self.begin_move(run.object, run.range, stage, run.reason);
        let object = self.objects.get_mut(run.object).expect("an evictable page has an object");
        for index in run.range.iter() {
            let page = object.pages.get_mut(index);
            let Residency::Resident { busy: busy @ 0, .. } = &mut page.residency else {
                panic!("a page that is cleaned is present and idle")
            };
            // It must not leave before this copy is done, nor be copied twice at a time.
            *busy = 1;
            page.copy = StoreCopy::CLEANING;
        }
        self.want(Pending::Move(at), action);
    }

    /// The copy is done. Pages that nobody has written to since it was begun are clean now.
    pub(crate) fn on_cleaned(&mut self, at: MoveId, same: &[Option<u64>]) {
        let slots = self.end_copying(at);
        let ended = self.moves.remove(at.0 as usize);
        let id = ended.object;
        for ((index, slot), same) in ended.range.iter().zip(slots).zip(same) {
            let frame = self.end_cleaning(id, index);
            #[cfg(any(test, feature = "sim"))]
            self.sabotage_copy(id, index);
            if self.object(id).pages.get(index).copy != StoreCopy::CLEANING {
                self.store.put_back(self.object(id).page_size, slot);
                continue;
            }
            if let Kept::Slot(_) = self.keep_copy(id, index, slot, *same) {
                self.retained.push_hottest(frame);
            }
            self.frames.set_mark(frame, self.frames.mark(frame) | CLEANED);
            self.stats.cleaned += 1;
        }
        assert!(ended.waiters.is_empty(), "nobody waits for a page that stays in use");
        self.object_ends(id);
    }

    /// A mapping could not be protected, or a page not read. They are as they were.
    pub(crate) fn on_clean_failed(&mut self, at: MoveId) {
        let slots = self.end_copying(at);
        let ended = self.moves.remove(at.0 as usize);
        let id = ended.object;
        for (index, slot) in ended.range.iter().zip(slots) {
            self.end_cleaning(id, index);
            self.store.put_back(self.object(id).page_size, slot);
            let page = self.object_mut(id).pages.get_mut(index);
            if page.copy == StoreCopy::CLEANING {
                page.copy = StoreCopy::DIRTY;
            }
            self.stats.cleanings_failed += 1;
        }
        self.object_ends(id);
    }

    fn end_cleaning(&mut self, id: ObjectId, index: PageIndex) -> FrameId {
        let page = self.object_mut(id).pages.get_mut(index);
        let Residency::Resident { busy, frame, .. } = &mut page.residency else {
            panic!("a page that is cleaned stays present")
        };
        *busy -= 1;
        *frame
    }

    /// A page is about to be written to. If the cleaner has worked for nothing, it leaves the page
    /// alone for a while, and works less far ahead.
    pub(crate) fn note_write(&mut self, id: ObjectId, index: PageIndex) {
        let page = self.object(id).pages.get(index);
        let Some(frame) = page.frame() else { return };
        let called_off = page.copy == StoreCopy::CLEANING;
        let wasted = self.frames.mark(frame) & CLEANED != 0;
        if !called_off && !wasted {
            return;
        }
        self.stats.cleanings_called_off += u64::from(called_off);
        self.stats.cleaned_wasted += u64::from(wasted);
        let bytes = self.object(id).page_size.bytes();
        self.cleaner.grown = self.cleaner.grown.saturating_sub(WASTE_WEIGHT * bytes);
        self.frames.set_mark(frame, self.part());
    }

    /// The copy of a page is given up, by a write or for others.
    pub(crate) fn note_dirty(&mut self, frame: FrameId) {
        self.frames.set_mark(frame, self.frames.mark(frame) & !CLEANED);
    }

    /// A clean page leaves instead of the dirty one in this frame. That happens to it once: pages
    /// that are only read would else keep those at the cold end for ever.
    pub(crate) fn pass_over(&mut self, frame: FrameId) {
        self.frames.set_mark(frame, self.frames.mark(frame) | PASSED_OVER);
    }

    /// True if it was the turn of the page in this frame before.
    pub(crate) fn was_passed_over(&self, frame: FrameId) -> bool {
        self.frames.mark(frame) & PASSED_OVER != 0
    }

    /// A page leaves, clean.
    pub(crate) fn note_used(&mut self, frame: FrameId, bytes: u64) {
        if self.frames.mark(frame) & CLEANED != 0 {
            self.stats.cleaned_used += 1;
            let most = self.config.marks.reclaim_stop_free.get();
            self.cleaner.grown = (self.cleaner.grown + bytes).min(most);
        }
    }

    /// True if the books say that the cleaner has copied the page in this frame.
    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn is_cleaned(&self, frame: FrameId) -> bool {
        self.frames.mark(frame) & CLEANED != 0
    }
}
