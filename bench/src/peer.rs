//! `bo-bench peer zram`: the same accesses over our objects and over memory that the kernel swaps
//! to zram, in turn, in one run.

mod cgroup;
pub(crate) mod keeper;
mod plan;
mod report;
mod swap_header;
mod zram;

use anyhow::{Context, Result, bail, ensure};

use crate::cli::ZramArgs;
use crate::crew::Crew;
use crate::daemon::Service;
use crate::ground::orders::{GroundAnswer, GroundOrder, GroundPlan, Kind};
use crate::latency::Latencies;
use crate::machine::Machine;
use crate::mismatch::Mismatches;
use crate::out;
use crate::peer::keeper::{Keeper, Sight};
use crate::peer::plan::Plan;
pub(crate) use crate::peer::report::PeerReport;
use crate::progress::Progress;

/// The process on one side.
type Worker = Crew<GroundOrder, GroundAnswer>;

/// What one side did, round by round.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) write_gbps: Vec<f64>,
    pub(crate) read_gbps: Vec<f64>,
    pub(crate) uniform_mean_us: Vec<f64>,
    pub(crate) uniform: Latencies,
    pub(crate) bytes_verified: u64,
    pub(crate) mismatches: Mismatches,
}

/// Runs both sides in turn and reports. `Ok(false)` when a byte was wrong on either side.
///
/// # Errors
///
/// When this host does not allow it, which is said with what to do; or a side failed.
pub(crate) fn run(args: &ZramArgs) -> Result<bool> {
    let report = measure(args)?;
    let json = serde_json::to_string_pretty(&report).context("cannot write the report as JSON")?;
    out::publish(args.json.as_deref(), &report.table(), &json)?;
    Ok(report.mismatches == 0)
}

/// Runs both sides in turn. Nothing stays behind on the host, whatever happens.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn measure(args: &ZramArgs) -> Result<PeerReport> {
    let machine = Machine::look();
    let plan = Plan::new(args.fast, args.data)?;
    plan::check_host(&plan)?;
    // Before the workers, so that it is let go after them, and finds their memory free.
    let mut keeper = Keeper::start()?;
    let setup = keeper.set_up(&plan)?;
    let ram = plan.ram();
    let service = Service::start(args.fast, ram, Some(&args.tuning))?;
    let page_bytes = args.page_size.map(|size| u32::try_from(size.bytes()).unwrap_or(u32::MAX));
    let socket = service.socket().to_owned();
    let mut ours = prepare(args.seed, Kind::Object { socket, page_bytes })?;
    let mut theirs = prepare(args.seed, Kind::Own)?;
    keeper.admit(theirs.process_id(0)?)?;
    let before = keeper.look()?;
    let (mut our_side, mut their_side) = (Side::new(), Side::new());
    for round in 0..args.rounds {
        our_side.round(&mut ours, args, round).context("our side failed")?;
        their_side.round(&mut theirs, args, round).context("the side of zram failed")?;
    }
    let seen = keeper.look()?.since(&before);
    ours.dismiss()?;
    theirs.dismiss()?;
    service.stop();
    keeper.dismiss()?;
    check_swapped(&plan, args.rounds, &seen)?;
    Ok(PeerReport::new(args, machine, setup, seen, our_side, their_side))
}

fn prepare(seed: u64, kind: Kind) -> Result<Worker> {
    let mut worker = Worker::start("ground", 1)?;
    tell(&mut worker, "preparation", &GroundOrder::Prepare(GroundPlan { seed, kind }))?;
    Ok(worker)
}

fn tell(worker: &mut Worker, phase: &str, order: &GroundOrder) -> Result<GroundAnswer> {
    worker.tell_one(0, &Progress::open_ended(phase), order)
}

/// Each sweep writes more than fits: what does not fit must have gone to the device.
fn check_swapped(plan: &Plan, rounds: u32, seen: &Sight) -> Result<()> {
    let least = plan.swapped_bytes_min().saturating_mul(u64::from(rounds));
    let swapped = seen.swapped_out_pages.saturating_mul(4096);
    ensure!(
        least <= swapped,
        "the kernel swapped out {swapped} bytes where at least {least} were expected: zram was \
         not really used, so there is nothing to compare with"
    );
    Ok(())
}

impl Side {
    fn new() -> Side {
        Side {
            write_gbps: Vec::new(),
            read_gbps: Vec::new(),
            uniform_mean_us: Vec::new(),
            uniform: Latencies::new(),
            bytes_verified: 0,
            mismatches: Mismatches::default(),
        }
    }

    /// Fresh memory: swept by writing and by reading, rewritten at random, checked, given back.
    fn round(&mut self, worker: &mut Worker, args: &ZramArgs, round: u32) -> Result<()> {
        let bytes = args.data.get();
        let taken = tell(worker, "fresh memory", &GroundOrder::Take { bytes })?;
        let GroundAnswer::Taken { .. } = taken else { return out_of_turn(&taken) };
        self.write_gbps.push(sweep(worker, "write sweep", &GroundOrder::Write)?);
        self.read_gbps.push(sweep(worker, "read sweep", &GroundOrder::Read)?);
        let order = GroundOrder::Rewrite { ops: args.ops, part: u64::from(round) };
        let answer = tell(worker, "random rewrites", &order)?;
        let GroundAnswer::Rewritten(figures) = answer else { return out_of_turn(&answer) };
        self.uniform_mean_us.push(figures.op.percentiles().mean.context("some were done")?);
        self.uniform.add(&figures.op);
        self.mismatches.add(figures.mismatches);
        let answer = tell(worker, "check of every byte", &GroundOrder::Check)?;
        let GroundAnswer::Checked(checked) = answer else { return out_of_turn(&answer) };
        ensure!(bytes <= checked.bytes, "only {} of {bytes} bytes were checked", checked.bytes);
        self.bytes_verified += checked.bytes;
        self.mismatches.add(checked.mismatches);
        tell(worker, "end of the round", &GroundOrder::Leave)?;
        Ok(())
    }
}

/// The rate of one sweep in GB/s.
pub(crate) fn sweep(worker: &mut Worker, phase: &str, order: &GroundOrder) -> Result<f64> {
    let answer = tell(worker, phase, order)?;
    let GroundAnswer::Swept { bytes, seconds } = answer else { return out_of_turn(&answer) };
    crate::sizes::gbps(bytes, seconds).context("a sweep takes time")
}

pub(crate) fn out_of_turn<T>(answer: &GroundAnswer) -> Result<T> {
    bail!("a process gave the answer to another question: {answer:?}")
}
