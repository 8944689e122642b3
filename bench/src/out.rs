//! Standard output, which may be a pipe that somebody closes.

use std::io::{self, Write};

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
