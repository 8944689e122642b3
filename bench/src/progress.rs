//! A progress bar on a terminal, and nothing elsewhere.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Drawn on standard error, so that standard output holds figures only.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A phase of known size, in bytes.
    pub(crate) fn bytes(phase: &str, total: u64) -> Progress {
        Progress::with_style(phase, Some(total), "{msg:22} {bar:40} {bytes}/{total_bytes}")
    }

    /// A phase that counts operations up to a total.
    pub(crate) fn operations(phase: &str, total: u64) -> Progress {
        Progress::with_style(phase, Some(total), "{msg:22} {bar:40} {human_pos}/{human_len} ops")
    }

    /// A phase whose end is not known, or not worth a bar.
    pub(crate) fn open_ended(phase: &str) -> Progress {
        Progress::with_style(phase, None, "{msg:22} {spinner} {human_pos} {elapsed}")
    }

    /// No bar at all.
    pub(crate) fn hidden() -> Progress {
        Progress(ProgressBar::hidden())
    }

    pub(crate) fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    fn with_style(phase: &str, total: Option<u64>, template: &str) -> Progress {
        if !io::stderr().is_terminal() {
            return Progress::hidden();
        }
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        bar.set_style(ProgressStyle::with_template(template).expect("the templates are constant"));
        bar.set_message(phase.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress(bar)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
