//! What is kept, and what it costs, when only faults are seen.

use proptest::prelude::*;

use crate::policy::tests::{Pool, accesses, missed_after_scan, sweeps};
use crate::policy::{EvictionPolicy, NAMES};

const OURS: &str = "refault-distance";
const PAGES: u32 = 512;

fn pool(name: &str) -> Pool {
    Pool::new(name, u64::from(PAGES) * 4096)
}

/// Numbers that look random.
fn random(seed: u32) -> impl Iterator<Item = u32> {
    let mut state = u64::from(seed);
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        u32::try_from(state >> 40).expect("24 bits")
    })
}

/// What ours misses, as a multiple of what plain recency does.
fn excess(accesses: &[u32]) -> f64 {
    let misses = |name| pool(name).misses(accesses.iter().copied(), false) as f64;
    misses(OURS) / misses("lru")
}

/// Misses of one round of a loop, once it is used to it.
fn missed_in_a_round(pages: u32) -> usize {
    let mut pool = pool(OURS);
    pool.misses(sweeps(pages, 30), false);
    pool.misses(sweeps(pages, 10), false) / 10
}

#[test]
fn a_loop_larger_than_the_pool_keeps_most_of_what_fits() {
    for (pages, kept) in [(560, 0.7), (768, 0.7), (1024, 0.3), (2048, 0.5)] {
        let hits = pages as usize - missed_in_a_round(pages);
        let share = hits as f64 / f64::from(PAGES);
        assert!(share > kept, "{share:.2} of the pool is hit in a loop over {pages} pages");
    }
}

#[test]
fn another_loop_takes_over() {
    let mut pool = pool(OURS);
    pool.misses(sweeps(900, 30), false);
    let other = || sweeps(900, 60).map(|page| page + 10_000);
    pool.misses(other(), false);
    assert!(pool.misses(other(), false) < 900 * 60 * 9 / 10);
}

#[test]
fn what_comes_back_often_survives_a_scan() {
    let mut pool = pool(OURS);
    let hot = |round: u32| (0..128).flat_map(move |page| [page, 5_000 + 128 * round + page]);
    pool.misses((0..60).flat_map(hot), false);
    let scan = pool.misses(100_000..101_024, false);
    assert_eq!(scan, 1024);
    let missed = pool.misses(0..128, false);
    assert!(missed < 48, "{missed} of 128 were lost to a scan of twice the pool");
}

#[test]
fn it_is_hardly_worse_than_recency_where_that_is_best() {
    let uniform: Vec<u32> = random(1).map(|number| number % 700).take(60_000).collect();
    let moving: Vec<u32> = (0..80_000_u32)
        .zip(random(2))
        .map(|(at, number)| at / 8_000 * 1_000 + number % 400)
        .collect();
    let drifting: Vec<u32> =
        (0..80_000_u32).zip(random(3)).map(|(at, number)| at / 10 + number % 600).collect();
    let once: Vec<u32> = (0..20_000).collect();
    let all = [("uniform", uniform), ("moving", moving), ("drifting", drifting), ("once", once)];
    for (what, accesses) in all {
        let excess = excess(&accesses);
        // Protection alone costs up to 90 % here. In so small a pool the sample is 32 pages, and
        // what is left is more than the few percent that larger pools pay.
        assert!(excess < 1.1, "{what}: {excess:.3}");
    }
}

#[test]
fn where_protection_loses_for_good_recency_takes_over() {
    // Two working sets of four fifths of the pool in turn: what is protected is always the other.
    let accesses: Vec<u32> = (0..1_600_000_u32)
        .zip(random(4))
        .map(|(at, number)| at / 5_000 % 2 * 10_000 + number % 410)
        .collect();
    let (first, second) = accesses.split_at(accesses.len() / 2);
    let (mut ours, mut plain) = (pool(OURS), pool("lru"));
    ours.misses(first.iter().copied(), false);
    plain.misses(first.iter().copied(), false);
    let missed = ours.misses(second.iter().copied(), false) as f64;
    let least = plain.misses(second.iter().copied(), false) as f64;
    assert!(missed < 1.03 * least, "{:.3}", missed / least);
}

#[test]
fn accesses_that_are_seen_help() {
    assert!(missed_after_scan(OURS) < 4, "few of the pages are served by recency");
}

#[test]
fn ours_is_the_last_name() {
    assert_eq!(NAMES.last(), Some(&OURS));
}

proptest! {
    #[test]
    fn what_is_known_of_ghosts_adds_up(
        accesses in accesses(),
        huge in any::<bool>(),
        visible in any::<bool>(),
    ) {
        let mut pool = Inside::default();
        for page in accesses {
            pool.access(page, if huge { 4096 << (page % 3) } else { 4096 }, visible);
            let policy = &pool.policy;
            let ghosts: u64 = policy.ghost_bytes.iter().sum();
            prop_assert_eq!(ghosts, policy.ghosts.bytes(0));
            prop_assert!(ghosts <= pool.books.capacity());
            let queues = [&policy.probation, &policy.protected, &policy.reference];
            let bytes: u64 = queues.iter().map(|queue| queue.bytes()).sum();
            prop_assert_eq!(bytes, pool.used);
            prop_assert!((super::SHARE_LEAST..=super::SHARE_MOST).contains(&policy.share));
        }
    }
}

/// A pool that can be looked into.
struct Inside {
    policy: super::RefaultDistance,
    books: crate::policy::Books,
    here: std::collections::HashMap<u32, u64>,
    used: u64,
}

impl Default for Inside {
    fn default() -> Self {
        let books = crate::policy::Books::new(16 * 4096);
        Self { policy: Default::default(), books, here: Default::default(), used: 0 }
    }
}

impl Inside {
    /// The frame of a page has its number.
    fn access(&mut self, page: u32, bytes: u64, visible: bool) {
        use crate::frames::FrameId;
        use crate::policy::Departure;
        use crate::policy::tests::key;
        if self.here.contains_key(&page) {
            if visible {
                self.policy.on_touched(&mut self.books, FrameId(page));
            }
            return;
        }
        while self.used + bytes > self.books.capacity() {
            let mut victims = Vec::new();
            self.policy.propose(&mut self.books, 1, &|_| Some(1), &mut victims);
            let victim = victims[0];
            self.used -= self.here.remove(&victim.0).expect("it is there");
            self.policy.on_gone(&mut self.books, victim, key(victim.0), Departure::Evicted);
        }
        self.here.insert(page, bytes);
        self.used += bytes;
        self.books.enter(FrameId(page), bytes);
        self.policy.on_filled(&mut self.books, FrameId(page), key(page));
    }
}
