//! The shell: carries effects out, many at a time, and reports what came of them.

use std::collections::{BTreeMap, VecDeque};

use bo_units::{MappingId, ObjectId, PageRange};

use crate::{Action, Copied, EffectId, InstallEnd, Outcome};

use super::jobs::{Contents, Job, Kind, Op, Same, Use};
use super::kernel::{Continued, Kernel};
use super::rng::Rng;
use super::{Plant, Tricks};

/// What the shell knows, and the kernel under it.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) kernel: Kernel,
    pub(crate) rng: Rng,
    pub(crate) tricks: Tricks,
    pub(crate) plant: Option<Plant>,
    /// Where each mapping is.
    pub(crate) mappings: BTreeMap<MappingId, u32>,
    /// How many of the kernel's pages make one of the object's.
    pub(crate) ratios: BTreeMap<ObjectId, usize>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) sigbus: u64,
    /// The step at which the host ends to refuse everything.
    pub(crate) strike_until: u64,
    /// The step that is done.
    pub(crate) now: u64,
}

/// What a finished step means for others.
pub(crate) enum Said {
    /// More steps follow.
    Nothing,
    /// The core hears this.
    Outcome(EffectId, Outcome),
    /// Nobody waits for the outcome.
    Quiet,
    /// A mapping may be unmapped.
    Detached(MappingId),
    /// The core is to look at more pages of a new mapping, for the job of this number.
    GuardMore { job: usize, mapping: MappingId, rest: PageRange },
    /// A mapping is protected where it must be, or could not be.
    Attached { mapping: MappingId, failed: bool },
}

impl Shell {
    pub(crate) fn ratio(&self, object: ObjectId) -> usize {
        self.ratios[&object]
    }

    pub(crate) fn on_strike(&self) -> bool {
        self.now < self.strike_until
    }

    pub(crate) fn ratio_of_vma(&self, vma: u32) -> Option<usize> {
        Some(self.ratio(self.kernel.vmas.get(&vma)?.object))
    }

    /// Takes over an effect.
    pub(crate) fn start(&mut self, effect: crate::Effect, ticket: Option<u32>) {
        if self.plant == Some(Plant::PunchBeforeCopied)
            && let Action::CopyOut { object, range, .. } = &effect.action
        {
            let last = super::jobs::pages_of(*range, self.ratio(*object)).end - 1;
            self.kernel.punch(*object, last);
        }
        let mut job = self.plan(effect);
        job.ticket = ticket;
        job.slow = self.rng.chance(self.tricks.slow);
        self.assert_no_conflict(&job);
        self.jobs.push(job);
    }

    /// Rule: while a part of the store is read, nobody writes it; while it is written or given
    /// back, nobody else touches it.
    fn assert_no_conflict(&self, job: &Job) {
        for (slot, how) in &job.uses {
            for (other, theirs) in self.jobs.iter().flat_map(|each| &each.uses) {
                let apart = slot.offset + slot.len <= other.offset
                    || other.offset + other.len <= slot.offset;
                let reads = *how == Use::Read && *theirs == Use::Read;
                assert!(apart || reads, "{how:?} of {slot:?} meets {theirs:?} of {other:?}");
            }
        }
    }

    /// Does one step of a job.
    pub(crate) fn step(&mut self, number: usize) -> Said {
        let Some(op) = self.jobs[number].ops.pop_front() else {
            self.jobs.swap_remove(number);
            return Said::Quiet;
        };
        if let Op::Detached(mapping) = op {
            if let Some(vma) = self.mappings.remove(&mapping) {
                self.wake_all(vma);
            }
            return Said::Detached(mapping);
        }
        if let Op::GuardMore { mapping, rest } = op {
            return Said::GuardMore { job: number, mapping, rest };
        }
        if matches!(op, Op::Report) {
            let job = self.jobs.swap_remove(number);
            return self.report(job);
        }
        self.apply(number, op);
        Said::Nothing
    }

    pub(crate) fn wake_all(&mut self, vma: u32) {
        if let Some(entry) = self.kernel.vmas.get(&vma) {
            let pages = entry.pages();
            self.kernel.wake(vma, pages);
        }
    }

    fn apply(&mut self, number: usize, op: Op) {
        let (kernel, job) = (&mut self.kernel, &mut self.jobs[number]);
        match op {
            Op::Discard(slot) => {
                for at in (slot.offset..slot.offset + slot.len).step_by(4096) {
                    kernel.store_punch(at);
                }
            }
            Op::Guard { vma, page } => kernel.protect(vma, page),
            Op::Copy { object, page, to, of } => {
                let words = kernel.read(object, page).unwrap_or_default();
                kernel.store_write(to, words);
                let Kind::CopyOut { same, .. } = &mut job.kind else { unreachable!("a copy") };
                same[of] = Some(Same::and(same[of], words, self.plant));
            }
            Op::Write { object, page, from } => {
                assert_eq!(kernel.read(object, page), None, "a fill meets a page");
                let words = match from {
                    Contents::Zeros => [0, 0],
                    Contents::Word(word) => [word, word],
                    Contents::Stored(offset) => kernel.store_read(offset),
                };
                kernel.write(object, page, Some(words));
                let Kind::Fill { written, .. } = &mut job.kind else { unreachable!("a fill") };
                written.push((page, from != Contents::Zeros));
            }
            Op::NoFrame { object } => self.undo_fill(number, object),
            Op::NoCopy => fail(job),
            Op::Patch { object, page } => {
                if kernel.read(object, page).is_none() {
                    kernel.write(object, page, Some([0, 0]));
                }
            }
            Op::Install { vma, page, how } => match kernel.install(vma, page, how) {
                Continued::Done => {}
                Continued::Exists => job.exists = true,
                Continued::Absent => job.end = InstallEnd::Absent,
                Continued::NotMapped => job.end = InstallEnd::NotMapped,
            },
            Op::Odd(end) => job.end = end,
            Op::WakeRest { vma, pages } => {
                let odd = job.end != InstallEnd::Complete;
                if odd || (job.exists && self.plant != Some(Plant::NoWakeAfterExists)) {
                    kernel.wake(vma, pages);
                }
            }
            Op::Unprotect { vma, page } => kernel.unprotect(vma, page),
            Op::Wake { vma, pages } => kernel.wake(vma, pages),
            Op::Poison { vma, page } => kernel.poison(vma, page),
            Op::Punch { object, page } => kernel.punch(object, page),
            Op::Detached(_) | Op::GuardMore { .. } | Op::Report => {
                unreachable!("these are not for the kernel")
            }
        }
    }

    /// There is no frame for the rest. What came from the store goes back; zeros stay, since a
    /// client that met no mark may have written to them.
    fn undo_fill(&mut self, number: usize, object: ObjectId) {
        let job = &mut self.jobs[number];
        let Kind::Fill { written, failed } = &mut job.kind else { unreachable!("a fill") };
        *failed = true;
        let all = self.plant == Some(Plant::PunchZerosOnFailure);
        let undo = written.iter().filter(|(_, stored)| *stored || all);
        job.ops = undo.map(|(page, _)| Op::Punch { object, page: *page }).collect();
        job.ops.push_back(Op::Report);
    }

    fn report(&mut self, job: Job) -> Said {
        let outcome = match job.kind {
            Kind::Fill { failed: true, .. } => Outcome::FillFailed,
            Kind::Fill { .. } => Outcome::Filled { installed: job.end },
            Kind::Install => Outcome::Installed(job.end),
            Kind::Unprotect => Outcome::Unprotected,
            Kind::CopyOut { failed: true, .. } => Outcome::CopiedOut(Copied::Failed),
            Kind::CopyOut { same, .. } => {
                let same = same.into_iter().map(|each| each.and_then(Same::word)).collect();
                Outcome::CopiedOut(Copied::Done { same })
            }
            Kind::Punch { done } => Outcome::Punched { done },
            Kind::Discard => Outcome::Discarded,
            Kind::Yield => Outcome::Yielded,
            Kind::Destroy(object) => {
                assert_eq!(self.kernel.populated(object), 0, "a destroyed object has frames");
                Outcome::Destroyed
            }
            Kind::Attach { mapping, failed } => return Said::Attached { mapping, failed },
            Kind::Quiet => return Said::Quiet,
        };
        let forgets = self.plant == Some(Plant::ForgetUnprotected);
        match job.id {
            Some(_) if forgets && outcome == Outcome::Unprotected => Said::Quiet,
            Some(id) => Said::Outcome(id, outcome),
            None => Said::Quiet,
        }
    }
}

/// A protection or a read failed: the rest is not tried.
fn fail(job: &mut Job) {
    match &mut job.kind {
        Kind::CopyOut { failed, .. } | Kind::Attach { failed, .. } => *failed = true,
        Kind::Fill { .. }
        | Kind::Install
        | Kind::Unprotect
        | Kind::Punch { .. }
        | Kind::Discard
        | Kind::Destroy(_)
        | Kind::Yield
        | Kind::Quiet => unreachable!("nothing is copied here"),
    }
    job.ops = VecDeque::from([Op::Report]);
}
