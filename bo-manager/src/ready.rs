//! Waiting for a descriptor in a task.

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::unix::AsyncFd;

/// Lets a task wait until `fd` is ready.
///
/// # Errors
///
/// If the descriptor is of a kind that is always ready, or too many are watched.
#[expect(
    deprecated,
    reason = "`new` is deprecated for types whose descriptor could change while it is registered. \
              `OwnedFd` and `Guest`, which it is used for, keep theirs until they are dropped, and \
              `AsyncFd` deregisters first; the replacement would need unsafe code here."
)]
pub(crate) fn watch<D: AsRawFd>(fd: D) -> io::Result<AsyncFd<D>> {
    AsyncFd::new(fd)
}
