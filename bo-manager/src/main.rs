//! `bo-manager`: the daemon's binary.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use bo_manager::cli::{self, Cli};
use clap::Parser;

fn main() -> ExitCode {
    match cli::run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bo-manager: {error:#}");
            cli::exit_code(&error)
        }
    }
}
