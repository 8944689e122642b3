//! Memory files: sealed memfds, their pages and their holes.

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags, SeekFrom},
    io::Errno,
};

use crate::{HUGE_PAGE_BYTES, KERNEL_PAGE_BYTES, to_usize};

/// The kernel's limit, without the "memfd:" that it puts in front.
const LABEL_BYTES_MAX: usize = 249;

/// How many pages one system call fills with a word. The table of them is on the stack (1 KiB).
const FILL_PAGES_PER_CALL_MAX: usize = 64;

/// `st_blocks` counts in these, whatever the file system's block size is.
const STAT_BLOCK_BYTES: u64 = 512;

/// `HUGETLBFS_MAGIC` of `linux/magic.h`: what statfs(2) says of a file of huge frames.
const HUGETLBFS_MAGIC: u64 = 0x9584_58f6;

/// A memory file whose size is fixed for ever.
///
/// Sealed against shrinking, growing and further seals, closed to other users (mode 0600), closed
/// on exec and never executable. Whoever gets a writable descriptor of it can still write to it and
/// punch holes: the seals that refuse that would refuse it to us as well.
///
/// Its frames are ordinary pages, or huge ones out of the pool that the host keeps for them
/// (hugetlb). A file of huge frames cannot be written to by pwrite(2), only read, and all that is
/// done to it is done to whole huge pages; fill it by way of [`crate::window`].
pub struct ObjectFile {
    fd: OwnedFd,
    bytes: u64,
    page: u64,
}

/// Which file a descriptor is open on. Two descriptors have the same identity exactly if they lead
/// to the same file, as long as one of them stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileIdentity {
    /// The file system's device number.
    pub dev: u64,
    /// The inode number.
    pub ino: u64,
}

/// What a descriptor was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptorAccess {
    /// Reading.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
    /// Only writing, or not even that (`O_PATH`).
    Other,
}

impl ObjectFile {
    /// Makes a file of `bytes` bytes, all of it a hole. `label` shows up in `/proc/PID/maps`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `bytes` is zero, no multiple of 4 KiB or above `i64::MAX`, or if `label`
    /// holds a NUL or is longer than 249 bytes. Otherwise the host's: descriptors or memory.
    pub fn create(label: &str, bytes: u64) -> io::Result<ObjectFile> {
        ObjectFile::create_with(label, bytes, KERNEL_PAGE_BYTES, MemfdFlags::empty())
    }

    /// The same, with frames of 2 MiB that come from the host's pool of huge pages. None are taken
    /// before they are filled.
    ///
    /// # Errors
    ///
    /// As for [`ObjectFile::create`], with multiples of 2 MiB; and `NotFound` on a host whose
    /// kernel has no such pool.
    pub fn create_huge(label: &str, bytes: u64) -> io::Result<ObjectFile> {
        let flags = MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB;
        ObjectFile::create_with(label, bytes, HUGE_PAGE_BYTES, flags)
    }

    fn create_with(
        label: &str,
        bytes: u64,
        page: u64,
        frames: MemfdFlags,
    ) -> io::Result<ObjectFile> {
        if bytes == 0 || !bytes.is_multiple_of(page) || i64::try_from(bytes).is_err() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if label.len() > LABEL_BYTES_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let fd = create_memfd(label, frames)?;
        rustix::fs::ftruncate(&fd, bytes)?;
        rustix::fs::fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(ObjectFile { fd, bytes, page })
    }

    /// What its frames are whole ones of, in bytes: 4 KiB, or 2 MiB if they come from the host's
    /// pool of huge pages.
    #[must_use]
    pub fn page_bytes(&self) -> u64 {
        self.page
    }

    /// The size in bytes; a multiple of [`ObjectFile::page_bytes`], never zero.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a file is never empty")]
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Gives the pages of a range back to the kernel: the range is a hole and reads as zeros.
    ///
    /// Every process's page-table entries go with the pages; write-protect markers stay.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the range is empty, not aligned to [`ObjectFile::page_bytes`] or not
    /// inside the file.
    pub fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check_pages(offset, len)?;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::io::retry_on_intr(|| rustix::fs::fallocate(&self.fd, flags, offset, len))?)
    }

    /// Gives every hole in a range a page of zeros; present pages keep their bytes.
    ///
    /// Such a page counts in [`ObjectFile::populated_bytes`] at once, but in
    /// [`ObjectFile::data_runs`] only after its first use, when the kernel gets round to clearing
    /// it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` as for [`ObjectFile::punch`]; otherwise memory. Holes are left as they were.
    pub fn populate_zero(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check_pages(offset, len)?;
        let flags = FallocateFlags::KEEP_SIZE;
        Ok(rustix::io::retry_on_intr(|| rustix::fs::fallocate(&self.fd, flags, offset, len))?)
    }

    /// Writes `word` over and over into a range of whole pages, whatever was there.
    ///
    /// One system call for up to 256 KiB, and no memory but the pages' own.
    ///
    /// # Errors
    ///
    /// `InvalidInput` as for [`ObjectFile::punch`]; otherwise memory, with some pages written and
    /// others not.
    pub fn fill_with(&self, offset: u64, len: u64, word: u64) -> io::Result<()> {
        self.check_pages(offset, len)?;
        let mut page = [0; to_usize(KERNEL_PAGE_BYTES)];
        for place in page.chunks_exact_mut(size_of::<u64>()) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        let table = [io::IoSlice::new(&page); FILL_PAGES_PER_CALL_MAX];
        let (mut position, end) = (offset, offset + len);
        while position < end {
            let pages = to_usize((end - position) / KERNEL_PAGE_BYTES).min(table.len());
            let written = rustix::io::retry_on_intr(|| {
                rustix::io::pwritev(&self.fd, &table[..pages], position)
            })?;
            // The part of a page, if there is one, is written again with its rest.
            let whole = written as u64 / KERNEL_PAGE_BYTES * KERNEL_PAGE_BYTES;
            if whole == 0 {
                return Err(Errno::IO.into());
            }
            position += whole;
        }
        Ok(())
    }

    /// How much memory the file's pages take, in bytes, swapped-out ones among them.
    ///
    /// # Errors
    ///
    /// None on a kernel that is not broken.
    pub fn populated_bytes(&self) -> io::Result<u64> {
        let blocks = rustix::fs::fstat(&self.fd)?.st_blocks;
        Ok(u64::try_from(blocks).unwrap_or(0).saturating_mul(STAT_BLOCK_BYTES))
    }

    /// The parts that are no holes, as (offset, length) in bytes, ascending, never touching.
    ///
    /// Others may fill and punch meanwhile: each run was true at the moment it was looked at. Of a
    /// file of huge frames the kernel says that all of it is data.
    ///
    /// # Errors
    ///
    /// None on a kernel that is not broken.
    pub fn data_runs(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut runs = Vec::new();
        let mut position = 0;
        while position < self.bytes {
            let start = match rustix::fs::seek(&self.fd, SeekFrom::Data(position)) {
                Ok(start) => start,
                // Nothing but hole up to the end of the file.
                Err(Errno::NXIO) => break,
                Err(error) => return Err(error.into()),
            };
            let end = match rustix::fs::seek(&self.fd, SeekFrom::Hole(start)) {
                Ok(end) => end,
                Err(Errno::NXIO) => self.bytes,
                Err(error) => return Err(error.into()),
            };
            if start < end {
                runs.push((start, end - start));
            }
            // A page punched between the two looks makes a run of nothing: move on all the same.
            position = end.max(start + KERNEL_PAGE_BYTES);
        }
        Ok(runs)
    }

    /// Opens the file once more: a descriptor with its own access mode, closed on exec.
    ///
    /// # Errors
    ///
    /// If `/proc` is not mounted, or the host is out of descriptors.
    pub fn reopen(&self, read_only: bool) -> io::Result<OwnedFd> {
        let access = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        Ok(rustix::fs::open(path, access | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Which file this is.
    ///
    /// # Errors
    ///
    /// None on a kernel that is not broken.
    pub fn identity(&self) -> io::Result<FileIdentity> {
        file_identity(self.fd.as_fd())
    }

    /// Another descriptor of the same open file, closed on exec.
    ///
    /// # Errors
    ///
    /// If the host is out of descriptors.
    pub fn try_clone_fd(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// `InvalidInput` unless the bytes are inside the file.
    pub(crate) fn check_bytes(&self, offset: u64, len: u64) -> io::Result<()> {
        match offset.checked_add(len) {
            Some(end) if len > 0 && end <= self.bytes => Ok(()),
            Some(_) | None => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn check_pages(&self, offset: u64, len: u64) -> io::Result<()> {
        let aligned = offset.is_multiple_of(self.page) && len.is_multiple_of(self.page);
        if !aligned {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.check_bytes(offset, len)
    }
}

impl AsFd for ObjectFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for ObjectFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ObjectFile(fd {}, {} bytes)", self.fd.as_raw_fd(), self.bytes)
    }
}

/// Which file `fd` is open on, and what for. Trusts nobody: works on any descriptor.
///
/// # Errors
///
/// None on a kernel that is not broken.
pub fn identify(fd: BorrowedFd<'_>) -> io::Result<(FileIdentity, DescriptorAccess)> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    let access = if flags.contains(OFlags::PATH) {
        DescriptorAccess::Other
    } else {
        match flags & OFlags::RWMODE {
            OFlags::RDONLY => DescriptorAccess::ReadOnly,
            OFlags::RDWR => DescriptorAccess::ReadWrite,
            _ => DescriptorAccess::Other,
        }
    };
    Ok((file_identity(fd)?, access))
}

/// The size of the frames of a memory file, in bytes: 2 MiB if they are huge, else 4 KiB.
///
/// `st_blksize` does not tell: it is 2 MiB as well where ordinary files may have huge folios.
///
/// # Errors
///
/// None on a kernel that is not broken.
pub fn page_bytes_of(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let status = rustix::fs::fstatfs(fd)?;
    let is_huge = u64::try_from(status.f_type).is_ok_and(|kind| kind == HUGETLBFS_MAGIC);
    Ok(if is_huge { HUGE_PAGE_BYTES } else { KERNEL_PAGE_BYTES })
}

fn file_identity(fd: BorrowedFd<'_>) -> io::Result<FileIdentity> {
    let status = rustix::fs::fstat(fd)?;
    Ok(FileIdentity { dev: status.st_dev, ino: status.st_ino })
}

fn create_memfd(label: &str, frames: MemfdFlags) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | frames;
    match rustix::fs::memfd_create(label, flags | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3 does not know the flag, and without it the file may be executed: our
        // own mode 0600 says the same, only revocably.
        Err(Errno::INVAL) => Ok(rustix::fs::memfd_create(label, flags)?),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests;
