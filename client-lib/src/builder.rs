//! How to connect.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bo_wire::{DaemonLost, Label};

use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Doing, Error};
use crate::socket_path::default_socket_path;

/// Long enough for a daemon on a loaded machine, short enough for whoever waits at a prompt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Options of a connection. Made by [`Client::builder`].
///
/// # Example
///
/// ```no_run
/// use std::time::Duration;
///
/// use bo_client::{Client, DaemonLost};
///
/// let client = Client::builder()
///     .name("renderer")
///     .connect_timeout(Duration::from_secs(1))
///     .on_daemon_lost(DaemonLost::Sigbus)
///     .connect_default()?;
/// println!("client {} of a daemon with {} VRAM", client.id(), client.vram_capacity());
/// # Ok::<(), bo_client::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `connect` is called"]
pub struct ClientBuilder {
    pub(crate) name: Label,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) on_lost: DaemonLost,
}

impl ClientBuilder {
    pub(crate) fn new() -> ClientBuilder {
        ClientBuilder {
            name: program_name(),
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: None,
            on_lost: DaemonLost::Wait,
        }
    }

    /// The name that operators see; the name of the program unless set.
    ///
    /// Control characters are left out, and so is what comes after 64 bytes.
    pub fn name(self, name: &str) -> ClientBuilder {
        ClientBuilder { name: Label::truncated(name), ..self }
    }

    /// How long connecting may take in all, the first messages included; 5 seconds unless set.
    pub fn connect_timeout(self, timeout: Duration) -> ClientBuilder {
        ClientBuilder { connect_timeout: timeout, ..self }
    }

    /// How long each later request may take; without end unless set.
    ///
    /// A daemon that is alive answers, and one that dies hangs up, so this is for daemons that
    /// hang. After a request that took too long nobody knows what was done; the connection is
    /// closed then, and mappings go the way of [`on_daemon_lost`](ClientBuilder::on_daemon_lost).
    pub fn request_timeout(self, timeout: Duration) -> ClientBuilder {
        ClientBuilder { request_timeout: Some(timeout), ..self }
    }

    /// What touching an evicted page does once the daemon is gone; [`DaemonLost::Wait`] unless
    /// set.
    ///
    /// Pages that are in VRAM at that time stay usable either way; those that were never touched
    /// count as evicted. A connection that has ended for another reason, such as a request that
    /// timed out, counts as the daemon being gone.
    ///
    /// [`DaemonLost::Sigbus`] needs a thread of the library's own: a thread that touches an
    /// evicted page sleeps in the kernel and can help itself to nothing, and with the daemon gone
    /// there is nobody else to wake it.
    pub fn on_daemon_lost(self, on_lost: DaemonLost) -> ClientBuilder {
        ClientBuilder { on_lost, ..self }
    }

    /// Connects to the daemon that listens at `path`.
    ///
    /// The daemon is trusted: it is handed the means to serve this process's page faults.
    ///
    /// # Errors
    ///
    /// [`Error::is_gone`] if nobody listens there, [`Error::is_permission`] if this user may not
    /// connect, [`Error::is_timeout`], [`Error::is_draining`], [`Error::is_quota`],
    /// [`Error::is_unsupported`] if this kernel's userfaultfd(2) lacks something, and
    /// [`Error::is_protocol`] if what listens there is something else or of another version.
    pub fn connect(self, path: impl AsRef<Path>) -> Result<Client, Error> {
        let path = path.as_ref();
        match Connection::open(path, &self) {
            Ok(connection) => Ok(Client::new(Arc::new(connection))),
            Err(cause) => Err(cause.while_doing(Doing::Connect(path.to_owned()))),
        }
    }

    /// Connects to the daemon that listens at [`default_socket_path`].
    ///
    /// # Errors
    ///
    /// As [`connect`](ClientBuilder::connect).
    pub fn connect_default(self) -> Result<Client, Error> {
        self.connect(default_socket_path())
    }
}

fn program_name() -> Label {
    let program = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default();
    Label::truncated(&name.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_named_after_its_program() {
        // The test program's own name, which Cargo makes of the crate's.
        assert!(ClientBuilder::new().name.as_str().starts_with("bo_client"));
    }

    #[test]
    fn a_name_cannot_hold_what_a_label_cannot() {
        let builder = ClientBuilder::new().name("two\nlines");
        assert_eq!(builder.name.as_str(), "twolines");
    }
}
