//! What all bars share: the machine's own figures, the flags of the daemons, and the count of
//! bytes.

use std::ffi::OsString;

use anyhow::{Context, Result};
use bo_manager::cli::Tuning;
use bo_units::ByteCount;

use crate::calibration::{self, Calibration, PingPong};
use crate::cli::{self, BarsArgs, ZramArgs};
use crate::crew::Crew;
use crate::daemon::Service;
use crate::mismatch::Mismatches;
use crate::orders::VerifyFigures;
use crate::run::phases::{self, Workers};
use crate::settings::Settings;
use crate::words::Flags;

/// Copies of one look at memcpy.
const COPIES: u32 = 5;

/// Round trips of one look at the ping-pong: a few milliseconds.
const ROUND_TRIPS: u32 = 400;

pub(super) struct Suite {
    pub(super) quick: bool,
    daemon: Flags,
    threshold_us: f64,
    pub(super) bytes_verified: u64,
    pub(super) wrong_bytes: u64,
}

impl Suite {
    pub(super) fn new(args: &BarsArgs, calibration: &Calibration) -> Suite {
        Suite {
            quick: args.quick,
            daemon: Flags::new(args.daemon.clone()),
            threshold_us: calibration.fault_threshold_us(8),
            bytes_verified: 0,
            wrong_bytes: 0,
        }
    }

    /// One of two sizes or counts.
    pub(super) fn choose<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// The flags given for every daemon.
    pub(super) fn daemon_text(&self) -> String {
        let words = self.daemon.clone().into_words();
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    /// Those flags, and `own` over them.
    ///
    /// # Errors
    ///
    /// When this daemon has no such flags.
    pub(super) fn tuning(&self, own: &str) -> Result<Tuning> {
        let words = self.daemon.clone().under(Flags::of_line(own)).into_words();
        cli::tuning(words).map_err(|error| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or("its flags are not understood");
            anyhow::anyhow!("this daemon cannot be started with {own:?}: {first}")
        })
    }

    /// A run by its flags, of which some are the same for all bars.
    pub(super) fn settings(&self, flags: &str) -> Result<Settings> {
        let common = self.choose("--vram 64MiB", "--vram 8MiB --short");
        let flags = Flags::of_line(common).under(Flags::of_line(flags));
        let args = cli::run_args(flags.into_words()).context("the flags of a bar")?;
        let mut settings = Settings::derive(&args, args.vram)?;
        settings.fault_threshold_us = Some(self.threshold_us);
        Ok(settings)
    }

    /// A daemon for such a run, with twice its usual RAM, so that a second client may have as
    /// much data.
    pub(super) fn service(&self, settings: &Settings, tuning: &Tuning) -> Result<Service> {
        let vram = ByteCount::new(settings.vram_bytes);
        let ram = settings.ram_bytes.context("a daemon of our own has a RAM size")?;
        let ram = ByteCount::new(ram.saturating_mul(2));
        Service::start(vram, ram, Some(tuning))
    }

    pub(super) fn zram_args(&self) -> Result<ZramArgs> {
        let own = self.choose("", "--data 24MiB --fast 12MiB --rounds 1 --ops 2000");
        let words: Vec<OsString> = self.daemon.clone().under(Flags::of_line(own)).into_words();
        cli::zram_args(words).context("the flags of the comparison with zram")
    }

    /// What memcpy does at this moment, in GB/s.
    pub(super) fn memcpy_gbps(&self) -> f64 {
        calibration::copy_gbps(COPIES)
    }

    /// Counts what was checked and what was wrong.
    pub(super) fn count(&mut self, bytes: u64, mismatches: &Mismatches) {
        self.bytes_verified += bytes;
        self.wrong_bytes += mismatches.bytes;
    }

    pub(super) fn count_checked(&mut self, figures: &VerifyFigures) {
        self.count(figures.bytes, &figures.mismatches);
    }

    /// Checks every byte of a crew and lets it go.
    pub(super) fn finish(&mut self, mut crew: Workers, settings: &Settings) -> Result<()> {
        let figures = phases::verify(&mut crew, settings)?;
        self.count_checked(&figures);
        Crew::dismiss(crew)
    }
}

/// Round trips to a process on one CPU, a few at a time, between slices of something else: on
/// some machines they take one of two times, by what the other hyperthread does meanwhile.
pub(super) struct Table {
    far: PingPong,
    all: Vec<f64>,
}

impl Table {
    pub(super) fn open() -> Result<Table> {
        Ok(Table { far: PingPong::same_cpu()?, all: Vec::new() })
    }

    /// Plays for a moment, and returns the median in microseconds.
    pub(super) fn play(&mut self) -> Result<f64> {
        let mut samples = self.far.play(ROUND_TRIPS)?;
        self.all.extend(&samples);
        crate::sizes::median(&mut samples).context("some round trips were made")
    }

    /// The median of all so far, and where nine of ten and one of ten lie below.
    pub(super) fn percentiles(&mut self) -> Option<[f64; 3]> {
        let middle = crate::sizes::median(&mut self.all)?;
        let at = |tenths: usize| self.all.get(self.all.len() * tenths / 10).copied();
        Some([at(1)?, middle, at(9)?])
    }
}
