//! The numbers that make one run, all of them, as they stand in the report.

use anyhow::{Context, Result, ensure};
use bo_units::ByteCount;
use serde::Serialize;

use crate::cli::RunArgs;
use crate::contents::{CELL_BYTES, RecordBytes};
use crate::pattern::Pattern;
use crate::sizes;

/// Data of the sweeps, in quarters of the pool: twice the pool, or a little more than it.
const SWEEP_QUARTERS: u64 = 8;
const SWEEP_QUARTERS_SHORT: u64 = 5;

/// What ends the pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    /// Operations of all clients together.
    Ops(u64),
    /// Milliseconds of the clock.
    DurationMs(u64),
}

/// A checked run: everything that was asked for and everything that was derived from it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Settings {
    pub(crate) clients: u32,
    pub(crate) threads: u32,
    /// Of each client.
    pub(crate) objects: u32,
    pub(crate) object_bytes: u64,
    /// `None`: the daemon chooses by object size.
    pub(crate) page_bytes: Option<u32>,
    /// All objects of all clients.
    pub(crate) data_bytes: u64,
    pub(crate) sweep_bytes: u64,
    pub(crate) vram_bytes: u64,
    /// `None`: the daemon was there already.
    pub(crate) ram_bytes: Option<u64>,
    pub(crate) pattern: Pattern,
    pub(crate) write_ratio: f64,
    pub(crate) access_bytes: RecordBytes,
    pub(crate) limit: Limit,
    /// Threads that meet on one evicted page; `None`: that phase is left out.
    pub(crate) rush: Option<u32>,
    pub(crate) seed: u64,
    pub(crate) short: bool,
    /// The bundle of flags that was asked for by name.
    pub(crate) profile: Option<String>,
    /// Flags of the daemon in force; `None`: it was there already.
    pub(crate) daemon: Option<String>,
    /// An access at least this slow during which its thread took a page fault counts as a fault.
    /// Set after the calibration: between a native minor fault and a ping-pong.
    pub(crate) fault_threshold_us: Option<f64>,
}

impl Settings {
    /// Derives a run from the command line and the pool it will meet.
    ///
    /// # Errors
    ///
    /// When the objects together are too many bytes to count.
    pub(crate) fn derive(args: &RunArgs, vram: ByteCount) -> Result<Settings> {
        ensure!(CELL_BYTES <= vram.get(), "cannot run on a pool of {vram}: it holds no page");
        let objects_all = u64::from(args.clients) * u64::from(args.objects);
        let grain = args.page_size.map_or(CELL_BYTES, |size| size.bytes());
        let asked = args.object_size.map_or_else(
            || sizes::floor(vram.get() as f64 * args.oversubscribe) / objects_all,
            ByteCount::get,
        );
        let too_large = || format!("cannot run with {objects_all} objects of {asked} bytes");
        let object_bytes = asked.max(1).checked_next_multiple_of(grain).with_context(too_large)?;
        let data_bytes = object_bytes.checked_mul(objects_all).with_context(too_large)?;
        let quarters = if args.short { SWEEP_QUARTERS_SHORT } else { SWEEP_QUARTERS };
        let sweep_bytes = (vram.get() / 4 * quarters).next_multiple_of(grain);
        let needed = data_bytes.max(sweep_bytes).checked_add(vram.get()).with_context(too_large)?;
        let ram_bytes = args.ram.map_or(needed, ByteCount::get);
        Ok(Settings {
            clients: args.clients,
            threads: args.threads,
            objects: args.objects,
            object_bytes,
            page_bytes: args.page_size.map(|size| u32::try_from(size.bytes()).unwrap_or(u32::MAX)),
            data_bytes,
            sweep_bytes,
            vram_bytes: vram.get(),
            ram_bytes: args.connect.is_none().then_some(ram_bytes),
            pattern: args.pattern,
            write_ratio: args.write_ratio,
            access_bytes: args.access_bytes,
            limit: args.ops.map_or(Limit::DurationMs(duration_ms(args)), Limit::Ops),
            rush: args.rush,
            seed: args.seed,
            short: args.short,
            profile: args.profile.clone(),
            daemon: args.connect.is_none().then(|| format!("{:?}", args.tuning)),
            fault_threshold_us: None,
        })
    }

    /// The same data and operations, all of them one client's.
    pub(crate) fn with_one_client(&self) -> Settings {
        Settings { clients: 1, objects: self.objects * self.clients, ..self.clone() }
    }
}

fn duration_ms(args: &RunArgs) -> u64 {
    u64::try_from(args.duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn derive(words: &str) -> Result<Settings> {
        let line = ["bo-bench", "run"].into_iter().chain(words.split_whitespace());
        match Cli::try_parse_from(line).expect("a legal line").command {
            Some(Command::Run(args)) => Settings::derive(&args, args.vram),
            other => panic!("not a run: {other:?}"),
        }
    }

    #[test]
    fn data_is_the_pool_times_the_oversubscription() {
        let settings =
            derive("--vram 64MiB --oversubscribe 3 --clients 2 --objects 4").expect("a legal run");
        assert_eq!(settings.object_bytes, 24 << 20);
        assert_eq!(settings.data_bytes, 192 << 20);
    }

    #[test]
    fn an_object_is_whole_pages() {
        let settings =
            derive("--vram 64MiB --object-size 65KiB --page-size 64KiB").expect("a legal run");
        assert_eq!(settings.object_bytes, 128 << 10);
    }

    #[test]
    fn the_sweep_is_larger_than_the_pool_even_when_short() {
        assert_eq!(derive("--vram 64MiB").expect("a legal run").sweep_bytes, 128 << 20);
        assert_eq!(derive("--vram 64MiB --short").expect("a legal run").sweep_bytes, 80 << 20);
    }

    #[test]
    fn the_default_ram_holds_all_data_and_a_pool() {
        let settings = derive("--vram 64MiB --oversubscribe 4").expect("a legal run");
        assert_eq!(settings.ram_bytes, Some(5 * (64 << 20)));
    }

    #[test]
    fn one_client_takes_over_all_objects() {
        let settings = derive("--vram 64MiB --clients 4 --objects 3").expect("a legal run");
        let one = settings.with_one_client();
        assert_eq!((one.clients, one.objects, one.data_bytes), (1, 12, settings.data_bytes));
    }

    #[test]
    fn a_pool_without_a_page_cannot_be_used() {
        assert!(derive("--vram 1KiB").is_err());
    }
}
