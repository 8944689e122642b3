//! Which policy is in use, and how it is exchanged while pages move.

use crate::limits::TOUCH_STEP_PAGES;
use crate::manager::Manager;
use crate::policy;

/// Why the policy was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyRefusal {
    /// No policy has this name. [`policy::NAMES`] are those that there are.
    Unknown,
    /// The change before is not complete: [`Manager::change_policy_some`] goes on with it.
    Changing,
}

impl Manager {
    /// The name of the policy in use.
    #[must_use]
    pub fn policy_name(&self) -> &'static str {
        self.ranking.name()
    }

    /// Changes over to the policy of this name, which orders what comes or is used from now on.
    /// What is there follows in steps: call [`Self::change_policy_some`] until it is done.
    ///
    /// # Errors
    ///
    /// [`PolicyRefusal`]; nothing has changed then.
    pub fn change_policy(&mut self, name: &str) -> Result<(), PolicyRefusal> {
        if policy::by_name(name).is_none() {
            return Err(PolicyRefusal::Unknown);
        }
        if self.ranking.is_changing() {
            return Err(PolicyRefusal::Changing);
        }
        self.ranking.change(name);
        name.clone_into(&mut self.config.policy);
        Ok(())
    }

    /// Moves some of the frames that were there when the policy was changed over to the new one,
    /// coldest first; false if none is left.
    pub fn change_policy_some(&mut self) -> bool {
        let frames = &self.frames;
        self.ranking.move_some(u64::from(TOUCH_STEP_PAGES), |frame| frames.page(frame))
    }
}
