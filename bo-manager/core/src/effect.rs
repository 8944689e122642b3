//! What the core wants done, and what came of it.

use bo_units::{MappingId, ObjectId, PageRange};
use smallvec::SmallVec;

/// Names one effect in flight. Its outcome is reported under this id, exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EffectId(pub(crate) u32);

/// A piece of the store: where the bytes of one evicted page are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// In bytes from the start of the store.
    pub offset: u64,
    /// In bytes: the page size of the object.
    pub len: u64,
}

/// Where the bytes of a page that is being filled come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Never written, or found to be all zeros when it was evicted.
    Zero,
    /// Found to be this word, in the byte order of the machine, over and over; never zero.
    Same(u64),
    /// In the store.
    Stored(Slot),
}

/// Whether the first write through a page table entry is to be reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Writes go through unseen: the page counts as dirty.
    Writable,
    /// The first write faults: until then the store's copy is valid.
    WriteProtected,
}

/// Page table entries to install in the mapping of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// Where.
    pub mapping: MappingId,
    /// Neighbouring runs, in order, that cover exactly the pages filled.
    pub runs: SmallVec<[(PageRange, Protection); 3]>,
}

/// One thing to do. The shell does it outside the lock and reports its [`Outcome`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The name to report the outcome under. `None`: nobody waits for it.
    pub id: Option<EffectId>,
    /// What to do.
    pub action: Action,
    /// Nobody waits for it: it is a guess, and whoever has something better to do leaves it to
    /// others.
    pub ahead: bool,
}

/// The things that can be wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write the bytes of `range` into the object's file, then install.
    /// Outcome: [`Outcome::Filled`] or [`Outcome::FillFailed`].
    Fill {
        /// Whose pages.
        object: ObjectId,
        /// Which; none of them is present.
        range: PageRange,
        /// One for each page of `range`.
        sources: SmallVec<[Source; 16]>,
        /// For the mapping that faulted, if one did.
        install: Option<Install>,
    },
    /// Install entries for pages that are present. Outcome: [`Outcome::Installed`].
    Install {
        /// Whose page.
        object: ObjectId,
        /// Where.
        mapping: MappingId,
        /// Which pages.
        range: PageRange,
        /// How.
        protection: Protection,
    },
    /// Let a write through, and wake the writer. Outcome: [`Outcome::Unprotected`].
    Unprotect {
        /// Where.
        mapping: MappingId,
        /// Which pages.
        range: PageRange,
    },
    /// The file has a hole where the books have a page: a client punched it. Put zeros into the
    /// holes of `range`, leaving what is there, then install. Outcome: [`Outcome::Installed`].
    Patch {
        /// Whose page.
        object: ObjectId,
        /// Where.
        mapping: MappingId,
        /// Which pages.
        range: PageRange,
    },
    /// Make the threads that wait in `range` fault again. Outcome: none is reported.
    Wake {
        /// Where.
        mapping: MappingId,
        /// Which pages.
        range: PageRange,
    },
    /// Give SIGBUS to those who touch `range`. Outcome: none is reported.
    Poison {
        /// Where.
        mapping: MappingId,
        /// Which pages.
        range: PageRange,
    },
    /// Give the RAM behind `discard` back, write-protect `range` in every mapping of `guards`,
    /// then read it into `slots`. Outcome: [`Outcome::CopiedOut`].
    CopyOut {
        /// Whose pages.
        object: ObjectId,
        /// Which.
        range: PageRange,
        /// One for each page of `range`.
        slots: SmallVec<[Slot; 16]>,
        /// Every mapping through which these pages can be written.
        guards: SmallVec<[MappingId; 4]>,
        /// Free slots of other sizes, whose RAM is needed here.
        discard: Vec<Slot>,
    },
    /// Take the frames back: punch holes. Outcome: [`Outcome::Punched`].
    Punch {
        /// Whose pages.
        object: ObjectId,
        /// Which runs.
        runs: SmallVec<[PageRange; 2]>,
    },
    /// Give the RAM behind free slots back. Outcome: [`Outcome::Discarded`].
    Discard {
        /// Which slots.
        slots: Vec<Slot>,
    },
    /// Nothing of this mapping is in flight any more: it may be forgotten, and its range reused.
    /// Outcome: none is reported.
    Detached {
        /// Which one.
        mapping: MappingId,
    },
    /// Punch the whole file and close it. Outcome: [`Outcome::Destroyed`].
    Destroy {
        /// Which object.
        object: ObjectId,
    },
    /// The object is no more, and what it took can be had by others. Outcome: none is reported.
    Freed {
        /// Which object it was.
        object: ObjectId,
    },
    /// Nothing: long work under the lock has come to the end of one step. Others have the lock
    /// now, if they wait for it. Outcome: [`Outcome::Yielded`], upon which the next step is made.
    Yield,
}

/// How an installation ended. All of these happen on a healthy host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstallEnd {
    /// Every entry is there, and the waiters are awake.
    Complete,
    /// The file has a hole in the range.
    Absent,
    /// The client has unmapped or remapped the range. Its waiters are awake.
    NotMapped,
    /// The client is gone, or keeps changing its mappings.
    Gone,
}

/// What an attempt to copy pages to the store gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// All pages are in their slots.
    Done {
        /// One for each page of the range: the word that it holds over and over, if it does.
        same: SmallVec<[Option<u64>; 8]>,
    },
    /// A mapping could not be protected, or a page not read. Nothing may be punched.
    Failed,
}

/// What came of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The pages are present; `installed` says what became of the entries (`Complete` if none
    /// were wanted).
    Filled {
        /// How the installation ended.
        installed: InstallEnd,
    },
    /// The host had no frame. Pages that came from the store are holes again: the shell punches
    /// what it wrote of them. Pages of zeros are left as they are, written or not, since a client
    /// may have stored in them already.
    FillFailed,
    /// Of [`Action::Install`] and [`Action::Patch`].
    Installed(InstallEnd),
    /// Of [`Action::Unprotect`], whatever came of it.
    Unprotected,
    /// Of [`Action::CopyOut`].
    CopiedOut(Copied),
    /// Of [`Action::Punch`]: whether the holes are there.
    Punched {
        /// False: the host refused, and the pages are still present.
        done: bool,
    },
    /// Of [`Action::Discard`].
    Discarded,
    /// Of [`Action::Destroy`].
    Destroyed,
    /// Of [`Action::Yield`].
    Yielded,
}
