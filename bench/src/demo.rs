//! The demonstration: real files, three times as many as the pool holds, in two processes at once.

mod files;
mod orders;
mod story;
pub(crate) mod worker;

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bo_units::ByteCount;

use crate::calibration::Calibration;
use crate::cli::DemoArgs;
use crate::crew::Crew;
use crate::daemon::Service;
use crate::demo::files::Input;
use crate::demo::orders::{
    Answer, CheckFigures, Import, LoadedFile, Order, SCRATCH_BYTES, StormFigures, Task,
};
use crate::progress::Progress;
use crate::sizes;

const CLIENTS: usize = 2;
const THREADS_EACH: u32 = 2;

/// Every third file is read by both processes.
const SHARED_EVERY: usize = 3;

/// Bytes of one read in the storm.
const READ_BYTES: u64 = 4096;

/// An object is rounded up to whole pages; no default page is larger than this.
const PAGE_BYTES_MAX: u64 = 64 << 10;

type Workers = Crew<Order, Answer>;

/// Runs the demonstration and tells what happened. `Ok(false)` when a byte was wrong.
///
/// # Errors
///
/// When there is nothing to load, or this machine cannot run a daemon; the message says why.
pub(crate) fn run(args: &DemoArgs) -> Result<bool> {
    let input = Input::find(args)?;
    story::opening(&input);
    let calibration = Calibration::measure(true)?;
    let service = Service::start(input.pool, ram_for(&input), None)?;
    story::stage(&input, &service);
    let clean = play(&service, &input, &calibration, args.storm);
    service.stop();
    clean
}

/// All objects in whole pages, and a pool more, so that no allocation is refused.
fn ram_for(input: &Input) -> ByteCount {
    let pages = input.files.iter().map(|file| file.bytes.next_multiple_of(PAGE_BYTES_MAX));
    ByteCount::new(pages.sum::<u64>() + SCRATCH_BYTES + input.pool.get())
}

fn play(
    service: &Service,
    input: &Input,
    calibration: &Calibration,
    storm: Duration,
) -> Result<bool> {
    let before = service.status()?;
    let mut crew: Workers = Crew::start("demo-worker", CLIENTS)?;
    connect(&mut crew, service)?;
    let loaded = load(&mut crew, input)?;
    story::loaded(&loaded, service.status()?.since(&before));
    let shared = share(&mut crew, &loaded)?;
    story::shared(shared);
    let storms = rage(&mut crew, calibration, storm)?;
    let weathered = service.status()?;
    story::stormed(&storms, storm, calibration, weathered.since(&before));
    let checks = check(&mut crew, &loaded)?;
    crew.dismiss()?;
    let after = service.status()?;
    story::ending(&storms, &checks, &after, after.since(&before), service)
}

fn connect(crew: &mut Workers, service: &Service) -> Result<()> {
    let socket = service.socket().to_owned();
    crew.tell_each(&Progress::hidden(), |index| {
        let name = format!("demo-{}", if index == 0 { 'A' } else { 'B' });
        Order::Connect { socket: socket.clone(), name }
    })?;
    Ok(())
}

/// Every other file goes to every other process.
fn load(crew: &mut Workers, input: &Input) -> Result<Vec<Vec<LoadedFile>>> {
    let progress = Progress::bytes("loading", input.bytes());
    let answers = crew.tell_each(&progress, |index| {
        let mine = input.files.iter().skip(index).step_by(CLIENTS);
        Order::Do(Task::Load { files: mine.map(|file| file.path.clone()).collect() })
    })?;
    let loaded = answers.into_iter().map(|answer| {
        let Answer::Loaded(files) = answer else { return out_of_turn(&answer) };
        Ok(files)
    });
    loaded.collect()
}

/// Hands every third file of each process, and the scratch object of the first, to the other.
fn share(crew: &mut Workers, loaded: &[Vec<LoadedFile>]) -> Result<usize> {
    let exports = crew.tell_each(&Progress::hidden(), |index| {
        let files = (0..loaded[index].len()).step_by(SHARED_EVERY).collect();
        Order::Do(Task::Export { files, scratch: index == 0 })
    })?;
    let mut imports: Vec<Import> = Vec::new();
    for (answer, files) in exports.into_iter().zip(loaded) {
        let Answer::Exported { tokens, scratch } = answer else { return out_of_turn(&answer) };
        let shared = files.iter().step_by(SHARED_EVERY).cloned();
        ensure!(tokens.len() == shared.clone().count(), "a client exported another set of files");
        imports.push(Import { files: shared.zip(tokens).collect(), scratch });
    }
    let count = imports.iter().map(|import| import.files.len()).sum();
    // What one exported, the other imports.
    imports.reverse();
    let import = |index: usize| Order::Do(Task::Import(imports[index].clone()));
    crew.tell_each(&Progress::hidden(), import)?;
    Ok(count)
}

fn rage(
    crew: &mut Workers,
    calibration: &Calibration,
    storm: Duration,
) -> Result<Vec<StormFigures>> {
    let fault_threshold_ns = sizes::floor(calibration.fault_threshold_us(READ_BYTES) * 1e3);
    let millis = u64::try_from(storm.as_millis()).unwrap_or(u64::MAX);
    let answers = crew.tell_each(&Progress::open_ended("storm of reads"), |index| {
        let seed = sizes::as_u64(index) + 1;
        Order::Do(Task::Storm { millis, threads: THREADS_EACH, seed, fault_threshold_ns })
    })?;
    let storms = answers.into_iter().map(|answer| {
        let Answer::Stormed(figures) = answer else { return out_of_turn(&answer) };
        Ok(*figures)
    });
    storms.collect()
}

fn check(crew: &mut Workers, loaded: &[Vec<LoadedFile>]) -> Result<Vec<CheckFigures>> {
    let own: u64 = loaded.iter().flatten().map(|file| file.bytes).sum();
    let shared = loaded.iter().flat_map(|files| files.iter().step_by(SHARED_EVERY));
    let imported: u64 = shared.map(|file| file.bytes).sum();
    let progress = Progress::bytes("SHA-256 of everything", own + imported);
    let answers = crew.tell_each(&progress, |_| Order::Do(Task::Check))?;
    let checks = answers.into_iter().map(|answer| {
        let Answer::Checked(figures) = answer else { return out_of_turn(&answer) };
        Ok(figures)
    });
    checks.collect()
}

fn out_of_turn<T>(answer: &Answer) -> Result<T> {
    bail!("a client process gave the answer to another question: {answer:?}")
}
