//! `bo-bench run`: calibrate, sweep, hit, fill, run the pattern, check every byte, report.

pub(crate) mod phases;

use anyhow::{Context, Result};
use bo_units::ByteCount;

use crate::calibration::Calibration;
use crate::cli::RunArgs;
use crate::daemon::Service;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::report::{Figures, Report, Scene};
use crate::settings::Settings;

/// Runs and reports. `Ok(false)` when a rule was broken or a byte was wrong.
///
/// # Errors
///
/// When the run could not be carried out to its end.
pub(crate) fn run(args: &RunArgs) -> Result<bool> {
    // Before our own load shows.
    let machine = Machine::look();
    let calibration = calibrate(args.short)?;
    let report = report(args, &calibration, machine)?;
    report.publish(args.json.as_deref())?;
    Ok(report.is_clean())
}

/// Looks at what this machine does by itself.
///
/// # Errors
///
/// When that cannot be measured here.
pub(crate) fn calibrate(short: bool) -> Result<Calibration> {
    let _bar = Progress::open_ended("calibration");
    Calibration::measure(short)
}

/// Runs, and reports to whoever called.
///
/// # Errors
///
/// When the run could not be carried out to its end.
pub(crate) fn report(
    args: &RunArgs,
    calibration: &Calibration,
    machine: Machine,
) -> Result<Report> {
    let (service, mut settings) = open(args)?;
    settings.fault_threshold_us = Some(calibration.fault_threshold_us(settings.access_bytes.get()));
    let figures = measure(&service, &settings, args.against_one);
    service.stop();
    Report::new(&settings, calibration, machine, figures?)
}

fn open(args: &RunArgs) -> Result<(Service, Settings)> {
    match &args.connect {
        None => {
            let settings = Settings::derive(args, args.vram)?;
            let ram = settings.ram_bytes.context("a run of our own daemon has a RAM size")?;
            Ok((Service::start(args.vram, ByteCount::new(ram), Some(&args.tuning))?, settings))
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
    let mut crew = phases::hire(service, settings)?;
    let hit = phases::hit(&mut crew, settings.short)?;
    let sweep = phases::sweep(&mut crew, settings)?;
    let rush = match settings.rush {
        Some(threads) => Some(phases::rush(&mut crew, settings, threads)?),
        None => None,
    };
    let scene = phases::scene(service, &mut crew, settings)?;
    crew.dismiss()?;
    let after = service.status()?;
    let (change, lacks) = (after.since(&before), service.lacks().to_vec());
    Ok(Figures { hit, sweep, rush, one_client, scene, change, after, lacks })
}

fn measure_one(service: &Service, settings: &Settings) -> Result<Scene> {
    let mut crew = phases::hire(service, settings)?;
    let scene = phases::scene(service, &mut crew, settings)?;
    crew.dismiss()?;
    Ok(scene)
}
