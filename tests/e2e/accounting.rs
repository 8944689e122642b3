//! What the kernel counts, what the books say, what is scraped: one number.

use bo_tests::{Answer, Order, Pool, Station, by_each_user, scale, until};

use crate::{PROGRAMS, SEED, small, small_pool, start_pressure};

const QUIET_SAMPLES: usize = 60;

/// Compares three accounts. Nothing may move meanwhile, which the books say before and after.
fn accounts_agree(station: &Station) -> Option<()> {
    let before = station.books();
    let populated = station.populated();
    let scraped = station.metrics();
    let after = station.books();
    let counts = [
        "filled_bytes",
        "evicted_bytes",
        "cleaned",
        "cleanings_called_off",
        "cleanings_failed",
        "allocations",
        "frees",
    ];
    let quiet = (before.gauge("moves"), after.gauge("moves")) == (0, 0)
        && counts.iter().all(|name| before.counter(name) == after.counter(name));
    if !quiet {
        return None;
    }
    assert_eq!(populated, before.used(), "the kernel's count and the books");
    let metric = |name: &str| scraped[name];
    let vram = metric("bo_pool_used_bytes{pool=\"vram\"}");
    assert_eq!((vram, metric("bo_store_present_bytes")), before.used(), "books and metrics");
    assert_eq!(metric("bo_pool_capacity_bytes{pool=\"vram\"}"), small());
    assert_eq!(metric("bo_faults_total{kind=\"read\"}"), before.counter("faults_read"));
    assert_eq!(metric("bo_evictions_total{reason=\"direct\"}"), before.counter("evictions_direct"));
    Some(())
}

by_each_user! {
    fn populated_bytes_are_the_books_and_the_metrics(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let mut actor = station.client(user);
        let (_, mapping) = actor.allocate_and_map(4 * small());
        for round in 0..QUIET_SAMPLES as u64 {
            let (first, pages) = (round * 37 % 200 * scale(), (20 + round % 50) * scale());
            actor.must(&Order::Fill { mapping, seed: SEED, first, pages });
            until("nothing moves", || accounts_agree(&station));
        }
        actor.must(&Order::Disconnect);
        station.wait_until("all is freed", |books| books.gauge("objects") == 0);
        assert_eq!(station.populated().0, 0);
        assert_eq!(station.books().gauge("vram_used_bytes"), 0);
        until("nothing moves", || accounts_agree(&station));
    }

    fn populated_bytes_never_pass_the_capacity(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        // One object only: several could not be looked at in one instant.
        let mut actor = station.client(user);
        let (object, mapping) = actor.allocate_and_map(4 * small());
        let tasks = [true, false, true, true]
            .map(|write| actor.spawn(Order::Sweep { mapping, write }));
        let mut samples = 0_u64;
        let mut most = 0;
        until("the storm is over", || {
            for _ in 0..100 {
                let (objects, _) = station.populated();
                most = most.max(objects);
                samples += 1;
                assert!(objects <= small(), "{objects} bytes are populated");
            }
            let books = station.books();
            assert!(books.gauge("vram_peak_bytes") <= small());
            (20_000 / scale() < books.counter("evictions")).then_some(())
        });
        println!("{samples} samples, at most {most} of {} bytes", small());
        for task in tasks {
            assert!(matches!(actor.finish(task), Answer::Number(1..)));
        }
        assert!(actor.stat(object).resident_bytes <= small());
        until("nothing moves", || accounts_agree(&station));
    }

    fn a_store_that_is_nearly_full_is_never_overdrawn(user) {
        let pool = small_pool();
        let pool = Pool { ram: bo_units::ByteCount::new(3 * small()), ..pool };
        let station = Station::embedded(&PROGRAMS, pool);
        let mut actor = station.client(user);
        // All that can be had: two pages are kept for moving.
        let (_, mapping) = actor.allocate_and_map(4 * small() - 2 * pool.page_bytes);
        for round in 0..6 {
            actor.fill(mapping, SEED + round);
            actor.check(mapping, SEED + round);
            let (objects, store) = station.populated();
            assert!(objects <= small() && store <= 3 * small(), "{objects}, {store}");
        }
        until("nothing moves", || accounts_agree(&station));
    }

    fn many_objects_come_and_go_without_a_trace(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let pressure = start_pressure(&station);
        let mut actor = station.client(user);
        for round in 0..100 {
            let (object, mapping) = actor.allocate_and_map(small() / 4);
            actor.fill(mapping, SEED + round);
            // Some are freed by their mapping, some by their object.
            let drops = [Order::DropMapping { mapping }, Order::DropObject { object }];
            let first = usize::from(round % 2 == 0);
            actor.must(&drops[first]);
            actor.must(&drops[1 - first]);
        }
        drop(pressure);
        station.wait_until("all is freed", |books| books.gauge("objects") == 0);
        until("nothing moves", || accounts_agree(&station));
        assert_eq!(station.populated().0, 0);
    }
}
