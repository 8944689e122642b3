//! Pages that come before anybody asks: what walks through real memory cost, and what is counted.

use std::collections::BTreeMap;

use bo_manager::PrefetchMode;
use bo_tests::{Actor, Order, PAGE, Pool, Station, by_each_user};

use crate::{PROGRAMS, SEED};

/// A pool in which everything has room.
fn roomy() -> Pool {
    Pool::kib(64 << 10)
}

const CAUSES: [&str; 4] = ["around", "stream", "density", "prefetch"];

fn sum(metrics: &BTreeMap<String, u64>, name: &str) -> u64 {
    CAUSES.iter().map(|cause| metrics[&format!("{name}{{cause=\"{cause}\"}}")]).sum()
}

/// Faults, pages filled, pages filled that nobody asked for. Nothing may move meanwhile.
#[track_caller]
fn costs(station: &Station) -> [u64; 3] {
    station.wait_until("nothing moves", |books| books.gauge("moves") == 0);
    let metrics = station.metrics();
    let [sampled, used, wasted] = ["sampled", "used", "wasted"]
        .map(|what| sum(&metrics, &format!("bo_prefetch_{what}_pages_total")));
    assert_eq!(sampled, used + wasted + metrics["bo_prefetch_pending_pages"]);
    let filled = ["zero", "store"]
        .map(|source| metrics[&format!("bo_filled_pages_total{{source=\"{source}\"}}")]);
    let faults = station.books().counter("faults");
    [faults, filled.iter().sum(), sum(&metrics, "bo_filled_ahead_pages_total")]
}

/// Loads a word of each of 100 pages, 40 apart. Each time everything comes to rest, so that the
/// numbers do not depend on who is faster.
fn stride(station: &Station, actor: &mut Actor) -> [u64; 3] {
    let (_, mapping) = actor.allocate_and_map(4000 * PAGE);
    for step in 0..100 {
        let loaded = actor.number(&Order::Load { mapping, offset: step * 40 * PAGE });
        assert_eq!(loaded, 0);
        station.wait_until("nothing moves", |books| books.gauge("moves") == 0);
    }
    costs(station)
}

by_each_user! {
    fn a_sequential_walk_is_met_by_what_it_comes_to(user) {
        let station = Station::embedded(&PROGRAMS, roomy());
        let mut actor = station.client(user);
        let (_, mapping) = actor.allocate_and_map(2048 * PAGE);
        actor.fill(mapping, SEED);
        let [faults, filled, ahead] = costs(&station);
        assert!(faults * 10 < 2048, "{faults} faults");
        assert_eq!(filled, 2048);
        assert!(ahead > 1800, "{ahead} pages came unasked");
        let metrics = station.metrics();
        for cause in ["stream", "density"] {
            let name = format!("bo_filled_ahead_pages_total{{cause=\"{cause}\"}}");
            assert!(metrics[&name] > 100, "{cause}");
        }
        // Every page was used, those that were watched among them.
        assert!(sum(&metrics, "bo_prefetch_used_pages_total") > 0);
        assert_eq!(metrics["bo_prefetch_pending_pages"], 0);
        actor.check(mapping, SEED);
    }

    fn a_strided_walk_is_met_where_it_steps(user) {
        let station = Station::embedded(&PROGRAMS, roomy());
        let [faults, filled, ahead] = stride(&station, &mut station.client(user));
        assert!(faults <= 30, "{faults} faults");
        // Four windows until the stride is known, and what lies beyond the last step.
        assert!(filled <= 100 + 4 * 16 + 16, "{filled} pages");
        assert!(ahead >= 60, "{ahead} pages came unasked");
    }

    fn without_guesses_each_step_of_such_a_walk_faults(user) {
        let none = |config| bo_manager::Config { prefetch: PrefetchMode::None, ..config };
        let station = Station::embedded_with(&PROGRAMS, roomy(), none);
        let [faults, _, _] = stride(&station, &mut station.client(user));
        assert!(faults >= 100, "{faults} faults");
    }

    fn what_was_brought_and_never_used_is_waste(user) {
        let station = Station::embedded(&PROGRAMS, roomy());
        let mut actor = station.client(user);
        let object = actor.allocate(4 << 20);
        let order = Order::Prefetch { object, offset: 0, bytes: 4 << 20 };
        assert_eq!(actor.number(&order), 4 << 20);
        let [faults, filled, ahead] = costs(&station);
        assert_eq!((faults, filled, ahead), (0, 1024, 1024));
        assert_eq!(station.metrics()["bo_prefetch_pending_pages"], 16);
        actor.must(&Order::DropObject { object });
        station.wait_until("it is freed", |books| books.gauge("objects") == 0);
        let metrics = station.metrics();
        assert_eq!(metrics["bo_prefetch_wasted_pages_total{cause=\"prefetch\"}"], 16);
        assert_eq!(metrics["bo_prefetch_pending_pages"], 0);
    }
}
