//! The recording that a daemon makes of its faults, fills, evictions and frees.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use bo_core::journal::{HEADER_BYTES, Header, RECORD_BYTES, Record, What};
use bo_tests::{PAGE, Pool, Programs, Station, User, until};
use bo_units::ByteCount;

use crate::{PROGRAMS, SEED};

const POOL_KIB: u64 = 512;

/// What a recording adds up to, in pages and objects.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    faults: u64,
    filled: u64,
    evicted: u64,
    freed: u64,
    lost: u64,
    /// Bytes behind the last whole record.
    rest: usize,
}

fn read(path: &Path) -> (Header, Sums) {
    let bytes = fs::read(path).expect("the daemon has made it");
    let (header, records) = bytes.split_first_chunk::<HEADER_BYTES>().expect("a header");
    let header = Header::decode(header).expect("a header that can be read");
    let (records, rest) = records.as_chunks::<RECORD_BYTES>();
    let mut sums = Sums { rest: rest.len(), ..Sums::default() };
    for record in records {
        match Record::decode(record).expect("a record that can be read") {
            Record::Lost { events, .. } => sums.lost += events,
            Record::Event(event) => {
                let pages = u64::from(event.pages.count().get());
                match event.what {
                    What::Fault { .. } => sums.faults += 1,
                    What::Filled(_) => sums.filled += pages,
                    What::Evicted { .. } => sums.evicted += pages,
                    What::Freed => sums.freed += 1,
                }
            }
        }
    }
    (header, sums)
}

/// A file with nothing in it yet, beside the socket.
fn recording(place: &tempfile::TempDir) -> (std::path::PathBuf, String) {
    let path = place.path().join("recording");
    let flag = format!("--record={}", path.display());
    (path, flag)
}

fn place() -> tempfile::TempDir {
    tempfile::tempdir().expect("a place for a file")
}

/// A client that goes round four times the pool twice, and leaves.
fn work(station: &Station) {
    let mut actor = station.client(User::Root);
    let (_, mapping) = actor.allocate_and_map(4 * station.vram());
    actor.fill(mapping, SEED);
    actor.check(mapping, SEED);
}

#[test]
fn everything_that_is_counted_is_in_the_recording() {
    let place = place();
    let (path, flag) = recording(&place);
    let mut station = Station::process_with(&PROGRAMS, Pool::kib(POOL_KIB), &[&flag]);
    work(&station);
    station.wait_until("everything is given back", |books| {
        books.gauge("objects") == 0 && books.gauge("moves") == 0
    });
    let books = station.books();
    let count = |names: &[&str]| names.iter().map(|name| books.counter(name)).sum::<u64>();
    let counted = Sums {
        faults: count(&["faults_read", "faults_write", "faults_protect"]),
        filled: count(&["fills_zero_pages", "fills_same_pages", "fills_stored_pages"]),
        evicted: count(&["evictions_direct", "evictions_background"]),
        freed: count(&["frees"]),
        ..Sums::default()
    };
    let until_written = || {
        let metrics = station.metrics();
        assert_eq!(metrics["bo_recorded_events_total{result=\"lost\"}"], 0);
        assert_eq!(metrics["bo_record_errors_total"], 0);
        (metrics["bo_recorded_events_total{result=\"written\"}"] > counted.faults).then_some(())
    };
    until("the events are written", until_written);
    station.stop();
    let (header, sums) = read(&path);
    assert_eq!(sums, counted);
    assert!(sums.evicted * PAGE >= 3 * (POOL_KIB << 10), "{sums:?}");
    assert_eq!((header.pool, header.policy.as_str()), (ByteCount::kib(POOL_KIB), "lru"));
}

#[test]
fn what_a_killed_daemon_has_recorded_can_be_read() {
    let place = place();
    let (path, flag) = recording(&place);
    let mut station = Station::process_with(&PROGRAMS, Pool::kib(POOL_KIB), &[&flag]);
    work(&station);
    until("something is written", || {
        let len = fs::metadata(&path).expect("it was made").len();
        (len > 100 * RECORD_BYTES as u64).then_some(())
    });
    station.kill();
    let (_, sums) = read(&path);
    assert!(sums.faults > 0 && sums.rest < RECORD_BYTES, "{sums:?}");
}

#[test]
fn a_file_that_has_something_in_it_is_refused_and_left_alone() {
    let place = place();
    let (path, flag) = recording(&place);
    let socket = place.path().join("socket");
    fs::write(&path, "dear diary").expect("it is ours");
    let output = Command::new(PROGRAMS.daemon)
        .args(["serve", "--http=127.0.0.1:0", "--vram=1MiB", &flag, "--socket"])
        .arg(&socket)
        .output()
        .expect("the program is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("choose another file"), "{said}");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "dear diary");
    assert!(!socket.exists(), "nothing is left behind");
}

#[test]
fn a_full_disk_ends_the_recording_and_nothing_else() {
    let place = place();
    // The daemon sees a file system of 64 KiB there, and nobody else does.
    let script = place.path().join("cramped");
    let (shown, daemon) = (place.path().display(), PROGRAMS.daemon);
    let mount = format!("mount -t tmpfs -o size=64k tmpfs {shown}/disk");
    let text =
        format!("#!/bin/sh\nexec unshare -m sh -c '{mount} && exec {daemon} \"$@\"' - \"$@\"");
    fs::create_dir(place.path().join("disk")).expect("it is ours");
    fs::write(&script, text).expect("it is ours");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let script = script.to_str().expect("an ordinary name").to_owned();
    let programs = Programs { daemon: Box::leak(script.into_boxed_str()), ..PROGRAMS };
    let flag = format!("--record={shown}/disk/recording");
    let station = Station::process_with(&programs, Pool::kib(POOL_KIB), &[&flag]);
    work(&station);
    until("the disk is full", || {
        work(&station);
        (station.metrics()["bo_record_errors_total"] == 1).then_some(())
    });
    let lost = || station.metrics()["bo_recorded_events_total{result=\"lost\"}"];
    let before = lost();
    assert!(before > 0);
    assert!(station.log().iter().any(|line| line.contains("the recording ends here")));
    work(&station);
    assert_eq!(lost(), before, "nothing is recorded any more");
}
