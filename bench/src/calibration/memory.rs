//! Copying, and the kernel's own page faults on an ordinary memfd.

use std::hint::black_box;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use bo_sys::mapping::{ClientMapping, Sharing};
use bo_sys::memfd::ObjectFile;

use crate::sizes;

/// Far larger than any cache, so that memory is what is measured.
const COPY_BYTES: usize = 64 << 20;

const PAGE_BYTES: usize = 4096;
const BLOCK_PAGES: usize = 256;

/// An ordinary memfd, mapped exactly as an object is: what a mapping costs without a manager.
pub(crate) struct PlainMemory {
    file: ObjectFile,
    mapping: ClientMapping,
}

impl PlainMemory {
    /// Maps `bytes` of a new memfd at an address aligned to `alignment`.
    ///
    /// # Errors
    ///
    /// When the host has no memory or no address space left.
    pub(crate) fn new(bytes: u64, alignment: u64) -> Result<PlainMemory> {
        let file = ObjectFile::create("bo-bench plain", bytes);
        let file = file.with_context(|| format!("cannot make an ordinary memfd of {bytes} B"))?;
        let mapping = map(&file, bytes, alignment)?;
        Ok(PlainMemory { file, mapping })
    }

    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.mapping.atomic_u8s().expect("the mapping was opened for writing")
    }
}

fn map(file: &ObjectFile, bytes: u64, alignment: u64) -> Result<ClientMapping> {
    let mapping = ClientMapping::reserve(file.as_fd(), 0, bytes, alignment, Sharing::Shared);
    let mut mapping = mapping.context("cannot map an ordinary memfd")?;
    mapping.open(true).context("cannot open an ordinary mapping")?;
    Ok(mapping)
}

/// The median rate of copying one large block over another.
pub(crate) fn copy_gbps(rounds: u32) -> f64 {
    let source = vec![1u8; COPY_BYTES];
    // Touched here, so that no round pays for its first use.
    let mut target = vec![2u8; COPY_BYTES];
    let mut rates: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            black_box(&mut target).copy_from_slice(black_box(&source));
            COPY_BYTES as f64 / start.elapsed().as_secs_f64() / 1e9
        })
        .collect();
    sizes::median(&mut rates).unwrap_or(0.0)
}

/// Median microseconds of a first touch and of a minor fault, per page.
///
/// Both are writes: the kernel maps neighbours around a read fault, which would hide the cost.
pub(super) fn page_faults(blocks: u64) -> Result<(f64, f64)> {
    let bytes = blocks * sizes::as_u64(BLOCK_PAGES * PAGE_BYTES);
    let plain = PlainMemory::new(bytes, sizes::as_u64(PAGE_BYTES))?;
    let first = touch_us(plain.bytes());
    let second = map(&plain.file, bytes, sizes::as_u64(PAGE_BYTES))?;
    let minor = touch_us(second.atomic_u8s().expect("the mapping was opened for writing"));
    Ok((first, minor))
}

fn touch_us(bytes: &[AtomicU8]) -> f64 {
    let mut per_page: Vec<f64> = bytes
        .chunks_exact(BLOCK_PAGES * PAGE_BYTES)
        .map(|block| {
            let start = Instant::now();
            for byte in block.iter().step_by(PAGE_BYTES) {
                byte.store(1, Ordering::Relaxed);
            }
            start.elapsed().as_secs_f64() * 1e6 / BLOCK_PAGES as f64
        })
        .collect();
    sizes::median(&mut per_page).unwrap_or(0.0)
}
