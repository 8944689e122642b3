//! How the objects of suspended clients become empty.

use bo_units::{ClientId, ObjectId};
use smallvec::SmallVec;

use super::state::Suspension;
use crate::Placement;
use crate::limits::{SUSPEND_RETRY, SUSPEND_STEP_HOLDS};
use crate::manager::Manager;

impl Manager {
    /// True if pages of suspended clients can be made to leave now.
    pub(crate) fn wants_expel(&self) -> bool {
        self.sleepers.may_look(self.now) && self.may_expel() && !self.refusals.forbid(self.now)
    }

    /// Looks at a few holds and pages of a suspended client; false if there is none to look at.
    pub(crate) fn expel_step(&mut self) -> bool {
        if !self.wants_expel() {
            return false;
        }
        self.sleepers.retry = None;
        let Some(client) = self.sleepers.work.pop_front() else { return false };
        let entry = self.clients.get_mut(client).and_then(|entry| entry.suspension.as_mut());
        let mut suspension = std::mem::take(entry.expect("who has work is suspended"));
        self.look_at_holds(client, &mut suspension);
        self.look_at_pages(&mut suspension);
        suspension.queued = false;
        let more = suspension.has_work();
        let entry = self.clients.get_mut(client).and_then(|entry| entry.suspension.as_mut());
        *entry.expect("it was looked up above") = suspension;
        if more {
            self.enlist(client);
        }
        self.note_done(client);
        true
    }

    fn look_at_holds(&self, client: ClientId, suspension: &mut Suspension) {
        let Some(next) = suspension.next_hold else { return };
        let Some(entry) = self.clients.get(client) else { return };
        let mut holds = entry.holds.range(next..);
        for (_, hold) in holds.by_ref().take(SUSPEND_STEP_HOLDS) {
            if self.is_asleep(hold.object) && !self.is_out(hold.object) {
                suspension.todo.insert(hold.object);
            }
        }
        suspension.next_hold = holds.next().map(|(slot, _)| *slot);
    }

    fn look_at_pages(&mut self, suspension: &mut Suspension) {
        let Some((id, from)) = suspension.next() else { return };
        if !self.is_asleep(id) || self.is_out(id) {
            suspension.todo.remove(&id);
            suspension.pass(id);
            return;
        }
        let mut expelled = self.expel(id, from);
        self.sleepers.barren = if expelled.bytes > 0 { 0 } else { self.sleepers.barren };
        expelled.begun.sort_unstable_by_key(|range| range.first());
        for range in expelled.begun {
            self.stats.working_set_left_out += suspension.working_set.add(id, range);
        }
        if let Some(rest) = expelled.rest {
            suspension.at = Some((id, rest));
            return;
        }
        suspension.pass(id);
        if self.object(id).in_flight > 0 {
            suspension.todo.remove(&id);
            suspension.moving.insert(id);
            return;
        }
        // Nothing of it can leave now: the store is full, or its pages must stay.
        self.sleepers.barren += 1;
        if suspension.todo.len() <= self.sleepers.barren {
            self.sleepers.barren = 0;
            self.sleepers.retry = Some(self.now.saturating_add(SUSPEND_RETRY));
        }
    }

    /// True if an object has no page in the pool, and none comes.
    pub(super) fn is_out(&self, id: ObjectId) -> bool {
        self.objects.get(id).is_none_or(|object| {
            let still = object.in_flight == 0;
            #[cfg(any(test, feature = "sim"))]
            let still = still || self.sabotage_rest();
            let empty = object.resident.get() == 0 && still;
            object.placement == Placement::Ram || empty
        })
    }

    /// The holders of an object are others than before: perhaps only suspended ones.
    pub(crate) fn note_holders(&mut self, id: ObjectId) {
        if self.is_asleep(id) && !self.is_out(id) {
            self.for_each_sleeper(id, |suspension| {
                if !suspension.moving.contains(&id) {
                    suspension.todo.insert(id);
                }
            });
        }
    }

    /// Nothing of an object is in flight any more.
    pub(crate) fn note_rest(&mut self, id: ObjectId) {
        if self.sleepers.clients.is_empty() {
            return;
        }
        let out = self.is_out(id);
        self.for_each_sleeper(id, |suspension| {
            if suspension.moving.remove(&id) && !out {
                suspension.todo.insert(id);
            }
        });
    }

    /// A client holds an object no more.
    pub(crate) fn let_go(&mut self, client: ClientId, id: ObjectId) {
        let entry = self.clients.get_mut(client).and_then(|entry| entry.suspension.as_mut());
        let Some(suspension) = entry else { return };
        suspension.todo.remove(&id);
        suspension.moving.remove(&id);
        self.note_done(client);
    }

    /// Changes what is known of an object in each suspended client that holds it.
    fn for_each_sleeper(&mut self, id: ObjectId, change: impl Fn(&mut Suspension)) {
        let Some(object) = self.objects.get(id) else { return };
        let holders: SmallVec<[u32; 4]> = object.holders.clone();
        for slot in holders {
            let Some(client) = self.clients.id_at(slot) else { continue };
            let entry = self.clients.get_mut(client).and_then(|entry| entry.suspension.as_mut());
            let Some(suspension) = entry else { continue };
            change(suspension);
            if suspension.has_work() {
                self.enlist(client);
            }
            self.note_done(client);
        }
    }

    pub(super) fn enlist(&mut self, client: ClientId) {
        let entry = self.clients.get_mut(client).and_then(|entry| entry.suspension.as_mut());
        if let Some(suspension) = entry.filter(|suspension| !suspension.queued) {
            suspension.queued = true;
            self.sleepers.work.push_back(client);
        }
    }

    /// Counts a client whose last page is out, or that has one again.
    fn note_done(&mut self, client: ClientId) {
        let entry = self.clients.get_mut(client).and_then(|entry| entry.suspension.as_mut());
        let Some(suspension) = entry else { return };
        let done = suspension.is_done();
        match (suspension.done, done) {
            (false, true) => self.sleepers.suspending -= 1,
            (true, false) => self.sleepers.suspending += 1,
            (true, true) | (false, false) => {}
        }
        suspension.done = done;
    }
}
