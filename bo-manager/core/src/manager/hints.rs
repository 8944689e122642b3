//! Hints: what will be used, and what was.

use bo_units::{ClientId, ObjectId, PageIndex, PageRange, Tick};

use crate::Placement;
use crate::frames::FrameId;
use crate::limits::{FILL_RUN_BYTES, TOUCH_STEP_PAGES};
use crate::manager::victims::Asker;
use crate::manager::{Manager, Reason, Wanted};
use crate::page::{Residency, run};
use crate::refusal::Refusal;

/// When a prefetch began. What came or was seen in use since then does not make way for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefetchStart(u32);

/// What one step of a prefetch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefetch {
    /// These pages are on their way; the next step begins behind them.
    Started {
        /// Which.
        run: PageRange,
    },
    /// Others are making way. The next step has the same range; there may be room then.
    MakingRoom,
    /// There is no room, and nothing that could make way is older than the prefetch.
    Full,
    /// Every page of the range is present or on its way.
    Done,
}

impl Manager {
    /// Notes that pages are in use, for those who know better than the faults show.
    ///
    /// All under one lock: a long range is better touched in steps, with [`Self::touch_some`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Gone`], [`Refusal::Range`], [`Refusal::Suspended`].
    pub fn touch(
        &mut self,
        client: ClientId,
        object: ObjectId,
        range: PageRange,
    ) -> Result<(), Refusal> {
        let mut rest = Some(range);
        while let Some(range) = rest {
            rest = self.touch_some(client, object, range)?;
        }
        Ok(())
    }

    /// Notes that the first pages of `range` are in use; gives the rest of it, for the next step.
    ///
    /// # Errors
    ///
    /// [`Refusal::Gone`], [`Refusal::Range`], [`Refusal::Suspended`].
    pub fn touch_some(
        &mut self,
        client: ClientId,
        object: ObjectId,
        range: PageRange,
    ) -> Result<Option<PageRange>, Refusal> {
        let range = self.grant(client, object, range)?;
        self.check_awake(client)?;
        let entry = self.objects.get_mut(object).ok_or(Refusal::Gone)?;
        if entry.placement == Placement::Ram {
            return Ok(None);
        }
        let (part, rest) = entry.pages.cut(range, TOUCH_STEP_PAGES.min(self.config.step_pages));
        let mut left = part.first().get()..part.end().get();
        while let Some(at) = entry.marks.first_here(left.clone()) {
            left.start = at + 1;
            let page = entry.pages.get_mut(PageIndex::new(at));
            if let Residency::Resident { frame, since, .. } = &mut page.residency {
                *since = self.epoch;
                self.ranking.touched(*frame, entry.account);
            }
        }
        Ok(rest)
    }

    /// A prefetch begins.
    pub fn start_prefetch(&mut self) -> PrefetchStart {
        self.epoch = self.epoch.wrapping_add(1);
        PrefetchStart(self.epoch)
    }

    /// Brings in the next run of absent pages of `range`. The effects are to be carried out, or
    /// under way, before the next step; [`Self::is_arriving`] tells when the run is there.
    ///
    /// Others are evicted for it if they are older than its start, and so never what it has brought
    /// itself: one that is larger than the pool ends when it has all of it. It never waits for
    /// room; whoever faults comes first.
    ///
    /// # Errors
    ///
    /// [`Refusal::Gone`], [`Refusal::Range`], [`Refusal::Suspended`], [`Refusal::Draining`].
    pub fn prefetch(
        &mut self,
        _now: Tick,
        client: ClientId,
        object: ObjectId,
        range: PageRange,
        start: PrefetchStart,
    ) -> Result<Prefetch, Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        let range = self.grant(client, object, range)?;
        self.check_awake(client)?;
        let entry = self.objects.get(object).ok_or(Refusal::Gone)?;
        let rest = range.first().get()..range.end().get();
        let Some(first) = entry.marks.first_absent(rest.clone()) else {
            return Ok(Prefetch::Done);
        };
        let page_bytes = entry.page_size.bytes();
        let most = u32::try_from((FILL_RUN_BYTES / page_bytes).max(1)).unwrap_or(u32::MAX);
        let wished = first..rest.end.min(first.saturating_add(most));
        let wished = u64::from(entry.marks.absent_until(wished) - first);
        let free = match entry.placement {
            Placement::Ram => u64::MAX,
            Placement::Vram if self.queue.is_empty() => self.pool.free(),
            Placement::Vram => 0,
        };
        let count = wished.min(free / page_bytes);
        if count == 0 {
            let asker = Asker { account: Some(entry.account), start: Some(start.0) };
            let started = self.reclaim(wished * page_bytes, Reason::Demand, asker);
            self.stats.prefetches_cut += u64::from(started == 0);
            return Ok(if started > 0 { Prefetch::MakingRoom } else { Prefetch::Full });
        }
        let count = usize::try_from(count).expect("64 pages at most");
        let run = run(PageIndex::new(first), count);
        self.start_fill(object, run, Wanted::Hint, None);
        self.settle();
        Ok(Prefetch::Started { run })
    }

    /// True if the page in this frame came, and was last seen in use, before an epoch began.
    ///
    /// Epochs wrap. A page that nobody was seen to use for 2^31 of them counts as young.
    pub(crate) fn is_older(&self, frame: FrameId, start: u32) -> bool {
        let key = self.frames.page(frame);
        let page = self.objects.at_slot(key.object).map(|object| object.pages.get(key.page));
        match page.map(|page| page.residency) {
            Some(Residency::Resident { since, .. }) => {
                (1..1 << 31).contains(&start.wrapping_sub(since))
            }
            Some(
                Residency::Absent
                | Residency::Waiting(_)
                | Residency::Filling(..)
                | Residency::Evicting(..),
            )
            | None => false,
        }
    }
}
