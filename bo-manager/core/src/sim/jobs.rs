//! Effects in flight, cut into the steps that the kernel does one by one.

use std::collections::VecDeque;
use std::ops::Range;

use bo_units::{MappingId, ObjectId, PageRange};

use crate::{Action, Effect, EffectId, Install, InstallEnd, Protection, Slot, Source};

use super::kernel::Words;
use super::{Plant, Shell};

/// One step. Anything may happen between two of them.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Discard(Slot),
    Guard {
        vma: u32,
        page: usize,
    },
    /// Into `to` of the store; the page is part of the `of`-th of its run.
    Copy {
        object: ObjectId,
        page: usize,
        to: u64,
        of: usize,
    },
    Write {
        object: ObjectId,
        page: usize,
        from: Contents,
    },
    /// The host has no frame for the next page.
    NoFrame {
        object: ObjectId,
    },
    /// A mapping cannot be protected, or a page not read.
    NoCopy,
    Patch {
        object: ObjectId,
        page: usize,
    },
    Install {
        vma: u32,
        page: usize,
        how: Protection,
    },
    /// The installation did not go as it should.
    Odd(InstallEnd),
    /// After an installation: wakes whoever the kernel did not.
    WakeRest {
        vma: u32,
        pages: Range<usize>,
    },
    Unprotect {
        vma: u32,
        page: usize,
    },
    Wake {
        vma: u32,
        pages: Range<usize>,
    },
    Poison {
        vma: u32,
        page: usize,
    },
    Punch {
        object: ObjectId,
        page: usize,
    },
    Detached(MappingId),
    /// The core says what else to protect in a new mapping.
    GuardMore {
        mapping: MappingId,
        rest: PageRange,
    },
    Report,
}

/// What a fill writes into one of the kernel's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    Zeros,
    Word(u32),
    /// At this offset of the store.
    Stored(u64),
}

/// What an effect is, and what came of it so far.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// `written`: pages of the file, and whether they are more than zeros.
    Fill {
        written: Vec<(usize, bool)>,
        failed: bool,
    },
    Install,
    Unprotect,
    CopyOut {
        /// For each page the word that all of it holds so far. `None`: nothing was copied yet.
        same: Vec<Option<Same>>,
        failed: bool,
    },
    Punch {
        done: bool,
    },
    Discard,
    Destroy(ObjectId),
    /// Long work under the lock, between two steps.
    Yield,
    /// A new mapping is being protected before its client may use it.
    Attach {
        mapping: MappingId,
        failed: bool,
    },
    Quiet,
}

/// How an effect uses a part of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Write,
    Discard,
}

/// One effect in flight.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: Option<EffectId>,
    pub(crate) ops: VecDeque<Op>,
    pub(crate) kind: Kind,
    pub(crate) end: InstallEnd,
    /// An entry was there already: its waiters still sleep.
    pub(crate) exists: bool,
    pub(crate) uses: Vec<(Slot, Use)>,
    /// Its thread was preempted, or runs on a slow machine.
    pub(crate) slow: bool,
    /// A request that is answered when all of its effects are carried out.
    pub(crate) ticket: Option<u32>,
}

impl Job {
    pub(crate) fn new(id: Option<EffectId>, kind: Kind) -> Self {
        let (ops, uses) = (VecDeque::new(), Vec::new());
        Self {
            id,
            ops,
            kind,
            end: InstallEnd::Complete,
            exists: false,
            uses,
            slow: false,
            ticket: None,
        }
    }
}

/// What is known of a page that is being copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Same {
    /// All that was copied so far is this word.
    Word(u32),
    Differs,
}

impl Same {
    /// One more of the kernel's pages was copied.
    pub(crate) fn and(so_far: Option<Self>, [low, high]: Words, plant: Option<Plant>) -> Self {
        let differs = low != high && plant != Some(Plant::HalfAPattern);
        match so_far {
            None if !differs => Self::Word(low),
            Some(Self::Word(word)) if !differs && word == low => Self::Word(word),
            None | Some(_) => Self::Differs,
        }
    }

    /// As the real shell tells it: eight bytes at a time.
    pub(crate) fn word(self) -> Option<u64> {
        match self {
            Self::Word(word) => Some(u64::from(word) << 32 | u64::from(word)),
            Self::Differs => None,
        }
    }
}

fn low_half(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).expect("it was masked")
}

/// Pages of the kernel's size in this run of an object's pages.
pub(crate) fn pages_of(range: PageRange, ratio: usize) -> Range<usize> {
    range.first().as_usize() * ratio..range.end().as_usize() * ratio
}

impl Shell {
    /// Cuts an effect into steps, and decides which of them will fail.
    pub(crate) fn plan(&mut self, effect: Effect) -> Job {
        let mut job = Job::new(effect.id, Kind::Quiet);
        match effect.action {
            Action::Fill { object, range, sources, install } => {
                self.plan_fill(&mut job, object, range, &sources, install);
            }
            Action::Install { object, mapping, range, protection } => {
                job.kind = Kind::Install;
                let pages = pages_of(range, self.ratio(object));
                self.plan_install(&mut job, mapping, vec![(pages, protection)]);
            }
            Action::Patch { object, mapping, range } => {
                job.kind = Kind::Install;
                let pages = pages_of(range, self.ratio(object));
                job.ops.extend(pages.clone().map(|page| Op::Patch { object, page }));
                self.plan_install(&mut job, mapping, vec![(pages, Protection::Writable)]);
            }
            Action::Unprotect { mapping, range } => {
                job.kind = Kind::Unprotect;
                self.plan_each(&mut job, mapping, range, |vma, page| Op::Unprotect { vma, page });
            }
            Action::Wake { mapping, range } => self.plan_wake(&mut job, mapping, range),
            Action::Poison { mapping, range } => {
                self.plan_each(&mut job, mapping, range, |vma, page| Op::Poison { vma, page });
            }
            Action::CopyOut { object, range, slots, guards, discard } => {
                self.plan_discard(&mut job, &discard);
                self.plan_copy(&mut job, object, range, &slots, &guards);
            }
            Action::Punch { object, runs } => self.plan_punch(&mut job, object, &runs),
            Action::Discard { slots } => {
                job.kind = Kind::Discard;
                self.plan_discard(&mut job, &slots);
            }
            Action::Freed { .. } => {}
            Action::Detached { mapping } => job.ops.push_back(Op::Detached(mapping)),
            Action::Yield => job.kind = Kind::Yield,
            Action::Destroy { object } => {
                job.kind = Kind::Destroy(object);
                let pages = 0..self.kernel.file_pages(object);
                job.ops.extend(pages.map(|page| Op::Punch { object, page }));
            }
        }
        job.ops.push_back(Op::Report);
        job
    }

    fn plan_fill(
        &mut self,
        job: &mut Job,
        object: ObjectId,
        range: PageRange,
        sources: &[Source],
        install: Option<Install>,
    ) {
        job.kind = Kind::Fill { written: Vec::new(), failed: false };
        let ratio = self.ratio(object);
        assert_eq!(sources.len(), range.count().as_usize(), "a source for each page");
        for (index, source) in range.iter().zip(sources) {
            for part in 0..ratio {
                let from = match source {
                    Source::Zero => Contents::Zeros,
                    Source::Same(_) if self.plant == Some(Plant::ForgetPatterns) => Contents::Zeros,
                    Source::Same(word) => Contents::Word(low_half(*word)),
                    Source::Stored(slot) => Contents::Stored(slot.offset + part as u64 * 4096),
                };
                let page = index.as_usize() * ratio + part;
                job.ops.push_back(Op::Write { object, page, from });
            }
            if let Source::Stored(slot) = source {
                job.uses.push((*slot, Use::Read));
            }
        }
        if self.rng.chance(self.tricks.fill_fails) {
            let at = self.rng.below(job.ops.len());
            job.ops.insert(at, Op::NoFrame { object });
        }
        let Some(install) = install else { return };
        let runs = install.runs.iter().map(|(run, how)| (pages_of(*run, ratio), *how)).collect();
        self.plan_install(job, install.mapping, runs);
    }

    fn plan_install(
        &mut self,
        job: &mut Job,
        mapping: MappingId,
        runs: Vec<(Range<usize>, Protection)>,
    ) {
        let Some(vma) = self.mappings.get(&mapping).copied() else {
            job.ops.push_back(Op::Odd(InstallEnd::Gone));
            return;
        };
        let all = runs[0].0.start..runs[runs.len() - 1].0.end;
        if self.rng.chance(self.tricks.install_odd) {
            let ends = [InstallEnd::NotMapped, InstallEnd::Gone, InstallEnd::Absent];
            job.ops.push_back(Op::Odd(self.rng.pick(&ends)));
            job.ops.push_back(Op::Wake { vma, pages: all });
            return;
        }
        for (pages, how) in self.join(runs) {
            let how = match self.plant {
                Some(Plant::IgnoreProtection) => Protection::Writable,
                _ => how,
            };
            job.ops.extend(pages.map(|page| Op::Install { vma, page, how }));
        }
        job.ops.push_back(Op::WakeRest { vma, pages: all });
    }

    /// A shell that saves system calls where it must not: one for all runs.
    fn join(&self, runs: Vec<(Range<usize>, Protection)>) -> Vec<(Range<usize>, Protection)> {
        match self.plant {
            Some(Plant::InstallAcrossGaps) => {
                vec![(runs[0].0.start..runs[runs.len() - 1].0.end, runs[0].1)]
            }
            _ => runs,
        }
    }

    fn plan_each(
        &mut self,
        job: &mut Job,
        mapping: MappingId,
        range: PageRange,
        op: impl Fn(u32, usize) -> Op,
    ) {
        let Some(vma) = self.mappings.get(&mapping).copied() else { return };
        let Some(ratio) = self.ratio_of_vma(vma) else { return };
        // The kernel's mappings are changing: only a wake gets through.
        if matches!(job.kind, Kind::Unprotect) && self.rng.chance(self.tricks.install_odd) {
            job.ops.push_back(Op::Wake { vma, pages: pages_of(range, ratio) });
            return;
        }
        job.ops.extend(pages_of(range, ratio).map(|page| op(vma, page)));
    }

    fn plan_wake(&mut self, job: &mut Job, mapping: MappingId, range: PageRange) {
        let Some(vma) = self.mappings.get(&mapping).copied() else { return };
        let Some(ratio) = self.ratio_of_vma(vma) else { return };
        job.ops.push_back(Op::Wake { vma, pages: pages_of(range, ratio) });
    }

    fn plan_copy(
        &mut self,
        job: &mut Job,
        object: ObjectId,
        range: PageRange,
        slots: &[Slot],
        guards: &[MappingId],
    ) {
        let ratio = self.ratio(object);
        let pages = pages_of(range, ratio);
        job.kind = Kind::CopyOut { same: vec![None; slots.len()], failed: false };
        let discards = std::mem::take(&mut job.ops);
        let mut protects = VecDeque::new();
        let skipped = usize::from(self.plant == Some(Plant::SkipOneGuard));
        for mapping in guards.iter().skip(skipped) {
            let Some(vma) = self.mappings.get(mapping).copied() else { continue };
            let Some(entry) = self.kernel.vmas.get(&vma) else { continue };
            let inside = pages.clone().filter(|page| entry.pages().contains(page));
            protects.extend(inside.map(|page| Op::Guard { vma, page }));
        }
        let mut copies = VecDeque::new();
        for (of, (index, slot)) in range.iter().zip(slots).enumerate() {
            job.uses.push((*slot, Use::Write));
            for part in 0..ratio {
                let page = index.as_usize() * ratio + part;
                let to = slot.offset + part as u64 * 4096;
                copies.push_back(Op::Copy { object, page, to, of });
            }
        }
        let order = match self.plant {
            Some(Plant::GuardAfterCopy) => [discards, copies, protects],
            Some(Plant::DiscardLate) => [protects, copies, discards],
            _ => [discards, protects, copies],
        };
        let first = order[0].len();
        job.ops = order.into_iter().flatten().collect();
        if self.on_strike() || self.rng.chance(self.tricks.copy_fails) {
            let at = first + self.rng.below(job.ops.len() - first + 1);
            job.ops.insert(at, Op::NoCopy);
        }
    }

    fn plan_punch(&mut self, job: &mut Job, object: ObjectId, runs: &[PageRange]) {
        let done = !self.on_strike() && !self.rng.chance(self.tricks.punch_refused);
        job.kind = Kind::Punch { done };
        let ratio = self.ratio(object);
        if done {
            let pages = runs.iter().flat_map(|run| pages_of(*run, ratio));
            job.ops.extend(pages.map(|page| Op::Punch { object, page }));
        }
    }

    fn plan_discard(&mut self, job: &mut Job, slots: &[Slot]) {
        for slot in slots {
            job.uses.push((*slot, Use::Discard));
            job.ops.push_back(Op::Discard(*slot));
        }
    }
}
