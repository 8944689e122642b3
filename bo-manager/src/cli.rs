//! The command line: flags, each with an environment variable, and what is said at the start.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use bo_units::{ByteCount, PageSize};
use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat, UserModeOnly, default_control_path, default_socket_path};
use crate::daemon::Daemon;

mod operate;
mod tuning;

pub use operate::{Evict, Patience, Resize, Resume, Suspend, Target};
pub use tuning::{Guesses, Mark, Switch, Tuning};

/// Buffer-object manager: objects larger than the pool, behind plain pointers.
#[derive(Debug, Parser)]
#[command(name = "bo-manager", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve clients until SIGTERM or SIGINT.
    Serve(Box<Serve>),
    /// Suspend a client of a running daemon: its threads wait, and its pages leave the pool.
    Suspend(Suspend),
    /// Let a suspended client go on.
    Resume(Resume),
    /// Evict what can leave the pool now of a client or of an object.
    Evict(Evict),
    /// Give the pool of a running daemon another size.
    Resize(Resize),
}

/// Flags of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Size of the VRAM pool: the most bytes of objects that are present at one time.
    #[arg(long, env = "BO_VRAM", default_value = "256MiB", value_name = "SIZE")]
    vram: ByteCount,

    /// The most RAM for evicted pages and RAM-placed objects.
    #[arg(long, env = "BO_RAM", default_value = "1GiB", value_name = "SIZE")]
    ram: ByteCount,

    /// Where clients connect [default: bo-manager.sock in $XDG_RUNTIME_DIR, else in /run].
    #[arg(long, env = "BO_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Permissions of the socket file, in octal: who may connect.
    #[arg(long, env = "BO_SOCKET_MODE", default_value = "666", value_parser = octal)]
    socket_mode: u32,

    /// Where metrics and status are served, without authentication.
    #[arg(long, env = "BO_HTTP", default_value = "127.0.0.1:9184", value_name = "ADDRESS")]
    http: SocketAddr,

    /// A file, of mode 600, with the token that whoever changes something over --http must send.
    /// Without one nothing can be changed there.
    #[arg(long, env = "BO_HTTP_TOKEN_FILE", value_name = "FILE")]
    http_token_file: Option<PathBuf>,

    /// Where the daemon's own user and root give orders, over HTTP [default: beside --socket,
    /// bo-manager-control.sock for bo-manager.sock].
    #[arg(long, env = "BO_CONTROL", value_name = "PATH")]
    control: Option<PathBuf>,

    /// Page size of objects whose maker does not choose, 4KiB to 2MiB [default: by their size].
    #[arg(long, env = "BO_PAGE_SIZE", value_name = "SIZE")]
    page_size: Option<PageSize>,

    /// How the daemon goes about it.
    #[command(flatten)]
    tuning: Tuning,

    /// Objects alive at one time; each takes the daemon one descriptor of its hard limit.
    #[arg(long, env = "BO_MAX_OBJECTS", default_value = "250000", value_name = "N")]
    max_objects: u32,

    /// Record faults, fills, evictions and frees in this file, which must not exist or be empty;
    /// `bo-bench policy --trace` replays it.
    #[arg(long, env = "BO_RECORD", value_name = "FILE")]
    record: Option<PathBuf>,

    /// Start even if no full userfaultfd can be had: system calls on evicted memory then fail.
    #[arg(long, env = "BO_USER_MODE_ONLY")]
    user_mode_only: bool,

    /// How log lines look. What is logged: RUST_LOG, such as RUST_LOG=bo_manager=debug.
    #[arg(long, env = "BO_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

fn octal(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "permissions are octal, from 000 to 777, such as 660".to_owned())
}

impl Serve {
    /// The configuration that these flags mean.
    fn config(&self) -> Config {
        let socket = self.socket.clone().unwrap_or_else(default_socket_path);
        let control = self.control.clone().unwrap_or_else(|| default_control_path(&socket));
        self.tuning.apply(Config {
            http_token_file: self.http_token_file.clone(),
            control: Some(control),
            socket_mode: self.socket_mode,
            http: Some(self.http),
            page_size: self.page_size,
            max_objects: self.max_objects,
            record: self.record.clone(),
            user_mode_only: match self.user_mode_only {
                true => UserModeOnly::Accept,
                false => UserModeOnly::Refuse,
            },
            ..Config::new(self.vram, self.ram, socket)
        })
    }
}

/// Does what the command line says.
///
/// # Errors
///
/// If the daemon cannot start, or refuses an order; the message says why and what to do.
pub fn run(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        Command::Serve(serve) => run_serve(serve),
        Command::Suspend(suspend) => suspend.run(),
        Command::Resume(resume) => resume.run(),
        Command::Evict(evict) => evict.run(),
        Command::Resize(resize) => resize.run(),
    }
}

/// What a process ends with after this error: 3 if no daemon is there to take orders, else 1.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<operate::NoDaemon>() {
        Some(_) => ExitCode::from(3),
        None => ExitCode::FAILURE,
    }
}

fn run_serve(serve: &Serve) -> anyhow::Result<()> {
    start_logging(serve.log_format);
    let daemon = Daemon::start(serve.config())?;
    announce(serve, &daemon);
    wait_for_signal()?;
    tracing::info!("stopping: new work is refused, whoever is blocked is served");
    daemon.stop();
    tracing::info!("stopped");
    Ok(())
}

fn announce(serve: &Serve, daemon: &Daemon) {
    let page_size = serve.page_size.map_or("by object size".to_owned(), |size| size.to_string());
    let http = daemon.http_address().map_or("nowhere".to_owned(), |at| format!("http://{at}"));
    let control = daemon.control_path().map_or("nowhere".into(), |path| path.to_string_lossy());
    let (backing, backing_reason) = daemon.backing();
    let link = serve.tuning.link().map_or("off".to_owned(), |link| link.to_string());
    tracing::info!(
        vram = %serve.vram,
        ram = %serve.ram,
        socket = %daemon.socket_path().display(),
        %http,
        %control,
        %page_size,
        backing,
        backing_reason,
        %link,
        fault_threads = daemon.fault_threads(),
        max_objects = daemon.max_objects(),
        "serving"
    );
    if let Some(path) = &serve.record {
        tracing::info!(path = %path.display(), "recording faults, fills, evictions and frees");
    }
    for lack in daemon.lacks() {
        tracing::warn!("{lack}");
    }
}

/// Blocks until SIGTERM or SIGINT.
fn wait_for_signal() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for signals")?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Human => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
}

#[cfg(test)]
mod tests {
    use crate::percent::Percent;
    use bo_core::PrefetchMode;

    use crate::Backing;
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &str) -> Result<Config, clap::Error> {
        let words = ["bo-manager", "serve"].into_iter().chain(arguments.split_whitespace());
        let Command::Serve(serve) = Cli::try_parse_from(words)?.command else {
            panic!("it serves")
        };
        Ok(serve.config())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_take_binary_units() {
        let config = parse("--vram 64MiB --ram 2GiB --page-size 64KiB").expect("valid flags");
        assert_eq!(config.vram, ByteCount::mib(64));
        assert_eq!(config.ram, ByteCount::gib(2));
        assert_eq!(config.page_size, PageSize::new(65536).ok());
    }

    #[test]
    fn decimal_units_are_refused_with_a_hint() {
        let error = parse("--vram 64MB").expect_err("MB is ambiguous").to_string();
        assert!(error.contains("MiB"), "{error}");
    }

    #[test]
    fn tuning_reaches_the_configuration() {
        let config = parse("--fault-threads 3 --fault-around 0B").expect("valid flags");
        assert_eq!(config.fault_threads, Some(3));
        assert_eq!(config.fault_around, ByteCount::new(0));
    }

    #[test]
    fn a_policy_is_chosen_by_name() {
        assert_eq!(parse("").expect("valid flags").policy, "lru");
        assert_eq!(parse("--policy s3-fifo").expect("valid flags").policy, "s3-fifo");
        let error = parse("--policy best").expect_err("there is none").to_string();
        assert!(error.contains("refault-distance"), "{error}");
    }

    #[test]
    fn guesses_are_chosen_by_name_and_percentage() {
        let usual = parse("").expect("valid flags");
        assert_eq!((usual.prefetch, usual.prefetch_threshold), (PrefetchMode::Density, 51));
        let config = parse("--prefetch stream --prefetch-threshold 0").expect("valid flags");
        assert_eq!((config.prefetch, config.prefetch_threshold), (PrefetchMode::Stream, 0));
        assert!(parse("--prefetch-threshold 101").is_err());
        assert!(parse("--prefetch everything").is_err());
    }

    #[test]
    fn marks_are_percentages_and_the_cleaner_can_be_off() {
        let config = parse("--reclaim-start 97.5% --reclaim-stop 95% --reclaim-yield off");
        let config = config.expect("valid flags");
        assert_eq!(config.reclaim_stop, Percent::new(95));
        assert!(!config.reclaim_yield);
        assert_eq!(config.clean_start, Some(Percent::CLEAN_START));
        assert_eq!(parse("--clean-start off").expect("valid flags").clean_start, None);
        let error = parse("--reclaim-start 0.9").expect_err("no percentage").to_string();
        assert!(error.contains("such as 90%"), "{error}");
    }

    #[test]
    fn permissions_are_octal() {
        assert_eq!(parse("--socket-mode 660").expect("valid flags").socket_mode, 0o660);
        assert!(parse("--socket-mode 999").is_err());
        assert!(parse("--socket-mode 7777").is_err());
    }

    #[test]
    fn a_backing_is_one_of_four() {
        let config = parse("").expect("valid flags");
        assert_eq!((config.backing, config.reserve), (Backing::Auto, false));
        let config = parse("--backing huge --reserve").expect("valid flags");
        assert_eq!((config.backing, config.reserve), (Backing::Huge, true));
        let error = parse("--backing hugetlb").expect_err("no such kind").to_string();
        assert!(error.contains("auto, pages, thp, huge"), "{error}");
    }

    #[test]
    fn a_link_has_a_bandwidth_and_may_have_more() {
        let link = |arguments| parse(arguments).expect("valid flags").link;
        assert_eq!(link(""), None);
        let all = link("--link-bandwidth 16GiB/s --link-latency 2us --link-queues 3");
        assert_eq!(all.expect("a link").to_string(), "16 GiB/s and 2us each way, queues: 3");
        let least = link("--link-bandwidth 1MiB/s");
        assert_eq!(least.expect("a link").to_string(), "1 MiB/s and 0s each way, queues: 1");
    }

    #[test]
    fn a_link_without_bandwidth_or_units_is_refused_with_what_to_give() {
        let refused = |arguments, advice: &str| {
            let message = parse(arguments).expect_err("refused").to_string();
            assert!(message.contains(advice), "{message}");
        };
        refused("--link-latency 2us", "--link-bandwidth");
        refused("--link-queues 2", "--link-bandwidth");
        refused("--link-bandwidth 16GiB", "16GiB/s");
        refused("--link-bandwidth 16GiB/s --link-latency 2", "give a unit: 2us");
    }

    #[test]
    fn page_sizes_between_powers_are_refused() {
        assert!(parse("--page-size 5KiB").is_err());
        assert!(parse("--page-size 4MiB").is_err());
    }
}
