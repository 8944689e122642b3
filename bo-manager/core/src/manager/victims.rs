//! Victims: what the policy proposes, less what is about to go by itself.

use std::cell::RefCell;

use smallvec::SmallVec;

use crate::frames::FrameId;
use crate::limits::DYING_STEP_FRAMES;
use crate::manager::Manager;
use crate::manager::reclaim::size_if_evictable;
use crate::policy::Departure;

impl Manager {
    /// Asks the policy, which may name frames of objects that are dying and not yet forgotten. It
    /// loses them here, so that no later question meets them again, and a bounded number at a time;
    /// says how many these were.
    pub(crate) fn propose(&mut self, want: u64, victims: &mut Vec<FrameId>) -> usize {
        let dying: RefCell<SmallVec<[FrameId; DYING_STEP_FRAMES]>> = RefCell::default();
        let Self { ranking, frames, objects, .. } = self;
        let size = |frame| {
            let key = frames.page(frame);
            let object = objects.at_slot(key.object);
            if object.is_none_or(|object| !object.dying) {
                return size_if_evictable(objects, key);
            }
            let mut dying = dying.borrow_mut();
            dying.push(frame);
            // So much that the policy stops here. The name is checked again, and not taken.
            (dying.len() == DYING_STEP_FRAMES).then_some(want)
        };
        ranking.propose(want, &size, victims);
        let dying = dying.into_inner();
        for frame in &dying {
            self.ranking.gone(*frame, self.frames.page(*frame), Departure::Freed);
        }
        dying.len()
    }
}
