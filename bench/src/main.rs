//! The bench of the buffer-object manager: a demonstration, and a measured run.
#![forbid(unsafe_code)]

mod calibration;
mod cli;
mod contents;
mod crew;
mod daemon;
mod demo;
mod faults;
mod latency;
mod limits;
mod machine;
mod mismatch;
mod orders;
mod out;
mod pattern;
mod progress;
mod report;
mod run;
mod scale;
mod settings;
mod sizes;
mod station;
mod status;
mod worker;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::cli::{Cli, Command};

/// Counts for `scale`; an addition for each allocation otherwise.
#[global_allocator]
static HEAP: bo_sys::heap::CountingAllocator = bo_sys::heap::CountingAllocator;

/// Zero when every byte was right and every rule held, one otherwise.
fn main() -> ExitCode {
    limits::raise_descriptors();
    match act(&Cli::parse()) {
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
        Some(Command::Scale(args)) => scale::run(args).map(|()| true),
        Some(Command::Worker) => worker::serve().map(|()| true),
        Some(Command::DemoWorker) => demo::worker::serve().map(|()| true),
        Some(Command::Pong { cpu }) => calibration::pong(*cpu).map(|()| true),
    }
}
