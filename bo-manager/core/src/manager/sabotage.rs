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
