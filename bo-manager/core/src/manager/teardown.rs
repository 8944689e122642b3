//! How things end: mappings, holds, objects, clients.

use bo_units::{ClientId, MappingId, ObjectId, PageCount, Tick};
use smallvec::SmallVec;

use crate::Placement;
use crate::effect::{Action, Slot};
use crate::limits::{GONE_STEP_HOLDS, GONE_STEP_MAPPINGS};
use crate::manager::{Manager, Pending};
use crate::page::{Kept, Residency, run};
use crate::policy::Departure;
use crate::prefetch::Place;
use crate::refusal::Refusal;

/// What one step of seeing a client off did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the shell has the addresses of these mappings, and there may be more to do"]
pub struct Farewell {
    /// Mappings that are no more.
    pub mappings: SmallVec<[MappingId; GONE_STEP_MAPPINGS]>,
    /// It still has something: another step is needed.
    pub more: bool,
}

impl Manager {
    /// Detaches a mapping. [`Action::Detached`] follows when nothing of it is in flight any more:
    /// now, or in a moment.
    ///
    /// # Errors
    ///
    /// [`Refusal::Gone`] if `client` has no such mapping.
    pub fn detach(
        &mut self,
        _now: Tick,
        client: ClientId,
        mapping: MappingId,
    ) -> Result<(), Refusal> {
        let entry = self.mappings.get_mut(mapping).filter(|entry| entry.client == client);
        let entry = entry.filter(|entry| !entry.closing).ok_or(Refusal::Gone)?;
        entry.closing = true;
        if entry.in_flight == 0 {
            self.forget_mapping(mapping);
            self.tell(Action::Detached { mapping });
        }
        self.settle();
        Ok(())
    }

    /// Gives one handle back. The last one of the last holder frees the object:
    /// [`Action::Freed`] follows when others can have what it took, which is when nothing of it is
    /// in flight any more.
    ///
    /// Returns true if that was the last one.
    ///
    /// # Errors
    ///
    /// [`Refusal::Gone`] if `client` has no handle on it.
    pub fn release(
        &mut self,
        _now: Tick,
        client: ClientId,
        object: ObjectId,
    ) -> Result<bool, Refusal> {
        let holds = &mut self.clients.get_mut(client).ok_or(Refusal::Gone)?.holds;
        let hold = holds.get_mut(&object.slot).filter(|hold| hold.object == object);
        let hold = hold.filter(|hold| hold.handles > 0).ok_or(Refusal::Gone)?;
        hold.handles -= 1;
        self.drop_hold_if_empty(client, object);
        let last = self.objects.get(object).is_none_or(|object| object.dying);
        self.settle();
        Ok(last)
    }

    /// A client is gone, in whatever way: everything that it held comes back.
    ///
    /// Returns the mappings that it had, so that the shell can forget their addresses. Effects in
    /// flight that name them are reported as ever.
    ///
    /// All under one lock: a client with many objects is better seen off in steps, with
    /// [`Self::see_off`].
    pub fn client_gone(&mut self, now: Tick, client: ClientId) -> Vec<MappingId> {
        let mut mappings = Vec::new();
        loop {
            let farewell = self.see_off(now, client);
            mappings.extend(farewell.mappings);
            if !farewell.more {
                return mappings;
            }
        }
    }

    /// A client is gone: the next step of taking back what it held. The effects are to be carried
    /// out before the next step.
    pub fn see_off(&mut self, _now: Tick, client: ClientId) -> Farewell {
        let mut mappings = SmallVec::new();
        for _ in 0..GONE_STEP_MAPPINGS {
            let newest = self.clients.get(client).and_then(|entry| entry.newest_mapping);
            let Some(mapping) = newest.and_then(|slot| self.mappings.id_at(slot)) else { break };
            self.forget_mapping(mapping);
            mappings.push(mapping);
        }
        let mut more = false;
        if let Some(entry) = self.clients.get(client).filter(|entry| entry.newest_mapping.is_some())
        {
            debug_assert!(entry.mappings > 0, "a list and its length");
            more = true;
        } else {
            for _ in 0..GONE_STEP_HOLDS {
                let Some(entry) = self.clients.get_mut(client) else { break };
                let Some(mut hold) = entry.holds.first_entry() else {
                    let account = entry.account;
                    self.forget_sleeper(client);
                    self.clients.remove(client);
                    if self.accounts.leave(account) {
                        self.ranking.close(account);
                    }
                    self.stats.disconnects += 1;
                    break;
                };
                hold.get_mut().handles = 0;
                let object = hold.get().object;
                self.drop_hold_if_empty(client, object);
            }
            more |= self.clients.get(client).is_some();
        }
        self.settle();
        Farewell { mappings, more }
    }

    /// Takes a mapping out of every table.
    pub(crate) fn forget_mapping(&mut self, mapping: MappingId) {
        let Some(entry) = self.mappings.remove(mapping) else { return };
        // At most `mappings_per_object`.
        self.object_mut(entry.object).mappings.retain(|each| *each != mapping);
        self.unlink_mapping(entry.client, entry.siblings);
        self.unpark(entry.client, mapping);
        let client = self.clients.get_mut(entry.client);
        if let Some(hold) = client.and_then(|client| client.holds.get_mut(&entry.object.slot)) {
            hold.mappings -= 1;
        }
        self.drop_hold_if_empty(entry.client, entry.object);
    }

    fn drop_hold_if_empty(&mut self, client: ClientId, object: ObjectId) {
        let Some(entry) = self.clients.get_mut(client) else { return };
        let Some(hold) = entry.holds.get(&object.slot) else { return };
        if hold.handles > 0 || hold.mappings > 0 {
            return;
        }
        entry.holds.remove(&object.slot);
        self.let_go(client, object);
        let entry = self.object_mut(object);
        // At most one for each client.
        entry.holders.retain(|each| *each != client.slot);
        if entry.holders.is_empty() {
            entry.dying = true;
            // So that it is not destroyed before the last of them has been taken out.
            entry.in_flight += 1;
            self.forsake(object);
            self.object_ends(object);
        } else {
            self.note_holders(object);
        }
    }

    /// Nothing names this object any more, and nothing of it is in flight: forgets the pages of one
    /// leaf. After the last one, and at once for a small object, its file is to be destroyed.
    ///
    /// The pages go before their file does. So a policy does not have to look past what is about
    /// to go, and the room, which others get when the file is gone, is then given back as a whole.
    pub(crate) fn forget_pages(&mut self, id: ObjectId) {
        let object = self.objects.get_mut(id).expect("an object is destroyed once");
        let Some((first, leaf)) = object.pages.take_leaf(object.forgotten) else {
            self.want(Pending::Destroy(id), Action::Destroy { object: id });
            return;
        };
        let (page_size, small) = (object.page_size, object.pages.pages().as_usize() <= leaf.len());
        let range = run(first, leaf.len());
        object.forgotten = range.end();
        let account = object.account;
        object.marks.set(range.first().get()..range.end().get(), Place::Absent);
        for page in range.iter() {
            // What was brought unasked and not used by now was wasted.
            self.unwatch(id, page, false);
        }
        let mut slots = 0;
        for (index, page) in range.iter().zip(&leaf) {
            match page.copy.kept() {
                Some(Kept::Slot(number)) => {
                    self.store.put_back(page_size, number);
                    slots += 1;
                }
                Some(Kept::Same(number)) => self.patterns.put_back(number),
                Some(Kept::Zeros) | None => {}
            }
            match page.residency {
                Residency::Absent => self.ranking.forgotten(Self::key(id, index), account),
                Residency::Resident { frame, .. } => {
                    self.retained.remove(frame);
                    self.ranking.gone(frame, self.frames.page(frame), account, Departure::Freed);
                    self.frames.put_back(frame);
                }
                Residency::Waiting(_) | Residency::Filling(..) | Residency::Evicting(..) => {
                    panic!("a dying object at rest has no page in motion")
                }
            }
        }
        let object = self.object_mut(id);
        object.stored = object.stored.saturating_sub(PageCount::new(slots));
        if small {
            self.want(Pending::Destroy(id), Action::Destroy { object: id });
        } else {
            self.shed_surplus();
            self.want(Pending::Forget(id), Action::Yield);
        }
    }

    /// The file is gone, and every frame of it.
    pub(crate) fn on_destroyed(&mut self, id: ObjectId) {
        let object = self.objects.get(id).expect("an object is destroyed once");
        assert!(object.in_flight == 0 && object.mappings.is_empty(), "nothing names it any more");
        self.release_room(id, object.resident);
        self.record_free(id);
        let object = self.objects.remove(id).expect("it was looked up above");
        let bytes = object.bytes();
        if self.accounts.remove_object(object.account) {
            self.ranking.close(object.account);
        }
        match object.placement {
            Placement::Vram => {
                self.committed -= bytes;
                self.page_sizes[object.page_size.shift() as usize - 12] -= 1;
            }
            Placement::Ram => {
                self.ram_reserved -= bytes;
                self.store.set_capacity(self.store.capacity() + bytes);
            }
        }
        self.stats.frees += 1;
        self.tell(Action::Freed { object: id });
        self.shed_surplus();
    }

    /// The RAM of these slots is back with the host. If there is more to give back, it follows.
    pub(crate) fn on_discarded(&mut self, slots: &[Slot]) {
        self.store.discarded(slots);
        self.shed_surplus();
    }

    /// Gives the RAM of free slots beyond the reserve back.
    fn shed_surplus(&mut self) -> bool {
        let slots = self.store.surplus();
        self.discard(slots)
    }

    /// Gives the RAM of some free slots back; false if there are none.
    pub(crate) fn shed_warm(&mut self) -> bool {
        let slots = self.store.shed();
        self.discard(slots)
    }

    fn discard(&mut self, slots: Vec<Slot>) -> bool {
        if slots.is_empty() {
            return false;
        }
        self.want(Pending::Discard(slots.clone()), Action::Discard { slots });
        true
    }
}
