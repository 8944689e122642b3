//! Mappings: how one is added, and where its first write must be seen.

use bo_units::{ClientId, MappingId, ObjectId, PageRange};

use crate::Access;
use crate::entities::{Mapping, Siblings};
use crate::manager::Manager;
use crate::page::{Page, PageTable, Residency, grown, run};
use crate::prefetch::{Accuracy, Streams};
use crate::refusal::Refusal;

/// A mapping that was made, and what must be true before its client may write through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its id.
    pub mapping: MappingId,
    /// What the shell must write-protect in it before it says yes to the client: their first write
    /// has to be seen. [`Manager::guard_more`] looks at the rest.
    pub guard: Guard,
}

/// Pages of a new mapping that the shell must write-protect, and what is still to be looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// Runs, in order.
    pub runs: Vec<PageRange>,
    /// For the next step. `None`: this was the last.
    pub rest: Option<PageRange>,
}

impl Manager {
    /// Adds a mapping, which the shell has registered already. Until it has protected
    /// [`Attached::guard`], and what [`Self::guard_more`] gives for the rest of it, the client must
    /// not be told.
    ///
    /// # Errors
    ///
    /// [`Refusal::Gone`], [`Refusal::ReadOnly`], [`Refusal::Range`], [`Refusal::MappingLimit`],
    /// [`Refusal::Draining`].
    pub fn attach(
        &mut self,
        client: ClientId,
        object: ObjectId,
        range: PageRange,
        access: Access,
    ) -> Result<Attached, Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        let range = self.grant(client, object, range)?;
        if access > self.access(client, object)? {
            return Err(Refusal::ReadOnly);
        }
        self.check_mapping_limits(client, object)?;
        let owner = self.clients.get_mut(client).ok_or(Refusal::Gone)?;
        let older = owner.newest_mapping;
        let mapping = self.mappings.insert(Mapping {
            client,
            object,
            range,
            access,
            in_flight: 0,
            closing: false,
            siblings: Siblings { older, newer: None },
            streams: Streams::default(),
            accuracy: Accuracy::default(),
        });
        owner.newest_mapping = Some(mapping.slot);
        owner.mappings += 1;
        owner.holds.get_mut(&object.slot).expect("its access was looked up").mappings += 1;
        if let Some(older) = older.and_then(|slot| self.mappings.at_slot_mut(slot)) {
            older.siblings.newer = Some(mapping.slot);
        }
        self.object_mut(object).mappings.push(mapping);
        Ok(Attached { mapping, guard: self.guard_more(mapping, range) })
    }

    fn check_mapping_limits(&self, client: ClientId, object: ObjectId) -> Result<(), Refusal> {
        let limits = self.config.limits;
        if self.mappings.len() >= limits.mappings as usize {
            return Err(Refusal::MappingLimit(limits.mappings));
        }
        if self.clients.get(client).ok_or(Refusal::Gone)?.mappings >= limits.mappings_per_client {
            return Err(Refusal::MappingLimit(limits.mappings_per_client));
        }
        let owned = self.objects.get(object).ok_or(Refusal::Gone)?.mappings.len();
        if owned >= limits.mappings_per_object as usize {
            return Err(Refusal::MappingLimit(limits.mappings_per_object));
        }
        Ok(())
    }

    /// Looks at the next pages of a mapping that is being made: which of them the shell must
    /// write-protect in it, as things stand now. Nothing, if the mapping is gone.
    ///
    /// It does not matter what happens to pages between two steps. The mapping is in its object's
    /// list since [`Self::attach`], so whatever makes a page clean after that protects this mapping
    /// as it does the others; and what was clean before and is no more needs no guard. A page that
    /// is looked at here, then written to through another mapping, and only then protected, costs
    /// its first writer one fault more.
    #[must_use]
    pub fn guard_more(&self, mapping: MappingId, rest: PageRange) -> Guard {
        let Some(entry) = self.mappings.get(mapping) else { return Guard::default() };
        if entry.access == Access::ReadOnly {
            return Guard::default();
        }
        let pages = &self.object(entry.object).pages;
        let (part, rest) = pages.cut(rest, self.config.step_pages);
        Guard { runs: guarded_runs(pages, part), rest }
    }

    /// Takes a mapping out of the list of its client.
    pub(crate) fn unlink_mapping(&mut self, client: ClientId, siblings: Siblings) {
        let Siblings { older, newer } = siblings;
        if let Some(entry) = older.and_then(|slot| self.mappings.at_slot_mut(slot)) {
            entry.siblings.newer = newer;
        }
        if let Some(entry) = newer.and_then(|slot| self.mappings.at_slot_mut(slot)) {
            entry.siblings.older = older;
        }
        if let Some(client) = self.clients.get_mut(client) {
            client.mappings -= 1;
            if newer.is_none() {
                client.newest_mapping = older;
            }
        }
    }
}

/// The runs of pages whose first write must be seen, or that are just leaving.
fn guarded_runs(pages: &PageTable, range: PageRange) -> Vec<PageRange> {
    let mut runs: Vec<PageRange> = Vec::new();
    for (index, _) in pages.touched(range).filter(|(_, page)| is_watched(page)) {
        match runs.last_mut() {
            Some(run) if run.end() == index => *run = grown(*run),
            Some(_) | None => runs.push(run(index, 1)),
        }
    }
    runs
}

fn is_watched(page: &Page) -> bool {
    page.copy.is_guarded() || matches!(page.residency, Residency::Evicting(..))
}
