//! Real input: the largest files of a directory, and the pool that goes with them.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bo_units::ByteCount;

use crate::cli::DemoArgs;

/// The data is this many times the pool.
pub(crate) const OVERSUBSCRIBED: u64 = 3;

/// A smaller pool shows nothing, a larger one takes patience.
const POOL_MIN: ByteCount = ByteCount::mib(4);
const POOL_MAX: ByteCount = ByteCount::mib(256);

/// Each file is an object with a descriptor in three processes.
const FILES_MAX: usize = 512;

/// A directory tree deeper than this is a loop of some kind.
const DEPTH_MAX: u32 = 32;

/// What the demonstration loads, and into how small a pool.
pub(crate) struct Input {
    pub(crate) folder: PathBuf,
    pub(crate) files: Vec<InputFile>,
    pub(crate) pool: ByteCount,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

impl Input {
    /// Looks for files until they are three times the pool.
    ///
    /// # Errors
    ///
    /// When the directory holds too little to fill a pool.
    pub(crate) fn find(args: &DemoArgs) -> Result<Input> {
        let folder = args.input.clone().unwrap_or_else(default_folder);
        let mut found = Vec::new();
        walk(&folder, DEPTH_MAX, &mut found)
            .with_context(|| format!("cannot look into {}", folder.display()))?;
        let wanted = args.vram.unwrap_or(POOL_MAX).get().saturating_mul(OVERSUBSCRIBED);
        let files = choose(found, wanted);
        let bytes = total(&files);
        let pool = match args.vram {
            Some(pool) => pool,
            None => pool_for(bytes),
        };
        ensure!(
            pool.get().max(POOL_MIN.get()) <= bytes,
            "cannot fill a pool of {} with {}: its files hold {bytes} B; say --input DIR",
            pool.max(POOL_MIN),
            folder.display(),
        );
        Ok(Input { folder, files, pool })
    }

    pub(crate) fn bytes(&self) -> u64 {
        total(&self.files)
    }
}

fn total(files: &[InputFile]) -> u64 {
    files.iter().map(|file| file.bytes).sum()
}

/// A third of the data in whole MiB, within bounds.
fn pool_for(bytes: u64) -> ByteCount {
    let third = bytes / OVERSUBSCRIBED / ByteCount::MIB.get();
    ByteCount::mib(third).clamp(POOL_MIN, POOL_MAX)
}

/// The largest files, until they are `wanted` bytes together. The last one may go past it. Files
/// of an eighth of that and more come last: many objects show more than a few huge ones.
fn choose(mut found: Vec<InputFile>, wanted: u64) -> Vec<InputFile> {
    let order = |file: &InputFile| (wanted / 8 <= file.bytes, Reverse(file.bytes));
    found.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.path.cmp(&b.path)));
    let mut sum = 0;
    let chosen = found.into_iter().take(FILES_MAX).take_while(|file| {
        let more = sum < wanted;
        sum += file.bytes;
        more
    });
    chosen.collect()
}

/// Every readable file that is not empty. What may not be opened is passed over.
fn walk(folder: &Path, depth_left: u32, found: &mut Vec<InputFile>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && 0 < depth_left {
            // A directory below that is closed to us is not ours to complain about.
            drop(walk(&entry.path(), depth_left - 1, found));
        }
        let Ok(bytes) = entry.metadata().map(|metadata| metadata.len()) else {
            continue;
        };
        if kind.is_file() && 0 < bytes && File::open(entry.path()).is_ok() {
            found.push(InputFile { path: entry.path(), bytes });
        }
    }
    Ok(())
}

/// The libraries of the Rust toolchain, else those of the system.
fn default_folder() -> PathBuf {
    toolchain_libraries().unwrap_or_else(|| PathBuf::from("/usr/lib"))
}

fn toolchain_libraries() -> Option<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    let libraries = Path::new(sysroot.trim()).join("lib");
    (output.status.success() && libraries.is_dir()).then_some(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: u64) -> InputFile {
        InputFile { path: name.into(), bytes }
    }

    #[test]
    fn the_largest_files_are_chosen_until_there_is_enough() {
        let found = vec![file("a", 10), file("b", 50), file("c", 20), file("d", 5)];
        assert_eq!(choose(found, 500), [file("b", 50), file("c", 20), file("a", 10), file("d", 5)]);
        let found = vec![file("a", 10), file("b", 11), file("c", 9)];
        assert_eq!(choose(found, 100), [file("b", 11), file("a", 10), file("c", 9)]);
    }

    #[test]
    fn a_huge_file_is_chosen_only_if_the_others_are_too_few() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let small: Vec<InputFile> = names.map(|name| file(name, 12)).into();
        let all = [vec![file("huge", 900)], small.clone()].concat();
        assert_eq!(choose(all.clone(), 110), small);
        assert_eq!(choose(all, 200).last(), Some(&file("huge", 900)));
    }

    #[test]
    fn the_pool_is_a_third_within_bounds() {
        assert_eq!(pool_for(515 << 20), ByteCount::mib(171));
        assert_eq!(pool_for(1 << 20), POOL_MIN);
        assert_eq!(pool_for(90 << 30), POOL_MAX);
    }

    #[test]
    fn files_are_found_below_the_folder_and_links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a temporary directory can be used");
        fs::create_dir(folder.path().join("sub")).expect("a temporary directory can be used");
        fs::write(folder.path().join("sub/deep"), b"123")
            .expect("a temporary directory can be used");
        fs::write(folder.path().join("empty"), b"").expect("a temporary directory can be used");
        std::os::unix::fs::symlink("sub", folder.path().join("link"))
            .expect("a temporary directory can be used");
        let mut found = Vec::new();
        walk(folder.path(), DEPTH_MAX, &mut found).expect("a temporary directory can be used");
        assert_eq!(found, [InputFile { path: folder.path().join("sub/deep"), bytes: 3 }]);
    }

    #[test]
    fn an_empty_folder_cannot_fill_a_pool() {
        let folder = tempfile::tempdir().expect("a temporary directory can be used");
        let input = Some(folder.path().to_owned());
        let args = DemoArgs { input, storm: std::time::Duration::from_secs(1), vram: None };
        assert!(Input::find(&args).is_err());
    }
}
