//! Effects become system calls, and what came of them becomes an outcome.

use std::io;
use std::sync::Arc;

use bo_core::{Action, Attached, Copied, Install, InstallEnd, Outcome, Protection, Slot, Source};
use bo_sys::range::AddressRange;
use bo_sys::uffd::{self, ProtectOutcome, Uffd};
use bo_units::{MappingId, ObjectId, PageRange};
use smallvec::SmallVec;

use crate::shell::Shell;
use crate::tables::{MappingEntry, ObjectEntry};
use crate::timings::timed;

mod poison;

impl Shell {
    /// Does one thing. `None`: nobody waits for the outcome.
    pub(crate) fn act(&self, action: Action) -> Option<Outcome> {
        match action {
            Action::Fill { object, range, sources, install } => {
                Some(self.fill(object, range, &sources, install.as_ref()))
            }
            Action::Install { mapping, range, protection, .. } => {
                Some(Outcome::Installed(self.install(mapping, range, protection)))
            }
            Action::Unprotect { mapping, range } => {
                self.unprotect(mapping, range);
                Some(Outcome::Unprotected)
            }
            Action::Patch { object, mapping, range } => {
                Some(Outcome::Installed(self.patch(object, mapping, range)))
            }
            Action::Wake { mapping, range } => {
                self.with_range(mapping, range, |entry, addresses| {
                    self.note_failure("wake", entry.wake(addresses));
                });
                None
            }
            Action::Poison { mapping, range } => {
                self.with_range(mapping, range, |entry, addresses| {
                    self.poison(entry, addresses);
                });
                None
            }
            Action::CopyOut { object, range, slots, guards, discard } => {
                Some(Outcome::CopiedOut(self.copy_out(object, range, &slots, &guards, &discard)))
            }
            Action::Punch { object, runs } => {
                Some(Outcome::Punched { done: self.punch(object, &runs) })
            }
            Action::Discard { slots } => {
                self.discard(&slots);
                Some(Outcome::Discarded)
            }
            Action::Detached { mapping } => {
                self.detached(mapping);
                None
            }
            Action::Destroy { object } => {
                self.destroy(object);
                Some(Outcome::Destroyed)
            }
            Action::Freed { object } => {
                if let Some(waiting) = self.freeing.lock().remove(&object) {
                    // Nobody listens if the connection broke meanwhile.
                    let _ = waiting.send(());
                }
                None
            }
            Action::Yield => Some(Outcome::Yielded),
        }
    }

    fn fill(
        &self,
        id: ObjectId,
        range: PageRange,
        sources: &[Source],
        install: Option<&Install>,
    ) -> Outcome {
        let Some(object) = self.object(id) else { return Outcome::FillFailed };
        if let Err(error) = timed(&self.timings.fill, || self.write_pages(&object, range, sources))
        {
            self.host_failed("fill pages", &error);
            self.punch_stored(&object, range, sources);
            return Outcome::FillFailed;
        }
        let mut installed = InstallEnd::Complete;
        if let Some(Install { mapping, runs }) = install {
            for (run, protection) in runs {
                let end = self.install(*mapping, *run, *protection);
                if end != InstallEnd::Complete {
                    installed = end;
                }
            }
        }
        Outcome::Filled { installed }
    }

    /// After a failed fill, makes holes again of the pages that come from the store.
    ///
    /// Zeros stay: nothing guards such a page, so another thread may have written to it already.
    fn punch_stored(&self, object: &ObjectEntry, range: PageRange, sources: &[Source]) {
        for (page, _) in range.iter().zip(sources).filter(|(_, source)| **source != Source::Zero) {
            let len = object.page_size.bytes();
            let punched = object.file.punch(page.offset(object.page_size), len);
            self.note_failure("punch a failed fill", punched);
        }
    }

    /// Writes whole runs of equal source in one call each.
    fn write_pages(
        &self,
        object: &ObjectEntry,
        range: PageRange,
        sources: &[Source],
    ) -> io::Result<()> {
        let page_bytes = object.page_size.bytes();
        let (mut offset, _) = object.bytes(range);
        for run in sources.chunk_by(written_alike) {
            let bytes = run.len() as u64 * page_bytes;
            match run[0] {
                Source::Zero => self.put_zeros(object, offset, bytes)?,
                Source::Same(word) => {
                    if object.by_window {
                        // Written over then, which allocates nothing, and so nothing too large.
                        self.put_zeros(object, offset, bytes)?;
                    }
                    object.file.fill_with(offset, bytes, word)?;
                }
                Source::Stored(_) => {
                    let slots: SmallVec<[bo_sys::store::Slot; 16]> =
                        run.iter().filter_map(|source| stored(*source)).collect();
                    self.put_stored(object, offset, &slots)?;
                }
            }
            offset += bytes;
        }
        Ok(())
    }

    fn install(&self, mapping: MappingId, range: PageRange, protection: Protection) -> InstallEnd {
        let Some((entry, addresses)) = self.place(mapping, range) else { return InstallEnd::Gone };
        let protection = match protection {
            Protection::Writable => uffd::Protection::Writable,
            Protection::WriteProtected => uffd::Protection::WriteProtected,
        };
        let mut end = InstallEnd::Complete;
        timed(&self.timings.install, || {
            for (uffd, part) in entry.parts(addresses) {
                match uffd.install(part, protection).end {
                    uffd::InstallEnd::Complete => {}
                    uffd::InstallEnd::Absent => end = InstallEnd::Absent,
                    uffd::InstallEnd::NotMapped => end = InstallEnd::NotMapped,
                    uffd::InstallEnd::Gone | uffd::InstallEnd::Changing => end = InstallEnd::Gone,
                    uffd::InstallEnd::Failed(error) => {
                        self.host_failed("install pages", &error);
                        end = InstallEnd::Gone;
                    }
                }
            }
        });
        end
    }

    fn unprotect(&self, mapping: MappingId, range: PageRange) {
        self.with_range(mapping, range, |entry, addresses| {
            timed(&self.timings.install, || {
                for (uffd, part) in entry.parts(addresses) {
                    self.unprotect_part(uffd, part);
                }
            });
        });
    }

    fn unprotect_part(&self, uffd: &Uffd, addresses: AddressRange) {
        match uffd.unprotect(addresses) {
            ProtectOutcome::Done | ProtectOutcome::Gone => return,
            ProtectOutcome::NotMapped | ProtectOutcome::Changing => {}
            ProtectOutcome::NoMemory => {
                self.host_failed("unprotect pages", &io::ErrorKind::OutOfMemory.into());
            }
            ProtectOutcome::Failed(error) => self.host_failed("unprotect pages", &error),
        }
        self.note_failure("wake", uffd.wake(addresses));
    }

    fn patch(&self, id: ObjectId, mapping: MappingId, range: PageRange) -> InstallEnd {
        if let Some(object) = self.object(id) {
            let (offset, len) = object.bytes(range);
            if let Err(error) = self.put_zeros(&object, offset, len) {
                // Without a frame the thread would come back for ever.
                self.host_failed("patch a hole", &error);
                self.with_range(mapping, range, |entry, addresses| {
                    self.poison(entry, addresses);
                });
                return InstallEnd::Complete;
            }
        }
        // Writable: a page that lost a part of itself has no valid copy any more.
        let end = self.install(mapping, range, Protection::Writable);
        // Punched again already? The thread is awake and will fault once more.
        if end == InstallEnd::Absent { InstallEnd::Complete } else { end }
    }

    fn copy_out(
        &self,
        id: ObjectId,
        range: PageRange,
        slots: &[Slot],
        guards: &[MappingId],
        discard: &[Slot],
    ) -> Copied {
        self.discard(discard);
        let Some(object) = self.object(id) else { return Copied::Failed };
        let guarded =
            timed(&self.timings.protect, || guards.iter().all(|guard| self.protect(*guard, range)));
        if !guarded {
            return Copied::Failed;
        }
        let slots: SmallVec<[bo_sys::store::Slot; 16]> = slots.iter().map(place_of).collect();
        let (offset, _) = object.bytes(range);
        let copied = timed(&self.timings.copy, || {
            let copied = self.store.copy_out(&object.file, offset, &slots);
            // A huge frame cannot be written to, and so be filled with a word but out of a slot.
            let small = object.file.page_bytes() == bo_sys::KERNEL_PAGE_BYTES;
            let kept = |word: &u64| *word == 0 || small;
            let same = |slot| self.store.uniform_word(slot).filter(kept);
            copied.map(|()| slots.iter().map(|slot| same(*slot)).collect())
        });
        match copied {
            Ok(same) => Copied::Done { same },
            Err(error) => {
                self.host_failed("copy pages to the store", &error);
                Copied::Failed
            }
        }
    }

    /// Write-protects a part of a mapping. True also if nothing can be written there: the client
    /// is gone, or has unmapped it.
    fn protect(&self, mapping: MappingId, range: PageRange) -> bool {
        #[cfg(feature = "saboteur")]
        if self.config.skip_protect {
            return true;
        }
        let view = self.mapping(mapping);
        let Some(entry) = view else { return true };
        let Some(shown) = range.intersect(entry.pages) else { return true };
        let Some(addresses) = entry.addresses(shown) else { return true };
        entry.parts(addresses).all(|(uffd, part)| self.protect_part(uffd, part))
    }

    fn protect_part(&self, uffd: &Uffd, addresses: AddressRange) -> bool {
        match uffd.protect(addresses) {
            ProtectOutcome::Done | ProtectOutcome::NotMapped | ProtectOutcome::Gone => true,
            ProtectOutcome::Changing => false,
            ProtectOutcome::NoMemory => {
                self.host_failed("protect pages", &io::ErrorKind::OutOfMemory.into());
                false
            }
            ProtectOutcome::Failed(error) => {
                self.host_failed("protect pages", &error);
                false
            }
        }
    }

    /// Protects pages of a mapping that is being made: those that are known, and then those that
    /// the core finds in one step after another.
    pub(crate) fn guard(&self, attached: Attached) -> bool {
        let Attached { mapping, mut guard } = attached;
        loop {
            if !guard.runs.iter().all(|run| self.protect(mapping, *run)) {
                return false;
            }
            let Some(rest) = guard.rest else { return true };
            guard = self.decide_in_turn(|core, _| core.guard_more(mapping, rest));
        }
    }

    fn punch(&self, id: ObjectId, runs: &[PageRange]) -> bool {
        let Some(object) = self.object(id) else { return false };
        let punched = timed(&self.timings.punch, || {
            let punch = |run: &PageRange| {
                let (offset, len) = object.bytes(*run);
                let punched = object.file.punch(offset, len);
                punched.inspect_err(|error| self.host_failed("punch pages", error)).is_ok()
            };
            runs.iter().filter(|run| punch(run)).count()
        });
        // If only some could be punched, all count as gone: the bytes of those that are still
        // there are in the store as well and write-protected everywhere, so nothing can be lost,
        // while a hole that counted as present would be filled with zeros.
        punched > 0
    }

    fn discard(&self, slots: &[Slot]) {
        for slot in slots {
            self.note_failure("give a free slot back", self.store.discard(place_of(slot)));
        }
    }

    fn detached(&self, mapping: MappingId) {
        let Some((_, entry)) = self.mappings.remove(&mapping) else { return };
        let Some(session) = self.session(entry.client) else { return };
        session.ranges.write().remove(&entry.range.start());
        // Whoever waits in it finds out now that it is gone.
        self.note_failure("wake", entry.wake(entry.range));
        if let Some(waiting) = session.detaching.lock().remove(&mapping) {
            // Nobody listens if the connection broke meanwhile.
            let _ = waiting.send(());
        }
    }

    fn destroy(&self, id: ObjectId) {
        let Some((_, object)) = self.objects.remove(&id) else { return };
        for token in object.tokens.lock().values() {
            self.tokens.remove(token);
        }
        match object.file.identity() {
            Ok(identity) => drop(self.files.remove(&identity)),
            Err(error) => self.host_failed("identify a file", &error),
        }
        // A client may keep a descriptor or a mapping, but no frame.
        self.note_failure("punch an object", object.file.punch(0, object.file.len()));
    }

    /// The mapping, and where these pages are in it.
    fn place(
        &self,
        mapping: MappingId,
        range: PageRange,
    ) -> Option<(Arc<MappingEntry>, AddressRange)> {
        let entry = self.mapping(mapping)?;
        let addresses = entry.addresses(range)?;
        Some((entry, addresses))
    }

    fn with_range(
        &self,
        mapping: MappingId,
        range: PageRange,
        work: impl FnOnce(&MappingEntry, AddressRange),
    ) {
        if let Some((entry, addresses)) = self.place(mapping, range) {
            work(&entry, addresses);
        }
    }

    /// Counts and logs a failure that no healthy host shows.
    pub(crate) fn host_failed(&self, what: &str, error: &io::Error) {
        self.counters.host_failures.add(1);
        tracing::error!(%error, "cannot {what}");
    }

    pub(crate) fn note_failure(&self, what: &str, result: io::Result<()>) {
        if let Err(error) = result {
            self.host_failed(what, &error);
        }
    }
}

fn place_of(slot: &Slot) -> bo_sys::store::Slot {
    bo_sys::store::Slot { offset: slot.offset, len: slot.len }
}

/// True if one call can write both, one after the other.
fn written_alike(left: &Source, right: &Source) -> bool {
    match (left, right) {
        (Source::Zero, Source::Zero) | (Source::Stored(_), Source::Stored(_)) => true,
        (Source::Same(left), Source::Same(right)) => left == right,
        (Source::Zero | Source::Same(_) | Source::Stored(_), _) => false,
    }
}

fn stored(source: Source) -> Option<bo_sys::store::Slot> {
    match source {
        Source::Zero | Source::Same(_) => None,
        Source::Stored(slot) => Some(place_of(&slot)),
    }
}
