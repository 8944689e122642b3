//! Decisions of the core, one kind at a time, at three numbers of objects over a million pages.
#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "what criterion makes of a group is public and has none")]

use std::time::{Duration, Instant};

use bo_core::FaultKind;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

#[path = "../src/scale/driver.rs"]
mod driver;

use driver::{Driver, config};

const PAGES: u32 = 1_000_000;
const OBJECTS: [u32; 3] = [1000, 10_000, 100_000];

/// A step that visits all objects before it comes back: coprime to every number of them.
const STRIDE: usize = 7919;

/// All pages have been written; half of them are present.
fn full(objects: u32) -> Driver {
    let pages_each = PAGES / objects;
    let mut config = config(u64::from(PAGES / 2), u64::from(PAGES));
    config.fault_around = bo_units::ByteCount::new(0);
    config.marks.reclaim_start_free = bo_units::ByteCount::new(0);
    config.marks.reclaim_stop_free = bo_units::ByteCount::new(0);
    let mut driver = Driver::new(config, objects as usize, pages_each);
    driver.map();
    for page in 0..pages_each {
        for object in 0..objects as usize {
            driver.decide(object, page, true, FaultKind::Missing);
            driver.finish();
        }
    }
    driver
}

/// Page after page of one object after another, oldest first: always one that has left.
struct Next {
    object: usize,
    page: u32,
    objects: usize,
    pages: u32,
}

impl Next {
    fn new(objects: u32) -> Next {
        Next { object: 0, page: 0, objects: objects as usize, pages: PAGES / objects }
    }

    fn step(&mut self) -> (usize, u32) {
        let here = (self.object, self.page);
        self.object += 1;
        if self.object == self.objects {
            self.object = 0;
            self.page = (self.page + 1) % self.pages;
        }
        here
    }
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decision");
    for objects in OBJECTS {
        let mut driver = full(objects);
        let last = PAGES / objects - 1;
        let mut object = 0;
        group.bench_function(BenchmarkId::new("fault_on_a_present_page", objects), |bench| {
            bench.iter(|| {
                object = (object + STRIDE) % objects as usize;
                driver.decide(object, last, false, FaultKind::Missing);
                driver.finish();
            });
        });
        let mut next = Next::new(objects);
        group.bench_function(BenchmarkId::new("fault_that_evicts_and_fills", objects), |bench| {
            bench.iter(|| {
                let (object, page) = next.step();
                driver.decide(object, page, false, FaultKind::Missing);
                driver.finish();
            });
        });
        // The pool is full: what is decided is which page leaves.
        group.bench_function(BenchmarkId::new("fault_on_an_absent_page", objects), |bench| {
            bench.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                for _ in 0..times {
                    let (object, page) = next.step();
                    let start = Instant::now();
                    driver.decide(object, page, false, FaultKind::Missing);
                    spent += start.elapsed();
                    driver.finish();
                }
                spent
            });
        });
        driver.finish();
    }
    group.finish();
}

fn moves(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("move");
    for objects in OBJECTS {
        let mut driver = full(objects);
        let mut next = Next::new(objects);
        group.bench_function(BenchmarkId::new("outcome", objects), |bench| {
            bench.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                let mut left = times;
                while left > 0 {
                    let Some((id, outcome)) = driver.next() else {
                        let (object, page) = next.step();
                        driver.decide(object, page, true, FaultKind::Missing);
                        continue;
                    };
                    let start = Instant::now();
                    driver.report(id, outcome);
                    spent += start.elapsed();
                    left -= 1;
                }
                spent
            });
        });
        driver.finish();
    }
    group.finish();
}

/// Steps of background reclaim, each of up to sixteen pages. What they free is filled again by
/// faults that are not measured.
fn reclaim(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reclaim");
    for objects in OBJECTS {
        let mut config = config(u64::from(PAGES / 2), u64::from(PAGES));
        config.marks.reclaim_start_free = bo_units::ByteCount::new(64 << 20);
        config.marks.reclaim_stop_free = bo_units::ByteCount::new(128 << 20);
        let mut driver = Driver::new(config, objects as usize, PAGES / objects);
        driver.map();
        let mut next = Next::new(objects);
        group.bench_function(BenchmarkId::new("step", objects), |bench| {
            bench.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                for _ in 0..times {
                    while !driver.manager.wants_reclaim() {
                        let (object, page) = next.step();
                        driver.decide(object, page, true, FaultKind::Missing);
                        driver.finish();
                    }
                    let start = Instant::now();
                    assert!(driver.reclaim(), "it was wanted");
                    spent += start.elapsed();
                    driver.finish();
                }
                spent
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = decisions, moves, reclaim
}
criterion_main!(benches);
