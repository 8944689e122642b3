//! Each scenario for a blink, with real processes and a real daemon, so that none of them rots.
//!
//! They need the right to userfaultfd, as root has, and fail without it.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

/// Keys that readers of the JSON rely on.
const STABLE_KEYS: [&str; 31] = [
    "/calibration/memcpy_gbps",
    "/calibration/pingpong_same_cpu_us",
    "/calibration/pingpong_cross_cpu_us",
    "/calibration/first_touch_us",
    "/calibration/minor_fault_us",
    "/faults",
    "/fault_us/p50",
    "/fault_us/p90",
    "/fault_us/p99",
    "/fault_us/p999",
    "/fault_us/max",
    "/fault_us/mean",
    "/op_us/p50",
    "/op_us/p90",
    "/op_us/p99",
    "/op_us/p999",
    "/op_us/max",
    "/op_us/mean",
    "/hit_ns",
    "/plain_hit_ns",
    "/fill_gbps",
    "/evict_gbps",
    "/write_sweep_gbps",
    "/read_sweep_gbps",
    "/evictions",
    "/evicted_bytes",
    "/bytes_verified",
    "/mismatches",
    "/vram_capacity",
    "/vram_peak",
    "/throughput_ops_per_s",
];

fn bench(words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bo-bench"));
    command.args(words.split_whitespace()).output().expect("the bench can be started")
}

/// Runs briefly in a small pool and returns the figures of a clean run.
#[track_caller]
fn check_run(words: &str) -> Value {
    let output = bench(&format!("run --short --vram 4MiB --json - {words}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {complaint}");
    let figures: Value = serde_json::from_slice(&output.stdout).expect("the figures are JSON");
    assert_eq!(figures["mismatches"], 0);
    let (data, sweep) = (&figures["settings"]["data_bytes"], &figures["settings"]["sweep_bytes"]);
    let expected = data.as_u64().zip(sweep.as_u64()).map(|(data, sweep)| data + sweep);
    assert!(expected <= figures["bytes_verified"].as_u64(), "{words}: not every byte was checked");
    assert!(figures["vram_peak"].as_u64() <= figures["vram_capacity"].as_u64(), "{words}");
    figures
}

#[test]
fn a_run_gives_every_stable_key() {
    let figures = check_run("--ops 3000 --page-size 4KiB");
    for key in STABLE_KEYS {
        assert!(figures.pointer(key).is_some(), "{key} is missing");
    }
    assert!(figures["settings"].is_object());
    assert!(figures["machine"].is_object());
}

#[test]
fn a_run_over_twice_the_pool_faults_and_evicts() {
    let figures = check_run("--ops 3000 --page-size 4KiB --write-ratio 1");
    assert!(figures["faults"].as_u64() > Some(0));
    assert!(figures["evictions"].as_u64() > Some(0));
    assert_eq!(figures["writes"], 3000);
}

#[test]
fn clients_and_threads_share_the_operations() {
    let figures = check_run("--ops 4001 --clients 3 --threads 2 --objects 2 --pattern zipf:0.99");
    assert_eq!(figures["ops"], 4001);
}

#[test]
fn whole_cells_are_rewritten_in_sequence() {
    let figures = check_run("--ops 3000 --access-bytes 4096 --pattern seq --page-size 64KiB");
    assert_eq!(figures["page_bytes"], 65536);
}

#[test]
fn several_clients_are_compared_with_one() {
    let figures = check_run("--duration 100ms --clients 2 --against-one");
    assert!(figures["one_client"]["throughput_ops_per_s"].as_f64() > Some(0.0));
    assert!(figures["ratios"]["clients_to_one"].is_number());
}

#[test]
fn a_run_cannot_use_a_daemon_that_is_not_there() {
    let output = bench("run --short --connect /nonexistent/socket --http 127.0.0.1:9");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--http"));
}

#[test]
fn the_demonstration_is_right_about_any_files() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    for number in 0..7u8 {
        let bytes: Vec<u8> =
            (0..=250u8).cycle().map(|byte| byte ^ number).take(2_500_001).collect();
        let path = folder.path().join(format!("file-{number}"));
        fs::write(path, bytes).expect("a temporary file can be written");
    }
    let output = bench(&format!("--storm 200ms --input {}", folder.path().display()));
    let story = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{story}{}", String::from_utf8_lossy(&output.stderr));
    assert!(story.contains("Every byte was right"), "{story}");
}
