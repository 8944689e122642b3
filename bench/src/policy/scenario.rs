//! Traces that are made up: the bench's own access patterns, and those that policies fail at.

use std::ffi::OsString;

use anyhow::{Context, Result};
use clap::builder::PossibleValue;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::cli;
use crate::pattern::{Pattern, Walk};
use crate::policy::trace::{Builder, Kind, Trace};
use crate::profile::PROFILES;

/// One way to use pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// In one line.
    pub(crate) what: &'static str,
    /// How many times the pool all pages are, in the pool that it is meant for.
    times: f64,
    make: fn(&mut Maker),
}

/// Those that are no profile of the bench.
const OWN: [Scenario; 6] = [
    Scenario {
        name: "loop-near",
        what: "round and round over 1.05 times the pool",
        times: 1.05,
        make: |maker| maker.sweep(0, maker.pages),
    },
    Scenario {
        name: "loop-far",
        what: "round and round over four times the pool",
        times: 4.0,
        make: |maker| maker.sweep(0, maker.pages),
    },
    Scenario {
        name: "scan-then-hot",
        what: "a scan over twice the pool, then a hot set of half of it, in turn",
        times: 2.5,
        make: scan_then_hot,
    },
    Scenario {
        name: "shift",
        what: "any page of a working set of three quarters of the pool, which moves on slowly",
        times: 4.0,
        make: shift,
    },
    Scenario {
        name: "hot-and-scan",
        what: "few hot pages, and a scan over the rest that never ends, in equal parts",
        times: 5.0,
        make: hot_and_scan,
    },
    Scenario {
        name: "mix",
        what: "few hot pages, scans, and a loop: for comparison with other simulators",
        times: 5.0,
        make: mix,
    },
];

/// All of them for the command line, each with what it is.
pub(crate) fn values() -> Vec<PossibleValue> {
    let own = OWN.iter().map(|scenario| (scenario.name, scenario.what));
    let profiles = PROFILES.iter().map(|profile| (profile.name, profile.what));
    profiles.chain(own).map(|(name, what)| PossibleValue::new(name).help(what)).collect()
}

/// The names of all of them.
pub(crate) fn names() -> Vec<&'static str> {
    let own = OWN.iter().map(|scenario| scenario.name);
    PROFILES.iter().map(|profile| profile.name).chain(own).collect()
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) pages: u32,
    /// How many; `None`: twenty for each page.
    pub(crate) accesses: Option<usize>,
    pub(crate) seed: u64,
}

/// A trace, and the pool that it is meant for.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) trace: Trace,
    /// In pages.
    pub(crate) pool: u64,
}

/// The trace of this name.
///
/// # Errors
///
/// If there is no scenario of this name.
pub(crate) fn make(name: &str, spec: Spec) -> Result<Made> {
    match OWN.iter().find(|scenario| scenario.name == name) {
        Some(scenario) => {
            let mut maker = Maker::new(spec, scenario.times);
            while maker.wants_more() {
                (scenario.make)(&mut maker);
            }
            Ok(maker.finish(name, spec, spec.pages))
        }
        None => of_profile(name, spec),
    }
}

/// What a run of the bench under this profile would access.
fn of_profile(name: &str, spec: Spec) -> Result<Made> {
    let args = cli::run_args(["--profile", name].map(OsString::from))
        .with_context(|| format!("there is no scenario {name}"))?;
    let mut maker = Maker::new(spec, args.oversubscribe);
    let each = (spec.pages / args.clients).max(1);
    let mut walks: Vec<Walk> = (0..args.clients)
        .map(|client| Walk::new(args.pattern, each.into(), 1, spec.seed + u64::from(client)))
        .collect();
    // Threads that meet on a page use it one after the other.
    let times = args.rush.unwrap_or(1);
    while maker.wants_more() {
        for (client, walk) in (0..args.clients).zip(&mut walks) {
            let page = u32::try_from(walk.next_cell()).unwrap_or(0);
            let write = walk.writes(args.write_ratio);
            (0..times).for_each(|_| maker.access(client * each + page, write));
        }
    }
    let objects = args.objects * args.clients;
    Ok(maker.finish(name, spec, spec.pages.div_ceil(objects)))
}

struct Maker {
    pages: u32,
    pool: u32,
    accesses: usize,
    builder: Builder,
    random: Xoshiro256PlusPlus,
    hot: Option<Walk>,
    /// Where a scan goes on.
    next: u32,
    round: u32,
}

impl Maker {
    fn new(spec: Spec, times: f64) -> Maker {
        let pages = spec.pages;
        let pool = crate::sizes::floor(f64::from(pages) / times);
        Maker {
            pages,
            pool: u32::try_from(pool).unwrap_or(pages).max(1),
            accesses: spec.accesses.unwrap_or(20 * pages as usize),
            builder: Builder::default(),
            random: Xoshiro256PlusPlus::seed_from_u64(spec.seed),
            hot: None,
            next: 0,
            round: 0,
        }
    }

    fn wants_more(&self) -> bool {
        self.builder.len() < self.accesses
    }

    fn access(&mut self, page: u32, write: bool) {
        if self.wants_more() {
            self.builder.add(page.into(), write);
        }
    }

    /// Reads pages one after the other.
    fn sweep(&mut self, first: u32, count: u32) {
        (0..count).for_each(|page| self.access((first + page) % self.pages, false));
    }

    /// A page of the first `among`, few of which are popular.
    fn popular(&mut self, among: u32) {
        let seed = self.random.random();
        let zipf = Pattern::Zipf { theta: 0.9 };
        let walk = self.hot.get_or_insert_with(|| Walk::new(zipf, among.into(), 1, seed));
        let (page, write) = (walk.next_cell(), walk.writes(0.3));
        self.access(u32::try_from(page).unwrap_or(0), write);
    }

    fn finish(self, name: &str, spec: Spec, object_pages: u32) -> Made {
        let kind = Kind::Scenario { seed: spec.seed };
        let trace = self.builder.finish(name.to_owned(), kind, object_pages);
        Made { trace, pool: self.pool.into() }
    }
}

fn scan_then_hot(maker: &mut Maker) {
    let hot = maker.pool / 2;
    maker.sweep(hot, maker.pages - hot);
    for _ in 0..4 * maker.pool {
        let page = maker.random.random_range(0..hot.max(1));
        let write = maker.random.random_bool(0.3);
        maker.access(page, write);
    }
}

fn shift(maker: &mut Maker) {
    let set = (maker.pool / 4 * 3).max(1);
    for _ in 0..2 * set {
        let page = (maker.next + maker.random.random_range(0..set)) % maker.pages;
        let write = maker.random.random_bool(0.3);
        maker.access(page, write);
    }
    maker.next = (maker.next + set / 8 + 1) % maker.pages;
}

fn hot_and_scan(maker: &mut Maker) {
    let hot = maker.pool.max(1);
    maker.popular(hot);
    let page = hot + maker.next % (maker.pages - hot).max(1);
    maker.access(page % maker.pages, false);
    maker.next = maker.next.wrapping_add(1);
}

fn mix(maker: &mut Maker) {
    let part = (maker.pages / 4).max(1);
    match maker.round % 4 {
        0 | 2 => (0..part).for_each(|_| maker.popular(2 * part)),
        1 => maker.sweep(2 * part, part),
        _ => (0..4).for_each(|_| maker.sweep(3 * part, part / 3)),
    }
    maker.round += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: Spec = Spec { pages: 400, accesses: None, seed: 5 };

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_makes_what_is_asked_for() {
        let names = names();
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name} is there twice");
            let Made { trace, pool } = make(name, SPEC).expect("a scenario");
            assert_eq!(trace.accesses.len(), 8000, "{name}");
            assert!(trace.pages() <= 400 && 0 < pool && pool <= 400, "{name}: {pool}");
            let objects: u32 = trace.shapes.iter().map(|shape| shape.pages).sum();
            assert_eq!(u64::from(objects), trace.pages(), "{name}");
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_trace_and_another_seed_another() {
        for name in names() {
            let accesses = |seed| make(name, Spec { seed, ..SPEC }).expect("known").trace.accesses;
            assert_eq!(accesses(5), accesses(5), "{name}");
            let fixed = ["sweep", "thrash", "loop-near", "loop-far"].contains(&name);
            let pages = |seed| accesses(seed).iter().map(|each| each.page()).collect::<Vec<_>>();
            assert_eq!(pages(5) == pages(6), fixed, "{name}");
        }
    }

    #[test]
    fn a_loop_visits_every_page_in_turn() {
        let Made { trace, pool } = make("loop-far", SPEC).expect("a scenario");
        assert_eq!((trace.pages(), pool), (400, 100));
        let round = |at: usize| trace.accesses[at * 400..][..400].to_vec();
        assert_eq!(round(0), round(1));
    }

    #[test]
    fn many_objects_are_many() {
        let Made { trace, .. } = make("many-objects", SPEC).expect("a scenario");
        assert!(trace.shapes.len() > 300, "{} objects", trace.shapes.len());
    }

    #[test]
    fn a_scenario_cannot_be_guessed() {
        assert!(make("nap", SPEC).is_err());
    }
}
