//! The density tree: how much of what is around a fault is there already.
//!
//! The rule is that of NVIDIA's UVM driver (`compute_prefetch_region` in `uvm_perf_prefetch.c`):
//! the pages of a block are the leaves of a binary tree; on the way from the faulting leaf to the
//! root, the largest subtree of which strictly more than the threshold is present or wanted is
//! brought in whole. A subtree that fails does not end the walk: a larger one may pass.
//!
//! There are no counters to keep: each step adds the half that the last one had left out, so the
//! whole walk looks at most once at each of the eight words of marks that a block has, and a few
//! times at the one with the fault.

use std::ops::Range;

use super::Marks;

/// The pages to bring in for a fault on `at`: a part of `bounds` that contains it, perhaps it
/// alone.
///
/// `wanted` contains `at`: pages that come in any case, and count as present. `bounds` are the
/// pages that may be brought; the tree has no leaves outside of them. `block_pages` is a power of
/// two, at most 512; at most so many pages are brought, from one aligned block.
pub(crate) fn region(
    marks: &Marks,
    at: u32,
    wanted: &Range<u32>,
    bounds: &Range<u32>,
    block_pages: u32,
    threshold_percent: u8,
) -> Range<u32> {
    let mut best = at..at + 1;
    let mut tree = at..at + 1;
    let mut there = 1;
    let mut width = 1;
    while width < block_pages {
        let start = at - at % width;
        let sibling = match start % (2 * width) {
            0 => start + width..start + 2 * width,
            _ => start - width..start,
        };
        let sibling = clip(&sibling, bounds);
        if !sibling.is_empty() {
            let coming = clip(wanted, &sibling);
            there += match coming.is_empty() {
                true => marks.count_here(sibling.clone()),
                false => {
                    marks.count_here(sibling.start..coming.start)
                        + (coming.end - coming.start)
                        + marks.count_here(coming.end..sibling.end)
                }
            };
            tree = tree.start.min(sibling.start)..tree.end.max(sibling.end);
        }
        if there * 100 > (tree.end - tree.start) * u32::from(threshold_percent) {
            best = tree.clone();
        }
        width *= 2;
    }
    best
}

/// The part of `range` inside `bounds`; empty if there is none.
fn clip(range: &Range<u32>, bounds: &Range<u32>) -> Range<u32> {
    range.start.max(bounds.start)..range.end.min(bounds.end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::prefetch::Place;

    /// A block of `here` pages from its start, and a fault on `at` alone.
    #[track_caller]
    fn check(here: Range<u32>, at: u32, threshold: u8, expected: Range<u32>) {
        let mut marks = Marks::new(512);
        marks.set(here, Place::Here);
        let found = region(&marks, at, &(at..at + 1), &(0..512), 512, threshold);
        assert_eq!(found, expected);
    }

    #[test]
    fn a_lone_fault_in_an_empty_block_brings_itself() {
        check(0..0, 100, 51, 100..101);
    }

    #[test]
    fn half_is_not_enough_and_a_page_more_is() {
        check(0..127, 127, 50, 0..128);
        check(0..128, 128, 50, 0..256);
        // 130 of 256 pages are 50.8 %, 131 are 51.2 %.
        check(0..129, 129, 51, 128..130);
        check(0..130, 130, 51, 0..256);
    }

    #[test]
    fn a_threshold_of_a_hundred_never_passes_and_one_of_zero_always() {
        check(0..511, 511, 100, 511..512);
        check(0..0, 100, 0, 0..512);
    }

    #[test]
    fn a_subtree_that_fails_does_not_hide_a_larger_one_that_passes() {
        // Of the pair and the four around the fault less than half is there, of the block most.
        check(0..500, 508, 51, 0..512);
    }

    #[test]
    fn leaves_outside_the_mapping_do_not_count() {
        let mut marks = Marks::new(512);
        marks.set(0..100, Place::Here);
        let found = region(&marks, 100, &(100..101), &(0..150), 512, 51);
        assert_eq!(found, 0..150);
    }

    /// The rule as it is told, leaf by leaf.
    fn naive(
        here: &[bool],
        at: usize,
        wanted: &Range<usize>,
        bounds: &Range<usize>,
        block: usize,
        threshold: usize,
    ) -> Range<usize> {
        let mut best = at..at + 1;
        for level in 1..=block.ilog2() {
            let first = at >> level << level;
            let leaves: Vec<usize> =
                (first..first + (1 << level)).filter(|leaf| bounds.contains(leaf)).collect();
            let there = leaves.iter().filter(|leaf| here[**leaf] || wanted.contains(*leaf)).count();
            if there as f64 / leaves.len() as f64 > threshold as f64 / 100.0 {
                best = leaves[0]..leaves[leaves.len() - 1] + 1;
            }
        }
        best
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_tree_finds_what_a_walk_over_all_leaves_finds(
            runs in proptest::collection::vec((0_u32..1100, 0_u32..200), 0..12),
            at in 0_u32..1100,
            before in 0_u32..70,
            after in 0_u32..70,
            low in 0_u32..1100,
            high in 0_u32..1100,
            level in 0_u32..10,
            threshold in 0_u8..=100,
        ) {
            let mut marks = Marks::new(1100);
            for (first, len) in runs {
                marks.set(first..(first + len).min(1100), Place::Here);
            }
            let here: Vec<bool> = (0..1100).map(|page| marks.place(page) == Place::Here).collect();
            let bounds = low.min(at)..(high + 1).max(at + 1);
            let wanted = at.saturating_sub(before).max(bounds.start)
                ..(at + 1 + after).min(bounds.end);
            let wide = |range: &Range<u32>| range.start as usize..range.end as usize;
            let found = region(&marks, at, &wanted, &bounds, 1 << level, threshold);
            let right = naive(
                &here,
                at as usize,
                &wide(&wanted),
                &wide(&bounds),
                1 << level,
                threshold.into(),
            );
            prop_assert_eq!(wide(&found), right);
        }
    }
}
