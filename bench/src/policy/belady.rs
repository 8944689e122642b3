//! The least misses that any policy can have which must take in what it misses: evict what is
//! needed again last.
//!
//! L. A. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems
//! Journal 5(2), 1966. Exact where all pages have the same size. Of pages that are never used
//! again those go first that take no copy.

use std::collections::BinaryHeap;

use crate::policy::figures::Figures;
use crate::policy::trace::Trace;

const NEVER: u32 = u32::MAX;

/// For each access, the number of the next one of the same page.
pub(crate) fn next_uses(trace: &Trace) -> Vec<u32> {
    let mut last = vec![NEVER; trace.places.len()];
    let mut next = vec![NEVER; trace.accesses.len()];
    for (at, access) in trace.accesses.iter().enumerate().rev() {
        let page = &mut last[access.page() as usize];
        next[at] = *page;
        *page = u32::try_from(at).expect("a trace has fewer than 2^32 accesses");
    }
    next
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    New,
    Out,
    Here { next: u32, dirty: bool },
}

/// A resident page, as it stood at its last use: the greatest leaves first.
type Candidate = (u32, bool, u32);

/// What it comes to in a pool of so many pages of so many bytes.
pub(crate) fn optimum(trace: &Trace, next: &[u32], pool: u64, page_bytes: u64) -> Figures {
    let mut pages = vec![Page::New; trace.places.len()];
    let mut order: BinaryHeap<Candidate> = BinaryHeap::new();
    let mut of_object = Members::new(trace);
    let mut present = 0;
    let mut figures = Figures::new(trace);
    let mut frees = trace.frees.iter().peekable();
    for (at, access) in trace.accesses.iter().enumerate() {
        while let Some(free) = frees.next_if(|free| free.before <= at) {
            for page in of_object.take(free.object) {
                present -= u64::from(matches!(pages[page as usize], Page::Here { .. }));
                pages[page as usize] = Page::Out;
            }
        }
        let (page, next) = (access.page(), next[at]);
        let dirty = match pages[page as usize] {
            Page::Here { dirty, .. } => dirty || access.writes(),
            known @ (Page::New | Page::Out) => {
                figures.miss(at, known == Page::Out, page_bytes);
                if present == pool {
                    let victim = take_last(&mut order, &pages);
                    let Page::Here { dirty, .. } = pages[victim as usize] else {
                        panic!("a candidate is present")
                    };
                    figures.evict(dirty, page_bytes);
                    pages[victim as usize] = Page::Out;
                } else {
                    present += 1;
                }
                access.writes()
            }
        };
        pages[page as usize] = Page::Here { next, dirty };
        order.push((next, !dirty, page));
        prune(&mut order, &pages, pool);
    }
    figures
}

/// True if the page still stands as it did.
fn holds(pages: &[Page], (next, clean, page): Candidate) -> bool {
    pages[page as usize] == Page::Here { next, dirty: !clean }
}

fn take_last(order: &mut BinaryHeap<Candidate>, pages: &[Page]) -> u32 {
    loop {
        let candidate = order.pop().expect("a pool that is full has pages");
        if holds(pages, candidate) {
            return candidate.2;
        }
    }
}

/// Forgets candidates that were used since, when they are many.
fn prune(order: &mut BinaryHeap<Candidate>, pages: &[Page], pool: u64) {
    if crate::sizes::as_u64(order.len()) > 4 * pool + 1024 {
        order.retain(|candidate| holds(pages, *candidate));
    }
}

/// The pages of each object that goes.
struct Members(Vec<Vec<u32>>);

impl Members {
    fn new(trace: &Trace) -> Members {
        if trace.frees.is_empty() {
            return Members(Vec::new());
        }
        let mut members = vec![Vec::new(); trace.shapes.len()];
        for (number, place) in (0..).zip(&trace.places) {
            members[place.object as usize].push(number);
        }
        Members(members)
    }

    fn take(&mut self, object: u32) -> Vec<u32> {
        self.0.get_mut(object as usize).map(std::mem::take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::policy::trace::{Builder, Free, Kind};

    fn trace(pages: &[u8]) -> Trace {
        let mut builder = Builder::default();
        pages.iter().for_each(|page| builder.add(u64::from(*page), false));
        builder.finish("a trace".into(), Kind::OracleGeneral, 3)
    }

    /// The least misses over every choice that there is.
    fn least(left: &[u8], present: &BTreeSet<u8>, pool: usize) -> u64 {
        let Some((page, rest)) = left.split_first() else { return 0 };
        if present.contains(page) {
            return least(rest, present, pool);
        }
        let with = |mut present: BTreeSet<u8>| {
            present.insert(*page);
            1 + least(rest, &present, pool)
        };
        if present.len() < pool {
            return with(present.clone());
        }
        let without = |victim: &u8| {
            let mut present = present.clone();
            present.remove(victim);
            with(present)
        };
        present.iter().map(without).min().expect("a pool has pages")
    }

    #[test]
    fn the_textbook_string_misses_nine_times_in_three_frames() {
        let string = trace(&[7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1]);
        let figures = optimum(&string, &next_uses(&string), 3, 4096);
        assert_eq!((figures.misses, figures.refaults, figures.evictions), (9, 3, 6));
    }

    #[test]
    fn what_is_freed_makes_room() {
        let mut string = trace(&[0, 1, 2, 3, 4, 5]);
        string.frees.push(Free { before: 3, object: 0 });
        let figures = optimum(&string, &next_uses(&string), 3, 4096);
        assert_eq!((figures.misses, figures.evictions), (6, 0));
    }

    #[test]
    fn clean_pages_go_before_dirty_ones_that_are_as_useless() {
        let mut builder = Builder::default();
        for (page, write) in [(0, true), (1, false), (2, false), (0, false)] {
            builder.add(page, write);
        }
        let string = builder.finish("a trace".into(), Kind::OracleGeneral, 9);
        let figures = optimum(&string, &next_uses(&string), 2, 4096);
        assert_eq!((figures.misses, figures.dirty_bytes), (3, 0));
    }

    proptest! {
        #[test]
        fn no_choice_of_victims_misses_less(
            pages in proptest::collection::vec(0_u8..6, 1..14),
            pool in 1_usize..5,
        ) {
            let string = trace(&pages);
            let figures = optimum(&string, &next_uses(&string), pool as u64, 4096);
            prop_assert_eq!(figures.misses, least(&pages, &BTreeSet::new(), pool));
            let distinct = pages.iter().collect::<BTreeSet<_>>().len() as u64;
            prop_assert_eq!(figures.refaults, figures.misses - distinct);
            prop_assert_eq!(figures.evictions, figures.misses.saturating_sub(pool as u64));
        }

        #[test]
        fn candidates_that_are_forgotten_are_never_missed(
            pages in proptest::collection::vec(0_u8..4, 1500..3000),
        ) {
            // Long enough for them to be forgotten, and small enough to be checked by hand: with
            // room for all but one page the optimum evicts the one that is needed last.
            let string = trace(&pages);
            let figures = optimum(&string, &next_uses(&string), 3, 4096);
            let mut present: Vec<u8> = Vec::new();
            let mut misses = 0;
            for (at, page) in pages.iter().enumerate() {
                if present.contains(page) {
                    continue;
                }
                misses += 1;
                if present.len() == 3 {
                    let next = |each: &u8| {
                        pages[at..].iter().position(|other| other == each).unwrap_or(usize::MAX)
                    };
                    let last = (0..3).max_by_key(|slot| next(&present[*slot])).expect("three");
                    present.remove(last);
                }
                present.push(*page);
            }
            prop_assert_eq!(figures.misses, misses);
        }
    }
}
