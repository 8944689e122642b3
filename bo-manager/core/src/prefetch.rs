//! Guesses: which pages will be wanted besides the one that is, and whether they were.
//!
//! Nothing here moves a page. [`Streams`] finds order in the faults of one mapping, [`density`]
//! looks at what is present around a fault, [`Accuracy`] and [`Samples`] find out how good the
//! guesses are. `manager/ahead.rs` puts them together and keeps to the room there is.

use bo_units::{ByteCount, PageSize};
use serde::Serialize;

mod density;
mod marks;
mod sample;
mod stream;

pub(crate) use density::region;
pub(crate) use marks::{Marks, Place};
pub(crate) use sample::{Accuracy, Change, Sample, Samples};
pub(crate) use stream::{Pattern, Streams};

/// Which guesses are made beyond the aligned window around a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PrefetchMode {
    /// None.
    None,
    /// What follows in a stream of faults: forwards, backwards, or at a constant stride.
    Stream,
    /// That, and the rest of a region of which more than a threshold is present.
    Density,
}

/// How pages are brought ahead of need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefetchConfig {
    /// Which guesses are made. [`crate::CoreConfig::fault_around`] of zero turns them all off.
    pub mode: PrefetchMode,
    /// A region is brought in whole when strictly more than this many percent of its pages are
    /// present or wanted. 0 to 100; 100: never.
    pub threshold_percent: u8,
    /// The largest such region, in bytes: a power of two, at most 2 MiB.
    pub block: ByteCount,
    /// One in so many pages that nobody asked for is watched, at first and after each that was
    /// not used. At least 1.
    pub sample_every: u16,
}

impl PrefetchConfig {
    /// What a daemon starts with.
    ///
    /// Threshold and block are those of NVIDIA's UVM: `uvm_perf_prefetch_threshold`, 51 by default,
    /// and its blocks of 2 MiB (`uvm_perf_prefetch.c`, `uvm_va_block.h`).
    pub const DEFAULT: Self = Self {
        mode: PrefetchMode::Density,
        threshold_percent: 51,
        block: ByteCount::mib(2),
        sample_every: 64,
    };

    /// Pages of this size in one block: a power of two, from 1 to 512.
    pub(crate) fn block_pages(&self, page_size: PageSize) -> u32 {
        let pages = (self.block.get() / page_size.bytes()).clamp(1, marks::BLOCK_PAGES.into());
        let pages = u32::try_from(pages).expect("it was clamped");
        1 << pages.ilog2()
    }
}

/// Why pages come that no fault has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// Neighbours in the aligned window around a lone fault.
    Around,
    /// They follow in a stream.
    Stream,
    /// Most of their region is there already.
    Density,
    /// A client has said that it will use them.
    Hint,
}

/// One number for each cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ByCause {
    /// Neighbours in the aligned window around a lone fault.
    pub around: u64,
    /// Pages that follow in a stream, sequential or strided.
    pub stream: u64,
    /// The rest of a region that is mostly present.
    pub density: u64,
    /// Pages that a client asked for ahead of use.
    pub hint: u64,
}

impl ByCause {
    pub(crate) fn of_mut(&mut self, cause: Cause) -> &mut u64 {
        match cause {
            Cause::Around => &mut self.around,
            Cause::Stream => &mut self.stream,
            Cause::Density => &mut self.density,
            Cause::Hint => &mut self.hint,
        }
    }

    /// All causes together.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { around, stream, density, hint } = *self;
        around + stream + density + hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_what_two_mebibytes_hold() {
        let pages = |bytes| {
            let size = PageSize::new(bytes).expect("a page size");
            PrefetchConfig::DEFAULT.block_pages(size)
        };
        assert_eq!(pages(4096), 512);
        assert_eq!(pages(65536), 32);
        assert_eq!(pages(2 << 20), 1);
    }
}
