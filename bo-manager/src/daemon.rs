//! Start and stop, in order.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, bail};
use bo_core::Manager;
use bo_sys::socket;
use bo_sys::store::StoreFile;
use bo_sys::uffd::{Availability, Probe, UffdDevice, probe};
use bo_wire::UffdSource;
use prometheus::Registry;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::ahead;
use crate::backing::{Backed, Frames};
use crate::closer::Closer;
use crate::config::{Config, UserModeOnly};
use crate::descriptors::{Budget, Ceilings};
use crate::faults;
use crate::http::{self, ControlListener, Door, Site, Token};
use crate::limits::{FAULT_THREADS_USUAL_MAX, HANDSHAKES_MAX, STUCK_AFTER};
use crate::link::{self, Link};
use crate::readers::{Plan, Readers};
use crate::reclaim;
use crate::record::{self, Tape};
use crate::session::Connection;
use crate::shell::{Host, Parts, Shell};
use crate::timings::Timings;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Threads for sockets and HTTP. Requests are rare; faults have threads of their own.
const CONTROL_THREADS: usize = 2;

/// A running daemon. Dropping it stops it.
#[derive(Debug)]
pub struct Daemon {
    shell: Arc<Shell>,
    socket: PathBuf,
    http: Option<SocketAddr>,
    ready: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    link_threads: Vec<JoinHandle<()>>,
    runtime: Option<Runtime>,
}

impl Daemon {
    /// Starts serving, and returns when clients can connect.
    ///
    /// # Errors
    ///
    /// If the configuration makes no sense, the host lacks something, or an address is taken. The
    /// message says what to do. Nothing is left behind.
    pub fn start(config: Config) -> anyhow::Result<Self> {
        config.check()?;
        let token = config.http_token_file.as_deref().map(Token::read).transpose()?;
        let (uffd_source, device, mut lacks) = choose_uffd(&probe(), config.user_mode_only)?;
        let backed = Backed::choose(&config)?;
        let budget = Budget::raise(config.max_objects);
        lacks.extend(budget.lack(&Ceilings::read()));
        let mut core = config.core(backed.frames != Frames::Pages);
        core.limits.objects = budget.objects;
        let core = Manager::new(core);
        let store = StoreFile::create("bo-store", core.store_file_bytes().get().max(4096))
            .context("cannot make the store")?;
        let readers =
            Readers::new(plan_readers(&config)?).context("cannot make the fault readers")?;
        let registry = Registry::new();
        let timings = Timings::new(&registry);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .thread_name("bo-control")
            .enable_all()
            .build()
            .context("cannot start the control threads")?;
        let web = config.http.map(|address| runtime.block_on(http::bind(address))).transpose()?;
        let (path, mode) = (config.socket.clone(), config.socket_mode);
        let listener = socket::listen(&path, BACKLOG, mode).with_context(|| {
            format!(
                "cannot listen on {}: choose another --socket, or stop the daemon that is there",
                path.display()
            )
        })?;
        let control = {
            let _guard = runtime.enter();
            config.control.as_deref().map(ControlListener::bind).transpose()
        };
        // Nothing is left behind.
        let control = control.inspect_err(|_| drop(std::fs::remove_file(&path)))?;
        let tape = begin_tape(&config, core.policy_name()).inspect_err(|_| {
            for left in std::iter::once(&path).chain(&config.control) {
                let _ = std::fs::remove_file(left);
            }
        })?;
        let recording = tape.as_ref().map(Tape::recording);
        let door = Door::Token(token.map(Arc::new), config.control.clone());
        let closer = Closer::start().context("cannot start the closer")?;
        let link = config.link.map(|link| Link::new(link, &registry));
        let host = Host { device, uffd_source, budget, lacks, backed };
        let parts = Parts { config, core, store, readers, closer, link, recording, timings, host };
        let shell = Arc::new(Shell::new(parts));
        let mut daemon = Self {
            shell: Arc::clone(&shell),
            socket: path,
            http: web.as_ref().map(|(_, address)| *address),
            ready: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
            link_threads: Vec::new(),
            runtime: Some(runtime),
        };
        let writer = tape.map(|tape| record::start(&daemon.shell, tape)).transpose();
        writer.context("cannot start the writer of the recording")?;
        daemon.spawn(listener, (web.map(|(web, _)| web), door, control), registry)?;
        daemon.ready.store(true, Ordering::Release);
        Ok(daemon)
    }

    fn spawn(
        &mut self,
        listener: OwnedFd,
        (web, door, control): (Option<TcpListener>, Door, Option<ControlListener>),
        registry: Registry,
    ) -> anyhow::Result<()> {
        let shell = &self.shell;
        self.threads = faults::start(shell).context("cannot start the fault readers")?;
        let reclaimer = reclaim::start(Arc::clone(shell)).context("cannot start the reclaimer")?;
        self.threads.push(reclaimer);
        let filler = ahead::start(Arc::clone(shell)).context("cannot start the filler")?;
        self.threads.push(filler);
        self.link_threads = link::start(shell).context("cannot start the link")?;
        let runtime = self.runtime.as_ref().context("the daemon has been stopped")?;
        let exported = http::metrics::Exported::new(Arc::clone(shell));
        registry.register(Box::new(exported)).context("cannot register the metrics")?;
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process)).context("cannot register the metrics")?;
        let site = Site { shell: Arc::clone(shell), registry, ready: Arc::clone(&self.ready) };
        if let Some(listener) = web {
            runtime.spawn(http::serve(listener, site.clone(), door));
        }
        if let Some(listener) = control {
            let door = Door::Owner(rustix::process::geteuid().as_raw());
            runtime.spawn(http::serve_control(listener, site, door));
        }
        socket::set_nonblocking(&listener, true).context("cannot listen")?;
        let _guard = runtime.enter();
        let listener = crate::ready::watch(listener).context("cannot listen")?;
        runtime.spawn(accept(listener, Arc::clone(shell)));
        runtime.spawn(relieve(Arc::clone(shell)));
        Ok(())
    }

    /// Where clients connect.
    #[must_use]
    pub fn socket_path(&self) -> &Path {
        &self.socket
    }

    /// Where HTTP is served; `None` if it is not.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where the daemon's own user and root may change things; `None` if nowhere.
    #[must_use]
    pub fn control_path(&self) -> Option<&Path> {
        self.shell.config.control.as_deref()
    }

    /// What this host lacks, and what to do about it. Empty on a good one.
    #[must_use]
    pub fn lacks(&self) -> &[String] {
        &self.shell.lacks
    }

    /// How many objects can be alive at one time: as configured, or as the descriptors allow.
    #[must_use]
    pub fn max_objects(&self) -> u32 {
        self.shell.budget.objects
    }

    /// What pages of 2 MiB are made of (`pages`, `thp` or `huge`), and why.
    #[must_use]
    pub fn backing(&self) -> (&'static str, &str) {
        (self.shell.backed.frames.name(), &self.shell.backed.reason)
    }

    /// How many threads read faults.
    #[must_use]
    pub fn fault_threads(&self) -> usize {
        // The last two are the reclaimer and the one that fills ahead.
        self.threads.len().saturating_sub(2)
    }

    /// Bytes that are really present in the files of all objects and of the store: what the
    /// kernel counts, for comparison with the books.
    ///
    /// # Errors
    ///
    /// If the kernel does not say.
    pub fn populated_bytes(&self) -> std::io::Result<(u64, u64)> {
        let objects: Vec<_> = self.shell.objects.iter().map(|each| Arc::clone(&each)).collect();
        let mut present = 0;
        for object in objects {
            present += object.file.populated_bytes()?;
        }
        Ok((present, self.shell.store.populated_bytes()?))
    }

    /// Stops in order: refuses new work, serves whoever is blocked, and leaves every client with
    /// its present pages, and a clear error or SIGBUS for the rest.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        self.ready.store(false, Ordering::Release);
        // Before the connections break: their clients are served until then.
        crate::stop::wind_down(&self.shell);
        runtime.shutdown_background();
        self.shell.readers.stop();
        self.shell.bell.stop();
        self.shell.ahead.stop();
        for thread in self.threads.drain(..).chain(self.link_threads.drain(..)) {
            if thread.join().is_err() {
                tracing::error!("a thread had panicked");
            }
        }
        // After all others, who may still have had something to record.
        if let Some(recording) = &self.shell.recording {
            recording.finish();
        }
        // What clients do not hold is free before the huge pages are given back. Here, and not when
        // the last task lets go of the shell: the process may end before that.
        self.shell.objects.clear();
        self.shell.backed.give_back();
        // Gone already if somebody cleaned up.
        let _ = std::fs::remove_file(&self.socket);
        let _ = self.control_path().map(std::fs::remove_file);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Begins the recording, if one is wanted.
fn begin_tape(config: &Config, policy: &str) -> anyhow::Result<Option<Tape>> {
    let tape = config.record.as_ref().map(|path| Tape::begin(path, config, policy));
    tape.transpose().context("cannot record")
}

/// Looks after clients whose only fault reader is held up by another client.
async fn relieve(shell: Arc<Shell>) {
    loop {
        tokio::time::sleep(STUCK_AFTER).await;
        shell.relieve_readers();
    }
}

/// Takes connections, a bounded number of them without a handshake.
async fn accept(listener: AsyncFd<OwnedFd>, shell: Arc<Shell>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return };
        let Ok(mut ready) = listener.readable().await else { return };
        let accepted = match ready.try_io(|listener| socket::accept(listener.get_ref())) {
            Ok(accepted) => accepted,
            Err(_would_block) => continue,
        };
        let shell = Arc::clone(&shell);
        let failed = |error| shell.host_failed("accept a connection", &error);
        match accepted {
            Ok(socket) => match Connection::new(Arc::clone(&shell), socket) {
                Ok(connection) => drop(tokio::spawn(connection.serve(permit))),
                Err(error) if error.raw_os_error() == Some(3) => {} // It is gone already.
                Err(error) => failed(error),
            },
            Err(error) => {
                failed(error);
                // Out of descriptors, most likely. Others may free some.
                tokio::time::sleep(crate::limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

/// How clients get their userfaultfd, and what this host lacks.
fn choose_uffd(
    probe: &Probe,
    fallback: UserModeOnly,
) -> anyhow::Result<(UffdSource, Option<UffdDevice>, Vec<String>)> {
    let missing = probe.features.missing();
    if !missing.is_empty() {
        bail!(
            "this kernel's userfaultfd lacks features that are needed ({missing}): \
             Linux 6.6 or later is required"
        );
    }
    if probe.device == Availability::Available {
        let device = UffdDevice::open().context("cannot open /dev/userfaultfd")?;
        return Ok((UffdSource::Device, Some(device), Vec::new()));
    }
    let mend = "run the daemon as root, or give its group access to /dev/userfaultfd \
                (chgrp GROUP /dev/userfaultfd && chmod 0660 /dev/userfaultfd, or the same as a \
                udev rule), or set the sysctl vm.unprivileged_userfaultfd=1";
    if probe.syscall == Availability::Available {
        let lack = format!(
            "/dev/userfaultfd cannot be used: clients make their userfaultfd themselves, which \
             fails for users without the privilege; to mend it, {mend}"
        );
        return Ok((UffdSource::Syscall, None, vec![lack]));
    }
    if probe.user_mode_only == Availability::Available && fallback == UserModeOnly::Accept {
        let lack = format!(
            "no full userfaultfd: system calls on evicted memory fail with EFAULT, plain loads \
             and stores work; to mend it, {mend}"
        );
        return Ok((UffdSource::UserModeOnly, None, vec![lack]));
    }
    bail!(
        "this process cannot make a full userfaultfd: {mend}. With --user-mode-only it starts all \
         the same, but system calls on evicted memory fail with EFAULT"
    )
}

/// How many fault readers there are, and where.
fn plan_readers(config: &Config) -> anyhow::Result<Plan> {
    let allowed = bo_sys::thread::allowed_cpus().context("cannot tell the allowed CPUs")?;
    let usual = allowed.len().clamp(1, FAULT_THREADS_USUAL_MAX);
    let (threads, cpus) = match &config.fault_cpus {
        Some(list) => {
            let cpus = list.cpus().to_vec();
            if let Some(cpu) = cpus.iter().find(|cpu| !allowed.contains(cpu)) {
                bail!("--fault-cpus names CPU {cpu}: this process may use {allowed:?}");
            }
            (cpus.len(), cpus)
        }
        None => {
            let threads = config.fault_threads.unwrap_or(usual);
            // With more threads than CPUs, pinning would stack them.
            let pinned = if threads <= allowed.len() { &allowed[..threads] } else { &[] };
            (threads, pinned.to_vec())
        }
    };
    let (poll, polling_max) = (config.busy_poll, config.busy_poll_threads);
    Ok(Plan { threads, cpus, poll, polling_max })
}
