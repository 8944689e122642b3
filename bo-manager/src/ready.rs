//! Waiting for a descriptor in a task.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Lets a task wait until `fd` is ready.
///
/// # Errors
///
/// If the descriptor is of a kind that is always ready, or too many are watched.
#[expect(
    deprecated,
    reason = "`new` is deprecated for types whose descriptor could change while it is registered. \
              An `OwnedFd` that nobody can reach mutably keeps its descriptor until it is dropped, \
              and `AsyncFd` deregisters first; the replacement would need unsafe code here."
)]
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}
