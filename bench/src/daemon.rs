//! The daemon under test: started inside this process, or one that runs already.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bo_manager::cli::Tuning;
use bo_manager::{Config, Daemon, UserModeOnly};
use bo_units::ByteCount;
use tempfile::TempDir;

use crate::status::Status;

/// A daemon that clients can connect to.
pub(crate) enum Service {
    /// Ours; it ends with us.
    Embedded {
        daemon: Box<Daemon>,
        http: SocketAddr,
        /// Holds the socket. Only our uid may look inside.
        _folder: TempDir,
    },
    Running {
        socket: PathBuf,
        http: SocketAddr,
    },
}

impl Service {
    /// Starts a daemon with a socket in a new directory and HTTP on a free port of this host.
    /// Without tuning it has the usual settings, whatever the environment says.
    ///
    /// # Errors
    ///
    /// When the daemon cannot serve on this machine; it says why and what to do.
    pub(crate) fn start(
        vram: ByteCount,
        ram: ByteCount,
        tuning: Option<&Tuning>,
    ) -> Result<Service> {
        let folder = tempfile::Builder::new()
            .prefix("bo-bench-")
            .tempdir()
            .context("cannot make a directory for the daemon's socket")?;
        let config = Config {
            // Nobody but this user is meant to come, and nobody else can reach the directory.
            socket_mode: 0o600,
            http: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            // Our clients use plain loads and stores, which work in that mode as well.
            user_mode_only: UserModeOnly::Accept,
            ..Config::new(vram, ram, folder.path().join("bo-manager.sock"))
        };
        let config = match tuning {
            Some(tuning) => tuning.apply(config),
            None => config,
        };
        let daemon = Daemon::start(config).context("cannot start a daemon")?;
        let http = daemon.http_address().context("the daemon was told to serve HTTP")?;
        Ok(Service::Embedded { daemon: Box::new(daemon), http, _folder: folder })
    }

    /// Uses the daemon at `socket`, whose HTTP is at `http`.
    pub(crate) fn running(socket: PathBuf, http: SocketAddr) -> Service {
        Service::Running { socket, http }
    }

    pub(crate) fn socket(&self) -> &Path {
        match self {
            Service::Embedded { daemon, .. } => daemon.socket_path(),
            Service::Running { socket, .. } => socket,
        }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        match self {
            Service::Embedded { http, .. } | Service::Running { http, .. } => *http,
        }
    }

    /// What this host lacks, as far as a daemon of ours knows.
    pub(crate) fn lacks(&self) -> &[String] {
        match self {
            Service::Embedded { daemon, .. } => daemon.lacks(),
            Service::Running { .. } => &[],
        }
    }

    /// # Errors
    ///
    /// When the daemon does not answer.
    pub(crate) fn status(&self) -> Result<Status> {
        Status::fetch(self.http())
    }

    /// Stops a daemon of ours and leaves another one alone.
    pub(crate) fn stop(self) {
        match self {
            Service::Embedded { daemon, .. } => daemon.stop(),
            Service::Running { .. } => {}
        }
    }
}
