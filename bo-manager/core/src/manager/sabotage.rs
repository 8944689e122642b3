//! Bugs that the simulator plants in the core, to see whether its checkers find them.

use bo_units::{ObjectId, PageIndex};

use crate::effect::{Action, Protection};
use crate::manager::Manager;
use crate::page::StoreCopy;
use crate::sim::Plant;

impl Manager {
    /// A cleaner that forgets a mapping.
    pub(crate) fn sabotage(&self, mut action: Action) -> Action {
        if self.plant == Some(Plant::CoreCleansUnguarded)
            && let Action::CopyOut { guards, .. } = &mut action
        {
            guards.pop();
        }
        action
    }

    /// A cleaner that does not notice that its page was written to.
    pub(crate) fn sabotage_copy(&mut self, object: ObjectId, index: PageIndex) {
        let ignores = self.plant == Some(Plant::CoreIgnoresWrites);
        let page = self.object_mut(object).pages.get_mut(index);
        if ignores && page.copy == StoreCopy::DIRTY {
            page.copy = StoreCopy::CLEANING;
        }
    }

    /// A suspension that forgets who waits already.
    pub(crate) fn sabotage_parking(&self) -> bool {
        self.plant == Some(Plant::CoreAnswersSuspended)
    }

    /// A suspension that looks only at what is present.
    pub(crate) fn sabotage_rest(&self) -> bool {
        self.plant == Some(Plant::CoreSleepsEarly)
    }

    /// A client that goes on without its threads.
    pub(crate) fn sabotage_waking(&self) -> bool {
        self.plant == Some(Plant::CoreForgetsParked)
    }

    /// A pool that shrinks on paper.
    pub(crate) fn sabotage_capacity(&self, capacity: u64) -> u64 {
        match self.plant == Some(Plant::CoreShrinksAtOnce) {
            true => self.pool.size(),
            false => capacity,
        }
    }

    /// A cleaner that is not seen by those who map the page meanwhile.
    pub(crate) fn sabotage_entry(
        &self,
        object: ObjectId,
        index: PageIndex,
        protection: Protection,
    ) -> Protection {
        let cleaning = self.object(object).pages.get(index).copy == StoreCopy::CLEANING;
        let forgets = self.plant == Some(Plant::CoreCleansUnwatched);
        if cleaning && forgets { Protection::Writable } else { protection }
    }
}
