//! `bo-bench run`: calibrate, sweep, hit, fill, run the pattern, check every byte, report.

use anyhow::{Context, Result, bail};
use bo_units::ByteCount;

use crate::calibration::Calibration;
use crate::cli::RunArgs;
use crate::crew::Crew;
use crate::daemon::Service;
use crate::machine::Machine;
use crate::mismatch::Mismatches;
use crate::orders::{
    Answer, HitFigures, Order, Plan, StormFigures, StormPlan, SweepFigures, VerifyFigures,
    WorkerLimit,
};
use crate::progress::Progress;
use crate::report::{Figures, Report, Scene};
use crate::settings::{Limit, Settings};
use crate::sizes;

/// Rounds of the hit loop; each is about a millisecond on each side.
const HIT_ROUNDS: u32 = 301;
const HIT_ROUNDS_SHORT: u32 = 41;

/// Runs and reports. `Ok(false)` when a rule was broken or a byte was wrong.
///
/// # Errors
///
/// When the run could not be carried out to its end.
pub(crate) fn run(args: &RunArgs) -> Result<bool> {
    // Before our own load shows.
    let machine = Machine::look();
    let calibration = {
        let _bar = Progress::open_ended("calibration");
        Calibration::measure(args.short)?
    };
    let (service, mut settings) = open(args)?;
    settings.fault_threshold_us = Some(calibration.fault_threshold_us(settings.access_bytes.get()));
    let figures = measure(&service, &settings, args.against_one);
    service.stop();
    let report = Report::new(&settings, &calibration, machine, figures?)?;
    report.publish(args.json.as_deref())?;
    Ok(report.is_clean())
}

fn open(args: &RunArgs) -> Result<(Service, Settings)> {
    match &args.connect {
        None => {
            let settings = Settings::derive(args, args.vram)?;
            let ram = settings.ram_bytes.context("a run of our own daemon has a RAM size")?;
            Ok((
                Service::start_on(args.vram, ByteCount::new(ram), args.backing, args.reserve)?,
                settings,
            ))
        }
        Some(socket) => {
            let service = Service::running(socket.clone(), args.http);
            let vram = service.status()?.pool("vram")?.capacity_bytes;
            let settings = Settings::derive(args, ByteCount::new(vram))?;
            Ok((service, settings))
        }
    }
}

fn measure(service: &Service, settings: &Settings, against_one: bool) -> Result<Figures> {
    let before = service.status()?;
    let one_client = match against_one {
        true => Some(measure_one(service, &settings.with_one_client())?),
        false => None,
    };
    let mut crew = hire(service, settings)?;
    let hit = hit(&mut crew, settings)?;
    let sweep = sweep(&mut crew, settings)?;
    let scene = scene(service, &mut crew, settings)?;
    crew.dismiss()?;
    let after = service.status()?;
    let (change, lacks) = (after.since(&before), service.lacks().to_vec());
    Ok(Figures { hit, sweep, one_client, scene, change, after, lacks })
}

fn measure_one(service: &Service, settings: &Settings) -> Result<Scene> {
    let mut crew = hire(service, settings)?;
    let scene = scene(service, &mut crew, settings)?;
    crew.dismiss()?;
    Ok(scene)
}

type Workers = Crew<Order, Answer>;

/// Starts the client processes and connects them.
fn hire(service: &Service, settings: &Settings) -> Result<Workers> {
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

fn hit(crew: &mut Workers, settings: &Settings) -> Result<HitFigures> {
    let rounds = if settings.short { HIT_ROUNDS_SHORT } else { HIT_ROUNDS };
    let answer = crew.tell_one(0, &Progress::open_ended("hit loop"), &Order::Hit { rounds })?;
    let Answer::Hit(figures) = answer else { return out_of_turn(&answer) };
    Ok(figures)
}

fn sweep(crew: &mut Workers, settings: &Settings) -> Result<SweepFigures> {
    let bytes = settings.sweep_bytes;
    // Written, read and checked.
    let progress = Progress::bytes("sweeps", bytes * 3);
    let answer = crew.tell_one(0, &progress, &Order::Sweep { bytes })?;
    let Answer::Swept(figures) = answer else { return out_of_turn(&answer) };
    Ok(figures)
}

/// Fill, pattern and check, all clients together.
fn scene(service: &Service, crew: &mut Workers, settings: &Settings) -> Result<Scene> {
    let page_bytes = fill(crew, settings)?;
    let before = service.status()?;
    let storm = storm(crew, settings)?;
    let change = service.status()?.since(&before);
    let verify = verify(crew, settings)?;
    Ok(Scene { page_bytes, storm, change, verify })
}

fn fill(crew: &mut Workers, settings: &Settings) -> Result<u64> {
    let progress = Progress::bytes("fill", settings.data_bytes);
    let answers = crew.tell_each(&progress, |_| Order::Fill)?;
    let answer = answers.into_iter().next().context("no client process answered")?;
    let Answer::Filled { page_bytes } = answer else { return out_of_turn(&answer) };
    Ok(page_bytes)
}

fn storm(crew: &mut Workers, settings: &Settings) -> Result<StormFigures> {
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

fn verify(crew: &mut Workers, settings: &Settings) -> Result<VerifyFigures> {
    let progress = Progress::bytes("check of every byte", settings.data_bytes);
    let mut sum = VerifyFigures { bytes: 0, mismatches: Mismatches::default() };
    for answer in crew.tell_each(&progress, |_| Order::Verify)? {
        let Answer::Verified(figures) = answer else { return out_of_turn(&answer) };
        sum.bytes += figures.bytes;
        sum.mismatches.add(figures.mismatches);
    }
    Ok(sum)
}

fn out_of_turn<T>(answer: &Answer) -> Result<T> {
    bail!("a client process gave the answer to another question: {answer:?}")
}
