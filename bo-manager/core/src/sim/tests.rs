//! Many worlds, and planted bugs that must not survive them.

use super::{Plant, Sim};

const STEPS: u32 = 4000;

/// `BO_SEED=…` replays one; `BO_SEEDS=…` runs that many.
fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("BO_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BO_SEEDS").unwrap_or(1000),
    }
}

#[test]
fn no_world_breaks_a_rule() {
    let mut total = super::Report {
        loads: 0, stores: 0, sigbus: 0, fills: 0, evictions: 0, rescues: 0,
    };
    let mut failures = Vec::new();
    for seed in seeds() {
        match Sim::check(seed, STEPS, None) {
            Ok(report) => {
                total.loads += report.loads;
                total.stores += report.stores;
                total.sigbus += report.sigbus;
                total.fills += report.fills;
                total.evictions += report.evictions;
                total.rescues += report.rescues;
            }
            Err(text) => failures.push(text),
        }
    }
    println!("{total:?}");
    assert!(failures.is_empty(), "{} worlds fail:\n{}", failures.len(), failures.join("\n"));
}

/// The bug is found in one of the first worlds.
#[track_caller]
fn find(plant: Plant) {
    let found = (0..1000).find_map(|seed| Sim::check(seed, STEPS, Some(plant)).err());
    let text = found.unwrap_or_else(|| panic!("{plant:?} is not found"));
    println!("{plant:?}: {text}");
}

#[test]
fn planted() {
    for plant in Plant::ALL {
        find(plant);
    }
}
