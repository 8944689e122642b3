//! Prefetches on request: several steps each, with everybody else in between.

use bo_units::{ClientId, ObjectId, PageIndex, PageRange};

use crate::{Action, Prefetch, PrefetchStart, Resumed};

use super::{Plant, Sim};

/// One that is not done yet.
#[derive(Debug)]
pub(crate) struct Running {
    process: usize,
    client: ClientId,
    object: ObjectId,
    rest: PageRange,
    start: PrefetchStart,
    /// Fills up to here were begun before it.
    since: u64,
}

/// Prefetches at the same time.
const RUNNING_MAX: usize = 3;

impl Sim {
    pub(crate) fn begin_prefetch(&mut self, process: usize) {
        let Some((object, _)) = self.some_handle(process) else { return };
        if self.prefetches.len() == RUNNING_MAX {
            return;
        }
        let rest = self.some_range(object);
        let client = self.client(process);
        let start = self.manager.start_prefetch();
        let since = self.fills_ever;
        self.prefetches.push(Running { process, client, object, rest, start, since });
    }

    /// What a client had in the pool before it was suspended comes back, as far as that goes.
    pub(crate) fn fetch_working_set(
        &mut self,
        process: usize,
        client: ClientId,
        resumed: &Resumed,
    ) {
        let since = self.fills_ever;
        for (object, rest) in resumed.working_set.iter().copied() {
            if self.prefetches.len() == RUNNING_MAX {
                return;
            }
            let start = resumed.start;
            self.prefetches.push(Running { process, client, object, rest, start, since });
        }
    }

    /// One of them goes on.
    pub(crate) fn step_prefetch(&mut self) {
        if self.prefetches.is_empty() || self.closing {
            return;
        }
        let number = self.rng.below(self.prefetches.len());
        let running = &mut self.prefetches[number];
        if self.processes[running.process].client != Some(running.client) {
            self.prefetches.swap_remove(number);
            return;
        }
        if self.shell.plant == Some(Plant::RenewPrefetch) {
            running.start = self.manager.start_prefetch();
        }
        let Running { client, object, rest, start, since, .. } = *running;
        let now = self.tick();
        let step = self.manager.prefetch(now, client, object, rest, start);
        let rest = match step {
            Ok(Prefetch::Started { run }) => {
                PageRange::between(run.end(), rest.end()).filter(|rest| !rest.is_empty())
            }
            Ok(Prefetch::MakingRoom) => Some(rest),
            Ok(Prefetch::Full | Prefetch::Done) | Err(_) => None,
        };
        match rest {
            Some(rest) => self.prefetches[number].rest = rest,
            None => drop(self.prefetches.swap_remove(number)),
        }
        self.victims_are_older_than = Some(since);
        self.take_effects(None);
        self.victims_are_older_than = None;
    }

    /// Notes when pages began to come, and looks who goes for a prefetch.
    pub(crate) fn note_effect(&mut self, action: &Action) {
        match action {
            Action::Fill { object, range, .. } => {
                self.fills_ever += 1;
                for page in range.iter() {
                    self.filled.insert((*object, page), self.fills_ever);
                }
            }
            Action::CopyOut { object, range, .. } => self.check_victims(*object, range.iter()),
            Action::Punch { object, runs } => {
                self.check_victims(*object, runs.iter().flat_map(|run| run.iter()));
            }
            Action::Install { .. }
            | Action::Unprotect { .. }
            | Action::Patch { .. }
            | Action::Wake { .. }
            | Action::Poison { .. }
            | Action::Discard { .. }
            | Action::Detached { .. }
            | Action::Freed { .. }
            | Action::Destroy { .. }
            | Action::Yield => {}
        }
    }

    fn check_victims(&self, object: ObjectId, pages: impl Iterator<Item = PageIndex>) {
        let Some(since) = self.victims_are_older_than else { return };
        for page in pages {
            let filled = self.filled[&(object, page)];
            assert!(filled <= since, "a prefetch evicts what is younger: page {page} of {object}");
        }
    }
}
