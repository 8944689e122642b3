//! Walks through an object larger than a window: how many faults and fills each costs.

use std::collections::BTreeSet;

use bo_core::{Action, CoreConfig, Prefetch, PrefetchMode};
use bo_units::{ClientId, MappingId, ObjectId, PageRange};

use crate::desk::{Desk, NOW, pages, range};

/// A client with one mapping, and the entries that it has there.
struct Walker {
    desk: Desk,
    client: ClientId,
    object: ObjectId,
    mapping: MappingId,
    entries: BTreeSet<u32>,
    faults: u32,
    /// The fills of the last touch.
    fills: Vec<PageRange>,
}

impl Walker {
    fn new(config: CoreConfig, count: u64) -> Self {
        let mut desk = Desk::with(config);
        let client = desk.client();
        let object = desk.object(client, count);
        let mapping = desk.map(client, object);
        Self { desk, client, object, mapping, entries: BTreeSet::new(), faults: 0, fills: vec![] }
    }

    /// A pool of so many pages and the usual settings.
    fn usual(pool: u64, count: u64) -> Self {
        Self::new(CoreConfig::new(pages(pool), pages(4 * count)), count)
    }

    /// Loads a word of a page.
    fn touch(&mut self, page: u32) {
        self.fills.clear();
        for _ in 0..3 {
            if self.entries.contains(&page) {
                return;
            }
            self.faults += 1;
            self.desk.load(self.mapping, page);
            self.settle();
        }
        panic!("page {page} is never installed");
    }

    fn settle(&mut self) {
        for action in self.desk.settle() {
            match action {
                Action::Fill { object, range, install, .. } if object == self.object => {
                    self.fills.push(range);
                    let runs = install.into_iter().flat_map(|install| install.runs);
                    self.entries.extend(runs.flat_map(|(run, _)| run.iter()).map(|at| at.get()));
                }
                Action::Install { mapping, range, .. } if mapping == self.mapping => {
                    self.entries.extend(range.iter().map(|at| at.get()));
                }
                Action::Punch { object, runs } if object == self.object => {
                    for at in runs.iter().flat_map(|run| run.iter()) {
                        self.entries.remove(&at.get());
                    }
                }
                Action::Yield
                | Action::Fill { .. }
                | Action::Install { .. }
                | Action::Punch { .. }
                | Action::Unprotect { .. }
                | Action::Patch { .. }
                | Action::Wake { .. }
                | Action::Poison { .. }
                | Action::CopyOut { .. }
                | Action::Discard { .. }
                | Action::Detached { .. }
                | Action::Freed { .. }
                | Action::Destroy { .. } => {}
            }
        }
    }

    /// Background reclaim has its turn.
    fn reclaim(&mut self) {
        while self.desk.manager.wants_reclaim() && self.desk.manager.handle_reclaim(NOW) {
            self.settle();
        }
    }

    fn filled(&self) -> u64 {
        let stats = self.desk.manager.stats();
        stats.fills_zero_pages + stats.fills_stored_pages
    }

    /// Watched pages are used, wasted or pending.
    #[track_caller]
    fn assert_samples_add_up(&self) {
        let stats = self.desk.manager.stats();
        let judged = stats.sampled_used.total() + stats.sampled_wasted.total();
        assert_eq!(stats.sampled.total(), judged + self.desk.manager.gauges().watched);
    }
}

/// Numbers without a pattern, from a xorshift generator.
fn jumps(below: u32) -> impl Iterator<Item = u32> {
    let mut state = 0x9e37_79b9_u32;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state % below
    })
}

#[test]
fn a_sequential_walk_costs_a_fault_for_a_hundred_pages() {
    let mut walker = Walker::usual(8192, 4096);
    (0..4096).for_each(|page| walker.touch(page));
    assert!(walker.faults <= 45, "{} faults", walker.faults);
    assert_eq!(walker.filled(), 4096);
    let stats = walker.desk.manager.stats();
    assert!(stats.fills_stream_pages > 0 && stats.fills_density_pages > 1000, "{stats:?}");
    assert!(stats.sampled_used.total() > 0);
    assert_eq!(stats.faults_present, stats.sampled_used.total(), "only watched pages fault twice");
    walker.assert_samples_add_up();
}

#[test]
fn a_walk_backwards_costs_as_little() {
    let mut walker = Walker::usual(8192, 4096);
    (0..4096).rev().for_each(|page| walker.touch(page));
    assert!(walker.faults <= 45, "{} faults", walker.faults);
    assert_eq!(walker.filled(), 4096);
    walker.assert_samples_add_up();
}

#[test]
fn a_walk_through_a_full_pool_goes_on_in_streams() {
    let mut walker = Walker::usual(1024, 8192);
    for page in 0..8192 {
        walker.touch(page);
        walker.reclaim();
    }
    assert!(walker.faults <= 600, "{} faults", walker.faults);
    assert_eq!(walker.filled(), 8192);
}

#[test]
fn a_strided_walk_brings_what_it_comes_to_and_little_else() {
    let mut walker = Walker::usual(65536, 16384);
    (0..16384).step_by(40).for_each(|page| walker.touch(page));
    // 410 pages; a fill for each, ahead of the walk but for one in 17.
    assert!(walker.faults <= 60, "{} faults", walker.faults);
    assert!(walker.filled() <= 410 + 4 * 16 + 16, "{} pages", walker.filled());
    walker.assert_samples_add_up();
}

#[test]
fn without_streams_each_step_of_such_a_walk_faults() {
    let mut config = CoreConfig::new(pages(65536), pages(65536));
    config.prefetch.mode = PrefetchMode::None;
    let mut walker = Walker::new(config, 16384);
    (0..16384).step_by(40).for_each(|page| walker.touch(page));
    assert!(walker.faults >= 410, "{} faults", walker.faults);
}

#[test]
fn jumps_through_a_large_object_bring_little_in_vain() {
    let mut walker = Walker::usual(1024, 65536);
    for page in jumps(65536).take(4000) {
        walker.touch(page);
        walker.reclaim();
    }
    // Windows while the pool was empty; nothing but what was asked for from then on.
    let stats = walker.desk.manager.stats();
    assert!(stats.fills_around_pages <= 1024, "{stats:?}");
    assert!(stats.fills_stream_pages + stats.fills_density_pages <= 16, "{stats:?}");
    walker.assert_samples_add_up();
}

#[test]
fn the_page_that_faulted_comes_first_and_with_at_most_256_kib() {
    let mut config = CoreConfig::new(pages(8192), pages(8192));
    config.fault_around = pages(512);
    let mut walker = Walker::new(config, 2048);
    walker.touch(700);
    assert_eq!(walker.fills[0], range(640, 64));
    assert!(walker.fills.iter().all(|run| run.count().get() <= 64));
    let all: u32 = walker.fills.iter().map(|run| run.count().get()).sum();
    assert_eq!(all, 512);
}

#[test]
fn a_region_that_is_mostly_there_is_completed() {
    let mut walker = Walker::usual(8192, 1024);
    // Every other window of the first 128 pages: half, which is not enough.
    for page in [0, 64, 32, 96] {
        walker.touch(page);
    }
    assert_eq!(walker.filled(), 64);
    walker.touch(80);
    let all: BTreeSet<u32> =
        walker.fills.iter().flat_map(|run| run.iter()).map(|at| at.get()).collect();
    assert_eq!(all, (16..32).chain(48..64).chain(80..96).chain(112..128).collect());
}

#[test]
fn guesses_take_nothing_from_the_reserve() {
    let mut config = CoreConfig::new(pages(256), pages(8192));
    config.marks.reclaim_start_free = pages(32);
    config.marks.reclaim_stop_free = pages(64);
    let mut walker = Walker::new(config, 4096);
    for page in jumps(4096).take(40) {
        walker.touch(page);
    }
    let stats = walker.desk.manager.stats();
    assert!((150..=192).contains(&stats.fills_around_pages), "{stats:?}");
    // What follows has evidence for it, and leaves what reclaim would have to bring back.
    let asked = walker.filled() - stats.fills_around_pages - stats.fills_density_pages;
    assert!(asked <= 40 && stats.fills_density_pages <= 32, "{stats:?}");
    assert_eq!(walker.desk.manager.gauges().starved, 0);
}

#[test]
fn guesses_that_are_wasted_grow_smaller_until_they_are_good_again() {
    let mut config = CoreConfig::new(pages(1024), pages(1 << 17));
    config.prefetch.mode = PrefetchMode::Stream;
    (config.marks.reclaim_start_free, config.marks.reclaim_stop_free) = (pages(32), pages(64));
    let mut walker = Walker::new(config, 65536);
    walker.touch(65_000);
    assert_eq!(walker.fills, [range(64_992, 16)]);
    let mut windows = jumps(4000).map(|window| window * 16);
    for page in windows.by_ref().take(70) {
        walker.touch(page);
    }
    // Everything goes, hardly used.
    let (client, start) = (walker.client, walker.desk.manager.start_prefetch());
    let other = walker.desk.object(client, 1024);
    loop {
        let step = walker.desk.manager.prefetch(NOW, client, other, range(0, 1024), start);
        walker.settle();
        if matches!(step, Ok(Prefetch::Full | Prefetch::Done)) {
            break;
        }
    }
    let stats = walker.desk.manager.stats();
    assert!(stats.sampled_wasted.around >= 12, "{stats:?}");
    assert!(stats.extents_halved >= 3, "{stats:?}");
    walker.desk.manager.release(NOW, client, other).expect("it has it");
    walker.settle();
    walker.touch(65_000);
    assert!(walker.fills[0].count().get() <= 2, "{:?}", walker.fills);
    // Walks that use all that comes.
    for page in (0..60_000).filter(|page| page % 1024 < 800) {
        walker.touch(page);
        walker.reclaim();
    }
    assert!(walker.desk.manager.stats().extents_doubled >= 2);
    walker.assert_samples_add_up();
}
