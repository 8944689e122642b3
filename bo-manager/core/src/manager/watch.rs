//! Watched pages: which of the pages that nobody asked for were used, and what follows from it.

use bo_units::{MappingId, ObjectId, PageIndex};

use crate::manager::Manager;
use crate::prefetch::{Cause, Change, Sample};

impl Manager {
    /// Which of `unasked` pages that come for this reason is to be watched, by its number.
    pub(crate) fn choose_watched(
        &mut self,
        mapping: Option<MappingId>,
        unasked: u32,
    ) -> Option<u32> {
        let every = self.config.prefetch.sample_every;
        let accuracy = match mapping {
            Some(mapping) => &mut self.mappings.get_mut(mapping)?.accuracy,
            None => &mut self.hints,
        };
        accuracy.choose(unasked, every)
    }

    /// A page that was to be watched has come. `used`: somebody asked for it on its way.
    pub(crate) fn watch(
        &mut self,
        id: ObjectId,
        page: PageIndex,
        cause: Cause,
        mapping: Option<MappingId>,
        used: bool,
    ) {
        *self.stats.sampled.of_mut(cause) += 1;
        self.samples.add(Self::key(id, page), Sample { cause, mapping });
        self.object_mut(id).marks.watch(page.get());
        if used {
            self.unwatch(id, page, true);
        }
    }

    /// Somebody uses this page (`used`), or it goes; if it was watched, it is judged now.
    pub(crate) fn unwatch(&mut self, id: ObjectId, page: PageIndex, used: bool) {
        let marks = &mut self.object_mut(id).marks;
        if !marks.is_watched(page.get()) {
            return;
        }
        marks.unwatch(page.get());
        let sample = self.samples.take(Self::key(id, page)).expect("a watched page is listed");
        let counts = match used {
            true => &mut self.stats.sampled_used,
            false => &mut self.stats.sampled_wasted,
        };
        *counts.of_mut(sample.cause) += 1;
        let Some(mapping) = sample.mapping else {
            // Hints are never made shorter: the client has said how far it wants them.
            self.hints.judge(used);
            return;
        };
        let Some(entry) = self.mappings.get_mut(mapping) else { return };
        match entry.accuracy.judge(used) {
            Some(Change::Halved) => self.stats.extents_halved += 1,
            Some(Change::Doubled) => self.stats.extents_doubled += 1,
            None => {}
        }
    }
}
