//! What others may see: numbers and lists, never a table.

use bo_units::{ClientId, MappingId, ObjectId, PageCount, PageRange};

use crate::entities::{ClientView, Hold, MappingView, ObjectView};
use crate::manager::Manager;
use crate::page::{Page, Residency};
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
        Gauges {
            vram_capacity_bytes: self.pool.capacity(),
            vram_used_bytes: self.pool.used(),
            vram_peak_bytes: self.pool.used_max(),
            vram_evicting_bytes: self.evicting,
            reclaim_start_bytes: self.pool.capacity().saturating_sub(self.start_free()),
            reclaim_stop_bytes: self.pool.capacity().saturating_sub(self.stop_free()),
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
            objects: self.objects.len() as u64,
            mappings: self.mappings.len() as u64,
            moves: self.moves.len() as u64,
            starved: self.queue.len() as u64,
        }
    }

    /// The name of the policy in use.
    #[must_use]
    pub fn policy_name(&self) -> &'static str {
        self.policy.name()
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
            resident_bytes: object.resident.bytes(object.page_size).get(),
            stored_bytes: object.stored.bytes(object.page_size).get(),
            holders: object.holders,
            mappings: u32::try_from(object.mappings.len()).unwrap_or(u32::MAX),
            stats: object.stats,
        })
    }

    /// Up to `most` objects, in the order of their slots.
    #[must_use]
    pub fn object_views(&self, most: usize) -> Vec<ObjectView> {
        self.objects.iter().take(most).filter_map(|(id, _)| self.object_view(id)).collect()
    }

    /// Up to `most` clients, in the order of their slots.
    #[must_use]
    pub fn client_views(&self, most: usize) -> Vec<ClientView> {
        self.clients.iter().take(most).filter_map(|(id, _)| self.client_view(id)).collect()
    }

    /// One client.
    #[must_use]
    pub fn client_view(&self, id: ClientId) -> Option<ClientView> {
        let client = self.clients.get(id)?;
        let sum = |of: &dyn Fn(&Hold) -> u64| client.holds.values().map(of).sum();
        let object = |hold: &Hold| self.objects.get(hold.object);
        Some(ClientView {
            id,
            name: client.name.clone(),
            objects: u32::try_from(client.holds.len()).unwrap_or(u32::MAX),
            mappings: u32::try_from(client.mappings.len()).unwrap_or(u32::MAX),
            total_bytes: sum(&|hold| object(hold).map_or(0, |each| each.bytes())),
            shared_bytes: sum(&|hold| {
                object(hold).filter(|each| each.holders > 1).map_or(0, |each| each.bytes())
            }),
            resident_bytes: sum(&|hold| {
                object(hold).map_or(0, |each| each.resident.bytes(each.page_size).get())
            }),
            stats: client.stats,
        })
    }

    /// How many pages of a range are present.
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

    /// The runs of a mapping's pages that are not present, in order.
    #[must_use]
    pub fn absent_runs(&self, mapping: MappingId) -> Vec<PageRange> {
        let Some(entry) = self.mappings.get(mapping) else { return Vec::new() };
        let pages = &self.object(entry.object).pages;
        let mut runs = Vec::new();
        let mut next = entry.range.first();
        let present = pages.touched(entry.range).filter(|(_, page)| is_present(page));
        for (index, _) in present {
            runs.extend(PageRange::between(next, index).filter(|run| !run.is_empty()));
            next = index + PageCount::ONE;
        }
        runs.extend(PageRange::between(next, entry.range.end()).filter(|run| !run.is_empty()));
        runs
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

/// True if the page can be used without a fill.
fn is_present(page: &Page) -> bool {
    matches!(page.residency, Residency::Resident { .. } | Residency::Evicting(..))
}
