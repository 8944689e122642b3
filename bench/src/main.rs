//! The bench of the buffer-object manager: a demonstration, measured runs, and their comparison.
#![forbid(unsafe_code)]

mod bars;
mod calibration;
mod cli;
mod compare;
mod contents;
mod crew;
mod daemon;
mod demo;
mod faults;
mod ground;
mod latency;
mod limits;
mod machine;
mod mismatch;
mod orders;
mod out;
mod pattern;
mod peer;
mod policy;
mod profile;
mod progress;
mod report;
mod run;
mod scale;
mod settings;
mod sizes;
mod spread;
mod station;
mod status;
mod sweep;
mod words;
mod worker;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::cli::{Cli, Command, Peer};

/// Counts for `scale`; an addition for each allocation otherwise.
#[global_allocator]
static HEAP: bo_sys::heap::CountingAllocator = bo_sys::heap::CountingAllocator;

/// Zero when every byte was right and every rule held, one otherwise.
fn main() -> ExitCode {
    limits::raise_descriptors();
    match act(&Cli::parse_from(profile::expand_line(std::env::args_os()))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bo-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act(cli: &Cli) -> Result<bool> {
    match &cli.command {
        None => demo::run(&cli.demo),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Profiles) => profile::list(),
        Some(Command::Compare(args)) => compare::run(args),
        Some(Command::Peer(Peer::Zram(args))) => peer::run(args),
        Some(Command::Bars(args)) => bars::run(args),
        Some(Command::Ground) => ground::serve().map(|()| true),
        Some(Command::Keeper) => peer::keeper::serve().map(|()| true),
        Some(Command::Scale(args)) => scale::run(args).map(|()| true),
        Some(Command::Policy(args)) => policy::run(args),
        Some(Command::Worker) => worker::serve().map(|()| true),
        Some(Command::DemoWorker) => demo::worker::serve().map(|()| true),
        Some(Command::Pong { cpu }) => calibration::pong(*cpu).map(|()| true),
    }
}
