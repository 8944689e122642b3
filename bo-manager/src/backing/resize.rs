//! What another size of the pool takes of the host.

use std::sync::Arc;

use anyhow::{Context, ensure};
use bo_sys::HUGE_PAGE_BYTES;
use bo_sys::hugepages::PoolCounts;
use bo_units::ByteCount;

use super::{Backed, Frames};
use crate::tables::ObjectEntry;

impl Backed {
    /// Whether the host can give what a pool of `size` bytes takes, where one of `now` is. The
    /// `objects` are all there are.
    pub(crate) fn room_to_resize(
        &self,
        now: ByteCount,
        size: ByteCount,
        objects: impl Iterator<Item = Arc<ObjectEntry>>,
    ) -> anyhow::Result<()> {
        if self.frames != Frames::Huge {
            return Ok(());
        }
        ensure!(
            self.reserved.lock().is_none(),
            "the huge pages of this pool were reserved at the start (--reserve), for this size and \
             no other: start the daemon with another --vram"
        );
        ensure!(
            size.get().is_multiple_of(HUGE_PAGE_BYTES),
            "a pool of huge frames is made of whole ones: {size} is no multiple of 2 MiB"
        );
        if size <= now {
            return Ok(());
        }
        let mut held = 0;
        for object in objects.filter(|each| each.file.page_bytes() == HUGE_PAGE_BYTES) {
            held += object.file.populated_bytes().context("cannot tell what is in use")?;
        }
        let counts = PoolCounts::of_this_host().context("cannot tell what the host has")?;
        let wanted = (size.get() - held.min(size.get())) / HUGE_PAGE_BYTES;
        let free = counts.available();
        ensure!(
            wanted <= free,
            "{size} need {wanted} more free pages of 2 MiB and the host has {free}: echo {} > \
             /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
            counts.total + (wanted - free)
        );
        Ok(())
    }
}
