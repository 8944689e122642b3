//! Victims: whose pages leave next, and which of them.

use std::cell::RefCell;

use bo_units::ObjectId;
use smallvec::SmallVec;

use crate::Placement;
use crate::accounts::{ASKED_MAX, AccountId};
use crate::entities::Object;
use crate::frames::FrameId;
use crate::limits::DYING_STEP_FRAMES;
use crate::manager::Manager;
use crate::manager::reclaim::size_if_evictable;
use crate::page::PageKey;
use crate::policy::Departure;

/// For whom room is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Asker {
    /// Who is charged for what comes. `None`: nobody in particular.
    pub(crate) account: Option<AccountId>,
    /// What came or was seen in use since this epoch stays.
    pub(crate) start: Option<u32>,
}

impl Manager {
    /// Asks the accounts in turn, and their policies, which may name frames of objects that are
    /// dying and not yet forgotten. It loses them here, so that no later question meets them
    /// again, and a bounded number at a time. True if others may be behind them, or in accounts
    /// that were not come to.
    pub(crate) fn propose(&mut self, want: u64, asker: Asker, victims: &mut Vec<FrameId>) -> bool {
        self.accounts.age();
        let mut asked: SmallVec<[AccountId; ASKED_MAX]> = SmallVec::new();
        let mut found = 0;
        while found < want && asked.len() < ASKED_MAX {
            let Some(account) = self.accounts.next(asker.account, &asked) else { return false };
            asked.push(account);
            let known = victims.len();
            if self.propose_of(account, want - found, victims) {
                return true;
            }
            if let Some(start) = asker.start {
                let mut at = 0;
                victims.retain(|frame| {
                    at += 1;
                    at <= known || self.is_older(*frame, start)
                });
            }
            let pages = victims[known..].iter().map(|frame| self.frames.page(*frame));
            found += pages.filter_map(|key| self.size_if_evictable(key)).sum::<u64>();
        }
        found < want
    }

    /// Asks one account; true if it named nothing but frames of the dying.
    fn propose_of(&mut self, account: AccountId, want: u64, victims: &mut Vec<FrameId>) -> bool {
        self.tell_capacity(account);
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
        ranking.propose(account, want, &size, victims);
        let dying = dying.into_inner();
        for frame in &dying {
            self.ranking.gone(*frame, self.frames.page(*frame), account, Departure::Freed);
        }
        dying.len() == DYING_STEP_FRAMES
    }

    /// What the policies of this account go by.
    fn tell_capacity(&mut self, account: AccountId) {
        self.ranking.set_capacity(self.accounts.room_of(account));
    }

    /// A page of a VRAM-placed object is in this frame, and may leave it again.
    pub(crate) fn rank(&mut self, frame: FrameId, page: PageKey) {
        let object = self.objects.at_slot(page.object).expect("a framed page has an object");
        let Object { account, priority, page_size, .. } = *object;
        self.tell_capacity(account);
        self.ranking.filled(frame, page, page_size.bytes(), (account, priority));
    }

    /// Room was taken for pages of this object.
    pub(crate) fn take_room(&mut self, id: ObjectId, bytes: u64) {
        let object = self.objects.get(id).expect("what is in flight keeps its object");
        match object.placement {
            Placement::Vram => {
                self.pool.take(bytes);
                self.accounts.charge(object.account, bytes);
            }
            Placement::Ram => self.ram_placed += bytes,
        }
    }

    /// Room of pages of this object is free again.
    pub(crate) fn give_room(&mut self, id: ObjectId, bytes: u64) {
        let object = self.objects.get(id).expect("what is in flight keeps its object");
        match object.placement {
            Placement::Vram => {
                self.pool.put_back(bytes);
                self.accounts.discharge(object.account, bytes);
            }
            Placement::Ram => self.ram_placed -= bytes,
        }
    }

    /// Who is charged for what the first in the queue waits for.
    pub(crate) fn asker(&self) -> Asker {
        let first = self.queue.front().map(|at| self.moves[at.0 as usize].object);
        let account = first.and_then(|id| self.objects.get(id)).map(|object| object.account);
        Asker { account, start: None }
    }
}
