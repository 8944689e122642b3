//! What holds for every policy, whatever it prefers.

use std::collections::{HashMap, HashSet};

use bo_units::PageIndex;
use proptest::prelude::*;

use crate::frames::FrameId;
use crate::page::PageKey;
use crate::policy::{Books, Departure, EvictionPolicy, NAMES, by_name};

pub(super) fn key(number: u32) -> PageKey {
    PageKey { object: number % 5, page: PageIndex::new(number) }
}

/// A pool with one policy: pages are numbers, and so are frames.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) policy: Box<dyn EvictionPolicy>,
    pub(super) books: Books,
    /// The frame and the bytes of each page that is there.
    pub(super) here: HashMap<u32, (u32, u64)>,
    pages: HashMap<u32, u32>,
    free: Vec<u32>,
    pub(super) used: u64,
}

impl Pool {
    pub(super) fn new(name: &str, capacity: u64) -> Self {
        Self {
            policy: by_name(name).expect("the name of a policy"),
            books: Books::new(capacity),
            here: HashMap::new(),
            pages: HashMap::new(),
            free: Vec::new(),
            used: 0,
        }
    }

    pub(super) fn fill(&mut self, page: u32, bytes: u64) {
        let next = u32::try_from(self.pages.len()).expect("few frames");
        let frame = self.free.pop().unwrap_or(next);
        self.pages.insert(frame, page);
        self.here.insert(page, (frame, bytes));
        self.used += bytes;
        self.books.enter(FrameId(frame), bytes);
        self.policy.on_filled(&mut self.books, FrameId(frame), key(page));
    }

    pub(super) fn touch(&mut self, page: u32) {
        self.policy.on_touched(&mut self.books, FrameId(self.here[&page].0));
    }

    pub(super) fn lose(&mut self, page: u32, why: Departure) {
        let (frame, bytes) = self.here.remove(&page).expect("it is there");
        self.used -= bytes;
        self.pages.remove(&frame);
        self.free.push(frame);
        self.policy.on_gone(&mut self.books, FrameId(frame), key(page), why);
        if why == Departure::Freed {
            // It may be said again.
            self.policy.on_gone(&mut self.books, FrameId(frame), key(page), why);
            self.policy.on_forgotten(key(page));
        }
    }

    /// The pages that the policy names, of those that may leave.
    pub(super) fn propose(&mut self, want: u64, stays: impl Fn(u32) -> bool) -> Vec<u32> {
        let Self { policy, books, pages, here, .. } = self;
        let size = |frame: FrameId| {
            let page = pages.get(&frame.0).expect("a policy names frames that are in use");
            (!stays(*page)).then(|| here[page].1)
        };
        let mut victims = Vec::new();
        policy.propose(books, want, &size, &mut victims);
        victims.iter().map(|frame| pages[&frame.0]).collect()
    }

    /// Room is made, the page comes; true if it was there already.
    pub(super) fn access(&mut self, page: u32, bytes: u64, visible: bool) -> bool {
        if self.here.contains_key(&page) {
            if visible {
                self.touch(page);
            }
            return true;
        }
        self.policy.on_missed(&mut self.books, key(page));
        while self.used + bytes > self.books.capacity() {
            let want = self.used + bytes - self.books.capacity();
            let victims = self.propose(want, |_| false);
            assert!(!victims.is_empty(), "everything may leave");
            for victim in victims {
                self.lose(victim, Departure::Evicted);
            }
        }
        self.fill(page, bytes);
        false
    }

    /// How many of these accesses miss, with pages of 4 KiB.
    pub(super) fn misses(&mut self, pages: impl IntoIterator<Item = u32>, visible: bool) -> usize {
        pages.into_iter().filter(|page| !self.access(*page, 4096, visible)).count()
    }
}

fn check_proposal(pool: &mut Pool, name: &str, want: u64, stay: u32) -> Vec<u32> {
    let stays = |page: u32| stay >> (page % 32) & 1 != 0;
    let victims = pool.propose(want, stays);
    let distinct: HashSet<u32> = victims.iter().copied().collect();
    assert_eq!(distinct.len(), victims.len(), "{name} names a page twice: {victims:?}");
    assert!(!victims.iter().any(|page| stays(*page)), "{name} names what must stay");
    let named: u64 = victims.iter().map(|page| pool.here[page].1).sum();
    let most: u64 =
        pool.here.iter().filter(|(page, _)| !stays(**page)).map(|(_, (_, bytes))| bytes).sum();
    assert!(named >= want.min(most), "{name} finds {named} of {want}, of {most} in all");
    let last = victims.last().map_or(0, |page| pool.here[page].1);
    assert!(victims.is_empty() || named - last < want, "{name} names more than is wanted");
    victims
}

fn check_survey(pool: &mut Pool, name: &str, looked: &mut HashSet<u32>, ahead: u64) {
    let mut frames = Vec::new();
    let promised = pool.policy.survey_left(&pool.books, ahead);
    assert!(promised <= ahead, "{name} promises more than may be");
    pool.policy.survey(&mut pool.books, ahead, 8192, &mut frames);
    assert!(promised > 0 || frames.is_empty(), "{name} promised nothing");
    for frame in frames {
        let page = pool.pages[&frame.0];
        assert!(looked.insert(page), "{name} looks at {page} twice while it stays as cold");
    }
}

proptest! {
    #[test]
    fn a_policy_names_what_may_leave_once_and_enough_of_it(
        steps in proptest::collection::vec(
            (0_u32..48, 0_u8..10, 0_u64..60_000, any::<u32>()), 0..150,
        ),
        huge in any::<bool>(),
    ) {
        for name in NAMES {
            let mut pool = Pool::new(name, 16 * 4096);
            let mut looked = HashSet::new();
            for (page, what, want, stay) in &steps {
                let bytes = if huge { 4096 << (page % 3) } else { 4096 };
                let here = pool.here.contains_key(page);
                match what {
                    0..=3 => {
                        pool.access(*page, bytes, *what < 2);
                        looked.retain(|other| other != page && pool.here.contains_key(other));
                    }
                    4 if here => {
                        pool.lose(*page, Departure::Freed);
                        looked.remove(page);
                    }
                    5 if here => {
                        // An eviction that is called off.
                        pool.lose(*page, Departure::Evicted);
                        pool.fill(*page, bytes);
                        looked.remove(page);
                    }
                    6 => check_survey(&mut pool, name, &mut looked, *want),
                    7 => {
                        let victims = check_proposal(&mut pool, name, *want, *stay);
                        // Some are taken, in another order.
                        for victim in victims.iter().rev().step_by(2) {
                            pool.lose(*victim, Departure::Evicted);
                        }
                        looked.clear();
                    }
                    8 => {
                        check_proposal(&mut pool, name, *want, *stay);
                        looked.clear();
                    }
                    _ => pool.policy.on_missed(&mut pool.books, key(*page)),
                }
            }
            let all = pool.here.len();
            prop_assert_eq!(check_proposal(&mut pool, name, u64::MAX, 0).len(), all);
        }
    }
}

#[test]
fn a_policy_has_the_name_that_it_is_selected_by() {
    for name in NAMES {
        assert_eq!(by_name(name).map(|policy| policy.name()), Some(*name));
    }
    assert!(by_name("mru").is_none());
}

#[test]
fn a_working_set_that_fits_is_never_evicted() {
    for name in NAMES {
        for visible in [false, true] {
            let mut pool = Pool::new(name, 100 * 4096);
            let pages = (0..10).flat_map(|_| 0..100);
            assert_eq!(pool.misses(pages, visible), 100, "{name}");
        }
    }
}

#[test]
fn a_pool_in_which_everything_must_stay_gives_nothing() {
    for name in NAMES {
        let mut pool = Pool::new(name, 64 * 4096);
        (0..64).for_each(|page| pool.fill(page, 4096));
        (0..64).step_by(2).for_each(|page| pool.touch(page));
        for _ in 0..3 {
            assert!(pool.propose(u64::MAX, |_| true).is_empty(), "{name}");
        }
        assert_eq!(pool.propose(u64::MAX, |_| false).len(), 64, "{name}");
    }
}

/// Checks that a policy misses exactly where a model of it does: a function of the page that says
/// whether it hits.
#[track_caller]
pub(super) fn check_model(
    name: &str,
    pages: u64,
    accesses: &[u32],
    mut model: impl FnMut(u32) -> bool,
) {
    let mut pool = Pool::new(name, pages * 4096);
    for (at, page) in accesses.iter().enumerate() {
        let hit = model(*page);
        assert_eq!(pool.access(*page, 4096, true), hit, "access {at}, of {page}, in {accesses:?}");
    }
}

/// Accesses to few pages, some of them over and over.
pub(super) fn accesses() -> impl Strategy<Value = Vec<u32>> {
    let run = (0_u32..40, 1_u32..12, 1_usize..4);
    proptest::collection::vec(run, 0..60).prop_map(|runs| {
        let pages = |(first, count, times): (u32, u32, usize)| {
            std::iter::repeat_n(first..first + count, times).flatten()
        };
        runs.into_iter().flat_map(pages).collect()
    })
}

/// Pages used one after the other, round and round.
pub(super) fn sweeps(pages: u32, rounds: usize) -> impl Iterator<Item = u32> {
    std::iter::repeat_n(0..pages, rounds).flatten()
}

/// A hot set that is used after a scan as before; says how much of it is missed then.
pub(super) fn missed_after_scan(name: &str) -> usize {
    let mut pool = Pool::new(name, 100 * 4096);
    pool.misses((0..8).flat_map(|_| 0..40), true);
    pool.misses(1000..1090, true);
    pool.misses(0..40, true);
    pool.misses(2000..2090, true);
    pool.misses(0..40, true)
}
