//! The control socket: HTTP for the daemon's own user, where its clients connect as well.

use std::io;
use std::path::Path;

use anyhow::Context;
use axum::serve::Listener;
use bo_sys::socket;
use tokio::net::{UnixListener, UnixStream};

use crate::limits::ACCEPT_PAUSE;

/// Who may open the socket at all. Who they are is looked at again for each call.
const MODE: u32 = 0o600;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;

/// A socket in the file system that speaks HTTP.
#[derive(Debug)]
pub(crate) struct ControlListener(UnixListener);

impl ControlListener {
    /// Takes the place. Call it inside a runtime.
    pub(crate) fn bind(path: &Path) -> anyhow::Result<Self> {
        let bound = || -> io::Result<UnixListener> {
            let listener = socket::listen_stream(path, BACKLOG, MODE)?;
            socket::set_nonblocking(&listener, true)?;
            UnixListener::from_std(listener.into())
        };
        let listener = bound().with_context(|| {
            format!(
                "cannot listen on {}: choose another --control, or stop the daemon that is there",
                path.display()
            )
        })?;
        Ok(Self(listener))
    }
}

impl Listener for ControlListener {
    type Io = UnixStream;
    type Addr = ();

    async fn accept(&mut self) -> (UnixStream, ()) {
        loop {
            match self.0.accept().await {
                Ok((stream, _)) => return (stream, ()),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a control connection");
                    // Out of descriptors, most likely. Others may free some.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}
