//! The walk over every table that the simulator makes after each step.

use std::collections::BTreeMap;

use bo_units::{ObjectId, PageIndex};

use crate::Placement;
use crate::manager::{Manager, Pending, Stage};
use crate::page::{Kept, Page, Residency, StoreCopy};
use crate::prefetch::{ByCause, Place};
use crate::stats::Stats;

impl Manager {
    /// Checks every fact that the tables state twice.
    ///
    /// # Panics
    ///
    /// If two of them disagree.
    pub fn assert_valid(&self) {
        let mut vram = 0;
        let mut ram = 0;
        let mut evicting = 0;
        let mut held = 0;
        let mut framed = 0;
        let mut retained = 0;
        for (id, object) in self.objects.iter() {
            let (mut resident, mut stored) = (0, 0);
            let bytes = object.page_size.bytes();
            for (index, page) in object.pages.touched(object.all()) {
                stored += u32::from(page.copy.slot().is_some());
                if let Some(frame) = page.frame() {
                    framed += 1;
                    assert_eq!(self.frames.page(frame), Self::key(id, index), "whose frame");
                    match object.placement {
                        Placement::Vram => vram += bytes,
                        Placement::Ram => ram += bytes,
                    }
                    let listed = self.retained.contains(frame);
                    let resident = matches!(page.residency, Residency::Resident { .. });
                    assert_eq!(listed, resident && page.copy.slot().is_some(), "retained copies");
                    retained += usize::from(listed);
                }
                match page.residency {
                    Residency::Absent => assert!(page.copy.is_valid(), "bytes are somewhere"),
                    Residency::Waiting(at) => {
                        assert!(self.queue.contains(&at), "who waits is in the queue");
                    }
                    Residency::Filling(at, _) => {
                        let stage = &self.moves[at.0 as usize].stage;
                        assert!(matches!(stage, Stage::Filling(_)), "what fills has a fill");
                    }
                    Residency::Resident { .. } => resident += 1,
                    Residency::Evicting(..) => {
                        resident += 1;
                        evicting += bytes;
                    }
                }
            }
            if object.is_being_forgotten() {
                // Its frames are nobody's, and still in its file.
                let forgotten = object.resident.get() - resident;
                match object.placement {
                    Placement::Vram => vram += u64::from(forgotten) * bytes,
                    Placement::Ram => ram += u64::from(forgotten) * bytes,
                }
            } else {
                assert_eq!(resident, object.resident.get(), "resident pages");
            }
            assert_eq!(stored, object.stored.get(), "stored pages");
            held += u64::from(stored) * bytes;
        }
        for entry in self.moves.iter().map(|(_, entry)| entry) {
            if let Stage::CopyingOut(transfer) | Stage::Cleaning(transfer) = &entry.stage {
                held += transfer.slots.len() as u64 * self.object(entry.object).page_size.bytes();
            }
        }
        let queued: u64 = self.queue.iter().map(|at| self.bytes_of(*at)).sum();
        assert_eq!(queued, self.queued, "bytes that are waited for");
        assert_eq!(vram, self.pool.used(), "bytes of frames");
        assert_eq!(ram, self.ram_placed, "bytes of RAM-placed pages");
        assert_eq!(evicting, self.evicting, "bytes on their way out");
        assert_eq!(held, self.store.held(), "bytes in the store");
        assert_eq!(framed, self.frames.in_use(), "frames in use");
        assert_eq!(retained, self.retained.len(), "retained copies");
        self.assert_rules();
        self.assert_accounts();
        self.assert_marks();
        self.assert_samples();
        self.assert_patterns();
        self.assert_cleaning();
        self.assert_sleepers();
    }

    /// Each byte of the pool is charged to the account of its object.
    fn assert_accounts(&self) {
        self.accounts.assert_valid();
        for (account, entry) in self.accounts.iter() {
            let objects = self.objects.iter().map(|(_, object)| object);
            let own = objects.filter(|object| object.account == account);
            assert_eq!(own.count(), entry.objects as usize, "objects of an account");
        }
        let sum: u64 = self.accounts.iter().map(|(_, account)| account.resident).sum();
        assert_eq!(sum, self.pool.used(), "charges");
    }

    /// The marks say what the page tables say.
    fn assert_marks(&self) {
        for (_, object) in self.objects.iter() {
            let mut marked = 0;
            for (index, page) in object.pages.touched(object.all()) {
                let place = match page.residency {
                    Residency::Absent => Place::Absent,
                    Residency::Waiting(_) | Residency::Filling(..) | Residency::Resident { .. } => {
                        Place::Here
                    }
                    Residency::Evicting(..) => Place::Leaving,
                };
                assert_eq!(object.marks.place(index.get()), place, "marks of page {index}");
                marked += u32::from(place != Place::Absent);
            }
            assert_eq!(marked, object.marks.marked(), "pages with marks");
        }
    }

    /// Each page that is watched is present, and each that ever was has been judged once.
    fn assert_samples(&self) {
        let mut pending = ByCause::default();
        for (key, sample) in self.samples.iter() {
            *pending.of_mut(sample.cause) += 1;
            let object = self.objects.at_slot(key.object).expect("a watched page has an object");
            assert!(object.marks.is_watched(key.page.get()), "what is listed is marked");
            assert!(object.marks.place(key.page.get()) != Place::Absent, "it is there");
        }
        let marked = |object: &crate::entities::Object| u64::from(object.marks.watched());
        let marked: u64 = self.objects.iter().map(|(_, object)| marked(object)).sum();
        assert_eq!(marked, pending.total(), "what is marked is listed");
        let Stats { sampled, sampled_used, sampled_wasted, .. } = &self.stats;
        let sum = ByCause {
            around: pending.around + sampled_used.around + sampled_wasted.around,
            stream: pending.stream + sampled_used.stream + sampled_wasted.stream,
            density: pending.density + sampled_used.density + sampled_wasted.density,
            hint: pending.hint + sampled_used.hint + sampled_wasted.hint,
        };
        assert_eq!(*sampled, sum, "samples are used, wasted or watched");
    }

    /// Pages whose first use must be seen.
    #[must_use]
    pub fn watched_pages(&self) -> Vec<(ObjectId, PageIndex)> {
        let id = |slot| self.objects.id_at(slot).expect("a watched page has an object");
        self.samples.iter().map(|(key, _)| (id(key.object), key.page)).collect()
    }

    fn every_page(&self) -> impl Iterator<Item = (ObjectId, PageIndex, Page)> {
        self.objects.iter().flat_map(|(id, object)| {
            object.pages.touched(object.all()).map(move |(index, page)| (id, index, page))
        })
    }

    /// Each word is kept as long as a page is full of it.
    fn assert_patterns(&self) {
        let mut counts = BTreeMap::new();
        for (_, _, page) in self.every_page() {
            if let Some(Kept::Same(number)) = page.copy.kept() {
                *counts.entry(number).or_insert(0) += 1;
                assert!(page.copy.is_guarded() && self.patterns.word(number) != 0, "a pattern");
            }
        }
        assert_eq!(counts, self.patterns.counts(), "pages that are full of a word");
    }

    /// A page is busy with what is in flight for it and with nothing else, and what the cleaner
    /// has copied is clean.
    fn assert_cleaning(&self) {
        let mut busy: BTreeMap<(ObjectId, PageIndex), u16> = BTreeMap::new();
        let mut cleaning = std::collections::BTreeSet::new();
        for (_, pending) in &self.pending {
            if let Pending::Answer { object, pages, .. } = pending {
                for page in pages.iter() {
                    *busy.entry((*object, page)).or_default() += 1;
                }
            }
        }
        for (_, entry) in self.moves.iter().filter(|(_, at)| matches!(at.stage, Stage::Cleaning(_)))
        {
            for index in entry.range.iter() {
                *busy.entry((entry.object, index)).or_default() += 1;
                assert!(cleaning.insert((entry.object, index)), "a page is cleaned once at a time");
            }
        }
        for (id, index, page) in self.every_page() {
            let wanted = busy.remove(&(id, index)).unwrap_or(0);
            let found = match page.residency {
                Residency::Resident { busy, .. } => busy,
                Residency::Absent
                | Residency::Waiting(_)
                | Residency::Filling(..)
                | Residency::Evicting(..) => 0,
            };
            assert_eq!(found, wanted, "how busy a page is");
            let marked = page.copy == StoreCopy::CLEANING;
            assert!(!marked || cleaning.contains(&(id, index)), "what is marked is being cleaned");
            let cleaned = page.frame().is_some_and(|frame| self.is_cleaned(frame));
            assert!(!cleaned || page.is_clean(), "what was cleaned and not written to is clean");
        }
        assert!(busy.is_empty(), "what is in flight is for a page that is present");
    }

    /// Rule 2, and who is held by whom.
    fn assert_rules(&self) {
        assert!(self.pool.used() <= self.pool.capacity(), "the pool is strict");
        let ram = self.store.present() + self.ram_placed;
        assert!(ram <= self.config.ram.get(), "the store is strict");
        assert!(self.store.held() <= self.store.capacity(), "the store leaves RAM to others");
        assert!(self.ram_placed <= self.ram_reserved, "RAM-placed pages are reserved for");
        let vram: u64 = (self.objects.iter())
            .filter(|(_, object)| object.placement == Placement::Vram)
            .map(|(_, object)| object.bytes())
            .sum();
        assert_eq!(vram, self.committed, "commitments");
        assert!(self.committed <= self.commit_limit(None), "no promise that cannot be kept");
        for (id, object) in self.objects.iter() {
            let holders = (self.clients.iter())
                .filter(|(_, client)| client.holds.contains_key(&id.slot))
                .count();
            assert_eq!(holders, object.holders.len(), "holders");
            assert_eq!(
                object.holders.is_empty(),
                object.dying,
                "an object dies with its last holder"
            );
            let mapped = self.mappings.iter().filter(|(_, each)| each.object == id).count();
            assert_eq!(mapped, object.mappings.len(), "mappings of an object");
        }
        for (id, client) in self.clients.iter() {
            let mut slot = client.newest_mapping;
            for _ in 0..client.mappings {
                let mapping = slot.and_then(|slot| self.mappings.at_slot(slot));
                let mapping = mapping.expect("a list is as long as it says");
                assert_eq!(mapping.client, id, "whose mapping");
                slot = mapping.siblings.older;
            }
            assert_eq!(slot, None, "a list ends");
        }
    }

    /// Checks that nobody waits for anything.
    ///
    /// # Panics
    ///
    /// If a move, an answer or a fault is still open although no effect is in flight.
    pub fn assert_nobody_is_parked(&self) {
        assert!(self.queue.is_empty(), "a fill waits for room");
        assert!(self.moves.is_empty(), "a move never ended");
        let stats = &self.stats;
        let heard = stats.faults_read + stats.faults_write + stats.faults_protect;
        let answered = stats.verdicts_refault
            + stats.verdicts_sigbus
            + stats.verdicts_oom
            + stats.verdicts_gone;
        assert_eq!(heard, answered + self.sleepers.parked(), "each fault has one verdict");
    }
}
