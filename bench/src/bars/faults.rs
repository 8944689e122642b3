//! Faults on 4 KiB pages, in slices with a ping-pong between them.

use anyhow::{Context, Result};

use crate::bars::line::Reached;
use crate::bars::suite::{Suite, Table};
use crate::orders::StormFigures;
use crate::run::phases;
use crate::spread::Spread;

const FLAGS: &str = "--page-size 4KiB --pattern uniform --write-ratio 1 --objects 1";

/// One slice of faults and one of ping-pong after the other.
struct Slices {
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
    per_second: Vec<f64>,
    ping_us: Vec<f64>,
    /// A tenth, half, nine tenths of all round trips took no longer.
    ping: [f64; 3],
    sum: StormFigures,
}

/// How long one fault takes, with one client that may run anywhere.
pub(super) fn latency(suite: &mut Suite) -> Result<Vec<Reached>> {
    let slices = measure(suite, 1)?;
    let fault = slices.sum.fault.percentiles();
    let [ping_p10, ping_p50, ping_p90] = slices.ping;
    let reached = |id, value: Option<f64>, each: &[f64]| -> Result<Reached> {
        let value = value.context("no fault was met")?;
        let spread = Spread::of_ratios(each, &slices.ping_us);
        let details = [
            ("fault_us", Some(value)),
            ("faults", Some(slices.sum.fault.count() as f64)),
            ("ping_pong_p10_us", Some(ping_p10)),
            ("ping_pong_p50_us", Some(ping_p50)),
            ("ping_pong_p90_us", Some(ping_p90)),
        ];
        Ok(Reached { spread, ..Reached::value(id, value / ping_p50) }.with(details))
    };
    Ok(vec![
        reached("fault_p50", fault.p50, &slices.p50_us)?,
        reached("fault_p99", fault.p99, &slices.p99_us)?,
    ])
}

/// How many faults two processes meet in the time of a round trip.
pub(super) fn rate(suite: &mut Suite) -> Result<Vec<Reached>> {
    let slices = measure(suite, 2)?;
    let pairs = slices.per_second.iter().zip(&slices.ping_us);
    let spread = Spread::of(pairs.map(|(per_second, ping)| per_second * ping / 1e6));
    let spread = spread.context("no fault was met")?;
    let per_second = Spread::of(slices.per_second.iter().copied()).map(|one| one.median);
    let details = [("faults_per_s", per_second), ("ping_pong_p50_us", Some(slices.ping[1]))];
    Ok(vec![Reached::spread("fault_rate", spread).with(details)])
}

fn measure(suite: &mut Suite, clients: u32) -> Result<Slices> {
    let millis = suite.choose(100, 30);
    let flags = format!("{FLAGS} --clients {clients} --duration {millis}ms");
    let settings = suite.settings(&flags)?;
    let service = suite.service(&settings, &suite.tuning("")?)?;
    let mut crew = phases::hire(&service, &settings)?;
    phases::fill(&mut crew, &settings)?;
    let mut table = Table::open()?;
    let mut slices = Slices {
        p50_us: Vec::new(),
        p99_us: Vec::new(),
        per_second: Vec::new(),
        ping_us: Vec::new(),
        ping: [0.0; 3],
        sum: StormFigures::none(),
    };
    for part in 0..suite.choose(40, 3) {
        let figures = phases::storm(&mut crew, &settings, part)?;
        let fault = figures.fault.percentiles();
        let ping = table.play()?;
        if let (Some(p50), Some(p99)) = (fault.p50, fault.p99) {
            slices.p50_us.push(p50);
            slices.p99_us.push(p99);
            slices.per_second.push(figures.fault.count() as f64 / figures.seconds);
            slices.ping_us.push(ping);
        }
        suite.count(figures.ops * settings.access_bytes.get(), &figures.mismatches);
        slices.sum.add(figures);
    }
    slices.ping = table.percentiles().context("some round trips were made")?;
    suite.finish(crew, &settings)?;
    service.stop();
    Ok(slices)
}
