//! Order in the faults of one mapping: sequential in either direction, or at a constant stride.
//!
//! A few streams are followed at a time, the one that was met longest ago giving way to a new one.
//! A stream grows with each fault that continues it and falls back to its first extent when a
//! fault belongs to none, as CRIU's lazy pages do (`criu/uffd.c`).

use std::ops::Range;

/// Streams followed at a time in one mapping.
const STREAMS: usize = 4;

/// How often a fault must have been on the page after (or before) what the last one brought to
/// count as sequential.
const SEQUENTIAL_MIN: u8 = 2;

/// How often the same distance must have been seen in a row to count as strided.
const STRIDE_MIN: u8 = 3;

/// How often a stream doubles its extent: from 64 KiB to 256 KiB by default. Beyond that the first
/// page waits longer than the faults that are saved.
const DOUBLINGS_MAX: u8 = 2;

/// Pages present that a sequential stream may step over without a fault: a block of 2 MiB of the
/// smallest pages.
const GAP_PAGES: u32 = 512;

/// What a fault is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// No stream that is known yet.
    Lone,
    /// The next pages upwards will be wanted.
    Up {
        /// How often the extent has doubled.
        doublings: u32,
    },
    /// The next pages downwards will be wanted.
    Down {
        /// How often the extent has doubled.
        doublings: u32,
    },
    /// One page in so many will be wanted, upwards or downwards; never one or minus one.
    Stride {
        /// In pages.
        stride: i16,
        /// How often the extent has doubled.
        doublings: u32,
    },
}

/// One stream, or what may become one. 12 bytes, since each mapping has four.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// The page of its last fault.
    last: u32,
    /// Pages below `last` that came with it.
    below: u16,
    /// Pages above `last` that came with it; strides that came with it, for a strided stream.
    above: u16,
    /// The distance between its faults in pages; 1 and -1: each begins where the last ended.
    /// Zero: none is known.
    stride: i16,
    /// How often in a row `stride` was seen.
    hits: u8,
    /// Faults since it was met, up to 255. 255 in a slot that was never used.
    idle: u8,
}

/// How a fault relates to one slot, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// Where its stream goes on.
    Next(i16),
    /// Among what came, or should have come, with the last fault of its stream.
    Inside,
    /// So far from its last fault, the same distance as before.
    Again(i16),
    /// Somewhere near. The first number orders by distance.
    Near(u16, i16),
}

/// The streams of one mapping.
#[derive(Debug)]
pub(crate) struct Streams {
    slots: [Slot; STREAMS],
    /// The one that was met last.
    met: u8,
}

impl Default for Streams {
    fn default() -> Self {
        Self { slots: [Slot { idle: u8::MAX, ..Slot::default() }; STREAMS], met: 0 }
    }
}

impl Slot {
    fn is_strided(&self) -> bool {
        !(-1..=1).contains(&self.stride) && self.hits >= STRIDE_MIN
    }

    fn is_sequential(&self) -> bool {
        matches!(self.stride, -1 | 1) && self.hits >= SEQUENTIAL_MIN
    }

    fn pattern(&self) -> Pattern {
        let doublings = |min: u8| u32::from((self.hits - min).min(DOUBLINGS_MAX));
        match self.stride {
            1 if self.is_sequential() => Pattern::Up { doublings: doublings(SEQUENTIAL_MIN) },
            -1 if self.is_sequential() => Pattern::Down { doublings: doublings(SEQUENTIAL_MIN) },
            stride if self.is_strided() => {
                Pattern::Stride { stride, doublings: doublings(STRIDE_MIN) }
            }
            _ => Pattern::Lone,
        }
    }

    /// Back to the extent that a new stream has.
    fn calm(&mut self) {
        if self.is_strided() {
            self.hits = STRIDE_MIN;
        } else if self.is_sequential() {
            self.hits = SEQUENTIAL_MIN;
        }
    }

    fn fit(&self, at: u32, all_here: impl Fn(Range<u32>) -> bool) -> Option<Fit> {
        if self.idle == u8::MAX {
            return None;
        }
        if at == self.last {
            return Some(Fit::Inside);
        }
        let far = i64::from(at) - i64::from(self.last);
        if self.is_strided() {
            let stride = i64::from(self.stride);
            let steps = if far % stride == 0 { far / stride } else { 0 };
            let reach = i64::from(self.above);
            // Pages that were there already are stepped over: as many as were brought.
            if steps > 0 && steps <= 2 * (reach + 1) {
                return Some(if steps > reach { Fit::Next(self.stride) } else { Fit::Inside });
            }
        } else if let Some(fit) = self.fit_edges(at, all_here) {
            return Some(fit);
        }
        let far = i16::try_from(far).ok()?;
        Some(match far == self.stride {
            true => Fit::Again(far),
            false => Fit::Near(far.unsigned_abs(), far),
        })
    }

    /// Whether `at` is where the pages that came with the last fault end. Pages that were there
    /// already are stepped over.
    fn fit_edges(&self, at: u32, all_here: impl Fn(Range<u32>) -> bool) -> Option<Fit> {
        let (low, high) = (self.last - u32::from(self.below), self.last + u32::from(self.above));
        let (inside, gap, step) = match at > self.last {
            true => (at <= high, (high + 1).min(at)..at, 1),
            false => (at >= low, at + 1..low.max(at + 1), -1),
        };
        if inside {
            return (self.is_sequential() && self.stride == step).then_some(Fit::Inside);
        }
        let close = gap.end - gap.start <= GAP_PAGES;
        (close && (gap.is_empty() || all_here(gap))).then_some(Fit::Next(step))
    }
}

impl Streams {
    /// A page of the mapping is demanded. `all_here` tells whether all of a run of pages are
    /// present or coming.
    pub(crate) fn follow(&mut self, at: u32, all_here: impl Fn(Range<u32>) -> bool) -> Pattern {
        for slot in &mut self.slots {
            slot.idle += u8::from(slot.idle < u8::MAX - 1);
        }
        let fits = self.slots.iter().enumerate();
        let best = fits.filter_map(|(at_slot, slot)| Some((slot.fit(at, &all_here)?, at_slot)));
        let met = match best.min() {
            Some((Fit::Next(stride) | Fit::Again(stride), number)) => {
                let slot = &mut self.slots[number];
                slot.hits = if slot.stride == stride { slot.hits.saturating_add(1) } else { 1 };
                slot.stride = stride;
                number
            }
            Some((Fit::Inside, number)) => number,
            Some((Fit::Near(_, stride), number)) => {
                self.slots.iter_mut().for_each(Slot::calm);
                self.learn(number, stride)
            }
            None => {
                self.slots.iter_mut().for_each(Slot::calm);
                self.replace()
            }
        };
        let slot = &mut self.slots[met];
        slot.last = at;
        slot.idle = 0;
        slot.below = 0;
        slot.above = 0;
        self.met = u8::try_from(met).expect("there are four");
        slot.pattern()
    }

    /// A stream is not given up for one fault beside it: that one begins a new one.
    fn learn(&mut self, number: usize, stride: i16) -> usize {
        let slot = &mut self.slots[number];
        if slot.is_strided() || slot.is_sequential() {
            return self.replace();
        }
        slot.stride = stride;
        slot.hits = 1;
        number
    }

    fn replace(&mut self) -> usize {
        let oldest = (0..STREAMS).max_by_key(|at| self.slots[*at].idle);
        let number = oldest.expect("there are four");
        self.slots[number] = Slot::default();
        number
    }

    /// What comes with the fault that was met last: pages below it and above it, or strides.
    pub(crate) fn reach(&mut self, below: u32, above: u32) {
        let slot = &mut self.slots[usize::from(self.met)];
        slot.below = u16::try_from(below).unwrap_or(u16::MAX);
        slot.above = u16::try_from(above).unwrap_or(u16::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds faults that bring nothing but themselves, with nothing else present.
    fn patterns(faults: impl IntoIterator<Item = u32>) -> Vec<Pattern> {
        let mut streams = Streams::default();
        faults.into_iter().map(|at| streams.follow(at, |_| false)).collect()
    }

    #[track_caller]
    fn check_last(faults: impl IntoIterator<Item = u32>, expected: Pattern) {
        assert_eq!(patterns(faults).last(), Some(&expected));
    }

    const fn stride(stride: i16, doublings: u32) -> Pattern {
        Pattern::Stride { stride, doublings }
    }

    #[test]
    fn four_of_these_are_small() {
        assert!(size_of::<Streams>() <= 52);
    }

    #[test]
    fn the_third_page_in_a_row_makes_a_stream() {
        check_last([7, 8], Pattern::Lone);
        check_last([7, 8, 9], Pattern::Up { doublings: 0 });
        check_last([7, 8, 9, 10], Pattern::Up { doublings: 1 });
        check_last(7..100, Pattern::Up { doublings: 2 });
        check_last((7..100).rev(), Pattern::Down { doublings: 2 });
    }

    #[test]
    fn the_same_distance_three_times_makes_a_strided_stream() {
        check_last([0, 20, 40], Pattern::Lone);
        check_last([0, 20, 40, 60], stride(20, 0));
        check_last([900, 700, 500, 300, 100], stride(-200, 1));
        check_last([0, 20, 41, 60], Pattern::Lone);
    }

    #[test]
    fn a_stream_goes_on_where_its_pages_end() {
        let mut streams = Streams::default();
        for at in [0, 16, 32] {
            streams.follow(at, |_| false);
            streams.reach(0, 15);
        }
        assert_eq!(streams.follow(48, |_| false), Pattern::Up { doublings: 1 });
    }

    #[test]
    fn windows_that_end_below_a_fault_make_a_stream_downwards() {
        let mut streams = Streams::default();
        for (at, below, above) in [(99, 3, 12), (95, 15, 0)] {
            assert_eq!(streams.follow(at, |_| false), Pattern::Lone);
            streams.reach(below, above);
        }
        assert_eq!(streams.follow(79, |_| false), Pattern::Down { doublings: 0 });
    }

    #[test]
    fn pages_that_are_there_are_stepped_over() {
        let mut streams = Streams::default();
        let here = |run: Range<u32>| run == (9..20) || run == (21..30);
        for at in [8, 20] {
            streams.follow(at, here);
        }
        assert_eq!(streams.follow(30, here), Pattern::Up { doublings: 0 });
    }

    #[test]
    fn a_fault_among_what_should_have_come_neither_grows_nor_ends_a_stream() {
        let mut streams = Streams::default();
        for at in [0, 100, 200, 300] {
            streams.follow(at, |_| false);
        }
        streams.reach(0, 4);
        assert_eq!(streams.follow(500, |_| false), stride(100, 0));
        streams.reach(0, 4);
        assert_eq!(streams.follow(1000, |_| false), stride(100, 1));
    }

    #[test]
    fn a_fault_outside_every_stream_takes_their_growth_and_leaves_them() {
        let grown = (0..10).chain([5000]);
        check_last(grown.clone().chain([10]), Pattern::Up { doublings: 1 });
        check_last(grown, Pattern::Lone);
    }

    #[test]
    fn streams_that_take_turns_are_all_seen() {
        let turns =
            (0..20).flat_map(|step| [step, 100_000 + step, 300_000 - step, 600_000 + step * 37]);
        let found = patterns(turns);
        assert_eq!(
            found[76..],
            [
                Pattern::Up { doublings: 2 },
                Pattern::Up { doublings: 2 },
                Pattern::Down { doublings: 2 },
                stride(37, 2),
            ]
        );
    }

    #[test]
    fn a_fifth_stream_takes_the_place_of_the_one_met_longest_ago() {
        let mut streams = Streams::default();
        for at in [0, 1, 2, 100_000, 200_000, 300_000, 400_000] {
            streams.follow(at, |_| false);
        }
        assert_eq!(streams.follow(3, |_| false), Pattern::Lone);
    }

    #[test]
    fn jumps_make_no_stream() {
        let mut at = 1_u32;
        let jumps = (0..1000).map(|_| {
            at = at.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            at >> 12
        });
        let found = patterns(jumps);
        let lone = found.iter().filter(|pattern| **pattern == Pattern::Lone).count();
        assert!(lone >= 998, "{lone}");
    }
}
