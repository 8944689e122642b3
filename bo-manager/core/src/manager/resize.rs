//! Another size for the pool while it is in use.

use bo_units::{ByteCount, Tick};

use crate::limits::{POOL_PAGES_MIN, Watermarks};
use crate::manager::Manager;
use crate::refusal::{ControlRefusal, PoolFloor};

/// A pool that was given another size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resized {
    /// What was asked for, rounded down to whole pages of 4 KiB.
    pub target: ByteCount,
    /// The capacity now. If it is more than the target, it falls to it as pages leave.
    pub capacity: ByteCount,
}

impl Manager {
    /// Gives the pool another size, with the marks that belong to it. A larger one is there at
    /// once. A smaller one takes no page beyond its target from now on, and what is in use beyond
    /// it leaves ahead of need, by [`Self::handle_reclaim`]; at no instant is more in use than
    /// [`Gauges::vram_capacity_bytes`](crate::Gauges::vram_capacity_bytes) says.
    ///
    /// # Errors
    ///
    /// [`ControlRefusal::PoolTooSmall`], with the smallest size that is possible now and why;
    /// [`ControlRefusal::Draining`].
    pub fn resize(
        &mut self,
        now: Tick,
        size: ByteCount,
        marks: Watermarks,
    ) -> Result<Resized, ControlRefusal> {
        self.now = now;
        if self.draining {
            return Err(ControlRefusal::Draining);
        }
        let target = size.get() & !4095;
        let (possible, floor) = self.smallest_pool();
        if target < possible {
            let possible = ByteCount::new(possible);
            return Err(ControlRefusal::PoolTooSmall { asked: size, possible, floor });
        }
        self.pool.resize(target);
        self.accounts.set_capacity(target);
        self.config.vram = ByteCount::new(target);
        self.config.marks = marks;
        self.clip_pace();
        self.cleaner.grown = self.cleaner.grown.min(marks.reclaim_stop_free.get());
        self.stats.resizes += 1;
        self.settle();
        let capacity = ByteCount::new(self.pool.capacity());
        Ok(Resized { target: ByteCount::new(target), capacity })
    }

    /// The size of the pool that was asked for last.
    #[must_use]
    pub fn pool_size(&self) -> ByteCount {
        ByteCount::new(self.pool.size())
    }

    /// The smallest size that the pool can have as things stand, and why.
    fn smallest_pool(&self) -> (u64, PoolFloor) {
        let live =
            self.page_sizes.iter().rposition(|count| *count > 0).map_or(4096, |at| 4096 << at);
        let pages = PoolFloor::Pages { largest: ByteCount::new(live) };
        let store = self.store.capacity();
        let promised = (self.committed + self.slack(None)).saturating_sub(store);
        let committed = ByteCount::new(self.committed);
        let committed = PoolFloor::Committed { committed, store: ByteCount::new(store) };
        let pinned = self.pinned_bytes();
        let held = PoolFloor::Pinned { pinned: ByteCount::new(pinned) };
        let floors = [
            (POOL_PAGES_MIN * live, pages),
            (promised.next_multiple_of(4096), committed),
            (pinned, held),
        ];
        floors.into_iter().max_by_key(|(bytes, _)| *bytes).expect("there are three")
    }
}
