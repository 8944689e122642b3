//! Traces in libCacheSim's oracleGeneral format.
//!
//! Records of 24 bytes without a header, little-endian: the time in seconds (u32), the name of the
//! object (u64), its size (u32), and the number of the next access to it (i64; -1 or the greatest
//! there is: none). Here each object is one page of 4 KiB, whatever its size, and every access
//! reads: the format does not say what writes.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::policy::belady::next_uses;
use crate::policy::trace::{Builder, Kind, OBJECT_PAGES_MAX, Trace};

const RECORD_BYTES: usize = 24;

/// No trace has so many accesses.
const NEXT_MAX: i64 = 1 << 48;

/// Reads the trace in `file`, up to `limit` accesses.
///
/// # Errors
///
/// If it cannot be read, or is none.
pub(crate) fn read(file: File, path: &Path, limit: usize) -> Result<Trace> {
    let shown = path.display();
    let len = file.metadata().with_context(|| format!("cannot look at {shown}"))?.len();
    ensure!(len > 0, "{shown} is empty: a trace has at least one access");
    ensure!(
        len % 24 == 0,
        "{shown} is no trace: neither a recording of bo-manager nor oracleGeneral, whose records \
         have 24 bytes each"
    );
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut builder = Builder::default();
    let mut before = 0;
    let mut record = [0; RECORD_BYTES];
    let mut left = len / 24;
    while left > 0 && builder.len() < limit {
        file.read_exact(&mut record).with_context(|| format!("cannot read {shown}"))?;
        left -= 1;
        let (time, name, next) = fields(&record);
        let at = i64::try_from(builder.len()).context("the trace is too long")?;
        let sound = next == -1 || next == i64::MAX || (at < next && next < NEXT_MAX);
        ensure!(
            sound && before <= time,
            "{shown} is no trace: record {at} would have the time {time} and its next access at \
             {next}, which no oracleGeneral trace has"
        );
        before = time;
        builder.add(name, false);
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(builder.finish(name, Kind::OracleGeneral, OBJECT_PAGES_MAX))
}

fn fields(record: &[u8; RECORD_BYTES]) -> (u32, u64, i64) {
    let mut time = [0; 4];
    time.copy_from_slice(&record[..4]);
    let mut name = [0; 8];
    name.copy_from_slice(&record[4..12]);
    let mut next = [0; 8];
    next.copy_from_slice(&record[16..]);
    (u32::from_le_bytes(time), u64::from_le_bytes(name), i64::from_le_bytes(next))
}

/// Writes a trace in this format. A thousand accesses take a second, every object has 4096 bytes,
/// and what is freed or written to is not said.
///
/// # Errors
///
/// If the file cannot be written.
pub(crate) fn write(trace: &Trace, path: &Path) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(cannot)?);
    for ((at, access), next) in (0_u32..).zip(&trace.accesses).zip(next_uses(trace)) {
        let next = if next == u32::MAX { -1 } else { i64::from(next) };
        let mut record = [0; RECORD_BYTES];
        record[..4].copy_from_slice(&(at / 1000).to_le_bytes());
        record[4..12].copy_from_slice(&u64::from(access.page()).to_le_bytes());
        record[12..16].copy_from_slice(&4096_u32.to_le_bytes());
        record[16..].copy_from_slice(&next.to_le_bytes());
        file.write_all(&record).with_context(cannot)?;
    }
    file.flush().with_context(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(bytes: &[u8], limit: usize) -> Result<Trace, String> {
        let folder = tempfile::tempdir().expect("a place for a file");
        let path = folder.path().join("trace");
        std::fs::write(&path, bytes).expect("it is ours");
        read(File::open(&path).expect("it was made"), &path, limit)
            .map_err(|error| format!("{error:#}"))
    }

    fn written(pages: &[u64]) -> Vec<u8> {
        let mut builder = Builder::default();
        pages.iter().for_each(|page| builder.add(*page, false));
        let trace = builder.finish("a trace".into(), Kind::OracleGeneral, OBJECT_PAGES_MAX);
        let folder = tempfile::tempdir().expect("a place for a file");
        let path = folder.path().join("trace");
        write(&trace, &path).expect("there is room");
        std::fs::read(&path).expect("it was made")
    }

    #[test]
    fn what_is_written_reads_back() {
        let bytes = written(&[3, 1, 3, 2]);
        assert_eq!(bytes.len(), 96);
        assert_eq!(bytes[16..24], 2_i64.to_le_bytes(), "the next access of the first page");
        let trace = read_back(&bytes, usize::MAX).expect("a trace");
        let pages: Vec<u32> = trace.accesses.iter().map(|access| access.page()).collect();
        assert_eq!(pages, [0, 1, 0, 2]);
        assert_eq!(read_back(&bytes, 3).expect("a trace").accesses.len(), 3);
    }

    #[test]
    fn nothing_and_something_else_cannot_be_read() {
        let refused = |bytes: &[u8], advice: &str| {
            let error = read_back(bytes, usize::MAX).expect_err("no trace");
            assert!(error.contains(advice), "{error}");
        };
        refused(&[], "is empty");
        refused(&[0; 25], "neither a recording");
        refused(&[0; 24], "is no trace");
        refused("an ordinary file with some text!".repeat(3).as_bytes(), "is no trace");
        let mut late = written(&[1, 2, 1]);
        late[0] = 9;
        refused(&late, "record 1");
    }
}
