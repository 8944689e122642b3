//! Threads of clients: what they want of memory, and where they wait for it.

use std::ops::Range;

use crate::FaultKind;

/// What a thread does at one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    Load,
    Store(u32),
}

/// One instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aim {
    pub(crate) vma: u32,
    /// Of the file.
    pub(crate) page: usize,
    pub(crate) word: usize,
    pub(crate) doing: Doing,
}

/// What became of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Loaded(u32),
    Stored,
    Faults(FaultKind),
    Sigbus,
    Segv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThreadState {
    Idle,
    /// About to run its instruction, for the first time or again.
    Trying(Aim),
    /// In the kernel, on its way to sleep.
    Faulting(Aim, FaultKind),
    /// Asleep. Its event is in the queue until `read`, and exists nowhere after that.
    Blocked {
        aim: Aim,
        kind: FaultKind,
        read: bool,
    },
}

#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) process: usize,
    pub(crate) state: ThreadState,
}

impl Thread {
    pub(crate) fn aim(&self) -> Option<Aim> {
        match self.state {
            ThreadState::Idle => None,
            ThreadState::Trying(aim)
            | ThreadState::Faulting(aim, _)
            | ThreadState::Blocked { aim, .. } => Some(aim),
        }
    }

    pub(crate) fn wake(&mut self, vma: u32, pages: &Range<usize>) {
        if let ThreadState::Blocked { aim, .. } = self.state
            && aim.vma == vma
            && pages.contains(&aim.page)
        {
            self.state = ThreadState::Trying(aim);
        }
    }
}
