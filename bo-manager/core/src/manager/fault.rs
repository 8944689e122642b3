//! Faults: what the shell hands in, and what is remembered of it until it is answered.

use bo_units::{MappingId, PageIndex};

/// One page fault, as the shell heard it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Through which mapping.
    pub mapping: MappingId,
    /// On which page of its object.
    pub page: PageIndex,
    /// By a store rather than a load.
    pub write: bool,
    /// What was in the way.
    pub kind: FaultKind,
}

/// Why an access did not go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// There is no page.
    Missing,
    /// The page is write-protected.
    WriteProtected,
}

/// What became of a fault that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a fault nobody answers hangs a client thread"]
pub enum Heard {
    /// It will be answered by an effect, now or at the end of a move in flight.
    Noted,
    /// There is no such mapping, or no such page in it, or the manager is sealed: the caller wakes
    /// the thread, or tells it that its page is lost.
    Unknown,
}

/// Who asked for a fill, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Primary {
    pub(crate) mapping: MappingId,
    pub(crate) page: PageIndex,
    pub(crate) write: bool,
    /// Part of a stream: the neighbours will be used in the same way.
    pub(crate) stream: bool,
}

impl Primary {
    /// The fault that asked.
    pub(crate) fn fault(&self) -> Fault {
        let Self { mapping, page, write, .. } = *self;
        Fault { mapping, page, write, kind: FaultKind::Missing }
    }
}

/// A fault that was read and is answered at the end of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) mapping: MappingId,
    pub(crate) page: PageIndex,
    pub(crate) write: bool,
    pub(crate) kind: FaultKind,
    /// How many faults this stands for.
    pub(crate) faults: u32,
}
