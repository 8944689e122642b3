//! How the bytes of a page get into its file.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bo_sys::KERNEL_PAGE_BYTES;
use bo_sys::store::Slot;
use bo_sys::window::Window;

use super::{Backed, KeptWindow};
use crate::shell::Shell;
use crate::tables::ObjectEntry;

/// How often a fill is tried again after frames were taken back: who takes them a second time in
/// between is at it on purpose.
const RECLAIMS_MAX: u32 = 8;

impl Backed {
    /// Lets `work` use a window on the object's file: the one that is open, or a new one, which
    /// is kept if there are not too many.
    fn with_window(
        &self,
        object: &ObjectEntry,
        work: impl FnOnce(&Window) -> io::Result<()>,
    ) -> io::Result<()> {
        if let Some(kept) = object.window.get() {
            return work(&kept.window);
        }
        let filler = self.filler.as_ref().expect("made at the start if a file needs windows");
        let window = filler.open(&object.file)?;
        let room = self.windows.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (open < self.windows_max).then_some(open + 1)
        });
        if room.is_err() {
            return work(&window);
        }
        // If another thread was faster, ours closes again.
        let kept = KeptWindow { window, count: Arc::clone(&self.windows) };
        work(&object.window.get_or_init(|| kept).window)
    }
}

impl Shell {
    /// Fills holes from `slots`, one page after the other.
    pub(crate) fn put_stored(
        &self,
        object: &ObjectEntry,
        offset: u64,
        slots: &[Slot],
    ) -> io::Result<()> {
        if !object.by_window {
            return self.store.copy_in(&object.file, offset, slots);
        }
        self.with_frames(object, || {
            self.backed.with_window(object, |window| {
                self.store.copy_in_by(window, &object.file, offset, slots)
            })
        })
    }

    /// Fills holes with zeros.
    pub(crate) fn put_zeros(&self, object: &ObjectEntry, offset: u64, len: u64) -> io::Result<()> {
        // A file of huge frames allocates just those.
        if !object.by_window || object.file.page_bytes() != KERNEL_PAGE_BYTES {
            return self.with_frames(object, || object.file.populate_zero(offset, len));
        }
        self.backed.with_window(object, |window| window.zero(offset, len))
    }

    /// Tries once more if the host's pool of huge pages is empty because clients have put pages
    /// into holes by hand, as anybody can who has a descriptor and maps it unwatched.
    fn with_frames(
        &self,
        object: &ObjectEntry,
        fill: impl Fn() -> io::Result<()>,
    ) -> io::Result<()> {
        for _ in 0..RECLAIMS_MAX {
            match fill() {
                Err(error) if is_shortage(&error) && self.take_back_frames(object) => {}
                settled => return settled,
            }
        }
        fill()
    }

    /// Punches pages that the books have no frame for, in all files of huge frames; says whether
    /// there were any. Slow, under the lock of the core, and only done where a fill would fail.
    fn take_back_frames(&self, object: &ObjectEntry) -> bool {
        if object.file.page_bytes() == KERNEL_PAGE_BYTES {
            return false;
        }
        let objects: Vec<_> = self.objects.iter().map(|entry| Arc::clone(&entry)).collect();
        let huge = objects.iter().filter(|each| each.file.page_bytes() != KERNEL_PAGE_BYTES);
        let mut taken = 0;
        for object in huge {
            // No fill can begin meanwhile, so that nothing is punched that anybody was given.
            let core = self.lock();
            let (runs, present) = core.frameless_runs(object.id);
            let before = object.file.populated_bytes().unwrap_or(0);
            if before <= present.bytes(object.page_size).get() {
                continue;
            }
            for run in runs {
                let (offset, len) = object.bytes(run);
                self.note_failure("take frames back", object.file.punch(offset, len));
            }
            let after = object.file.populated_bytes().unwrap_or(before);
            drop(core);
            taken += before.saturating_sub(after);
        }
        if taken != 0 {
            self.counters.protocol_misuse.add(1);
            tracing::warn!(bytes = taken, "clients had put huge pages into holes by hand");
        }
        taken != 0
    }
}

/// The host has no frame: what UFFDIO_COPY and fallocate(2) say of it.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::StorageFull)
}
