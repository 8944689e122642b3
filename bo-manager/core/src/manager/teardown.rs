//! How things end: mappings, holds, objects, clients.

use bo_units::{ClientId, MappingId, ObjectId, PageIndex, Tick};

use crate::Placement;
use crate::effect::{Action, Slot};
use crate::manager::{Manager, Pending};
use crate::page::Residency;
use crate::refusal::Refusal;

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

    /// Gives one handle back. The last one of the last holder frees the object.
    ///
    /// # Errors
    ///
    /// [`Refusal::Gone`] if `client` has no handle on it.
    pub fn release(
        &mut self,
        _now: Tick,
        client: ClientId,
        object: ObjectId,
    ) -> Result<(), Refusal> {
        let holds = &mut self.clients.get_mut(client).ok_or(Refusal::Gone)?.holds;
        let hold = holds.get_mut(&object.slot).filter(|hold| hold.object == object);
        let hold = hold.filter(|hold| hold.handles > 0).ok_or(Refusal::Gone)?;
        hold.handles -= 1;
        self.drop_hold_if_empty(client, object);
        self.settle();
        Ok(())
    }

    /// A client is gone, in whatever way: everything that it held comes back.
    ///
    /// Returns the mappings that it had, so that the shell can forget their addresses. Effects in
    /// flight that name them are reported as ever.
    pub fn client_gone(&mut self, _now: Tick, client: ClientId) -> Vec<MappingId> {
        let Some(entry) = self.clients.get_mut(client) else { return Vec::new() };
        // Taken as a whole: looking each one up in the list of all would be quadratic.
        let mappings = std::mem::take(&mut entry.mappings).into_vec();
        let objects: Vec<ObjectId> = entry.holds.values().map(|hold| hold.object).collect();
        for mapping in &mappings {
            self.forget_mapping(*mapping);
        }
        for object in objects {
            if let Some(entry) = self.clients.get_mut(client)
                && let Some(hold) = entry.holds.get_mut(&object.slot)
            {
                hold.handles = 0;
            }
            self.drop_hold_if_empty(client, object);
        }
        self.clients.remove(client);
        self.stats.disconnects += 1;
        self.settle();
        mappings
    }

    /// Takes a mapping out of every table.
    pub(crate) fn forget_mapping(&mut self, mapping: MappingId) {
        let Some(entry) = self.mappings.remove(mapping) else { return };
        self.object_mut(entry.object).mappings.retain(|each| *each != mapping);
        if let Some(client) = self.clients.get_mut(entry.client) {
            client.mappings.retain(|each| *each != mapping);
            if let Some(hold) = client.holds.get_mut(&entry.object.slot) {
                hold.mappings -= 1;
            }
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
        let entry = self.object_mut(object);
        entry.holders -= 1;
        if entry.holders == 0 {
            entry.dying = true;
            self.destroy_if_idle(object);
        }
    }

    /// The file is gone, and every frame of it.
    pub(crate) fn on_destroyed(&mut self, id: ObjectId) {
        let object = self.objects.get(id).expect("an object is destroyed once");
        assert!(object.in_flight == 0 && object.mappings.is_empty(), "nothing names it any more");
        self.unwatch_all(id);
        let object = self.object(id);
        let all = object.all();
        let touched: Vec<PageIndex> = object.pages.touched(all).map(|(index, _)| index).collect();
        let mut present = 0;
        for index in touched {
            self.make_dirty(id, index);
            let page = self.object(id).pages.get(index);
            match page.residency {
                Residency::Absent => {}
                Residency::Resident { frame, .. } => {
                    self.policy.on_gone(frame);
                    self.frames.put_back(frame);
                    present += 1;
                }
                Residency::Waiting(_) | Residency::Filling(..) | Residency::Evicting(..) => {
                    panic!("a destroyed object has no page in motion")
                }
            }
        }
        self.release_room(id, bo_units::PageCount::new(present));
        let object = self.objects.remove(id).expect("it was looked up above");
        let bytes = object.bytes();
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
        while self.shed_surplus() {}
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
