//! What is known of suspended clients.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use bo_units::{ClientId, MappingId, ObjectId, PageIndex, PageRange, Tick};

use crate::limits::{PARKED_FAULTS_MAX, WORKING_SET_RUNS_MAX};
use crate::manager::{Fault, FaultKind};

/// One fault that waits until its client goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) mapping: MappingId,
    pub(super) page: PageIndex,
    pub(super) write: bool,
    /// The page was there, and write-protected.
    pub(super) protected: bool,
}

impl Key {
    fn of(fault: &Fault) -> Self {
        let Fault { mapping, page, write, kind } = *fault;
        Self { mapping, page, write, protected: kind == FaultKind::WriteProtected }
    }

    /// As it was heard.
    pub(super) fn fault(self) -> Fault {
        let Self { mapping, page, write, protected } = self;
        let kind = if protected { FaultKind::WriteProtected } else { FaultKind::Missing };
        Fault { mapping, page, write, kind }
    }
}

/// Faults that wait until their client goes on.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    /// How often each was heard: a thread that takes a signal faults again.
    known: BTreeMap<Key, u32>,
    /// Faults that there was no room for, by mapping: they are woken, and fault again.
    others: BTreeMap<MappingId, u32>,
    faults: u64,
}

/// Some of them.
pub(super) enum Waiting {
    /// On this page, so often.
    Known(Key, u32),
    /// Somewhere in this mapping.
    Others(MappingId, u32),
}

impl Parked {
    pub(crate) fn faults(&self) -> u64 {
        self.faults
    }

    /// Which mappings they came through.
    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(super) fn mappings(&self) -> impl Iterator<Item = (MappingId, u32)> {
        let known = self.known.iter().map(|(key, faults)| (key.mapping, *faults));
        known.chain(self.others.iter().map(|(mapping, faults)| (*mapping, *faults)))
    }

    pub(super) fn add(&mut self, fault: &Fault, faults: u32) {
        let key = Key::of(fault);
        let room = self.known.len() < PARKED_FAULTS_MAX || self.known.contains_key(&key);
        let count = match room {
            true => self.known.entry(key).or_default(),
            false => self.others.entry(key.mapping).or_default(),
        };
        *count += faults;
        self.faults += u64::from(faults);
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let known = self.known.pop_first().map(|(key, faults)| Waiting::Known(key, faults));
        let others = || self.others.pop_first().map(|(at, faults)| Waiting::Others(at, faults));
        let some = known.or_else(others)?;
        let (Waiting::Known(_, faults) | Waiting::Others(_, faults)) = &some;
        self.faults -= u64::from(*faults);
        Some(some)
    }

    /// Forgets those of a mapping; says how many there were.
    pub(super) fn take(&mut self, mapping: MappingId) -> u64 {
        let mut taken = u64::from(self.others.remove(&mapping).unwrap_or(0));
        if !self.known.is_empty() {
            // At most `PARKED_FAULTS_MAX`.
            self.known.retain(|key, faults| {
                let theirs = key.mapping == mapping;
                taken += if theirs { u64::from(*faults) } else { 0 };
                !theirs
            });
        }
        self.faults -= taken;
        taken
    }
}

/// What a suspended client had in the pool, as far as there is room to remember it.
#[derive(Debug, Default)]
pub(super) struct WorkingSet {
    pub(super) runs: Vec<(ObjectId, PageRange)>,
    pub(super) left_out: u64,
}

impl WorkingSet {
    /// Adds pages; says how many there is no room for.
    pub(super) fn add(&mut self, object: ObjectId, range: PageRange) -> u64 {
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
    pub(super) next_hold: Option<u32>,
    /// Objects to look through for pages that can leave.
    pub(super) todo: BTreeSet<ObjectId>,
    /// Objects that were looked through. What is in flight of them ends, and then they are empty,
    /// or are looked through again.
    pub(super) moving: BTreeSet<ObjectId>,
    /// Where the look is: the object, and the next page of it.
    pub(super) at: Option<(ObjectId, PageIndex)>,
    /// It is in [`Sleepers::work`].
    pub(super) queued: bool,
    /// Nothing is left to do, and it has been counted so.
    pub(super) done: bool,
    pub(super) working_set: WorkingSet,
}

impl Suspension {
    pub(super) fn has_work(&self) -> bool {
        self.next_hold.is_some() || !self.todo.is_empty()
    }

    pub(super) fn is_done(&self) -> bool {
        !self.has_work() && self.moving.is_empty()
    }

    /// The object to look through next, in turn, and from which page on.
    pub(super) fn next(&self) -> Option<(ObjectId, PageIndex)> {
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
    pub(super) fn pass(&mut self, id: ObjectId) {
        let after = (Bound::Excluded(id), Bound::Unbounded);
        let next = self.todo.range(after).next().or(self.todo.first());
        self.at = next.map(|next| (*next, PageIndex::ZERO));
    }
}

/// All suspended clients.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    pub(super) clients: BTreeSet<ClientId>,
    /// Those that have something to look at, in turn.
    pub(super) work: VecDeque<ClientId>,
    /// Those that still have something in the pool.
    pub(super) suspending: u64,
    /// Faults of all of them.
    pub(super) parked: u64,
    /// Objects that were looked through in a row in which nothing could leave.
    pub(super) barren: usize,
    /// Nothing can leave at present: no look before this time.
    pub(super) retry: Option<Tick>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::run;

    fn id(slot: u32) -> ObjectId {
        ObjectId::new(slot, 1)
    }

    #[test]
    fn faults_beyond_the_limit_are_known_by_their_mapping() {
        let mut parked = Parked::default();
        let mapping = MappingId::new(0, 1);
        let fault = |page| {
            let page = PageIndex::new(page);
            Fault { mapping, page, write: false, kind: FaultKind::Missing }
        };
        let most = u32::try_from(PARKED_FAULTS_MAX).expect("it is small");
        (0..most + 2).for_each(|page| parked.add(&fault(page), 1));
        parked.add(&fault(0), 1);
        assert_eq!((parked.known.len(), parked.others[&mapping]), (PARKED_FAULTS_MAX, 2));
        let first = parked.pop();
        assert!(matches!(first, Some(Waiting::Known(key, 2)) if key.fault() == fault(0)));
        assert_eq!(parked.faults(), u64::from(most) + 1);
        assert_eq!(parked.take(mapping), u64::from(most) + 1);
        assert!(parked.pop().is_none() && parked.faults() == 0);
    }

    #[test]
    fn neighbours_that_leave_one_after_the_other_are_one_run() {
        let mut set = WorkingSet::default();
        for page in [0, 1, 2, 7, 8] {
            assert_eq!(set.add(id(0), run(PageIndex::new(page), 1)), 0);
        }
        set.add(id(1), run(PageIndex::new(9), 1));
        let runs = [(id(0), run(PageIndex::new(0), 3)), (id(0), run(PageIndex::new(7), 2))];
        assert_eq!(set.runs[..2], runs);
        assert_eq!(set.runs.len(), 3);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let mut set = WorkingSet::default();
        let most = u32::try_from(WORKING_SET_RUNS_MAX).expect("it is small");
        for page in 0..most {
            assert_eq!(set.add(id(0), run(PageIndex::new(2 * page), 1)), 0);
        }
        assert_eq!(set.add(id(0), run(PageIndex::new(4 * most), 3)), 3);
        assert_eq!((set.runs.len(), set.left_out), (WORKING_SET_RUNS_MAX, 3));
    }

    #[test]
    fn objects_are_looked_through_in_turn() {
        let mut suspension = Suspension::default();
        suspension.todo.extend([id(1), id(3)]);
        let first = suspension.next().expect("there are two");
        assert_eq!(first, (id(1), PageIndex::ZERO));
        suspension.pass(id(1));
        suspension.todo.insert(id(2));
        assert_eq!(suspension.next(), Some((id(3), PageIndex::ZERO)));
        suspension.todo.remove(&id(3));
        assert_eq!(suspension.next(), Some((id(1), PageIndex::ZERO)), "and round again");
    }
}
