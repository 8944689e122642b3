//! Threads of the daemon's own.

use std::io;
use std::thread::JoinHandle;

/// Starts a thread under a name of at most 15 bytes. No signal is delivered to it: whoever embeds
/// the daemon may have handlers, and they may touch managed memory, which this thread is to serve.
///
/// # Errors
///
/// If the host has no room for another thread.
pub(crate) fn spawn(
    name: impl Into<String>,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let name = name.into();
    std::thread::Builder::new().name(name.clone()).spawn(move || {
        if let Err(error) = bo_sys::thread::block_all_signals() {
            tracing::warn!(%error, thread = %name, "cannot block signals");
        }
        work();
    })
}
