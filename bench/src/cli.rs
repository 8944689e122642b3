//! The command line.

mod suites;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bo_manager::cli::Tuning;
use bo_units::{ByteCount, PageSize};
use clap::builder::{PossibleValuesParser, RangedI64ValueParser};
use clap::{Args, Parser, Subcommand};

pub(crate) use crate::cli::suites::{BarsArgs, CompareArgs, Peer, ZramArgs};
use crate::contents::RecordBytes;
use crate::pattern::Pattern;
use crate::profile;

/// Load-test bench of the buffer-object manager. Without arguments: a demonstration.
#[derive(Debug, Parser)]
#[command(name = "bo-bench", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) demo: DemoArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure: sweeps, hits, faults under a pattern, and a check of every byte
    Run(Box<RunArgs>),
    /// List the profiles of `run`, each in one line with its flags
    Profiles,
    /// Run two settings in turn, A B A B, and print B as a multiple of A
    Compare(CompareArgs),
    /// Run the same accesses over what a user could pick instead, side by side
    #[command(subcommand)]
    Peer(Peer),
    /// Measure everything that has a bar, and print the table of bars
    Bars(BarsArgs),
    /// Cost of the core's decisions and tables against the number of objects, without a kernel
    Scale(crate::scale::ScaleArgs),
    /// Traces through the core under every eviction policy, beside the optimum, without a kernel
    Policy(Box<crate::policy::PolicyArgs>),
    /// One client process of `run`; reads orders from standard input
    #[command(hide = true)]
    Worker,
    /// One process of `peer` and `bars` with memory to sweep
    #[command(hide = true)]
    Ground,
    /// Keeps the swap device and the memory cgroup of `peer zram`, and takes both down
    #[command(hide = true)]
    Keeper,
    /// One client process of the demonstration
    #[command(hide = true)]
    DemoWorker,
    /// The far end of the ping-pong calibration
    #[command(hide = true)]
    Pong {
        #[arg(long)]
        cpu: usize,
    },
}

/// What the demonstration can be told.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Directory whose files are loaded [default: the Rust toolchain's libraries, else /usr/lib]
    #[arg(long, value_name = "DIR")]
    pub(crate) input: Option<PathBuf>,

    /// How long the storm of reads lasts
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) storm: Duration,

    /// Size of the VRAM pool [default: a third of the files, 64 to 256 MiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) vram: Option<ByteCount>,
}

/// What a measured run can be told.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A bundle of the flags below, by its name (see `bo-bench profiles`); flags override it
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(profile::names()))]
    pub(crate) profile: Option<String>,

    /// Use the daemon at this socket instead of starting one
    #[arg(long, value_name = "PATH", conflicts_with = "Tuning")]
    pub(crate) connect: Option<PathBuf>,

    /// Where the daemon of --connect serves HTTP
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9184")]
    pub(crate) http: SocketAddr,

    /// Client processes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = up_to(256))]
    pub(crate) clients: u32,

    /// Threads in each client process
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = up_to(256))]
    pub(crate) threads: u32,

    /// Run the pattern with one client over the same data first, to compare
    #[arg(long)]
    pub(crate) against_one: bool,

    /// VRAM pool of the daemon that is started
    #[arg(long, value_name = "SIZE", default_value = "256MiB", conflicts_with = "connect")]
    pub(crate) vram: ByteCount,

    /// RAM of the daemon that is started [default: all the data and one pool]
    #[arg(long, value_name = "SIZE", conflicts_with = "connect")]
    pub(crate) ram: Option<ByteCount>,

    /// Objects of each client
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = up_to(250_000))]
    pub(crate) objects: u32,

    /// Size of one object [default: what --oversubscribe makes of it]
    #[arg(long, value_name = "SIZE")]
    pub(crate) object_size: Option<ByteCount>,

    /// Page size of all objects, 4KiB to 2MiB [default: by object size]
    #[arg(long, value_name = "SIZE")]
    pub(crate) page_size: Option<PageSize>,

    /// All objects together, as a multiple of the VRAM pool
    #[arg(long, value_name = "RATIO", default_value_t = 2.0, value_parser = parse_oversubscribe)]
    #[arg(conflicts_with = "object_size")]
    pub(crate) oversubscribe: f64,

    /// seq, uniform or zipf:THETA
    #[arg(long, value_name = "PATTERN", default_value_t = Pattern::Uniform)]
    pub(crate) pattern: Pattern,

    /// Share of operations that rewrite what they read
    #[arg(long, value_name = "0..1", default_value_t = 0.5, value_parser = parse_ratio)]
    pub(crate) write_ratio: f64,

    /// Bytes of its 4 KiB cell that one operation reads or rewrites
    #[arg(long, value_name = "BYTES", default_value = "8")]
    pub(crate) access_bytes: RecordBytes,

    /// Operations of all clients together
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ops: Option<u64>,

    /// How long the pattern runs
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) duration: Duration,

    /// Let this many threads meet on one evicted page, again and again
    #[arg(long, value_name = "THREADS", value_parser = up_to(1024))]
    pub(crate) rush: Option<u32>,

    /// Seed of the data and of the pattern
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Write the figures as JSON to this file, or `-` for standard output
    #[arg(long, value_name = "PATH|-")]
    pub(crate) json: Option<PathBuf>,

    /// Short calibration, sweeps and hit loop
    #[arg(long)]
    pub(crate) short: bool,

    /// Of the daemon that is started.
    #[command(flatten)]
    pub(crate) tuning: Tuning,
}

/// The flags of a run as words, profiles expanded.
///
/// # Errors
///
/// When a run cannot be told so.
pub(crate) fn run_args(words: impl IntoIterator<Item = OsString>) -> Result<RunArgs, clap::Error> {
    #[derive(Parser)]
    #[command(name = "bo-bench run", no_binary_name = true)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }
    let words = profile::expand(words.into_iter().collect());
    Line::try_parse_from(words).map(|line| line.run)
}

/// The flags of a daemon as words.
///
/// # Errors
///
/// When the daemon has no such flags.
pub(crate) fn tuning(words: impl IntoIterator<Item = OsString>) -> Result<Tuning, clap::Error> {
    #[derive(Parser)]
    #[command(name = "daemon flags", no_binary_name = true)]
    struct Line {
        #[command(flatten)]
        tuning: Tuning,
    }
    Line::try_parse_from(words).map(|line| line.tuning)
}

/// The flags of a comparison with zram as words.
///
/// # Errors
///
/// When it has no such flags.
pub(crate) fn zram_args(
    words: impl IntoIterator<Item = OsString>,
) -> Result<ZramArgs, clap::Error> {
    #[derive(Parser)]
    #[command(name = "bo-bench peer zram", no_binary_name = true)]
    struct Line {
        #[command(flatten)]
        zram: ZramArgs,
    }
    Line::try_parse_from(words).map(|line| line.zram)
}

/// A count from one to `most`.
fn up_to(most: i64) -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=most)
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        Ok(_) | Err(_) => Err("a number from 0 to 1 is needed".to_owned()),
    }
}

fn parse_oversubscribe(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.01..=64.0).contains(&ratio) => Ok(ratio),
        Ok(_) | Err(_) => Err("a number from 0.01 to 64 is needed".to_owned()),
    }
}

/// Reads `500ms`, `5s`, `1.5s` or `2m`: a time from 1 ms to a day.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let (least, most) = (Duration::from_millis(1), Duration::from_secs(86_400));
    let time = bo_units::parse_duration(text).ok().filter(|time| (least..=most).contains(time));
    time.ok_or_else(|| "a time such as 500ms, 5s or 2m is needed, from 1ms to a day".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run_args(words: &str) -> Result<RunArgs, String> {
        let line = ["bo-bench", "run"].into_iter().chain(words.split_whitespace());
        match Cli::try_parse_from(line).map(|cli| cli.command) {
            Ok(Some(Command::Run(args))) => Ok(*args),
            Ok(other) => Err(format!("not a run: {other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn flags_of_the_daemon_are_flags_of_the_run() {
        let args = run_args("--fault-around 0B --fault-threads 2").expect("legal flags");
        assert_eq!(args.tuning.fault_around, ByteCount::new(0));
        assert_eq!(args.tuning.fault_threads, Some(2));
    }

    #[test]
    fn a_daemon_that_runs_already_cannot_be_tuned() {
        assert!(run_args("--connect /run/x.sock --fault-around 0B").is_err());
        assert!(run_args("--connect /run/x.sock").is_ok());
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_arguments_ask_for_the_demonstration() {
        let cli = Cli::try_parse_from(["bo-bench"]).expect("no argument is needed");
        assert!(cli.command.is_none());
        assert_eq!(cli.demo.storm, Duration::from_secs(5));
    }

    #[test]
    fn sizes_patterns_and_times_are_read() {
        let args =
            run_args("--vram 64MiB --page-size 4KiB --pattern zipf:0.9 --duration 250ms --json -")
                .expect("all of them are legal");
        assert_eq!(args.vram, ByteCount::mib(64));
        assert_eq!(args.page_size.map(PageSize::bytes), Some(4096));
        assert_eq!(args.pattern, Pattern::Zipf { theta: 0.9 });
        assert_eq!(args.duration, Duration::from_millis(250));
    }

    #[test]
    fn a_pool_cannot_be_given_to_a_daemon_that_runs_already() {
        assert!(run_args("--connect /run/x.sock --vram 64MiB").is_err());
    }

    #[test]
    fn an_object_size_cannot_be_given_twice() {
        assert!(run_args("--object-size 1MiB --oversubscribe 3").is_err());
    }

    #[test]
    fn operations_and_a_duration_cannot_both_be_the_limit() {
        assert!(run_args("--ops 100 --duration 1s").is_err());
    }

    #[test]
    fn nonsense_cannot_be_asked_for() {
        for words in [
            "--write-ratio 1.5",
            "--clients 0",
            "--threads 0",
            "--duration 0s",
            "--duration 5",
            "--access-bytes 12",
            "--oversubscribe nan",
            "--ops 0",
            "--vram 64MB",
        ] {
            assert!(run_args(words).is_err(), "{words} was taken");
        }
    }
}
