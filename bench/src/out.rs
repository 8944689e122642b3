//! Standard output, which may be a pipe that somebody closes, and files of figures.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// Writes a text and a line end.
///
/// # Errors
///
/// When the text could not be written although somebody wants it; a closed pipe wants nothing.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Prints a table, and writes the same as JSON to the file asked for; `-` prints the JSON
/// instead, and the table on standard error.
///
/// # Errors
///
/// When something could not be written.
pub(crate) fn publish(to: Option<&Path>, table: &str, json: &str) -> Result<()> {
    let say = |text: &str| line(text).context("cannot write to standard output");
    match to {
        Some(path) if path.as_os_str() == "-" => {
            eprintln!("{table}");
            say(json)
        }
        Some(path) => {
            say(table)?;
            let cannot = || format!("cannot write {}", path.display());
            fs::write(path, format!("{json}\n")).with_context(cannot)
        }
        None => say(table),
    }
}
