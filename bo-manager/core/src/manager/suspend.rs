//! Suspended clients: nothing of them is answered, and what only they hold leaves the pool.
//!
//! A fault of such a client is counted and noted; its thread waits. When the client goes on, it is
//! answered as if it had been heard then. A client that makes more faults than can be noted has
//! its threads woken for the rest, and they fault again.

use bo_units::{ClientId, MappingId, ObjectId, PageRange, Tick};

use crate::effect::Action;
use crate::entities::{Client, ClientState};
use crate::limits::RESUME_STEP_FAULTS;
use crate::manager::hints::PrefetchStart;
use crate::manager::{Fault, Manager, Pending};
use crate::refusal::{ControlRefusal, Refusal};

mod emptying;
mod state;
#[cfg(any(test, feature = "sim", feature = "verify"))]
mod verify;

use state::{Waiting, WorkingSet};

pub(crate) use state::{Parked, Sleepers, Suspension};

/// A client that was told to go on, and what it had in the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumed {
    /// Faults that waited, and are being answered.
    pub parked_faults: u64,
    /// What left the pool because the client was suspended, in the order of its leaving. It may be
    /// fetched by [`Manager::prefetch`]; some of it may be gone or shared by now.
    pub working_set: Vec<(ObjectId, PageRange)>,
    /// Pages that left and are not in it, because it would have become too long.
    pub left_out_pages: u64,
    /// What is younger than this does not make way for the working set.
    pub start: PrefetchStart,
}

impl Client {
    pub(crate) fn state(&self) -> ClientState {
        match &self.suspension {
            None => ClientState::Running,
            Some(suspension) if suspension.done => ClientState::Suspended,
            Some(_) => ClientState::Suspending,
        }
    }
}

impl Manager {
    /// From now on nothing of this client is answered: its threads wait in their next access to
    /// what is not mapped, and can be killed there. What only suspended clients hold leaves the
    /// pool, by [`Self::handle_reclaim`]; what others use stays.
    ///
    /// [`ClientState::Suspended`] says that the last page is out. If the store has no room for
    /// all, that is when it has.
    ///
    /// # Errors
    ///
    /// [`ControlRefusal::NoSuchClient`], [`ControlRefusal::Suspended`],
    /// [`ControlRefusal::Draining`].
    pub fn suspend(&mut self, now: Tick, client: ClientId) -> Result<(), ControlRefusal> {
        self.now = now;
        if self.draining {
            return Err(ControlRefusal::Draining);
        }
        let entry = self.clients.get_mut(client).ok_or(ControlRefusal::NoSuchClient)?;
        if entry.suspension.is_some() {
            return Err(ControlRefusal::Suspended);
        }
        let suspension = Suspension { next_hold: Some(0), ..Suspension::default() };
        entry.suspension = Some(Box::new(suspension));
        self.sleepers.clients.insert(client);
        self.sleepers.suspending += 1;
        self.enlist(client);
        self.stats.suspensions += 1;
        self.forsake_unwanted();
        self.settle();
        Ok(())
    }

    /// The client goes on: the faults of its threads are answered as if they were heard now.
    ///
    /// # Errors
    ///
    /// [`ControlRefusal::NoSuchClient`], [`ControlRefusal::Running`].
    pub fn resume(&mut self, now: Tick, client: ClientId) -> Result<Resumed, ControlRefusal> {
        self.now = now;
        let entry = self.clients.get(client).ok_or(ControlRefusal::NoSuchClient)?;
        let parked_faults = entry.parked.faults();
        let suspension = self.end_suspension(client).ok_or(ControlRefusal::Running)?;
        self.stats.resumes += 1;
        self.waken(client);
        self.settle();
        let WorkingSet { runs, left_out } = suspension.working_set;
        let start = self.start_prefetch();
        Ok(Resumed { parked_faults, working_set: runs, left_out_pages: left_out, start })
    }

    /// Whether a client runs; `None` if there is none.
    #[must_use]
    pub fn client_state(&self, client: ClientId) -> Option<ClientState> {
        self.clients.get(client).map(Client::state)
    }

    /// A daemon that stops serves everybody who is blocked.
    pub(crate) fn resume_everybody(&mut self) {
        for client in self.sleepers.clients.clone() {
            self.end_suspension(client);
            self.waken(client);
        }
        self.settle();
    }

    fn end_suspension(&mut self, client: ClientId) -> Option<Box<Suspension>> {
        let suspension = self.clients.get_mut(client)?.suspension.take()?;
        self.sleepers.clients.remove(&client);
        self.sleepers.suspending -= u64::from(!suspension.done);
        self.sleepers.work.retain(|each| *each != client);
        Some(suspension)
    }

    /// A client is about to be forgotten.
    pub(crate) fn forget_sleeper(&mut self, client: ClientId) {
        self.end_suspension(client);
        let parked = self.clients.get(client).map_or(0, |entry| entry.parked.faults());
        assert_eq!(parked, 0, "its faults went with its mappings");
    }

    /// True if the client of this mapping is suspended.
    pub(crate) fn sleeps(&self, mapping: MappingId) -> bool {
        !self.sleepers.clients.is_empty()
            && self.mappings.get(mapping).is_some_and(|entry| self.is_suspended(entry.client))
    }

    fn is_suspended(&self, client: ClientId) -> bool {
        self.clients.get(client).is_some_and(|entry| entry.suspension.is_some())
    }

    /// Refuses what would bring in pages for a client that is suspended.
    pub(crate) fn check_awake(&self, client: ClientId) -> Result<(), Refusal> {
        match self.is_suspended(client) {
            true => Err(Refusal::Suspended),
            false => Ok(()),
        }
    }

    /// True if only suspended clients hold this object.
    pub(crate) fn is_asleep(&self, id: ObjectId) -> bool {
        if self.sleepers.clients.is_empty() {
            return false;
        }
        let sleeps = |slot: &u32| {
            self.clients.at_slot(*slot).is_some_and(|client| client.suspension.is_some())
        };
        self.objects
            .get(id)
            .is_some_and(|object| !object.dying && object.holders.iter().all(sleeps))
    }

    /// A fault is heard, and answered when its client goes on.
    pub(crate) fn park(&mut self, fault: &Fault, faults: u32) {
        let client = self.mappings.get(fault.mapping).map(|entry| entry.client);
        let Some(entry) = client.and_then(|client| self.clients.get_mut(client)) else {
            panic!("a mapping has a client")
        };
        if faults > 0 {
            entry.parked.add(fault, faults);
            self.sleepers.parked += u64::from(faults);
        }
    }

    /// The mapping of faults that wait is no more.
    pub(crate) fn unpark(&mut self, client: ClientId, mapping: MappingId) {
        let Some(entry) = self.clients.get_mut(client) else { return };
        let faults = entry.parked.take(mapping);
        self.sleepers.parked -= faults;
        self.stats.verdicts_gone += faults;
    }

    /// Answers some of the faults that wait for a client that goes on, as if they were heard now.
    pub(crate) fn waken(&mut self, client: ClientId) {
        for _ in 0..RESUME_STEP_FAULTS {
            let Some(entry) = self.clients.get_mut(client) else { return };
            // It may have been suspended again.
            if entry.suspension.is_some() {
                return;
            }
            let Some(waiting) = entry.parked.pop() else { return };
            let (Waiting::Known(_, faults) | Waiting::Others(_, faults)) = &waiting;
            self.sleepers.parked -= u64::from(*faults);
            #[cfg(any(test, feature = "sim"))]
            if self.sabotage_waking() {
                self.stats.verdicts_refault += u64::from(*faults);
                continue;
            }
            match waiting {
                Waiting::Known(key, faults) => self.hear_again(&key.fault(), faults),
                Waiting::Others(mapping, faults) => {
                    let range = self.mappings.get(mapping).map(|entry| entry.range);
                    let range = range.expect("faults go with their mapping");
                    self.stats.verdicts_refault += u64::from(faults);
                    self.tell(Action::Wake { mapping, range });
                }
            }
        }
        self.want(Pending::Waken(client), Action::Yield);
    }

    fn hear_again(&mut self, fault: &Fault, faults: u32) {
        let entry = self.mappings.get(fault.mapping).expect("faults go with their mapping");
        if entry.closing {
            // The shell wakes everybody in a range that it detaches.
            self.stats.verdicts_gone += u64::from(faults);
            return;
        }
        let object = entry.object;
        // Whoever waits on this page is woken by the same answer.
        self.stats.verdicts_refault += u64::from(faults - 1);
        self.on_fault(object, *fault);
    }
}
