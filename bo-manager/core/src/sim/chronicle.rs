//! What is recorded, held against what is: who reads a recording must find every page where it is.

use std::collections::BTreeSet;

use bo_units::{ObjectId, PageIndex};

use super::Sim;
use crate::journal::{Event, What};
use crate::manager::Events;
use crate::page::Residency;
use crate::{Manager, Placement};

/// The pages that are present, by the recording alone.
#[derive(Debug, Default)]
pub(crate) struct Chronicle {
    present: BTreeSet<(ObjectId, PageIndex)>,
    taken: Events,
}

impl Chronicle {
    /// Reads on, and compares.
    pub(crate) fn follow(&mut self, manager: &mut Manager) {
        let mut taken = std::mem::take(&mut self.taken);
        manager.take_events(&mut taken);
        assert_eq!(taken.lost, 0, "one decision records less than the queue holds");
        let eventful = !taken.events.is_empty();
        taken.events.iter().for_each(|event| self.note(event));
        self.taken = taken;
        if eventful {
            let (told, held): (Vec<_>, Vec<_>) = (self.living(manager), held(manager));
            assert_eq!(told, held, "the recording tells of other pages than there are");
        }
    }

    fn note(&mut self, event: &Event) {
        for page in event.pages.iter() {
            let key = (event.object, page);
            match event.what {
                What::Fault { .. } => {}
                What::Filled(_) => assert!(self.present.insert(key), "filled twice: {event:?}"),
                What::Evicted { .. } => assert!(self.present.remove(&key), "gone: {event:?}"),
                What::Freed => drop(self.present.remove(&key)),
            }
        }
    }

    /// A dying object forgets its pages before it is freed.
    fn living(&self, manager: &Manager) -> Vec<(ObjectId, PageIndex)> {
        let lives = |id| manager.objects.get(id).is_none_or(|object| !object.dying);
        self.present.iter().copied().filter(|(id, _)| lives(*id)).collect()
    }
}

fn held(manager: &Manager) -> Vec<(ObjectId, PageIndex)> {
    let objects = manager.objects.iter();
    let pooled = objects.filter(|(_, each)| each.placement == Placement::Vram && !each.dying);
    let mut held: Vec<_> = pooled
        .flat_map(|(id, object)| {
            let present = object.pages.touched(object.all()).filter(|(_, page)| {
                matches!(page.residency, Residency::Resident { .. } | Residency::Evicting(..))
            });
            present.map(move |(page, _)| (id, page))
        })
        .collect();
    held.sort_unstable();
    held
}

impl Sim {
    /// Half of all worlds are recorded.
    pub(crate) fn follow_recording(&mut self) {
        if self.manager.config.record {
            self.chronicle.follow(&mut self.manager);
        }
    }
}
