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
        self.backed.with_window(object, |window| {
            self.store.copy_in_by(window, &object.file, offset, slots)
        })
    }

    /// Fills holes with zeros.
    pub(crate) fn put_zeros(&self, object: &ObjectEntry, offset: u64, len: u64) -> io::Result<()> {
        // A file of huge frames allocates just those.
        if !object.by_window || object.file.page_bytes() != KERNEL_PAGE_BYTES {
            return object.file.populate_zero(offset, len);
        }
        self.backed.with_window(object, |window| window.zero(offset, len))
    }
}
