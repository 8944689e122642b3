//! One daemon, and the place where its socket is.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bo_manager::{Backing, Config, Daemon, default_control_path};
use bo_units::ByteCount;
use rustix::process::{Pid, Signal, WaitOptions};
use serde_json::Value;
use tempfile::TempDir;

use crate::actor::{Actor, User};
use crate::books::{self, Books};
use crate::order::Lost;
use crate::wait::until;

/// Where the test's programs are. Only a test target knows; see `PROGRAMS` in `e2e/main.rs`.
#[derive(Clone, Copy, Debug)]
pub struct Programs {
    /// `env!("CARGO_BIN_EXE_actor")`.
    pub actor: &'static str,
    /// `env!("CARGO_BIN_EXE_daemon")`.
    pub daemon: &'static str,
}

/// How much a daemon has.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// The VRAM pool.
    pub vram: ByteCount,
    /// RAM for evicted pages.
    pub ram: ByteCount,
    /// The page size of [`Actor::allocate`], in bytes.
    pub page_bytes: u64,
    /// What pages of 2 MiB are made of.
    pub backing: Backing,
}

/// What pages of 2 MiB are made of in stories that do not care: `BO_TEST_BACKING`, which is pages
/// unless it is set to thp or huge. The host must have what is asked for.
#[must_use]
pub fn backing() -> Backing {
    match std::env::var("BO_TEST_BACKING").as_deref() {
        Ok("thp") => Backing::Thp,
        Ok("huge") => Backing::Huge,
        Ok("pages") | Err(_) => Backing::Pages,
        Ok(other) => panic!("BO_TEST_BACKING is pages, thp or huge, not {other}"),
    }
}

/// By how much stories that do not care are larger than with pages of 4 KiB: 128 if they have pages
/// of 2 MiB, else 1. A pool then has sixteen pages instead of 64.
#[must_use]
pub fn scale() -> u64 {
    match backing() {
        Backing::Auto | Backing::Pages => 1,
        Backing::Thp | Backing::Huge => 128,
    }
}

impl Pool {
    /// A pool of this many KiB, and RAM without end for the purposes of a test.
    #[must_use]
    pub fn kib(vram: u64) -> Pool {
        let (vram, ram) = (ByteCount::kib(vram), ByteCount::mib(64));
        Pool { vram, ram, page_bytes: crate::PAGE, backing: Backing::Auto }
    }

    /// The same times [`scale`], with pages of 2 MiB if that is more than one.
    #[must_use]
    pub fn scaled_kib(vram: u64) -> Pool {
        if scale() == 1 {
            return Pool::kib(vram);
        }
        let (vram, ram) = (ByteCount::kib(vram * scale()), ByteCount::gib(1));
        Pool { vram, ram, page_bytes: 2 << 20, backing: backing() }
    }
}

/// A daemon for one story.
#[derive(Debug)]
pub struct Station {
    service: Service,
    pool: Pool,
    socket: PathBuf,
    pub(crate) http: SocketAddr,
    actor: PathBuf,
    /// Last: it holds the socket and the actor's program.
    place: TempDir,
}

#[derive(Debug)]
enum Service {
    Embedded(Box<Daemon>),
    Process { daemon: Child, log: Arc<Mutex<Vec<String>>> },
    Stopped,
}

impl Station {
    /// A daemon inside this process.
    #[must_use]
    #[track_caller]
    pub fn embedded(programs: &Programs, pool: Pool) -> Station {
        Station::embedded_with(programs, pool, |config| config)
    }

    /// The same, with a configuration that `change` has changed.
    #[must_use]
    #[track_caller]
    pub fn embedded_with(
        programs: &Programs,
        pool: Pool,
        change: impl FnOnce(Config) -> Config,
    ) -> Station {
        let (place, socket, actor) = settle(programs);
        let config = Config {
            http: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            backing: pool.backing,
            control: Some(default_control_path(&socket)),
            ..Config::new(pool.vram, pool.ram, socket.clone())
        };
        let daemon = Daemon::start(change(config)).expect("this host can run a daemon");
        let http = daemon.http_address().expect("it was asked for");
        Station { service: Service::Embedded(Box::new(daemon)), pool, socket, http, actor, place }
    }

    /// The real binary in a process of its own.
    #[must_use]
    #[track_caller]
    pub fn process(programs: &Programs, pool: Pool) -> Station {
        Station::process_with(programs, pool, &[])
    }

    /// The same, with more on its command line.
    #[must_use]
    #[track_caller]
    pub fn process_with(programs: &Programs, pool: Pool, more: &[&str]) -> Station {
        Station::process_limited(programs, pool, None, more)
    }

    /// The same, with a hard limit on the descriptors of that process as well.
    #[must_use]
    #[track_caller]
    pub fn process_limited(
        programs: &Programs,
        pool: Pool,
        descriptors: Option<u64>,
        more: &[&str],
    ) -> Station {
        let (place, socket, actor) = settle(programs);
        // A limit is inherited, so somebody must set it in between.
        let limit = descriptors.map_or(String::new(), |limit| format!("ulimit -n {limit} && "));
        let mut daemon = Command::new("sh")
            .args(["-c", &format!("{limit}exec \"$0\" \"$@\"")])
            .arg(programs.daemon)
            .args(["serve", "--http=127.0.0.1:0", "--log-format=json"])
            .arg(format!("--vram={}B", pool.vram.get()))
            .arg(format!("--ram={}B", pool.ram.get()))
            .arg(format!("--backing={}", name_of(pool.backing)))
            .args(more)
            .arg("--socket")
            .arg(&socket)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program is there");
        let mut lines = BufReader::new(daemon.stderr.take().expect("it was asked for")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let http = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let http = served_at(&line);
            log.lock().expect("nobody panics with it").push(line);
            http
        });
        let http = http.unwrap_or_else(|| panic!("the daemon does not serve: {log:?}"));
        let keep = Arc::clone(&log);
        // Ends with the daemon, which would block if nobody read what it says.
        let _reader = thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| {
                keep.lock().expect("nobody panics with it").push(line);
            });
        });
        Station { service: Service::Process { daemon, log }, pool, socket, http, actor, place }
    }

    /// A new client process, not yet connected.
    #[must_use]
    pub fn actor(&self, user: User) -> Actor {
        Actor::start(&self.actor, user, self.pool.page_bytes)
    }

    /// A new client process, connected.
    #[must_use]
    #[track_caller]
    pub fn client(&self, user: User) -> Actor {
        self.client_who(user, Lost::Wait)
    }

    /// The same, that is prepared for the daemon's death.
    #[must_use]
    #[track_caller]
    pub fn client_who(&self, user: User, on_lost: Lost) -> Actor {
        let mut actor = self.actor(user);
        actor.connect(&self.socket, on_lost);
        actor
    }

    /// The size of the VRAM pool in bytes.
    #[must_use]
    pub fn vram(&self) -> u64 {
        self.pool.vram.get()
    }

    /// The page size of [`Actor::allocate`], in bytes.
    #[must_use]
    pub fn page_bytes(&self) -> u64 {
        self.pool.page_bytes
    }

    /// Where clients connect.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A path in a directory that every user may write to.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// What the daemon says now.
    #[must_use]
    #[track_caller]
    pub fn books(&self) -> Books {
        Books::read(self.http)
    }

    /// What is scraped from the daemon now.
    #[must_use]
    #[track_caller]
    pub fn metrics(&self) -> BTreeMap<String, u64> {
        books::metrics(self.http)
    }

    /// Waits until the books are as wished, and says how long that took.
    #[track_caller]
    pub fn wait_until(&self, what: &str, wish: impl Fn(&Books) -> bool) -> Duration {
        until(what, || wish(&self.books()).then_some(())).1
    }

    /// Bytes present in the files of all objects and in the store, as the kernel counts them.
    ///
    /// # Panics
    ///
    /// If the daemon is not embedded.
    #[must_use]
    #[track_caller]
    pub fn populated(&self) -> (u64, u64) {
        match &self.service {
            Service::Embedded(daemon) => daemon.populated_bytes().expect("files have a size"),
            Service::Process { .. } | Service::Stopped => panic!("no daemon in this process"),
        }
    }

    /// The daemon's process.
    ///
    /// # Panics
    ///
    /// If it has none of its own.
    #[must_use]
    #[track_caller]
    pub fn pid(&self) -> Pid {
        match &self.service {
            Service::Process { daemon, .. } => Pid::from_child(daemon),
            Service::Embedded(_) | Service::Stopped => panic!("the daemon has no process"),
        }
    }

    /// Descriptors that the daemon's process has open.
    #[must_use]
    #[track_caller]
    pub fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.pid().as_raw_nonzero());
        fs::read_dir(folder).expect("it lives").count()
    }

    /// What the daemon's process has said so far.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        match &self.service {
            Service::Process { log, .. } => log.lock().expect("nobody panics with it").clone(),
            Service::Embedded(_) | Service::Stopped => Vec::new(),
        }
    }

    /// Sends a signal to the daemon's process.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("it lives");
    }

    /// Stops the daemon's process; returns when every thread of it stands still.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let found = rustix::process::waitpid(Some(self.pid()), WaitOptions::UNTRACED);
        let (_, status) = found.expect("a child").expect("it was waited for");
        assert!(status.stopped(), "{status:?}");
    }

    /// Lets it go on after [`Station::freeze`].
    #[track_caller]
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Stops the daemon in order, and waits for its end.
    #[track_caller]
    pub fn stop(&mut self) {
        match std::mem::replace(&mut self.service, Service::Stopped) {
            Service::Embedded(daemon) => daemon.stop(),
            Service::Process { mut daemon, log } => {
                let pid = Pid::from_child(&daemon);
                rustix::process::kill_process(pid, Signal::TERM).expect("it lives");
                let ended = until("the daemon ends", || daemon.try_wait().expect("a child"));
                assert!(ended.0.success(), "{}: {log:?}", ended.0);
            }
            Service::Stopped => panic!("it has been stopped"),
        }
    }

    /// Kills the daemon's process, and waits for its end.
    #[track_caller]
    pub fn kill(&mut self) {
        match std::mem::replace(&mut self.service, Service::Stopped) {
            Service::Process { mut daemon, .. } => {
                daemon.kill().expect("it lives");
                daemon.wait().expect("a child");
            }
            Service::Embedded(_) | Service::Stopped => panic!("the daemon has no process"),
        }
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        match &mut self.service {
            Service::Process { daemon, log } => {
                // It may be dead already, of what the test was about.
                drop(daemon.kill());
                drop(daemon.wait());
                if thread::panicking() {
                    eprintln!("the daemon said: {log:#?}");
                }
            }
            Service::Embedded(_) | Service::Stopped => {}
        }
    }
}

/// A directory for everybody, the socket's path in it, and the actor's program, which must be
/// where nobody may look too.
fn settle(programs: &Programs) -> (TempDir, PathBuf, PathBuf) {
    let place = tempfile::Builder::new().prefix("bo-tests-").tempdir().expect("a directory");
    fs::set_permissions(place.path(), Permissions::from_mode(0o777)).expect("it is ours");
    let actor = place.path().join("actor");
    if fs::hard_link(programs.actor, &actor).is_err() {
        fs::copy(programs.actor, &actor).expect("room for a copy");
    }
    let socket = place.path().join("socket");
    (place, socket, actor)
}

fn name_of(backing: Backing) -> &'static str {
    match backing {
        Backing::Auto => "auto",
        Backing::Pages => "pages",
        Backing::Thp => "thp",
        Backing::Huge => "huge",
    }
}

/// The address of HTTP out of the line that says that the daemon serves.
fn served_at(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = &line["fields"];
    if fields["message"] != "serving" {
        return None;
    }
    fields["http"].as_str()?.strip_prefix("http://")?.parse().ok()
}
