//! What an access to a resident page costs, in peace and while other objects are evicted.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bars::line::Reached;
use crate::bars::suite::Suite;
use crate::orders::{Answer, HitPlan, Order};
use crate::progress::Progress;
use crate::run::phases::{self, Workers, out_of_turn};
use crate::spread::Spread;

/// Until the neighbour has filled the pool and evicts.
const HEAD_START: Duration = Duration::from_millis(150);

/// A third of a second of the neighbour's time is left at the end.
const NEIGHBOUR_MS: u64 = 1500;
const LOOP_MS: u64 = 1000;
const LOOP_ROUNDS: u32 = 301;

/// The hit loop over an object and over an ordinary memfd in turn.
pub(super) fn hit(suite: &mut Suite) -> Result<Vec<Reached>> {
    let settings = suite.settings("--clients 1 --objects 1")?;
    let service = suite.service(&settings, &suite.tuning("")?)?;
    let mut crew = phases::hire(&service, &settings)?;
    let mut neighbour = phases::hire(&service, &settings)?;
    let (mut objects, mut plain) = (Vec::new(), Vec::new());
    let (mut busy_objects, mut busy_plain) = (Vec::new(), Vec::new());
    let (mut evictions, mut faults) = (0, 0);
    for _ in 0..suite.choose(7, 1) {
        let quiet = phases::hit(&mut crew, suite.quick)?;
        objects.push(quiet.object_ns);
        plain.push(quiet.plain_ns);
        let before = service.status()?;
        thrash(&mut neighbour, settings.vram_bytes * 2, suite.choose(NEIGHBOUR_MS, 400))?;
        thread::sleep(HEAD_START);
        let busy = busy_hit(&mut crew, suite.choose(LOOP_MS, 150))?;
        let answer = neighbour.wait_for(&[0], &Progress::hidden())?.pop();
        let answer = answer.context("the neighbour answers")?;
        let Answer::Thrashed(figures) = answer else { return out_of_turn(&answer) };
        suite.count(figures.cells * 8, &figures.mismatches);
        evictions += service.status()?.since(&before).counters.evictions;
        faults += busy.object_faults;
        busy_objects.push(busy.object_ns);
        busy_plain.push(busy.plain_ns);
    }
    crew.dismiss()?;
    neighbour.dismiss()?;
    service.stop();
    let median = |values: &[f64]| Spread::of(values.iter().copied()).map(|one| one.median);
    let quiet = Spread::of_ratios(&objects, &plain).context("the loop takes time")?;
    let busy = Spread::of_ratios(&busy_objects, &busy_plain).context("the loop takes time")?;
    Ok(vec![
        Reached::spread("hit", quiet)
            .with([("object_ns", median(&objects)), ("memfd_ns", median(&plain))]),
        Reached::spread("hit_reclaim", busy).with([
            ("object_ns", median(&busy_objects)),
            ("memfd_ns", median(&busy_plain)),
            ("pages_evicted", Some(evictions as f64)),
            ("faults_of_the_loop", Some(faults as f64)),
        ]),
    ])
}

fn thrash(neighbour: &mut Workers, bytes: u64, millis: u64) -> Result<()> {
    neighbour.tell(0, &Order::Thrash { bytes, millis })
}

fn busy_hit(crew: &mut Workers, millis: u64) -> Result<crate::orders::HitFigures> {
    let order = Order::Hit(HitPlan { rounds: LOOP_ROUNDS, millis });
    let answer = crew.tell_one(0, &Progress::open_ended("hit loop"), &order)?;
    let Answer::Hit(figures) = answer else { return out_of_turn(&answer) };
    Ok(figures)
}
