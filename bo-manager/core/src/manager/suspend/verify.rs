//! What is said of suspended clients twice.

use bo_units::ObjectId;

use crate::Placement;
use crate::entities::ClientState;
use crate::limits::WORKING_SET_RUNS_MAX;
use crate::manager::Manager;

impl Manager {
    /// Objects in VRAM that only suspended clients hold, of which it is said that all is out.
    #[must_use]
    pub fn sleeping_objects(&self) -> Vec<ObjectId> {
        let out = |slot: &u32| {
            let client = self.clients.at_slot(*slot);
            client.is_some_and(|client| client.state() == ClientState::Suspended)
        };
        let vram = self.objects.iter().filter(|(_, object)| object.placement == Placement::Vram);
        let asleep = vram.filter(|(_, object)| !object.dying && object.holders.iter().all(out));
        asleep.map(|(id, _)| id).collect()
    }

    /// What is counted of suspended clients is so, and none of them has a page in the pool once it
    /// is said that all are out.
    pub(crate) fn assert_sleepers(&self) {
        let (mut parked, mut sleeping, mut suspending) = (0, 0, 0);
        for (id, client) in self.clients.iter() {
            let waiting: u64 = client.parked.mappings().map(|(_, faults)| u64::from(faults)).sum();
            assert_eq!(waiting, client.parked.faults(), "faults that wait for a client");
            parked += waiting;
            for (mapping, _) in client.parked.mappings() {
                let entry = self.mappings.get(mapping).expect("faults go with their mapping");
                assert_eq!(entry.client, id, "whose faults");
            }
            let Some(suspension) = &client.suspension else { continue };
            sleeping += 1;
            suspending += u64::from(!suspension.done);
            assert!(self.sleepers.clients.contains(&id), "who is suspended is listed");
            assert_eq!(suspension.done, suspension.is_done(), "who is done");
            assert_eq!(suspension.queued, self.sleepers.work.contains(&id), "who has work");
            assert!(suspension.queued || !suspension.has_work(), "work is listed");
            assert!(suspension.working_set.runs.len() <= WORKING_SET_RUNS_MAX, "it is bounded");
        }
        assert_eq!(parked, self.sleepers.parked, "faults that wait");
        assert_eq!(sleeping, self.sleepers.clients.len(), "suspended clients");
        assert_eq!(suspending, self.sleepers.suspending, "clients that are being suspended");
        for id in self.sleeping_objects() {
            assert!(self.is_out(id), "{id} has pages and its clients are suspended");
        }
    }
}
