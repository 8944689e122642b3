//! What others may see: numbers and lists, never a table.

use bo_units::{ClientId, MappingId, ObjectId, PageCount, PageIndex, PageRange};

use crate::entities::{ClientView, HoldSums, MappingView, ObjectView};
use crate::limits::{LIST_STEP_HOLDS, LIST_STEP_SLOTS};
use crate::manager::Manager;
use crate::page::{Page, PageTable, Residency};
use crate::refusal::Refusal;
use crate::stats::{Gauges, Stats};

impl Manager {
    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The present state, in numbers.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let capacity = self.pool.capacity();
        #[cfg(any(test, feature = "sim"))]
        let capacity = self.sabotage_capacity(capacity);
        Gauges {
            vram_capacity_bytes: capacity,
            vram_target_bytes: self.pool.size(),
            vram_used_bytes: self.pool.used(),
            vram_peak_bytes: self.pool.used_max(),
            vram_evicting_bytes: self.evicting,
            reclaim_start_bytes: self.pool.size().saturating_sub(self.start_free()),
            reclaim_stop_bytes: self.pool.size().saturating_sub(self.stop_free()),
            clean_window_bytes: self.clean_window(),
            store_patterns: self.patterns.len(),
            ram_capacity_bytes: self.store.capacity() + self.ram_reserved,
            ram_used_bytes: self.store.held() + self.ram_placed,
            ram_peak_bytes: self.ram_peak,
            store_held_bytes: self.store.held(),
            store_present_bytes: self.store.present(),
            ram_placed_bytes: self.ram_placed,
            ram_reserved_bytes: self.ram_reserved,
            committed_bytes: self.committed,
            commit_limit_bytes: self.commit_limit(None),
            clients: self.clients.len() as u64,
            clients_suspended: self.sleepers.clients(),
            clients_suspending: self.sleepers.suspending(),
            faults_parked: self.sleepers.parked(),
            objects: self.objects.len() as u64,
            mappings: self.mappings.len() as u64,
            moves: self.moves.len() as u64,
            starved: self.queue.len() as u64,
            watched: self.samples.len() as u64,
        }
    }

    /// One object.
    #[must_use]
    pub fn object_view(&self, id: ObjectId) -> Option<ObjectView> {
        let object = self.objects.get(id)?;
        Some(ObjectView {
            id,
            label: object.label.clone(),
            bytes: object.bytes(),
            page_bytes: object.page_size.bytes(),
            placement: object.placement,
            priority: object.priority,
            resident_bytes: object.resident.bytes(object.page_size).get(),
            stored_bytes: object.stored.bytes(object.page_size).get(),
            holders: u32::try_from(object.holders.len()).unwrap_or(u32::MAX),
            mappings: u32::try_from(object.mappings.len()).unwrap_or(u32::MAX),
            stats: object.stats,
        })
    }

    /// The objects in a few slots from `slot` on, and the slot for the next step; `None`: these
    /// were the last. Begin with 0.
    #[must_use]
    pub fn object_views(&self, slot: u32) -> (Vec<ObjectView>, Option<u32>) {
        let (slots, next) = step(slot, self.objects.slots());
        let ids = slots.filter_map(|slot| self.objects.id_at(slot));
        (ids.filter_map(|id| self.object_view(id)).collect(), next)
    }

    /// The clients in a few slots from `slot` on, as [`Self::object_views`] does it. What they
    /// hold is not added up: [`Self::add_holds`] does that.
    #[must_use]
    pub fn client_views(&self, slot: u32) -> (Vec<ClientView>, Option<u32>) {
        let (slots, next) = step(slot, self.clients.slots());
        let ids = slots.filter_map(|slot| self.clients.id_at(slot));
        (ids.filter_map(|id| self.named(id, HoldSums::default())).collect(), next)
    }

    /// Adds a few of a client's holds to `sums`, from the object in `slot` on; gives the slot for
    /// the next step. `None`: all are added, or the client is gone. Begin with 0.
    pub fn add_holds(&self, id: ClientId, slot: u32, sums: &mut HoldSums) -> Option<u32> {
        let holds = &self.clients.get(id)?.holds;
        let mut left = holds.range(slot..);
        for (_, hold) in left.by_ref().take(LIST_STEP_HOLDS) {
            let Some(object) = self.objects.get(hold.object) else { continue };
            let bytes = object.bytes();
            sums.total_bytes += bytes;
            sums.shared_bytes += if object.holders.len() > 1 { bytes } else { 0 };
            sums.resident_bytes += object.resident.bytes(object.page_size).get();
        }
        left.next().map(|(slot, _)| *slot)
    }

    /// One client, with everything that it holds added up under one lock.
    #[must_use]
    pub fn client_view(&self, id: ClientId) -> Option<ClientView> {
        let mut sums = HoldSums::default();
        let mut next = Some(0);
        while let Some(slot) = next {
            next = self.add_holds(id, slot, &mut sums);
        }
        self.named(id, sums)
    }

    /// One client. What it holds is not added up: [`Self::add_holds`] does that.
    #[must_use]
    pub fn client_entry(&self, id: ClientId) -> Option<ClientView> {
        self.named(id, HoldSums::default())
    }

    fn named(&self, id: ClientId, sums: HoldSums) -> Option<ClientView> {
        let client = self.clients.get(id)?;
        Some(ClientView {
            id,
            name: client.name.clone(),
            state: client.state(),
            parked_faults: client.parked.faults(),
            objects: u32::try_from(client.holds.len()).unwrap_or(u32::MAX),
            mappings: client.mappings,
            sums,
            stats: client.stats,
        })
    }

    /// How many pages of a range are present. It looks at each of them: the caller cuts a long
    /// range into short ones.
    ///
    /// # Errors
    ///
    /// [`Refusal::Gone`], [`Refusal::Range`].
    pub fn resident_pages(
        &self,
        client: ClientId,
        object: ObjectId,
        range: PageRange,
    ) -> Result<PageCount, Refusal> {
        let range = self.grant(client, object, range)?;
        let pages = &self.object(object).pages;
        let count = pages.touched(range).filter(|(_, page)| is_present(page)).count();
        Ok(PageCount::new(u32::try_from(count).expect("an object has at most 2^28 pages")))
    }

    /// True if a page of a range is on its way in, or waits for room.
    ///
    /// # Errors
    ///
    /// [`Refusal::Gone`], [`Refusal::Range`].
    pub fn is_arriving(
        &self,
        client: ClientId,
        object: ObjectId,
        range: PageRange,
    ) -> Result<bool, Refusal> {
        let range = self.grant(client, object, range)?;
        let arrives =
            |page: &Page| matches!(page.residency, Residency::Waiting(_) | Residency::Filling(..));
        Ok(self.object(object).pages.touched(range).any(|(_, page)| arrives(&page)))
    }

    /// The runs of a mapping's pages that are not present, in order. It looks at each page, and is
    /// for the end of a daemon, when no fault waits for the lock.
    #[must_use]
    pub fn absent_runs(&self, mapping: MappingId) -> Vec<PageRange> {
        let Some(entry) = self.mappings.get(mapping) else { return Vec::new() };
        runs_without(&self.object(entry.object).pages, entry.range, is_present)
    }

    /// The runs of an object's pages that have no frame and are not being given one, in order, and
    /// how many of its pages are present. Empty if there is no such object.
    ///
    /// As long as the caller keeps the manager from deciding anything, none of these is filled:
    /// what is in the file there belongs to nobody.
    #[must_use]
    pub fn frameless_runs(&self, object: ObjectId) -> (Vec<PageRange>, PageCount) {
        let Some(entry) = self.objects.get(object) else { return (Vec::new(), PageCount::ZERO) };
        let all = PageRange::checked_new(PageIndex::new(0), entry.pages.pages());
        let all = all.expect("a page table starts at zero and ends below 2^32");
        let runs = runs_without(&entry.pages, all, |page| page.frame().is_some());
        let present = entry.pages.touched(all).filter(|(_, page)| is_present(page)).count();
        (runs, PageCount::new(u32::try_from(present).expect("an object has at most 2^28 pages")))
    }

    /// One mapping.
    #[must_use]
    pub fn mapping_view(&self, id: MappingId) -> Option<MappingView> {
        self.mappings.get(id).map(|entry| MappingView {
            client: entry.client,
            object: entry.object,
            range: entry.range,
            access: entry.access,
        })
    }

    /// True if the client and every object in motion are at rest: nothing is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.moves.is_empty() && self.pending.is_empty() && self.effects.is_empty()
    }
}

/// A few slots of a table of so many, and where the next step begins.
fn step(slot: u32, slots: u32) -> (std::ops::Range<u32>, Option<u32>) {
    let end = slot.saturating_add(LIST_STEP_SLOTS).min(slots);
    (slot..end, (end < slots).then_some(end))
}

/// The runs of `range` of which no page is as wished, in order.
fn runs_without(
    pages: &PageTable,
    range: PageRange,
    wish: impl Fn(&Page) -> bool,
) -> Vec<PageRange> {
    let mut runs = Vec::new();
    let mut next = range.first();
    for (index, _) in pages.touched(range).filter(|(_, page)| wish(page)) {
        runs.extend(PageRange::between(next, index).filter(|run| !run.is_empty()));
        next = index + PageCount::ONE;
    }
    runs.extend(PageRange::between(next, range.end()).filter(|run| !run.is_empty()));
    runs
}

/// True if the page can be used without a fill.
fn is_present(page: &Page) -> bool {
    matches!(page.residency, Residency::Resident { .. } | Residency::Evicting(..))
}
