//! Suspended clients: nothing of them is answered, and what only they hold leaves the pool.
//!
//! A fault of such a client is counted and forgotten; its thread waits. When the client goes on,
//! its threads are woken and fault again, so that what each of them needs is looked up in the
//! world as it is then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use bo_units::{ClientId, MappingId, ObjectId, PageIndex, PageRange, Tick};
use smallvec::SmallVec;

use crate::Placement;
use crate::effect::Action;
use crate::entities::{Client, ClientState};
use crate::limits::{
    RESUME_STEP_MAPPINGS, SUSPEND_RETRY, SUSPEND_STEP_HOLDS, WORKING_SET_RUNS_MAX,
};
use crate::manager::hints::PrefetchStart;
use crate::manager::{Manager, Pending};
use crate::refusal::{ControlRefusal, Refusal};

/// A client that was told to go on, and what it had in the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumed {
    /// Faults that waited. Their threads are being woken.
    pub parked_faults: u64,
    /// What left the pool because the client was suspended, in the order of its leaving. It may be
    /// fetched by [`Manager::prefetch`]; some of it may be gone or shared by now.
    pub working_set: Vec<(ObjectId, PageRange)>,
    /// Pages that left and are not in it, because it would have become too long.
    pub left_out_pages: u64,
    /// What is younger than this does not make way for the working set.
    pub start: PrefetchStart,
}

/// Faults that wait until their client goes on.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    mappings: BTreeMap<MappingId, u32>,
    faults: u64,
}

impl Parked {
    pub(crate) fn faults(&self) -> u64 {
        self.faults
    }

    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn mappings(&self) -> impl Iterator<Item = (MappingId, u32)> {
        self.mappings.iter().map(|(mapping, faults)| (*mapping, *faults))
    }

    fn take(&mut self, mapping: MappingId) -> u32 {
        let faults = self.mappings.remove(&mapping).unwrap_or(0);
        self.faults -= u64::from(faults);
        faults
    }
}

/// What a suspended client had in the pool, as far as there is room to remember it.
#[derive(Debug, Default)]
struct WorkingSet {
    runs: Vec<(ObjectId, PageRange)>,
    left_out: u64,
}

impl WorkingSet {
    /// Adds pages; says how many there is no room for.
    fn add(&mut self, object: ObjectId, range: PageRange) -> u64 {
        if let Some((last, run)) = self.runs.last_mut()
            && *last == object
            && run.end() == range.first()
            && let Some(joined) = PageRange::between(run.first(), range.end())
        {
            *run = joined;
            return 0;
        }
        if self.runs.len() < WORKING_SET_RUNS_MAX {
            self.runs.push((object, range));
            return 0;
        }
        self.left_out += u64::from(range.count().get());
        u64::from(range.count().get())
    }
}

/// How far the suspension of a client is. An object is in `todo` or in `moving` as long as only
/// suspended clients hold it and it may have pages in the pool.
#[derive(Debug, Default)]
pub(crate) struct Suspension {
    /// Its holds from this slot on are still to be looked at. `None`: all were.
    next_hold: Option<u32>,
    /// Objects to look through for pages that can leave.
    todo: BTreeSet<ObjectId>,
    /// Objects that were looked through. What is in flight of them ends, and then they are empty,
    /// or are looked through again.
    moving: BTreeSet<ObjectId>,
    /// Where the look is: the object, and the next page of it.
    at: Option<(ObjectId, PageIndex)>,
    /// It is in [`Sleepers::work`].
    queued: bool,
    /// Nothing is left to do, and it has been counted so.
    done: bool,
    working_set: WorkingSet,
}

impl Suspension {
    fn has_work(&self) -> bool {
        self.next_hold.is_some() || !self.todo.is_empty()
    }

    fn is_done(&self) -> bool {
        !self.has_work() && self.moving.is_empty()
    }

    /// The object to look through next, in turn, and from which page on.
    fn next(&self) -> Option<(ObjectId, PageIndex)> {
        let (id, page) = match self.at {
            Some((id, page)) if self.todo.contains(&id) => return Some((id, page)),
            Some((id, _)) => {
                let after = (Bound::Excluded(id), Bound::Unbounded);
                (self.todo.range(after).next().or(self.todo.first()), PageIndex::ZERO)
            }
            None => (self.todo.first(), PageIndex::ZERO),
        };
        id.map(|id| (*id, page))
    }

    /// Goes on behind this object.
    fn pass(&mut self, id: ObjectId) {
        let after = (Bound::Excluded(id), Bound::Unbounded);
        let next = self.todo.range(after).next().or(self.todo.first());
        self.at = next.map(|next| (*next, PageIndex::ZERO));
    }
}

/// All suspended clients.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    clients: BTreeSet<ClientId>,
    /// Those that have something to look at, in turn.
    work: VecDeque<ClientId>,
    /// Those that still have something in the pool.
    suspending: u64,
    /// Faults of all of them.
    parked: u64,
    /// Objects that were looked through in a row in which nothing could leave.
    barren: usize,
    /// Nothing can leave at present: no look before this time.
    retry: Option<Tick>,
}

impl Sleepers {
    pub(crate) fn clients(&self) -> u64 {
        self.clients.len() as u64
    }

    pub(crate) fn suspending(&self) -> u64 {
        self.suspending
    }

    pub(crate) fn parked(&self) -> u64 {
        self.parked
    }

    pub(crate) fn have_work(&self) -> bool {
        !self.work.is_empty()
    }

    /// When there is something to look at again.
    pub(crate) fn retry(&self) -> Option<Tick> {
        self.retry.filter(|_| self.have_work())
    }

    /// Somebody may look at `now`.
    pub(crate) fn may_look(&self, now: Tick) -> bool {
        self.have_work() && self.retry.is_none_or(|at| at <= now)
    }
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

    /// The client goes on: its threads are woken, and fault again.
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
    pub(crate) fn park(&mut self, mapping: MappingId, faults: u32) {
        let client = self.mappings.get(mapping).map(|entry| entry.client);
        let Some(entry) = client.and_then(|client| self.clients.get_mut(client)) else {
            panic!("a mapping has a client")
        };
        if faults > 0 {
            let known = entry.parked.mappings.entry(mapping).or_default();
            *known = known.saturating_add(faults);
            entry.parked.faults += u64::from(faults);
            self.sleepers.parked += u64::from(faults);
        }
    }

    /// The mapping of faults that wait is no more.
    pub(crate) fn unpark(&mut self, client: ClientId, mapping: MappingId) {
        let Some(entry) = self.clients.get_mut(client) else { return };
        let faults = u64::from(entry.parked.take(mapping));
        self.sleepers.parked -= faults;
        self.stats.verdicts_gone += faults;
    }

    /// Wakes the threads of a client that goes on, those of a few mappings at a time.
    pub(crate) fn waken(&mut self, client: ClientId) {
        for _ in 0..RESUME_STEP_MAPPINGS {
            let Some(entry) = self.clients.get_mut(client) else { return };
            // It may have been suspended again.
            let first = entry.parked.mappings.first_key_value().map(|(mapping, _)| *mapping);
            let Some(mapping) = first.filter(|_| entry.suspension.is_none()) else { return };
            let faults = u64::from(entry.parked.take(mapping));
            self.sleepers.parked -= faults;
            self.stats.verdicts_refault += faults;
            let range = self.mappings.get(mapping).map(|entry| entry.range);
            let range = range.expect("faults go with their mapping");
            #[cfg(any(test, feature = "sim"))]
            if self.sabotage_waking() {
                continue;
            }
            self.tell(Action::Wake { mapping, range });
        }
        self.want(Pending::Waken(client), Action::Yield);
    }
}

/// How the objects of suspended clients become empty.
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
    fn is_out(&self, id: ObjectId) -> bool {
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

    fn enlist(&mut self, client: ClientId) {
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

#[cfg(any(test, feature = "sim", feature = "verify"))]
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
