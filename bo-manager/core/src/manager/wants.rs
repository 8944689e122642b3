//! What all parts of the manager use: how an effect is asked for, and how an object is looked up.

use bo_units::{ObjectId, PageIndex};

use crate::effect::{Action, Effect, EffectId};
use crate::entities::Object;
use crate::manager::{Manager, Pending};
use crate::page::PageKey;

impl Manager {
    /// Adds an effect that has an outcome.
    pub(crate) fn want(&mut self, pending: Pending, action: Action) {
        let number = u32::try_from(self.pending.insert(pending)).expect("effects are few");
        self.effects.push_back(Effect { id: Some(EffectId(number)), action, ahead: false });
    }

    /// Adds an effect whose outcome changes nothing.
    pub(crate) fn tell(&mut self, action: Action) {
        self.effects.push_back(Effect { id: None, action, ahead: false });
    }

    pub(crate) fn object(&self, id: ObjectId) -> &Object {
        self.objects.get(id).expect("what is in flight keeps its object")
    }

    pub(crate) fn object_mut(&mut self, id: ObjectId) -> &mut Object {
        self.objects.get_mut(id).expect("what is in flight keeps its object")
    }

    pub(crate) fn key(object: ObjectId, page: PageIndex) -> PageKey {
        PageKey { object: object.slot, page }
    }
}
