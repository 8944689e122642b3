//! The manager: all tables, and the door through which they change.

use bo_units::{ByteCount, ClientId, MappingId, ObjectId, PageRange, Tick};
use slab::Slab;
use smallvec::SmallVec;
use std::collections::VecDeque;

use crate::accounts::Accounts;
use crate::arena::Arena;
use crate::effect::{Copied, Effect, EffectId, Outcome, Slot};
use crate::entities::{Client, Mapping, Object};
use crate::frames::{FrameId, FrameList, FrameTable};
use crate::limits::{self, CoreConfig};
use crate::page::MoveId;
use crate::patterns::PatternTable;
use crate::pool::Pool;
use crate::prefetch::{Accuracy, Samples};
use crate::ranking::Ranking;
use crate::stats::Stats;
use crate::store::{Exchange, StoreBook};

mod advice;
mod ahead;
mod answer;
mod attach;
mod clean;
mod coming;
mod evict;
mod expel;
mod fault;
mod fill;
mod hints;
mod policies;
mod reclaim;
mod record;
mod requests;
mod resize;
mod room;
#[cfg(any(test, feature = "sim"))]
mod sabotage;
mod suspend;
mod teardown;
#[cfg(any(test, feature = "sim", feature = "verify"))]
mod verify;
mod victims;
mod views;
mod wants;
mod watch;

use coming::{Coming, Wanted};
use fault::{Primary, Waiter};
pub(crate) use suspend::{Parked, Suspension};

pub use attach::{Attached, Guard};
pub use expel::Evicted;
pub use fault::{Fault, FaultKind, Heard};
pub use hints::{Prefetch, PrefetchStart};
pub use policies::PolicyRefusal;
pub use record::Events;
pub use requests::{AllocRequest, Allocated};
pub use resize::Resized;
pub use suspend::Resumed;
pub use teardown::Farewell;

/// A run of pages of one object on its way in or out.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) object: ObjectId,
    pub(crate) range: PageRange,
    pub(crate) waiters: SmallVec<[Waiter; 2]>,
    pub(crate) stage: Stage,
    pub(crate) reason: Reason,
}

/// Why a move was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A fault or a prefetch needs it now.
    Demand,
    /// Ahead of need.
    Background,
    /// An operator has asked for it.
    Asked,
}

/// How far a move is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// About to begin, or in the queue for room. Only faults wait.
    Waiting(Coming),
    /// Bytes are being written into frames.
    Filling(Coming),
    /// Pages are being protected and copied.
    CopyingOut(Transfer),
    /// These runs are being punched. They are all clean now; `clean`: they were from the start.
    Punching { runs: SmallVec<[PageRange; 2]>, clean: bool },
    /// Pages are being protected and copied while they stay in use.
    Cleaning(Transfer),
}

/// A copy of a run of pages to the store.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// Where to, one for each page.
    pub(crate) slots: SmallVec<[u32; 16]>,
    /// The mappings that are protected for it.
    pub(crate) guards: SmallVec<[MappingId; 4]>,
    /// Slots that gave way.
    pub(crate) exchange: Exchange,
}

impl Stage {
    /// Leaves an empty stage behind.
    pub(crate) fn take(&mut self) -> Self {
        let none = Self::Punching { runs: SmallVec::new(), clean: false };
        std::mem::replace(self, none)
    }
}

/// What to do when an effect is reported.
#[derive(Debug)]
pub(crate) enum Pending {
    Move(MoveId),
    /// Entries for neighbouring pages in one mapping.
    Answer {
        object: ObjectId,
        mapping: MappingId,
        pages: PageRange,
        faults: u32,
    },
    Discard(Vec<Slot>),
    Destroy(ObjectId),
    /// The next step of forgetting the pages of a dying object.
    Forget(ObjectId),
    /// The next step of answering the faults that waited for a client that goes on.
    Waken(ClientId),
    /// Another look for room.
    Again,
}

/// Decides everything and does nothing. Feed it, then empty it.
///
/// After every `handle_*` call the caller takes effects with [`Self::poll_effect`] until there
/// are none, releases the lock, carries them out, and reports each under the lock again. Any
/// number of threads may do so at the same time.
#[derive(Debug)]
pub struct Manager {
    pub(crate) config: CoreConfig,
    pub(crate) clients: Arena<ClientId, Client>,
    pub(crate) objects: Arena<ObjectId, Object>,
    pub(crate) mappings: Arena<MappingId, Mapping>,
    pub(crate) accounts: Accounts,
    pub(crate) frames: FrameTable,
    pub(crate) pool: Pool,
    /// Bytes of frames that leave the pool when the evictions in flight succeed.
    pub(crate) evicting: u64,
    pub(crate) store: StoreBook,
    /// The words that pages are full of.
    pub(crate) patterns: PatternTable,
    /// Frames whose page has a valid copy in the store as well, oldest first.
    pub(crate) retained: FrameList,
    /// Bytes of all VRAM-placed objects.
    pub(crate) committed: u64,
    pub(crate) ram_reserved: u64,
    pub(crate) ram_placed: u64,
    pub(crate) ram_peak: u64,
    /// How many live VRAM-placed objects have pages of 4 KiB, 8 KiB, … 2 MiB.
    pub(crate) page_sizes: [u32; 10],
    /// In which order they should leave.
    pub(crate) ranking: Ranking,
    pub(crate) moves: Slab<Move>,
    pub(crate) pending: Slab<Pending>,
    /// Fills without room, oldest first. What is freed goes to the first of them.
    pub(crate) queue: VecDeque<MoveId>,
    /// Bytes that those in `queue` need together.
    pub(crate) queued: u64,
    pub(crate) effects: VecDeque<Effect>,
    /// Kept to be used again, so that a reclaim does not allocate.
    pub(crate) victims: Vec<FrameId>,
    /// Pages that nobody asked for, and whose first use will be seen.
    pub(crate) samples: Samples,
    /// How often hints are watched.
    pub(crate) hints: Accuracy,
    /// How many prefetches on request have begun. Pages are stamped with it, so that one can tell
    /// what is younger than itself.
    pub(crate) epoch: u32,
    /// Pages called back since a fill last got room.
    pub(crate) rescues: u32,
    pub(crate) pace: reclaim::Pace,
    pub(crate) refusals: reclaim::Refusals,
    pub(crate) cleaner: clean::Cleaner,
    pub(crate) sleepers: suspend::Sleepers,
    pub(crate) recorder: record::Recorder,
    /// The latest that was told.
    pub(crate) now: Tick,
    pub(crate) draining: bool,
    pub(crate) sealed: bool,
    pub(crate) stats: Stats,
    /// A bug that the simulator has planted here.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) plant: Option<crate::sim::Plant>,
}

impl Manager {
    /// An empty manager.
    ///
    /// # Panics
    ///
    /// If the configuration names a policy that does not exist; the shell has checked it.
    #[must_use]
    pub fn new(config: CoreConfig) -> Self {
        let ranking = Ranking::by_name(&config.policy, config.vram.get());
        let ranking = ranking.expect("the shell has checked the name");
        let ram = config.ram.get();
        Self {
            pool: Pool::new(config.vram),
            store: StoreBook::new(ram),
            patterns: PatternTable::new(config.limits.patterns.min(limits::PATTERNS_MAX)),
            clients: Arena::new(),
            objects: Arena::new(),
            mappings: Arena::new(),
            accounts: Accounts::new(config.vram.get()),
            frames: FrameTable::default(),
            evicting: 0,
            retained: FrameList::default(),
            committed: 0,
            ram_reserved: 0,
            ram_placed: 0,
            ram_peak: 0,
            page_sizes: [0; 10],
            ranking,
            moves: Slab::with_capacity(limits::IN_FLIGHT_USUAL),
            pending: Slab::with_capacity(limits::IN_FLIGHT_USUAL),
            queue: VecDeque::new(),
            queued: 0,
            effects: VecDeque::new(),
            victims: Vec::new(),
            samples: Samples::default(),
            hints: Accuracy::default(),
            epoch: 0,
            rescues: 0,
            pace: reclaim::Pace::default(),
            refusals: reclaim::Refusals::default(),
            cleaner: clean::Cleaner::default(),
            sleepers: suspend::Sleepers::default(),
            recorder: record::Recorder::new(config.record),
            now: Tick::ZERO,
            draining: false,
            sealed: false,
            stats: Stats::default(),
            #[cfg(any(test, feature = "sim"))]
            plant: None,
            config,
        }
    }

    /// The length that the store's file must have. Nearly all of it stays a hole.
    #[must_use]
    pub fn store_file_bytes(&self) -> ByteCount {
        ByteCount::new(self.store.file_bytes())
    }

    /// Something happened that [`Self::handle_outcome`] is not for: a thread is blocked.
    ///
    /// The answer comes as an effect: at once, or at the end of the move that this fault met. It
    /// is always issued after this call, as the kernel wants it.
    pub fn handle_fault(&mut self, now: Tick, fault: Fault) -> Heard {
        self.now = now;
        let Some(mapping) = self.mappings.get(fault.mapping) else { return Heard::Unknown };
        if self.sealed || mapping.closing || !mapping.range.contains(fault.page) {
            return Heard::Unknown;
        }
        let object = mapping.object;
        self.count_fault(&fault, object);
        if self.sleeps(fault.mapping) {
            self.park(&fault, 1);
            return Heard::Noted;
        }
        self.on_fault(object, fault);
        self.settle();
        Heard::Noted
    }

    /// Counts a fault that the shell answers by itself, because its client has nothing here any
    /// more: with SIGBUS, or by letting a write through to what it still sees.
    pub fn count_outcast(&mut self, write: bool, kind: FaultKind) {
        self.stats.count_heard(kind, write);
        match kind {
            FaultKind::WriteProtected => self.stats.verdicts_refault += 1,
            FaultKind::Missing => self.stats.verdicts_sigbus += 1,
        }
    }

    /// Reports what came of an effect. Call it once for each effect that has an id.
    ///
    /// # Panics
    ///
    /// If the id is unknown or the outcome is not one of this effect's: a bug of the shell.
    pub fn handle_outcome(&mut self, now: Tick, id: EffectId, outcome: Outcome) {
        self.now = now;
        self.note_outcome();
        let pending = self.pending.try_remove(id.0 as usize).expect("an effect is reported once");
        match (pending, outcome) {
            (Pending::Move(at), Outcome::Filled { installed }) => self.on_filled(at, installed),
            (Pending::Move(at), Outcome::FillFailed) => self.on_fill_failed(at),
            (Pending::Move(at), Outcome::CopiedOut(Copied::Done { same })) => {
                self.on_copied(at, &same);
            }
            (Pending::Move(at), Outcome::CopiedOut(Copied::Failed)) => self.on_copy_failed(at),
            (Pending::Move(at), Outcome::Punched { done }) => self.on_punched(at, done),
            (Pending::Answer { object, mapping, pages, faults }, Outcome::Installed(end)) => {
                self.on_answered(object, mapping, pages, faults, Some(end));
            }
            (Pending::Answer { object, mapping, pages, faults }, Outcome::Unprotected) => {
                self.on_answered(object, mapping, pages, faults, None);
            }
            (Pending::Discard(slots), Outcome::Discarded) => self.on_discarded(&slots),
            (Pending::Destroy(object), Outcome::Destroyed) => self.on_destroyed(object),
            (Pending::Forget(object), Outcome::Yielded) => self.forget_pages(object),
            (Pending::Waken(client), Outcome::Yielded) => self.waken(client),
            // It is made below.
            (Pending::Again, Outcome::Yielded) => {}
            (pending, outcome) => panic!("{outcome:?} is no outcome of {pending:?}"),
        }
        self.settle();
    }

    /// The next thing to do, oldest first. Call it until there is none.
    #[must_use]
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Refuses new objects, clients and mappings from here on; faults are served as before, those
    /// of suspended clients as well, and nothing is evicted ahead of need.
    pub fn drain(&mut self) {
        self.draining = true;
        self.resume_everybody();
    }

    /// Takes no fault any more: each is [`Heard::Unknown`]. Once [`Self::is_idle`] holds after
    /// this, nothing moves again. A flag outside the lock could not promise that.
    pub fn seal(&mut self) {
        self.sealed = true;
    }
}
