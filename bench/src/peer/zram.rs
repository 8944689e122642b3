//! One zram device of our own, in use as swap, and gone afterwards.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bo_sys::swap::{SWAP_PRIORITY_MAX, swap_off, swap_on};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::peer::swap_header;

const CONTROL: &str = "/sys/class/zram-control";

/// Others, such as udev, may look at a new device for a moment: how often, and how long between.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// A device, and how much of it has been set up. It stays until [`Zram::remove`].
#[derive(Debug)]
pub(super) struct Zram {
    number: u32,
    node: PathBuf,
    /// We made the node, because nobody else did.
    node_is_ours: bool,
    in_use: bool,
}

/// What is in the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) bytes: u64,
    pub(super) compressed_bytes: u64,
}

impl Zram {
    /// Adds a device to the machine.
    ///
    /// # Errors
    ///
    /// When the kernel gives none, or no node for it can be made.
    pub(super) fn add() -> Result<Zram> {
        let text = fs::read_to_string(format!("{CONTROL}/hot_add"));
        let text = text.context("cannot add a zram device")?;
        let number = text.trim().parse().context("the kernel's number of the new zram device")?;
        let node = PathBuf::from(format!("/dev/zram{number}"));
        let mut zram = Zram { number, node, node_is_ours: false, in_use: false };
        if let Err(error) = zram.make_node() {
            zram.remove().context("after no node could be made for the zram device")?;
            return Err(error);
        }
        Ok(zram)
    }

    fn make_node(&mut self) -> Result<()> {
        for _ in 0..5 {
            if self.node.exists() {
                return Ok(());
            }
            // A /dev that the kernel or udev keeps has it in a moment, any other never.
            thread::sleep(PAUSE);
        }
        let text = self.read("dev")?;
        let (major, minor) = text.split_once(':').context("a device number has two parts")?;
        let device = makedev(major.parse()?, minor.parse()?);
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, &self.node, FileType::BlockDevice, mode, device)
            .with_context(|| format!("cannot make {}", self.node.display()))?;
        self.node_is_ours = true;
        Ok(())
    }

    /// Makes it a swap area of `bytes`, preferred to all others.
    ///
    /// # Errors
    ///
    /// When the device or the kernel refuses.
    pub(super) fn swap_on(&mut self, bytes: u64) -> Result<()> {
        self.write("disksize", &bytes.to_string())?;
        let header = swap_header::header(bytes, *b"bo-bench-zram-00");
        let header = header.with_context(|| format!("{bytes} bytes make no swap area"))?;
        let node = self.node.display();
        let mut device = OpenOptions::new().write(true).open(&self.node);
        let device = device.as_mut().map_err(|error| anyhow::anyhow!("{node}: {error}"))?;
        let written = device.write_all(&header).and_then(|()| device.sync_all());
        written.with_context(|| format!("cannot write a swap header to {node}"))?;
        swap_on(&self.node, SWAP_PRIORITY_MAX).with_context(|| format!("cannot swap to {node}"))?;
        self.in_use = true;
        Ok(())
    }

    /// The compressor in force, such as `lzo-rle`.
    pub(super) fn algorithm(&self) -> Result<String> {
        Ok(chosen(&self.read("comp_algorithm")?).to_owned())
    }

    pub(super) fn stored(&self) -> Result<Stored> {
        stored(&self.read("mm_stat")?).context("the kernel's statistics of the zram device")
    }

    /// Stops swapping to it and takes it off the machine. What is swapped out must be few bytes
    /// by now: its owner is gone.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; the message says what stays behind.
    pub(super) fn remove(mut self) -> Result<()> {
        let node = self.node.display().to_string();
        if self.in_use {
            swap_off(&self.node).with_context(|| format!("{node} stays in use as swap"))?;
            self.in_use = false;
        }
        let removed = patiently(|| {
            self.write("reset", "1")?;
            write_to(Path::new(CONTROL).join("hot_remove"), &self.number.to_string())
        });
        removed.with_context(|| format!("{node} stays on the machine"))?;
        if self.node_is_ours {
            fs::remove_file(&self.node).with_context(|| format!("{node} stays in /dev"))?;
        }
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(&format!("/sys/block/zram{}", self.number)).join(name)
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.file(name);
        let text = fs::read_to_string(&path);
        Ok(text.with_context(|| format!("cannot read {}", path.display()))?.trim().to_owned())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        write_to(self.file(name), text)
    }
}

/// Writes to a file of the kernel's.
pub(super) fn write_to(path: PathBuf, text: &str) -> Result<()> {
    ensure!(path.exists(), "there is no {}", path.display());
    fs::write(&path, text).with_context(|| format!("cannot write {text:?} to {}", path.display()))
}

/// Does something again while it fails, for a few seconds.
pub(super) fn patiently<T>(mut work: impl FnMut() -> Result<T>) -> Result<T> {
    let mut result = work();
    for _ in 1..TRIES {
        if result.is_ok() {
            break;
        }
        thread::sleep(PAUSE);
        result = work();
    }
    result
}

/// The word in brackets, out of all there are.
fn chosen(algorithms: &str) -> &str {
    let inside = algorithms.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(algorithms, |(chosen, _)| chosen)
}

/// The first two numbers of `mm_stat`.
fn stored(mm_stat: &str) -> Option<Stored> {
    let mut numbers = mm_stat.split_whitespace().map(str::parse);
    let (bytes, compressed_bytes) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(Stored { bytes, compressed_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compressor_in_force_is_the_one_in_brackets() {
        assert_eq!(chosen("lzo-rle [lz4] zstd"), "lz4");
        assert_eq!(chosen("lzo"), "lzo");
    }

    #[test]
    fn statistics_begin_with_what_is_stored() {
        let text = "  4096   74 12288 0 12288 0 0 0 0";
        assert_eq!(stored(text), Some(Stored { bytes: 4096, compressed_bytes: 74 }));
        assert_eq!(stored("4096"), None);
        assert_eq!(stored("x y"), None);
    }

    #[test]
    fn a_file_of_the_kernel_that_is_not_there_is_not_made() {
        let path = std::env::temp_dir().join("bo-bench-no-such-file-of-the-kernel");
        assert!(write_to(path.clone(), "1").is_err());
        assert!(!path.exists());
    }
}
