//! What holders say of an object: how dear it is.

use bo_units::{ClientId, ObjectId, PageIndex, PageRange};

use crate::limits::TOUCH_STEP_PAGES;
use crate::manager::Manager;
use crate::page::Residency;
use crate::policy::Departure;
use crate::ranking::Priority;
use crate::refusal::Refusal;
use crate::{Access, Placement};

impl Manager {
    /// Pages of `object` leave before those of a higher priority of the same account from now on,
    /// and after those of a lower one. Those that are present follow in steps: call
    /// [`Self::rerank_some`] with the whole object until it is done.
    ///
    /// # Errors
    ///
    /// [`Refusal::Gone`]; [`Refusal::ReadOnly`], if `client` may not write to it.
    pub fn set_priority(
        &mut self,
        client: ClientId,
        object: ObjectId,
        priority: Priority,
    ) -> Result<PageRange, Refusal> {
        if self.access(client, object)? != Access::ReadWrite {
            return Err(Refusal::ReadOnly);
        }
        let entry = self.objects.get_mut(object).ok_or(Refusal::Gone)?;
        entry.priority = priority;
        Ok(entry.all())
    }

    /// Puts the first pages of `range` among those of their object's priority; gives the rest of
    /// it, for the next step. `None`: that was all, or the object is gone.
    pub fn rerank_some(&mut self, object: ObjectId, range: PageRange) -> Option<PageRange> {
        let entry = self.objects.get(object).filter(|entry| !entry.dying)?;
        if entry.placement == Placement::Ram {
            return None;
        }
        let (account, priority) = (entry.account, entry.priority);
        let (part, rest) = entry.pages.cut(range, TOUCH_STEP_PAGES.min(self.config.step_pages));
        let mut left = part.first().get()..part.end().get();
        while let Some(at) = self.object(object).marks.first_here(left.clone()) {
            left.start = at + 1;
            let page = PageIndex::new(at);
            let Residency::Resident { frame, .. } = self.object(object).pages.get(page).residency
            else {
                continue;
            };
            let key = Self::key(object, page);
            if self.ranking.is_of_another(frame, priority) {
                self.ranking.gone(frame, key, account, Departure::Freed);
                self.rank(frame, key);
            }
        }
        rest
    }
}
