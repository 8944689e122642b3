//! Several clients at once: one of them stopped, many threads on one page, eight against one.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::bars::line::Reached;
use crate::bars::suite::Suite;
use crate::orders::{Answer, Order, StormFigures};
use crate::progress::Progress;
use crate::report::ratios::Aim;
use crate::run::phases::{self, Workers, out_of_turn};
use crate::settings::Settings;
use crate::spread::Spread;

/// Until the victim is in the middle of its faults.
const HEAD_START_MS: u64 = 60;

/// Less than this is called noise on any machine, and more than that on none: a machine so busy
/// tells nothing about others.
const NOISE_LEAST: f64 = 0.03;
const NOISE_MOST: f64 = 0.2;

const RUSH_THREADS: u32 = 64;

/// Two clients beside a third that is stopped in the middle of its faults, and beside none.
pub(super) fn stopped(suite: &mut Suite) -> Result<Vec<Reached>> {
    let millis = suite.choose(400, 50);
    let flags = "--page-size 4KiB --pattern uniform --write-ratio 1 --objects 1 --clients 2";
    let settings = suite.settings(&format!("{flags} --duration {millis}ms"))?;
    let service = suite.service(&settings, &suite.tuning("")?)?;
    let mut others = phases::hire(&service, &settings)?;
    let mut victim = phases::hire(&service, &settings.with_one_client())?;
    phases::fill(&mut others, &settings)?;
    let (mut without, mut beside) = (Vec::new(), Vec::new());
    for part in 0..suite.choose(10, 2) {
        without.push(throughput(suite, &mut others, &settings, 2 * part)?);
        let bytes = settings.vram_bytes * 2;
        victim.tell(0, &Order::Thrash { bytes, millis: 2 * HEAD_START_MS })?;
        thread::sleep(Duration::from_millis(HEAD_START_MS));
        signal(&victim, Signal::STOP)?;
        let measured = throughput(suite, &mut others, &settings, 2 * part + 1);
        signal(&victim, Signal::CONT)?;
        beside.push(measured?);
        let answer = victim.wait_for(&[0], &Progress::hidden())?.pop();
        let answer = answer.context("the victim answers")?;
        let Answer::Thrashed(figures) = answer else { return out_of_turn(&answer) };
        suite.count(figures.cells * 8, &figures.mismatches);
    }
    suite.finish(others, &settings)?;
    victim.dismiss()?;
    service.stop();
    let ratio = Spread::of_ratios(&beside, &without).context("the others did something")?;
    let alone = Spread::of(without).context("the others did something")?;
    let aim = Some(Aim::AtLeast(noise_floor(&alone)));
    let details = [
        ("ops_per_s_without", Some(alone.median)),
        ("ops_per_s_beside", Spread::of(beside).map(|one| one.median)),
    ];
    Ok(vec![Reached { aim, ..Reached::spread("stopped", ratio) }.with(details)])
}

/// What the slowest of the undisturbed slices was of their median: less is more than noise.
fn noise_floor(alone: &Spread) -> f64 {
    (alone.min / alone.median).clamp(1.0 - NOISE_MOST, 1.0 - NOISE_LEAST)
}

fn throughput(
    suite: &mut Suite,
    crew: &mut Workers,
    settings: &Settings,
    part: u64,
) -> Result<f64> {
    let StormFigures { ops, seconds, mismatches, .. } = phases::storm(crew, settings, part)?;
    suite.count(ops * settings.access_bytes.get(), &mismatches);
    Ok(ops as f64 / seconds)
}

fn signal(crew: &Workers, signal: Signal) -> Result<()> {
    let process = i32::try_from(crew.process_id(0)?).ok().and_then(Pid::from_raw);
    let process = process.context("a process has a number above zero")?;
    kill_process(process, signal).context("cannot stop a client process")
}

/// Many threads on one evicted page.
pub(super) fn rush(suite: &mut Suite) -> Result<Vec<Reached>> {
    let settings = suite.settings("--page-size 4KiB --clients 1 --objects 1")?;
    let service = suite.service(&settings, &suite.tuning("")?)?;
    let mut crew = phases::hire(&service, &settings)?;
    let rush = phases::rush(&mut crew, &settings, RUSH_THREADS)?;
    crew.dismiss()?;
    service.stop();
    suite.count(rush.bytes_verified, &rush.mismatches);
    let rounds = f64::from(rush.rounds);
    let details = [
        ("rounds", Some(rounds)),
        ("faults", Some(rush.faults as f64)),
        ("coalesced", Some(rush.coalesced as f64)),
        ("read_p50_us", rush.read_us.p50),
        ("read_max_us", rush.read_us.max),
    ];
    Ok(vec![
        Reached::value("rush_fills", rush.fills_max as f64).with(details),
        Reached::value("rush_least", rush.fills as f64 / rounds),
        Reached::value("rush_errors", rush.errors as f64),
    ])
}

/// Eight clients and one with all of their data, in turn.
pub(super) fn eight_to_one(suite: &mut Suite) -> Result<Vec<Reached>> {
    let millis = suite.choose(2000, 60);
    let flags = format!("--page-size 4KiB --clients 8 --objects 1 --duration {millis}ms");
    let eight = suite.settings(&flags)?;
    let one = eight.with_one_client();
    let service = suite.service(&eight, &suite.tuning("")?)?;
    let (mut of_one, mut of_eight) = (Vec::new(), Vec::new());
    for _ in 0..suite.choose(5, 1) {
        for (settings, figures) in [(&one, &mut of_one), (&eight, &mut of_eight)] {
            let mut crew = phases::hire(&service, settings)?;
            let scene = phases::scene(&service, &mut crew, settings)?;
            crew.dismiss()?;
            suite.count_checked(&scene.verify);
            suite.count(0, &scene.storm.mismatches);
            figures.push(scene.throughput());
        }
    }
    service.stop();
    let ratio = Spread::of_ratios(&of_eight, &of_one).context("the clients did something")?;
    let middle = |values: Vec<f64>| Spread::of(values).map(|one| one.median);
    let details = [("one_ops_per_s", middle(of_one)), ("eight_ops_per_s", middle(of_eight))];
    Ok(vec![Reached::spread("eight_to_one", ratio).with(details)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_undisturbed_slices_do_by_themselves_is_noise() {
        let calm = Spread { median: 100.0, min: 99.0, max: 101.0, samples: 5 };
        assert!((noise_floor(&calm) - 0.97).abs() < 1e-9);
        let noisy = Spread { min: 90.0, ..calm };
        assert!((noise_floor(&noisy) - 0.9).abs() < 1e-9);
        let wild = Spread { min: 10.0, ..calm };
        assert!((noise_floor(&wild) - 0.8).abs() < 1e-9);
    }
}
