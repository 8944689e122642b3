//! The command line: flags, each with an environment variable, and what is said at the start.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use bo_units::{ByteCount, PageSize};
use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat, UserModeOnly, default_socket_path};
use crate::daemon::Daemon;
use crate::percent::Percent;

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
    Serve(Serve),
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

    /// Page size of objects whose maker does not choose, 4KiB to 2MiB [default: by their size].
    #[arg(long, env = "BO_PAGE_SIZE", value_name = "SIZE")]
    page_size: Option<PageSize>,

    /// Threads that read faults, 1 to 256 [default: one for each allowed CPU, at most 8].
    #[arg(long, env = "BO_FAULT_THREADS", value_name = "N")]
    fault_threads: Option<usize>,

    /// A fault may bring in neighbours up to this extent, when the pool has room; 0B: never.
    #[arg(long, env = "BO_FAULT_AROUND", default_value = "64KiB", value_name = "SIZE")]
    fault_around: ByteCount,

    /// Background reclaim starts when more of the pool than this is in use.
    #[arg(long, env = "BO_RECLAIM_START", default_value_t = Percent::RECLAIM_START)]
    #[arg(value_name = "PERCENT")]
    reclaim_start: Percent,

    /// Background reclaim stops when no more of the pool than this is in use.
    #[arg(long, env = "BO_RECLAIM_STOP", default_value_t = Percent::RECLAIM_STOP)]
    #[arg(value_name = "PERCENT")]
    reclaim_stop: Percent,

    /// Whether these two marks give way to pages that come back while there is room for them.
    #[arg(long, env = "BO_RECLAIM_YIELD", value_enum, default_value_t = Switch::On)]
    reclaim_yield: Switch,

    /// Dirty pages are copied to the store ahead of their eviction while more of the pool than this
    /// is in use; 'off': never.
    #[arg(long, env = "BO_CLEAN_START", default_value = "70%", value_parser = mark_or_off)]
    #[arg(value_name = "PERCENT")]
    clean_start: Mark,

    /// Start even if no full userfaultfd can be had: system calls on evicted memory then fail.
    #[arg(long, env = "BO_USER_MODE_ONLY")]
    user_mode_only: bool,

    /// How log lines look. What is logged: RUST_LOG, such as RUST_LOG=bo_manager=debug.
    #[arg(long, env = "BO_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

/// Something that is done or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

/// A part of the pool, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark(Option<Percent>);

fn mark_or_off(text: &str) -> Result<Mark, String> {
    match text {
        "off" => Ok(Mark(None)),
        text => text.parse().map(|mark| Mark(Some(mark))),
    }
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
        Config {
            socket_mode: self.socket_mode,
            http: Some(self.http),
            page_size: self.page_size,
            fault_threads: self.fault_threads,
            fault_around: self.fault_around,
            reclaim_start: self.reclaim_start,
            reclaim_stop: self.reclaim_stop,
            reclaim_yield: self.reclaim_yield == Switch::On,
            clean_start: self.clean_start.0,
            user_mode_only: match self.user_mode_only {
                true => UserModeOnly::Accept,
                false => UserModeOnly::Refuse,
            },
            ..Config::new(self.vram, self.ram, socket)
        }
    }
}

/// Does what the command line says.
///
/// # Errors
///
/// If the daemon cannot start; the message says why and what to do.
pub fn run(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        Command::Serve(serve) => run_serve(serve),
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
    tracing::info!(
        vram = %serve.vram,
        ram = %serve.ram,
        socket = %daemon.socket_path().display(),
        %http,
        %page_size,
        fault_threads = daemon.fault_threads(),
        "serving"
    );
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
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &str) -> Result<Config, clap::Error> {
        let words = ["bo-manager", "serve"].into_iter().chain(arguments.split_whitespace());
        let Command::Serve(serve) = Cli::try_parse_from(words)?.command;
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
    fn page_sizes_between_powers_are_refused() {
        assert!(parse("--page-size 5KiB").is_err());
        assert!(parse("--page-size 4MiB").is_err());
    }
}
