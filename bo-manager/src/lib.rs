//! The daemon: threads, sockets, HTTP and metrics around the decisions of `bo-core`.
//!
//! `bo-manager serve` is a thin `main` over [`Daemon`], which a program can also embed: the bench
//! and the tests do. Start reading at [`Daemon::start`], then at `shell.rs`, where decisions
//! become system calls, and `faults.rs`, where the threads that read faults live.

#![forbid(unsafe_code)]

mod act;
mod ahead;
mod backing;
pub mod cli;
mod closer;
mod config;
mod counters;
mod cpus;
mod daemon;
mod descriptors;
mod faults;
mod follow;
mod http;
mod limits;
mod link;
mod percent;
mod poll;
mod readers;
mod ready;
mod recall;
mod reclaim;
mod record;
mod session;
mod shell;
mod stop;
mod tables;
mod timings;
mod worker;

pub use bo_core::{LinkConfig, PrefetchMode};
pub use config::{
    Backing, Config, LogFormat, UserModeOnly, default_control_path, default_socket_path,
};
pub use cpus::CpuList;
pub use daemon::Daemon;
pub use percent::Percent;
