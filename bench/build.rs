//! Tells the program which commit it was built from, for its reports.

use std::path::Path;
use std::process::Command;

/// Grows with every commit and checkout.
const HEAD_LOG: &str = "../.git/logs/HEAD";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if Path::new(HEAD_LOG).exists() {
        println!("cargo::rerun-if-changed={HEAD_LOG}");
    }
    println!("cargo::rustc-env=BO_COMMIT={}", commit().unwrap_or_else(|| "unknown".to_owned()));
}

/// `None` outside of a git checkout.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
