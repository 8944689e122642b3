//! The core behind its lock, and everything that acts for it.
//!
//! A thread that hands something to the core also carries out what the core then wants: nothing
//! is passed to another thread on the way of a fault. Decisions are made under one short lock,
//! system calls outside it. No guard of a table is ever held across a call.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bo_core::{Effect, EffectId, Gauges, Manager, Outcome, Stats};
use bo_sys::memfd::FileIdentity;
use bo_sys::store::StoreFile;
use bo_sys::uffd::UffdDevice;
use bo_units::{ClientId, MappingId, ObjectId, Tick};
use bo_wire::{Token, UffdSource};
use dashmap::DashMap;
use parking_lot::{Mutex, MutexGuard};
use rustc_hash::FxBuildHasher;
use tokio::sync::oneshot;

use crate::ahead::Ahead;
use crate::backing::Backed;
use crate::closer::Closer;
use crate::config::Config;
use crate::counters::Counters;
use crate::descriptors::Budget;
use crate::link::{Cargo, Link};
use crate::readers::Readers;
use crate::reclaim::Bell;
use crate::record::Recording;
use crate::tables::{MappingEntry, ObjectEntry, Session};
use crate::timings::Timings;

/// The daemon's state, shared by all its threads.
#[derive(Debug)]
pub(crate) struct Shell {
    core: Mutex<Manager>,
    pub(crate) objects: DashMap<ObjectId, Arc<ObjectEntry>, FxBuildHasher>,
    pub(crate) mappings: DashMap<MappingId, Arc<MappingEntry>, FxBuildHasher>,
    pub(crate) sessions: DashMap<ClientId, Arc<Session>, FxBuildHasher>,
    pub(crate) tokens: DashMap<Token, (ObjectId, bo_core::Access)>,
    pub(crate) files: DashMap<FileIdentity, ObjectId>,
    /// Whose last release waits until others can have what the object took.
    pub(crate) freeing: Mutex<HashMap<ObjectId, oneshot::Sender<()>>>,
    pub(crate) store: StoreFile,
    pub(crate) readers: Readers,
    pub(crate) bell: Bell,
    pub(crate) ahead: Ahead,
    pub(crate) recording: Option<Recording>,
    pub(crate) closer: Closer,
    pub(crate) link: Option<Link<Cargo>>,
    /// Sessions that are over, of processes that live on.
    pub(crate) outcasts: AtomicUsize,
    pub(crate) timings: Timings,
    pub(crate) counters: Counters,
    pub(crate) device: Option<UffdDevice>,
    pub(crate) uffd_source: UffdSource,
    pub(crate) budget: Budget,
    /// What this host lacks, and what to do about it.
    pub(crate) lacks: Vec<String>,
    pub(crate) config: Config,
    pub(crate) backed: Backed,
    /// From here on no page comes back: who needs one gets SIGBUS.
    sealed: AtomicBool,
}

/// What a shell is put together from.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) core: Manager,
    pub(crate) store: StoreFile,
    pub(crate) readers: Readers,
    pub(crate) closer: Closer,
    pub(crate) link: Option<Link<Cargo>>,
    pub(crate) recording: Option<Recording>,
    pub(crate) timings: Timings,
    pub(crate) host: Host,
}

/// What was found on this host.
pub(crate) struct Host {
    pub(crate) device: Option<UffdDevice>,
    pub(crate) uffd_source: UffdSource,
    pub(crate) budget: Budget,
    pub(crate) lacks: Vec<String>,
    pub(crate) backed: Backed,
}

/// Shards of a table that the path of a fault looks into. A shard that grows is moved under its
/// lock, some of them under the core's as well: with so many, a million entries move at most a
/// thousand at a time.
const SHARDS: usize = 1024;

fn sharded<K: Eq + std::hash::Hash, V>() -> DashMap<K, V, FxBuildHasher> {
    DashMap::with_capacity_and_hasher_and_shard_amount(0, FxBuildHasher, SHARDS)
}

impl Shell {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { config, core, store, readers, closer, link, recording, timings, host } = parts;
        let Host { device, uffd_source, budget, lacks, backed } = host;
        Self {
            core: Mutex::new(core),
            // Ids are ours, so nobody can choose them to collide.
            objects: sharded(),
            mappings: sharded(),
            sessions: DashMap::default(),
            tokens: DashMap::new(),
            files: DashMap::new(),
            freeing: Mutex::default(),
            store,
            readers,
            bell: Bell::default(),
            ahead: Ahead::default(),
            recording,
            closer,
            link,
            outcasts: AtomicUsize::new(0),
            timings,
            counters: Counters::default(),
            device,
            uffd_source,
            budget,
            lacks,
            config,
            backed,
            sealed: AtomicBool::new(false),
        }
    }

    /// The time, as exact as a policy needs it: to a few milliseconds, for a few nanoseconds.
    pub(crate) fn now(&self) -> Tick {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        Tick::from_nanos(seconds * 1_000_000_000 + nanos)
    }

    /// Lets the core decide, then does what it wants.
    ///
    /// `decide` runs under the lock: it must be short, and may use the tables but never wait.
    pub(crate) fn decide<R>(&self, decide: impl FnOnce(&mut Manager, Tick) -> R) -> R {
        let now = self.now();
        let mut wanted = VecDeque::new();
        let mut core = self.core.lock();
        let result = decide(&mut core, now);
        self.collect(core, &mut wanted);
        self.carry_out(&mut wanted);
        result
    }

    /// Lets the core make one step of long work, then does what it wants. The caller comes back
    /// for the next step; whoever waits for the lock has it before that.
    pub(crate) fn decide_in_turn<R>(&self, decide: impl FnOnce(&mut Manager, Tick) -> R) -> R {
        let now = self.now();
        let mut wanted = VecDeque::new();
        let mut core = self.core.lock();
        let result = decide(&mut core, now);
        self.collect_in_turn(core, &mut wanted);
        self.carry_out(&mut wanted);
        result
    }

    /// Takes what the core wants, releases the lock, and rings for reclaim and the cleaner if there
    /// is need.
    pub(crate) fn collect(&self, mut core: MutexGuard<'_, Manager>, wanted: &mut VecDeque<Effect>) {
        let call = take(&mut core, wanted);
        drop(core);
        self.ring(call);
    }

    /// The same, but the lock goes to who waits for it. The usual release lets its last owner take
    /// it again before anybody has woken up, which between short steps is for half a millisecond.
    fn collect_in_turn(&self, mut core: MutexGuard<'_, Manager>, wanted: &mut VecDeque<Effect>) {
        let call = take(&mut core, wanted);
        MutexGuard::unlock_fair(core);
        self.ring(call);
    }

    fn ring(&self, call: Call) {
        if call.now {
            self.bell.ring();
        }
        if let Some(at) = call.later {
            self.bell.ring_at(at);
        }
        if let (true, Some(recording)) = (call.record, &self.recording) {
            recording.ring();
        }
    }

    /// Does what is wanted, reports it, and does what is then wanted, until nothing is but what is
    /// on its way over the link, if there is one. Guesses are left to the thread for them.
    pub(crate) fn carry_out(&self, wanted: &mut VecDeque<Effect>) {
        while let Some(effect) = wanted.pop_front() {
            let effect = if effect.ahead { self.ahead.give(effect) } else { Some(effect) };
            let done = effect.and_then(|effect| self.perform(effect));
            if let Some((id, outcome)) = done {
                self.report(id, outcome, wanted);
            }
        }
    }

    /// The same, guesses and all.
    pub(crate) fn carry_out_all(&self, wanted: &mut VecDeque<Effect>) {
        while let Some(effect) = wanted.pop_front() {
            if let Some((id, outcome)) = self.perform(effect) {
                self.report(id, outcome, wanted);
            }
        }
    }

    /// Tells the core what came of an effect, and takes what it then wants.
    pub(crate) fn report(&self, id: EffectId, outcome: Outcome, wanted: &mut VecDeque<Effect>) {
        let filled = matches!(outcome, Outcome::Filled { .. } | Outcome::FillFailed);
        let yields = matches!(outcome, Outcome::Yielded);
        let now = self.now();
        let mut core = self.core.lock();
        core.handle_outcome(now, id, outcome);
        if yields {
            self.collect_in_turn(core, wanted);
        } else {
            self.collect(core, wanted);
        }
        if let (true, Some(link)) = (filled, &self.link) {
            link.note_filled();
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Manager> {
        self.core.lock()
    }

    /// Counters and gauges of one instant.
    pub(crate) fn numbers(&self) -> (Stats, Gauges) {
        let core = self.core.lock();
        (core.stats().clone(), core.gauges())
    }

    pub(crate) fn object(&self, id: ObjectId) -> Option<Arc<ObjectEntry>> {
        self.objects.get(&id).map(|entry| Arc::clone(&entry))
    }

    pub(crate) fn mapping(&self, id: MappingId) -> Option<Arc<MappingEntry>> {
        self.mappings.get(&id).map(|entry| Arc::clone(&entry))
    }

    pub(crate) fn session(&self, id: ClientId) -> Option<Arc<Session>> {
        self.sessions.get(&id).map(|entry| Arc::clone(&entry))
    }

    pub(crate) fn every_session(&self) -> Vec<Arc<Session>> {
        self.sessions.iter().map(|entry| Arc::clone(&entry)).collect()
    }

    /// From here on no fault reaches the core. The flag is set first, so that who is turned away
    /// by the core finds it set.
    pub(crate) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
        self.core.lock().seal();
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }
}

/// When the reclaimer is to look, and the writer of the recording.
struct Call {
    now: bool,
    later: Option<Tick>,
    record: bool,
}

/// Takes what the core wants; says when there is work for the reclaimer and for the writer.
fn take(core: &mut Manager, wanted: &mut VecDeque<Effect>) -> Call {
    while let Some(effect) = core.poll_effect() {
        wanted.push_back(effect);
    }
    Call {
        now: core.wants_reclaim() || core.wants_clean(),
        later: core.next_wakeup(),
        record: core.wants_recording(),
    }
}
