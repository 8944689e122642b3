//! The daemon as the tests run it: the real command line, and it dies with its test.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use bo_manager::cli::{self, Cli};
use clap::Parser;
use rustix::process::{Signal, set_parent_process_death_signal};

fn main() -> ExitCode {
    set_parent_process_death_signal(Some(Signal::KILL)).expect("every kernel knows this call");
    match cli::run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("daemon: {error:#}");
            cli::exit_code(&error)
        }
    }
}
