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

/// What a run that succeeded printed on its standard output.
#[track_caller]
fn figures(output: &Output, words: &str) -> Value {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {complaint}");
    serde_json::from_slice(&output.stdout).expect("the figures are JSON")
}

/// Runs briefly in a small pool and returns the figures of a clean run.
#[track_caller]
fn check_run(words: &str) -> Value {
    let output = bench(&format!("run --short --vram 4MiB --json - {words}"));
    let figures = figures(&output, words);
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
fn every_profile_is_listed_in_one_line() {
    let output = bench("profiles");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    for name in ["sweep", "uniform", "zipf", "thrash", "storm", "many-objects", "many-clients"] {
        let lines = text.lines().filter(|line| line.starts_with(&format!("{name} ")));
        assert_eq!(lines.count(), 1, "{name} in {text}");
    }
}

#[test]
fn many_threads_on_one_page_take_one_fill() {
    let figures = check_run("--profile storm --ops 1000");
    let rush = &figures["rush"];
    assert_eq!((&rush["threads"], &rush["errors"]), (&64.into(), &0.into()));
    let least = rush["rounds"].as_u64();
    let most = least.zip(rush["evictions"].as_u64()).map(|(rounds, again)| rounds + again);
    assert!(least <= rush["fills"].as_u64() && rush["fills"].as_u64() <= most, "{rush}");
}

#[test]
fn flags_beside_a_profile_win_and_the_daemon_takes_its_own() {
    let figures = check_run(
        "--profile many-objects --objects 300 --fault-around 0B --oversubscribe 1.5 --ops 2000",
    );
    assert_eq!(figures["settings"]["objects"], 300);
    assert_eq!(figures["settings"]["profile"], "many-objects");
    let daemon = figures["settings"]["daemon"].as_str().expect("a daemon of our own");
    assert!(daemon.contains("fault_around: ByteCount(0)"), "{daemon}");
}

#[test]
fn two_settings_are_compared_in_turn() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bo-bench"));
    command.args(["compare", "--a", "--page-size 4KiB", "--b", "--page-size 64KiB"]);
    command.args(["--rounds", "2", "--json", "-", "--"]);
    command.args(["--short", "--vram", "4MiB", "--ops", "500"]);
    let output = command.output().expect("the bench can be started");
    let figures = figures(&output, "compare");
    assert_eq!((&figures["rounds"], &figures["mismatches"]), (&2.into(), &0.into()));
    let throughput = &figures["figures"]["throughput_ops_per_s"];
    for side in ["a", "b", "ratio"] {
        assert_eq!(throughput[side]["samples"], 2, "{throughput}");
    }
}

#[test]
fn a_comparison_of_nonsense_is_refused_before_anything_runs() {
    let output = bench("compare --a --page-size=5KiB --rounds 1");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("side A"));
}

#[test]
fn bars_are_a_table_with_required_and_reached() {
    let output = bench("bars --quick --only rush --json -");
    let figures = figures(&output, "bars");
    let bars = figures["bars"].as_array().expect("a list of bars");
    let errors = bars.iter().find(|bar| bar["id"] == "rush_errors").expect("this bar");
    assert_eq!((&errors["reached"], &errors["met"]), (&0.0.into(), &true.into()));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("required"), "{complaint}");
}

#[test]
fn data_that_fits_is_not_compared_with_swap() {
    let output = bench("peer zram --data 1MiB --fast 2MiB");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("more than --fast"));
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
