//! A file that is an object now, beside the file itself.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use bo_client::{Access, AllocSpec, Client, Mapping, Object, Token};
use sha2::{Digest, Sha256};

use crate::demo::orders::LoadedFile;
use crate::sizes;
use crate::station::Meter;

/// How much is read, copied and hashed at a time.
const BLOCK_BYTES: usize = 1 << 20;

pub(super) struct HeldFile {
    pub(super) file: LoadedFile,
    /// Read again while the storm rages, to compare with.
    pub(super) original: File,
    pub(super) mapping: Mapping,
    object: Object,
}

impl HeldFile {
    /// Copies a file into a new object, and hashes it on the way.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or its object not be had.
    pub(super) fn load(client: &Client, path: PathBuf, meter: &Meter) -> Result<HeldFile> {
        let cannot = || format!("cannot load {}", path.display());
        let mut original = File::open(&path).with_context(cannot)?;
        let bytes = original.metadata().with_context(cannot)?.len();
        let label = path.file_name().unwrap_or_default().to_string_lossy();
        let spec = AllocSpec::new(bytes).label(&label);
        let object = client.allocate(spec).with_context(cannot)?;
        let mapping = object.map().with_context(cannot)?;
        let sha256 = copy_in(&mut original, bytes, &mapping, meter).with_context(cannot)?;
        let file = LoadedFile { path, bytes, sha256 };
        Ok(HeldFile { file, original, mapping, object })
    }

    /// Takes over an object of the other process, for reading.
    ///
    /// # Errors
    ///
    /// When the token is not good for that, or the object has another size than the file.
    pub(super) fn import(client: &Client, file: LoadedFile, token: &str) -> Result<HeldFile> {
        let cannot = || format!("cannot import {}", file.path.display());
        let token: Token = token.parse().with_context(cannot)?;
        let object = client.import(token, Access::ReadOnly).with_context(cannot)?;
        let mapping = object.map().with_context(cannot)?;
        let original = File::open(&file.path).with_context(cannot)?;
        ensure!(file.bytes <= object.size().get(), "{}: the object is too small", cannot());
        Ok(HeldFile { file, original, mapping, object })
    }

    /// Lets the other process read this object.
    ///
    /// # Errors
    ///
    /// When the daemon refuses.
    pub(super) fn export(&self) -> Result<Token> {
        let exported = self.object.export(Access::ReadOnly);
        let exported =
            exported.with_context(|| format!("cannot export {}", self.file.path.display()))?;
        Ok(exported.token())
    }

    /// The SHA-256 of the bytes as the object holds them now.
    ///
    /// # Errors
    ///
    /// When the mapping cannot be read.
    pub(super) fn sha256(&self, meter: &Meter) -> Result<String> {
        let mut hash = Sha256::new();
        let mut block = vec![0; BLOCK_BYTES];
        let bytes = sizes::in_memory(self.file.bytes);
        for at in (0..bytes).step_by(BLOCK_BYTES) {
            let block = &mut block[..BLOCK_BYTES.min(bytes - at)];
            self.mapping.read_at(sizes::as_u64(at), block).context("cannot read an object")?;
            hash.update(&*block);
            meter.add(sizes::as_u64(block.len()));
        }
        Ok(digits(hash))
    }
}

fn copy_in(file: &mut File, bytes: u64, mapping: &Mapping, meter: &Meter) -> Result<String> {
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    let bytes = sizes::in_memory(bytes);
    for at in (0..bytes).step_by(BLOCK_BYTES) {
        let block = &mut block[..BLOCK_BYTES.min(bytes - at)];
        file.read_exact(block).context("cannot read the file to its end")?;
        mapping.write_at(sizes::as_u64(at), block).context("cannot write into the object")?;
        hash.update(&*block);
        meter.add(sizes::as_u64(block.len()));
    }
    if file.read(&mut [0])? != 0 {
        bail!("the file grows while it is read");
    }
    Ok(digits(hash))
}

fn digits(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
