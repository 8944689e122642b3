//! The rules of the house, as tests. A failure says what to do instead.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The floors of ARCHITECTURE.md. Dependencies go down only.
const FLOORS: [(&str, u32); 9] = [
    ("bo-units", 0),
    ("userfaultfd-sys", 0),
    ("bo-wire", 1),
    ("bo-sys", 1),
    ("bo-core", 1),
    ("bo-client", 2),
    ("bo-manager", 3),
    ("bo-bench", 4),
    ("bo-tests", 4),
];

/// Tests may be long stories, but not long files.
const FILE_LINES_MAX: usize = 400;

const LINE_COLUMNS_MAX: usize = 100;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is in the workspace").to_owned()
}

/// Every Rust source of the workspace.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for part in ["client-lib", "bo-manager", "bench", "tests"] {
        collect(&root().join(part), &mut found);
    }
    assert!(found.len() > 50, "the sources are where they are expected");
    found
}

fn collect(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(directory).expect("a folder of the workspace") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source is text");
            found.push((path, text));
        }
    }
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

#[test]
fn no_crate_depends_on_its_own_floor_or_a_higher_one() {
    let floors: BTreeMap<&str, u32> = FLOORS.into_iter().collect();
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    assert_eq!(packages.len(), FLOORS.len(), "a new crate: give it a floor here");
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let floor = floors[name];
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let below = dependency["name"].as_str().expect("a name");
            if let Some(other) = floors.get(below) {
                assert!(
                    *other < floor,
                    "{name} (floor {floor}) must not depend on {below} (floor {other}): move what \
                     they share further down"
                );
            }
        }
    }
}

#[test]
fn the_required_packages_are_dependencies() {
    let metadata = metadata();
    let all: Vec<&str> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .flat_map(|package| package["dependencies"].as_array().expect("dependencies"))
        .filter_map(|dependency| dependency["name"].as_str())
        .collect();
    for required in ["memmap2", "userfaultfd", "slab", "dashmap", "prometheus", "axum"] {
        assert!(all.contains(&required), "{required} is part of the product's card");
    }
}

#[test]
fn unsafe_code_is_allowed_only_where_a_reason_stands_above_it() {
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            if !line.trim_start().starts_with("#![expect(unsafe_code")
                && !line.trim_start().starts_with("#![allow(unsafe_code")
            {
                continue;
            }
            let above = &lines[number.saturating_sub(6)..number];
            assert!(
                above.iter().any(|line| line.contains("UNSAFETY:")),
                "{}:{}: say under `// UNSAFETY:` what cannot be done otherwise",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn every_module_says_what_it_is_on_its_first_line() {
    for (path, text) in sources() {
        assert!(
            text.starts_with("//!"),
            "{}: begin with a `//!` line that says in one sentence what this module does",
            path.display()
        );
    }
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(
            lines <= FILE_LINES_MAX,
            "{}: {lines} lines; split it by what a reader looks for",
            path.display()
        );
    }
}

#[test]
fn no_line_is_wider_than_the_limit() {
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            assert!(
                line.chars().count() <= LINE_COLUMNS_MAX,
                "{}:{}: wider than {LINE_COLUMNS_MAX} columns",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn no_test_is_ignored() {
    let attribute = format!("#[{}", "ignore");
    for (path, text) in sources() {
        assert!(
            !text.contains(&attribute),
            "{}: a test that does not run proves nothing; mend it or remove it",
            path.display()
        );
    }
}

/// The names between quotes that begin as metrics do.
fn metric_names(text: &str) -> Vec<String> {
    text.split('"')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            word.starts_with("bo_") && word.chars().all(|c| c.is_alphanumeric() || c == '_')
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect(path);
    let mut exported = metric_names(&read("bo-manager/src/http/metrics.rs"));
    exported.extend(metric_names(&read("bo-manager/src/http/metrics/link.rs")));
    exported.extend(metric_names(&read("bo-manager/src/http/metrics/ahead.rs")));
    exported.extend(metric_names(&read("bo-manager/src/http/metrics/moves.rs")));
    exported.extend(metric_names(&read("bo-manager/src/http/metrics/orders.rs")));
    exported.extend(metric_names(&read("bo-manager/src/link/numbers.rs")));
    exported.extend(metric_names(&read("bo-manager/src/timings.rs")));
    let page = read("dashboards/METRICS.md");
    for name in &exported {
        assert!(page.contains(&format!("`{name}`")), "dashboards/METRICS.md lacks {name}");
    }
    for word in page.split('`').skip(1).step_by(2).filter(|word| word.starts_with("bo_")) {
        assert!(exported.iter().any(|name| name == word), "{word} is documented, not exported");
    }
}
