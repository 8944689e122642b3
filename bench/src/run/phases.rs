//! The phases of a run, each an order to all client processes or to one, and what came of it.

use anyhow::{Context, Result, bail};

use crate::crew::Crew;
use crate::daemon::Service;
use crate::mismatch::Mismatches;
use crate::orders::{
    Answer, HitFigures, HitPlan, Order, Plan, RushFigures, StormFigures, StormPlan, SweepFigures,
    VerifyFigures, WorkerLimit,
};
use crate::progress::Progress;
use crate::report::{Rush, Scene};
use crate::settings::{Limit, Settings};
use crate::sizes;

/// Rounds of the hit loop; each is about a millisecond on each side.
const HIT_ROUNDS: u32 = 301;
const HIT_ROUNDS_SHORT: u32 = 41;

/// Meetings of many threads on one page.
const RUSH_ROUNDS: u32 = 20;
const RUSH_ROUNDS_SHORT: u32 = 3;

/// The client processes of a run.
pub(crate) type Workers = Crew<Order, Answer>;

/// Starts the client processes and connects them.
pub(crate) fn hire(service: &Service, settings: &Settings) -> Result<Workers> {
    let mut crew = Crew::start("worker", sizes::in_memory(u64::from(settings.clients)))?;
    crew.tell_each(&Progress::hidden(), |index| {
        Order::Connect(Plan {
            socket: service.socket().to_owned(),
            client: u32::try_from(index).unwrap_or(u32::MAX),
            threads: settings.threads,
            objects: settings.objects,
            object_bytes: settings.object_bytes,
            page_bytes: settings.page_bytes,
            record: settings.access_bytes,
            seed: settings.seed,
        })
    })?;
    Ok(crew)
}

/// Resident accesses against an ordinary memfd.
pub(crate) fn hit(crew: &mut Workers, short: bool) -> Result<HitFigures> {
    let rounds = if short { HIT_ROUNDS_SHORT } else { HIT_ROUNDS };
    let order = Order::Hit(HitPlan { rounds, millis: u64::MAX });
    let answer = crew.tell_one(0, &Progress::open_ended("hit loop"), &order)?;
    let Answer::Hit(figures) = answer else { return out_of_turn(&answer) };
    Ok(figures)
}

/// One client writes, reads and checks one large object.
pub(crate) fn sweep(crew: &mut Workers, settings: &Settings) -> Result<SweepFigures> {
    let bytes = settings.sweep_bytes;
    // Written, read and checked.
    let progress = Progress::bytes("sweeps", bytes * 3);
    let answer = crew.tell_one(0, &progress, &Order::Sweep { bytes })?;
    let Answer::Swept(figures) = answer else { return out_of_turn(&answer) };
    Ok(figures)
}

/// Many threads of one client on one evicted page, several times.
pub(crate) fn rush(crew: &mut Workers, settings: &Settings, threads: u32) -> Result<Rush> {
    let progress = Progress::open_ended("rush");
    // A quarter more than the pool displaces whatever is in it.
    let ballast_bytes = settings.vram_bytes.saturating_add(settings.vram_bytes / 4);
    let answer = crew.tell_one(0, &progress, &Order::PrepareRush { ballast_bytes })?;
    let Answer::RushPrepared { page_bytes } = answer else { return out_of_turn(&answer) };
    let rounds = if settings.short { RUSH_ROUNDS_SHORT } else { RUSH_ROUNDS };
    let mut figures = RushFigures::none();
    for _ in 0..rounds {
        let answer = crew.tell_one(0, &progress, &Order::Displace)?;
        let Answer::Displaced = answer else { return out_of_turn(&answer) };
        let answer = crew.tell_one(0, &progress, &Order::Rush { threads })?;
        let Answer::Rushed(met) = answer else { return out_of_turn(&answer) };
        figures.add(met);
    }
    Ok(Rush::new(threads, rounds, page_bytes, figures))
}

/// Fill, pattern and check, all clients together.
pub(crate) fn scene(service: &Service, crew: &mut Workers, settings: &Settings) -> Result<Scene> {
    let page_bytes = fill(crew, settings)?;
    let before = service.status()?;
    let storm = storm(crew, settings, 0)?;
    let change = service.status()?.since(&before);
    let verify = verify(crew, settings)?;
    Ok(Scene { page_bytes, storm, change, verify })
}

/// All clients write every byte; returns the size of a page.
pub(crate) fn fill(crew: &mut Workers, settings: &Settings) -> Result<u64> {
    let progress = Progress::bytes("fill", settings.data_bytes);
    let answers = crew.tell_each(&progress, |_| Order::Fill)?;
    let answer = answers.into_iter().next().context("no client process answered")?;
    let Answer::Filled { page_bytes } = answer else { return out_of_turn(&answer) };
    Ok(page_bytes)
}

/// The pattern, or one part of it.
pub(crate) fn storm(crew: &mut Workers, settings: &Settings, part: u64) -> Result<StormFigures> {
    let (progress, clients) = (storm_progress(settings), u64::from(settings.clients));
    let threshold_us = settings.fault_threshold_us.context("calibration comes first")?;
    let answers = crew.tell_each(&progress, |index| {
        let limit = match settings.limit {
            Limit::Ops(ops) => {
                WorkerLimit::Ops(ops / clients + u64::from(sizes::as_u64(index) < ops % clients))
            }
            Limit::DurationMs(millis) => WorkerLimit::Millis(millis),
        };
        Order::Storm(StormPlan {
            pattern: settings.pattern,
            write_ratio: settings.write_ratio,
            limit,
            fault_threshold_ns: sizes::floor(threshold_us * 1e3),
            part,
        })
    })?;
    let mut sum = StormFigures::none();
    for answer in answers {
        let Answer::Stormed(figures) = answer else { return out_of_turn(&answer) };
        sum.add(*figures);
    }
    Ok(sum)
}

fn storm_progress(settings: &Settings) -> Progress {
    let phase = settings.pattern.to_string();
    match settings.limit {
        Limit::Ops(ops) => Progress::operations(&phase, ops),
        Limit::DurationMs(_) => Progress::open_ended(&phase),
    }
}

/// All clients compare every byte.
pub(crate) fn verify(crew: &mut Workers, settings: &Settings) -> Result<VerifyFigures> {
    let progress = Progress::bytes("check of every byte", settings.data_bytes);
    let mut sum = VerifyFigures { bytes: 0, mismatches: Mismatches::default() };
    for answer in crew.tell_each(&progress, |_| Order::Verify)? {
        let Answer::Verified(figures) = answer else { return out_of_turn(&answer) };
        sum.bytes += figures.bytes;
        sum.mismatches.add(figures.mismatches);
    }
    Ok(sum)
}

/// The answer to another question than was asked.
///
/// # Errors
///
/// Always.
pub(crate) fn out_of_turn<T>(answer: &Answer) -> Result<T> {
    bail!("a client process gave the answer to another question: {answer:?}")
}
