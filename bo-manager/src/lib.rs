//! The daemon: threads, sockets, HTTP and metrics around the decisions of `bo-core`.
//!
//! `bo-manager serve` is a thin `main` over [`Daemon`], which a program can also embed: the bench
//! and the tests do. Start reading at [`Daemon::start`], then at `shell.rs`, where decisions
//! become system calls, and `faults.rs`, where the threads that read faults live.

#![forbid(unsafe_code)]

mod act;
pub mod cli;
mod closer;
mod config;
mod counters;
mod daemon;
mod faults;
mod http;
mod limits;
mod percent;
mod ready;
mod reclaim;
mod session;
mod shell;
mod stop;
mod tables;
mod timings;

pub use config::{Config, LogFormat, UserModeOnly, default_socket_path};
pub use daemon::Daemon;
pub use percent::Percent;
