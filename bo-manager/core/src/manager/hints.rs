//! Hints: what will be used, and what was.

use bo_units::{ClientId, ObjectId, PageRange, Tick};

use crate::Placement;
use crate::limits::{EVICT_RUN_BYTES, TOUCH_STEP_PAGES};
use crate::manager::Manager;
use crate::page::Residency;
use crate::refusal::Refusal;

/// What one step of a prefetch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefetch {
    /// These pages are on their way, or wait for room; the next step begins behind them.
    Started {
        /// Which.
        run: PageRange,
    },
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
    /// [`Refusal::Gone`], [`Refusal::Range`].
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
    /// [`Refusal::Gone`], [`Refusal::Range`].
    pub fn touch_some(
        &mut self,
        client: ClientId,
        object: ObjectId,
        range: PageRange,
    ) -> Result<Option<PageRange>, Refusal> {
        let range = self.grant(client, object, range)?;
        let entry = self.objects.get(object).ok_or(Refusal::Gone)?;
        if entry.placement == Placement::Ram {
            return Ok(None);
        }
        let (part, rest) = entry.pages.cut(range, TOUCH_STEP_PAGES.min(self.config.step_pages));
        for (_, page) in entry.pages.touched(part) {
            if let Residency::Resident { frame, .. } = page.residency {
                self.policy.on_touched(frame);
            }
        }
        Ok(rest)
    }

    /// Brings in the next run of absent pages of `range`, evicting others if it must. The effects
    /// are to be carried out, or under way, before the next step; [`Self::is_arriving`] tells when
    /// the run is there.
    ///
    /// # Errors
    ///
    /// [`Refusal::Gone`], [`Refusal::Range`], [`Refusal::Draining`].
    pub fn prefetch(
        &mut self,
        _now: Tick,
        client: ClientId,
        object: ObjectId,
        range: PageRange,
    ) -> Result<Prefetch, Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        let range = self.grant(client, object, range)?;
        let entry = self.objects.get(object).ok_or(Refusal::Gone)?;
        let absent = |page| entry.pages.get(page).residency == Residency::Absent;
        let Some(first) = range.iter().find(|page| absent(*page)) else {
            return Ok(Prefetch::Done);
        };
        // Only what fits at once comes as a run. What has to wait for room waits page by page: the
        // promise that room can always be made is for one page that comes in against one that
        // goes out.
        let free = match entry.placement {
            Placement::Ram => u64::MAX,
            Placement::Vram if self.queue.is_empty() => self.pool.free(),
            Placement::Vram => 0,
        };
        let most = (EVICT_RUN_BYTES.min(free) / entry.page_size.bytes()).max(1);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let rest = PageRange::between(first, range.end()).expect("it was found in the range");
        let count = rest.iter().take(most).take_while(|page| absent(*page)).count();
        let run = crate::page::run(first, count);
        self.start_fill(object, run, None);
        self.settle();
        Ok(Prefetch::Started { run })
    }
}
