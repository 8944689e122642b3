//! The policy laboratory from the command line: what it prints, what it refuses, and how it replays
//! what a daemon has recorded. The last needs the right to userfaultfd, as root has.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bo_core::policy::NAMES;
use bo_manager::{Config, Daemon, PrefetchMode, UserModeOnly};
use bo_units::ByteCount;
use serde_json::Value;

fn policy(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bo-bench"));
    command.arg("policy").args(words).output().expect("the bench can be started")
}

#[track_caller]
fn figures(words: &[&str]) -> Value {
    let output = policy(&[words, &["--json", "-"]].concat());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {complaint}");
    serde_json::from_slice(&output.stdout).expect("the figures are JSON")
}

#[track_caller]
fn refused(words: &[&str], advice: &str) {
    let output = policy(words);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{words:?} was taken");
    assert!(complaint.contains(advice), "{words:?}: {complaint}");
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().expect("a place for files"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).to_str().expect("an ordinary name").to_owned()
    }

    /// A trace of a few thousand accesses in libCacheSim's format.
    fn trace(&self) -> String {
        let name = self.name("trace");
        let words = ["--scenario", "mix", "--pages", "800", "--write-trace", &name];
        assert!(policy(&words).status.success());
        name
    }
}

#[test]
fn a_trace_gives_figures_for_every_policy_pool_and_view() {
    let files = Files::new();
    let trace = files.trace();
    let report = figures(&["--trace", &trace, "--pool", "10%", "--pool", "100p"]);
    let head = &report["traces"][0]["trace"];
    assert_eq!((&head["kind"], &head["accesses"]), (&"oracle-general".into(), &16_000.into()));
    let pools = report["traces"][0]["pools"].as_array().expect("a list");
    assert_eq!(pools.len(), 2);
    for pool in pools {
        let runs = pool["runs"].as_array().expect("a list");
        assert_eq!(runs.len(), 2 * NAMES.len());
        let number = |value: &Value, key: &str| value[key].as_u64().expect("a number");
        let optimum = &pool["optimum"];
        let frames = number(pool, "bytes") / 4096;
        for run in runs {
            let misses = number(run, "misses");
            assert!(number(optimum, "misses") <= misses, "{run} beats the optimum");
            assert_eq!(number(run, "evictions"), misses - frames, "one for each miss: {run}");
            assert_eq!(number(run, "refaults"), misses - number(head, "pages"));
            assert_eq!(number(run, "moved_bytes"), misses * 4096, "it only reads");
        }
    }
    assert_eq!(report["bars"], Value::Null);
}

#[test]
fn a_scenario_that_writes_moves_what_it_has_written() {
    let report = figures(&["--scenario", "uniform", "--pages", "800", "--policy", "lru"]);
    let pools = report["traces"][0]["pools"].as_array().expect("a list");
    let labels: Vec<_> = pools.iter().map(|pool| pool["pool"].as_str().expect("text")).collect();
    assert_eq!(labels, ["5%", "10%", "30%", "400p"], "1 % is fewer than sixteen pages");
    for run in pools.iter().flat_map(|pool| pool["runs"].as_array().expect("a list")) {
        // Every access writes, so that every eviction copies.
        let bytes = run["evictions"].as_u64().map(|evictions| evictions * 4096);
        assert_eq!(run["dirty_bytes"].as_u64(), bytes);
    }
}

#[test]
fn the_table_and_the_picture_name_every_policy() {
    let files = Files::new();
    let (trace, svg) = (files.trace(), files.name("picture.svg"));
    let output = policy(&["--trace", &trace, "--svg", &svg]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    let picture = fs::read_to_string(&svg).expect("it was drawn");
    assert!(table.contains("optimum") && picture.starts_with("<svg"));
    for name in NAMES {
        assert!(table.contains(name) && picture.contains(name), "{name}");
    }
}

#[test]
fn bars_are_measured_if_there_is_something_to_compare() {
    let files = Files::new();
    let trace = files.trace();
    let words = ["--trace", &trace, "--bars", "--pages", "600", "--limit", "6000", "--json", "-"];
    let output = policy(&words);
    let report: Value = serde_json::from_slice(&output.stdout).expect("the figures are JSON");
    if NAMES.len() == 1 {
        assert_eq!(report["bars"], Value::Null);
        assert!(String::from_utf8_lossy(&output.stderr).contains("nothing to compare"));
        return;
    }
    let bars = &report["bars"];
    assert_eq!(bars["policy"].as_str(), NAMES.last().copied());
    assert_eq!(bars["met"], output.status.success());
    for (list, least) in [("pools", 3), ("scenarios", 10), ("scans", 4)] {
        let lines = bars[list].as_array().expect("a list");
        assert!(lines.len() >= least && lines.iter().all(|line| line["met"].is_boolean()));
    }
}

#[test]
fn nonsense_is_refused_with_what_to_do() {
    let files = Files::new();
    let trace = files.trace();
    for name in NAMES {
        refused(&["--trace", &trace, "--policy", "oracle"], name);
    }
    refused(&["--trace", &trace, "--pool", "0p"], "holds no page");
    refused(&["--trace", &trace, "--pool", "15p"], "at least 16 must fit");
    refused(&["--trace", &trace, "--pool", "1GB"], "GiB");
    refused(&["--trace", &trace, "--limit", "0"], "--limit");
    refused(&["--trace", &files.name("nowhere")], "nowhere");
    refused(&["--trace", &trace, "--scenario", "mix"], "cannot be used with");
    refused(&["--scenario", "nap"], "scan-then-hot");
    refused(&[], "--scenario");
    refused(&["--scenario", "zipf", "--bars"], "cannot be used with");
    refused(&["--bars"], "--trace");
    let empty = files.name("empty");
    fs::write(&empty, "").expect("it is ours");
    refused(&["--trace", &empty], "is empty");
    let text = files.name("text");
    fs::write(&text, "once upon a time there was a trace, and it had no accesses at all")
        .expect("it is ours");
    refused(&["--trace", &text], "is no trace");
    refused(&["--scenario", "zipf", "--svg", "/nowhere/picture.svg"], "cannot write /nowhere");
}

/// Records a daemon under pressure.
fn record(path: &Path) {
    let folder = tempfile::tempdir().expect("a place for a socket");
    let config = Config {
        http: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        record: Some(path.to_owned()),
        fault_around: ByteCount::ZERO,
        prefetch: PrefetchMode::None,
        user_mode_only: UserModeOnly::Accept,
        ..Config::new(ByteCount::mib(4), ByteCount::mib(64), folder.path().join("socket"))
    };
    let daemon = Daemon::start(config).expect("this host can run a daemon");
    let http = daemon.http_address().expect("it was asked for").to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bo-bench"));
    command.args(["run", "--short", "--profile", "zipf", "--ops", "20000", "--connect"]);
    command.arg(daemon.socket_path()).args(["--http", &http, "--json", "-"]);
    let output = command.output().expect("the bench can be started");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    daemon.stop();
}

#[test]
fn a_daemon_under_pressure_is_recorded_and_replayed() {
    let files = Files::new();
    let (path, name) = (files.path("recording"), files.name("recording"));
    record(&path);
    let report = figures(&["--trace", &name]);
    let (head, pools) = (&report["traces"][0]["trace"], &report["traces"][0]["pools"]);
    let recorded = &head["recorded"];
    assert_eq!((&head["kind"], &recorded["policy"]), (&"recording".into(), &"lru".into()));
    assert_eq!(recorded["pool_bytes"], 4 << 20);
    let number = |value: &Value| value.as_u64().expect("a number");
    let misses = number(&recorded["misses"]);
    assert!(0 < misses && misses <= number(&recorded["faults"]), "{recorded}");
    assert!(0 < number(&recorded["evictions"]) && 0 < number(&recorded["freed"]), "{recorded}");
    let labels: Vec<_> = (0..3).map(|at| pools[at]["pool"].clone()).collect();
    assert_eq!(labels, ["50%", "100%", "200%"], "of the pool that was recorded");
    let replayed = |at: usize| {
        let runs = pools[at]["runs"].as_array().expect("a list");
        let lru = runs.iter().find(|run| run["policy"] == "lru").expect("it is there");
        assert_eq!(lru["view"], "faults");
        number(&lru["misses"])
    };
    // Nothing is reclaimed ahead of need in a replay, so it cannot miss more often.
    assert!(replayed(2) <= replayed(1) && replayed(1) <= misses, "{pools}");
    assert!(replayed(0) <= number(&head["accesses"]));

    let output = policy(&["--trace", &name]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("what hit is not in it") && text.contains("x recorded"), "{text}");
    refused(&["--trace", &name, "--view", "all"], "which has only faults");

    // A daemon that is killed leaves part of a record.
    let bytes = fs::read(&path).expect("it was recorded");
    let cut = files.name("cut");
    fs::write(&cut, &bytes[..bytes.len() - 7]).expect("it is ours");
    let output = policy(&["--trace", &cut]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("NOTICE: it ends in the middle"), "{text}");
    assert_eq!(figures(&["--trace", &cut])["traces"][0]["trace"]["recorded"]["cut_bytes"], 29);

    // Another version of the format, and a damaged record.
    for (at, byte, advice) in [(8, 9, "version 9"), (80, 99, "record 0")] {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        let damaged = files.name("damaged");
        fs::write(&damaged, &bytes).expect("it is ours");
        refused(&["--trace", &damaged], advice);
    }
}
