//! The table of an object's pages.

use bo_units::{PageCount, PageIndex, PageRange};

use crate::page::Page;

/// Pages in one leaf. A leaf is made under the lock by the first fault in it, so it is small: half
/// a kilobyte.
const LEAF_PAGES: usize = 32;

/// Leaves in one branch of a large object.
const BRANCH_LEAVES: usize = 512;

type Leaf = Box<[Page]>;
type Branch = Box<[Option<Leaf>]>;

/// The pages of one object. A leaf exists once a page in it was touched, so that a terabyte that
/// nobody uses costs its root only: 256 KiB, which the allocator hands out as zeros that nobody
/// has written.
///
/// The last leaf is as long as it must be, and a small object has nothing above its leaf. With the
/// directories a page costs 17 bytes, and an object of one page 16.
#[derive(Debug)]
pub(crate) struct PageTable {
    tree: Tree,
    pages: PageCount,
}

#[derive(Debug)]
enum Tree {
    /// Of an object that fits one leaf.
    Small(Option<Leaf>),
    Large(Box<[Option<Branch>]>),
}

impl PageTable {
    pub(crate) fn new(pages: PageCount) -> Self {
        let count = pages.as_usize();
        let tree = match count <= LEAF_PAGES {
            true => Tree::Small(None),
            false => {
                let branches = count.div_ceil(LEAF_PAGES * BRANCH_LEAVES);
                Tree::Large(vec![None; branches].into_boxed_slice())
            }
        };
        Self { tree, pages }
    }

    pub(crate) fn pages(&self) -> PageCount {
        self.pages
    }

    pub(crate) fn get(&self, index: PageIndex) -> Page {
        assert!(index.get() < self.pages.get(), "a granted page is inside its object");
        let at = index.as_usize();
        let leaf = match &self.tree {
            Tree::Small(leaf) => leaf.as_deref(),
            Tree::Large(branches) => {
                let number = at / LEAF_PAGES;
                let branch = branches[number / BRANCH_LEAVES].as_deref();
                branch.and_then(|branch| branch[number % BRANCH_LEAVES].as_deref())
            }
        };
        leaf.map_or(Page::VIRGIN, |leaf| leaf[at % LEAF_PAGES])
    }

    pub(crate) fn get_mut(&mut self, index: PageIndex) -> &mut Page {
        assert!(index.get() < self.pages.get(), "a granted page is inside its object");
        let (at, count) = (index.as_usize(), self.pages.as_usize());
        let number = at / LEAF_PAGES;
        let place = match &mut self.tree {
            Tree::Small(leaf) => leaf,
            Tree::Large(branches) => {
                let which = number / BRANCH_LEAVES;
                let branch = branches[which].get_or_insert_with(|| {
                    let leaves = count.div_ceil(LEAF_PAGES) - which * BRANCH_LEAVES;
                    vec![None; leaves.min(BRANCH_LEAVES)].into_boxed_slice()
                });
                &mut branch[number % BRANCH_LEAVES]
            }
        };
        let leaf = place.get_or_insert_with(|| {
            let pages = (count - number * LEAF_PAGES).min(LEAF_PAGES);
            vec![Page::VIRGIN; pages].into_boxed_slice()
        });
        &mut leaf[at % LEAF_PAGES]
    }

    /// The first leaf that exists of those from `number` on and before `end`.
    fn next_leaf(&self, mut number: usize, end: usize) -> Option<(usize, &[Page])> {
        let branches = match &self.tree {
            Tree::Small(leaf) => {
                let leaf = leaf.as_deref().filter(|_| number == 0 && end > 0);
                return leaf.map(|leaf| (0, leaf));
            }
            Tree::Large(branches) => branches,
        };
        while number < end {
            match &branches[number / BRANCH_LEAVES] {
                None => number = (number / BRANCH_LEAVES + 1) * BRANCH_LEAVES,
                Some(branch) => match &branch[number % BRANCH_LEAVES] {
                    None => number += 1,
                    Some(leaf) => return Some((number, leaf)),
                },
            }
        }
        None
    }

    fn leaves(&self, range: PageRange) -> impl Iterator<Item = (usize, &[Page])> {
        let mut next = range.first().as_usize() / LEAF_PAGES;
        let end = range.end().as_usize().min(self.pages.as_usize()).div_ceil(LEAF_PAGES);
        std::iter::from_fn(move || {
            let (number, leaf) = self.next_leaf(next, end)?;
            next = number + 1;
            Some((number, leaf))
        })
    }

    /// The pages of `range` that were ever touched, and neighbours of such pages, in order.
    pub(crate) fn touched(&self, range: PageRange) -> impl Iterator<Item = (PageIndex, Page)> {
        let (start, end) = (range.first().as_usize(), range.end().as_usize());
        self.leaves(range)
            .flat_map(|(number, leaf)| {
                leaf.iter().enumerate().map(move |(at, page)| (number * LEAF_PAGES + at, *page))
            })
            .filter(move |(at, _)| start <= *at && *at < end)
            .map(|(at, page)| (index_of(at), page))
    }

    /// Cuts off the first part of `range` that [`Self::touched`] finds no more than `most` pages
    /// in, so that a long walk can be made in steps; and what is left of it. `most` is at least 1.
    ///
    /// What was never touched is passed over a branch at a time.
    pub(crate) fn cut(&self, range: PageRange, most: u32) -> (PageRange, Option<PageRange>) {
        let most = most as usize;
        let mut found = 0;
        for (number, leaf) in self.leaves(range) {
            let start = (number * LEAF_PAGES).max(range.first().as_usize());
            let end = (number * LEAF_PAGES + leaf.len()).min(range.end().as_usize());
            if found + (end - start) > most {
                let at = index_of(start + (most - found));
                let part = PageRange::between(range.first(), at).expect("it is in the range");
                return (part, PageRange::between(at, range.end()));
            }
            found += end - start;
        }
        (range, None)
    }

    /// Takes the first leaf that exists of those from the page `from` on out of the table: its
    /// first page, and what it knew. Directories that are passed go as well, so that a table that
    /// was emptied in this way is dropped at no cost.
    pub(crate) fn take_leaf(&mut self, from: PageIndex) -> Option<(PageIndex, Leaf)> {
        let start = from.as_usize().div_ceil(LEAF_PAGES);
        let end = self.pages.as_usize().div_ceil(LEAF_PAGES);
        let found = self.next_leaf(start, end).map(|(number, _)| number);
        let branches = match &mut self.tree {
            Tree::Small(leaf) => {
                return leaf.take().filter(|_| start == 0).map(|leaf| (PageIndex::ZERO, leaf));
            }
            Tree::Large(branches) => branches,
        };
        let here = found.map_or(branches.len(), |number| number / BRANCH_LEAVES);
        for passed in &mut branches[start.saturating_sub(1) / BRANCH_LEAVES..here] {
            *passed = None;
        }
        let number = found?;
        let leaf = branches[here].as_mut()?[number % BRANCH_LEAVES].take()?;
        Some((index_of(number * LEAF_PAGES), leaf))
    }
}

fn index_of(at: usize) -> PageIndex {
    PageIndex::new(u32::try_from(at).expect("an object has at most 2^28 pages"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::page::{Residency, StoreCopy, run};

    #[test]
    fn a_page_that_nobody_touched_is_absent_and_zero() {
        let table = PageTable::new(PageCount::new(1 << 28));
        let page = table.get(PageIndex::new((1 << 28) - 1));
        assert_eq!(page.residency, Residency::Absent);
        assert!(page.copy.is_valid());
        assert!(!page.copy.is_guarded());
        assert_eq!(page.copy.slot(), None);
    }

    #[test]
    fn a_small_object_has_one_leaf_of_its_own_length() {
        let mut table = PageTable::new(PageCount::new(3));
        table.get_mut(PageIndex::new(2)).copy = StoreCopy::DIRTY;
        let (first, leaf) = table.take_leaf(PageIndex::ZERO).expect("it was touched");
        assert_eq!((first, leaf.len()), (PageIndex::ZERO, 3));
    }

    #[test]
    fn touched_pages_are_found_in_order_and_inside_the_range_only() {
        let mut table = PageTable::new(PageCount::new(2000));
        for at in [3, 600, 1999] {
            table.get_mut(PageIndex::new(at)).copy = StoreCopy::DIRTY;
        }
        let range = run(PageIndex::new(4), 1990);
        let dirty: Vec<u32> = table
            .touched(range)
            .filter(|(_, page)| page.copy == StoreCopy::DIRTY)
            .map(|(index, _)| index.get())
            .collect();
        assert_eq!(dirty, [600]);
    }

    proptest! {
        #[test]
        fn a_table_does_what_a_map_would(
            count in 1_u32..3000,
            writes in proptest::collection::vec((any::<u32>(), 0_u32..100), 0..60),
            first in any::<u32>(),
            len in any::<u32>(),
        ) {
            let mut table = PageTable::new(PageCount::new(count));
            let mut model = std::collections::BTreeMap::new();
            for (at, slot) in writes {
                let copy = StoreCopy::guarded_in(slot);
                table.get_mut(PageIndex::new(at % count)).copy = copy;
                model.insert(at % count, copy);
            }
            let first = first % count;
            let range = run(PageIndex::new(first), (len % (count - first)) as usize);
            let seen: Vec<(u32, StoreCopy)> = (table.touched(range))
                .filter(|(_, page)| page.copy != StoreCopy::VIRGIN)
                .map(|(index, page)| (index.get(), page.copy))
                .collect();
            let right: Vec<(u32, StoreCopy)> =
                model.range(first..range.end().get()).map(|(at, copy)| (*at, *copy)).collect();
            prop_assert_eq!(seen, right);
            for (at, copy) in &model {
                prop_assert_eq!(table.get(PageIndex::new(*at)).copy, *copy);
            }
            let mut from = PageIndex::ZERO;
            while let Some((first, leaf)) = table.take_leaf(from) {
                prop_assert!(first >= from);
                for (page, at) in leaf.iter().zip(first.get()..) {
                    prop_assert_eq!(page.copy, model.remove(&at).unwrap_or(StoreCopy::VIRGIN));
                }
                from = first + PageCount::new(u32::try_from(leaf.len()).expect("a leaf is short"));
            }
            prop_assert!(model.is_empty(), "every leaf was taken");
            prop_assert_eq!(table.touched(PageRange::whole(table.pages())).count(), 0);
        }

        #[test]
        fn a_walk_in_steps_sees_what_a_walk_at_once_sees(
            count in 1_u32..40_000,
            writes in proptest::collection::vec(any::<u32>(), 0..30),
            first in any::<u32>(),
            most in 1_u32..100,
        ) {
            let mut table = PageTable::new(PageCount::new(count));
            for at in writes {
                table.get_mut(PageIndex::new(at % count)).copy = StoreCopy::DIRTY;
            }
            let first = first % count;
            let range = run(PageIndex::new(first), (count - first) as usize);
            let mut seen = Vec::new();
            let mut rest = Some(range);
            while let Some(range) = rest {
                let (part, behind) = table.cut(range, most);
                let before = seen.len();
                seen.extend(table.touched(part));
                prop_assert!(seen.len() - before <= most as usize, "a step is bounded");
                prop_assert!(behind.is_none() || part.count().get() > 0, "a step makes way");
                prop_assert_eq!(part.first(), range.first());
                rest = behind;
            }
            prop_assert_eq!(seen, table.touched(range).collect::<Vec<_>>());
        }
    }
}
