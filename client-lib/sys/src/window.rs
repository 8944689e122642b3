//! Filling memory files by copies that allocate no more than they copy.
//!
//! pwrite(2) is the usual way to fill a page of a memory file, and fails its purpose twice. A file
//! of huge frames has no pwrite(2), and writing through a mapping has every frame cleared before it
//! is overwritten. And where the host gives shared memory huge folios, a write of one small page
//! allocates one, with zeros for the neighbours that nobody asked for; a hole that is then punched
//! into it may not be one.
//!
//! UFFDIO_COPY does neither: it takes one frame of the file's own page size for each hole, 4 KiB or
//! 2 MiB, and copies into it what it is to hold. It wants a mapping in the process that calls, and
//! a userfaultfd of that process that watches it: the window. Nobody ever touches the window, which
//! allows no access at all, so nobody reads that userfaultfd either.

use std::{fmt, io, sync::Arc, thread};

use rustix::io::Errno;

use crate::{
    mapping::{Sharing, region::Region},
    memfd::ObjectFile,
    range::AddressRange,
    to_usize,
    uffd::{Progress, Uffd},
};

/// How often a fill goes on after somebody else has put a page into its hole.
const PRESENT_RETRIES_MAX: u32 = 16;

/// How often a fill is tried again while this process's address space changes.
const CHANGING_RETRIES_MAX: u32 = 1024;

/// Opens windows.
#[derive(Clone, Debug)]
pub struct Filler {
    uffd: Arc<Uffd>,
}

/// A file in this process's address space, to be filled and not to be looked at.
///
/// It takes one mapping of the process, of which the host allows a number (`vm.max_map_count`).
pub struct Window {
    // Holds the addresses.
    _region: Region,
    range: AddressRange,
    uffd: Arc<Uffd>,
}

/// What is to be done about a page that is not the hole that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Present {
    /// It has been dealt with: go on behind it.
    Settled,
    /// It should be a hole now.
    TryAgain,
}

impl Filler {
    /// Makes the userfaultfd. Needs no privilege.
    ///
    /// # Errors
    ///
    /// If this process may not even have a userfaultfd for itself, or is out of descriptors.
    pub fn new() -> io::Result<Filler> {
        Ok(Filler { uffd: Arc::new(Uffd::of_our_own()?) })
    }

    /// Opens a window on the whole of `file`.
    ///
    /// # Errors
    ///
    /// If the address space has no room for it or the process has too many mappings.
    pub fn open(&self, file: &ObjectFile) -> io::Result<Window> {
        use std::os::fd::AsFd;

        let (len, page) = (file.len(), file.page_bytes());
        let outer = len.checked_add(page).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut region = Region::reserve(to_usize(outer))?;
        region.align(to_usize(page), to_usize(len))?;
        region.map_file(file.as_fd(), 0, Sharing::Shared)?;
        region.seclude()?;
        let range = AddressRange::new(region.address(), len);
        let range = match page {
            crate::KERNEL_PAGE_BYTES => range,
            _ => range.and_then(AddressRange::in_huge_pages),
        };
        let range = range.ok_or(io::ErrorKind::Unsupported)?;
        self.uffd.register_holes(range)?;
        Ok(Window { _region: region, range, uffd: Arc::clone(&self.uffd) })
    }
}

impl Window {
    /// Fills every hole in a range of the file with zeros; present pages keep their bytes.
    ///
    /// What [`ObjectFile::populate_zero`] does, which is the way for files of huge frames, but in
    /// frames of 4 KiB whatever the host prefers. The pages count as data at once.
    ///
    /// # Errors
    ///
    /// `InvalidInput` unless the range is in whole pages and inside; otherwise memory. Some of the
    /// holes may have been filled then.
    pub fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        let range = self.range.slice(offset, len).ok_or(io::ErrorKind::InvalidInput)?;
        fill(range, |part, _| self.uffd.zero_in(part), |_| Ok(Present::Settled))
    }

    /// Copies `len` bytes from `source` into the file at `offset`, hole by hole. `present` is told
    /// of each page that is there already.
    pub(crate) fn copy(
        &self,
        offset: u64,
        source: *const u8,
        len: u64,
        mut present: impl FnMut(u64) -> io::Result<Present>,
    ) -> io::Result<()> {
        let range = self.range.slice(offset, len).ok_or(io::ErrorKind::InvalidInput)?;
        fill(
            range,
            |part, done| self.uffd.copy_in(part, source.wrapping_add(to_usize(done))),
            |done| present(offset + done),
        )
    }
}

/// Makes `call` over what is left of the range until nothing is. Both are told how many bytes are
/// done already.
fn fill(
    range: AddressRange,
    mut call: impl FnMut(AddressRange, u64) -> Progress,
    mut present: impl FnMut(u64) -> io::Result<Present>,
) -> io::Result<()> {
    let mut patience = CHANGING_RETRIES_MAX;
    let mut attempts = PRESENT_RETRIES_MAX;
    let mut done = 0;
    while let Some(rest) = range.tail(range.start() + done) {
        let Progress { bytes, stop } = call(rest, done);
        done += bytes.min(rest.len());
        match stop {
            None => {}
            Some(Errno::EXIST) => match present(done)? {
                Present::Settled => done += range.page_bytes(),
                Present::TryAgain if attempts > 0 => attempts -= 1,
                // Of a pool that is empty the kernel says so too, once it has made the page table.
                Present::TryAgain => return Err(Errno::NOMEM.into()),
            },
            Some(Errno::AGAIN) if patience > 0 => {
                patience -= 1;
                thread::yield_now();
            }
            Some(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

impl fmt::Debug for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Window({:?})", self.range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = crate::KERNEL_PAGE_BYTES;

    fn three_pages() -> AddressRange {
        AddressRange::new(16 * PAGE, 3 * PAGE).unwrap()
    }

    #[test]
    fn a_page_that_comes_back_for_ever_ends_in_an_error() {
        let mut calls = 0;
        let stuck = |_: AddressRange, _| {
            calls += 1;
            Progress { bytes: 0, stop: Some(Errno::EXIST) }
        };
        let error = fill(three_pages(), stuck, |_| Ok(Present::TryAgain)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert_eq!(calls, PRESENT_RETRIES_MAX + 1);
    }

    #[test]
    fn settled_pages_are_stepped_over() {
        let mut starts = Vec::new();
        let call = |part: AddressRange, done| {
            starts.push((part.start() / PAGE, done / PAGE));
            match part.start() / PAGE {
                17 => Progress { bytes: 0, stop: Some(Errno::EXIST) },
                _ => Progress { bytes: PAGE, stop: None },
            }
        };
        fill(three_pages(), call, |done| {
            assert_eq!(done, PAGE);
            Ok(Present::Settled)
        })
        .unwrap();
        assert_eq!(starts, [(16, 0), (17, 1), (18, 2)]);
    }

    #[test]
    fn want_of_memory_is_an_error() {
        let call = |_: AddressRange, _| Progress { bytes: 0, stop: Some(Errno::NOMEM) };
        let error = fill(three_pages(), call, |_| Ok(Present::Settled)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }
}
