//! A client's view of a memory file: mapped at a chosen alignment, closed until it is watched.

// UNSAFETY: mmap(2), and access to memory that other processes change meanwhile.
#![expect(unsafe_code, reason = "mappings are raw memory")]

mod copy;
pub(crate) mod region;

use std::{
    fmt, io,
    os::fd::BorrowedFd,
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64},
};

use rustix::mm::MprotectFlags;

use crate::{KERNEL_PAGE_BYTES, memfd, range::AddressRange, to_usize};
use region::Region;

/// Alignments above this one waste address space to no end.
const ALIGNMENT_BYTES_MAX: u64 = 1 << 30;

/// How a mapping takes part in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Writes reach the file. The kernel watches it only if the descriptor is writable.
    Shared,
    /// For read-only descriptors, whose shared mappings the kernel does not watch. It shows every
    /// writer's updates, as long as it is never written to; so it cannot be.
    PrivateReadOnly,
}

/// What may be done with a mapping at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Closed,
    Readable,
    Writable,
}

/// An access that is not inside what may be accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes at offset {offset} are not within the {limit} that may be accessed so")]
pub struct OutOfBounds {
    /// Where the access begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
    /// How many bytes may be accessed in this way: the length of the mapping, or zero if it is not
    /// open, or not open for writing.
    pub limit: u64,
}

/// A range of a file, mapped until it is dropped.
///
/// Other processes may write to the same pages at any time, so there is no plain slice of it but
/// by an `unsafe` promise. A child made by fork(2) does not inherit it: it would see the file
/// without being watched, and fill its holes with zeros for everybody.
///
/// Touching a page may take as long as another process takes to fill it, and raises `SIGBUS` if
/// that page is lost, or the file shorter than the mapping.
pub struct ClientMapping {
    region: Region,
    range: AddressRange,
    sharing: Sharing,
    gate: Gate,
}

impl ClientMapping {
    /// Maps `len` bytes of `fd` from `offset` on at an address that is a multiple of `alignment`.
    ///
    /// The mapping is closed: no access is allowed before [`ClientMapping::open`], so that nobody
    /// touches it before it is watched. It takes no huge pages but those that a file of huge frames
    /// is made of, and reserves no memory.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `offset` or `len` is no multiple of the file's pages (4 KiB, or 2 MiB for
    /// [`ObjectFile::create_huge`](crate::memfd::ObjectFile::create_huge)), `len` is zero, or
    /// `alignment` is no power of two from that size to 1 GiB; otherwise the host's: address space
    /// or mappings.
    pub fn reserve(
        fd: BorrowedFd<'_>,
        offset: u64,
        len: u64,
        alignment: u64,
        sharing: Sharing,
    ) -> io::Result<ClientMapping> {
        let page = memfd::page_bytes_of(fd)?;
        let aligned = offset.is_multiple_of(page)
            && len.is_multiple_of(page)
            && alignment.is_power_of_two()
            && (page..=ALIGNMENT_BYTES_MAX).contains(&alignment);
        let outer = len.checked_add(alignment - alignment.min(KERNEL_PAGE_BYTES));
        let (true, 1.., Some(outer)) = (aligned, len, outer) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut region = Region::reserve(to_usize(outer))?;
        region.align(to_usize(alignment), to_usize(len))?;
        region.map_file(fd, offset, sharing)?;
        region.seclude()?;
        let range = AddressRange::new(region.address(), len);
        let range = if page == KERNEL_PAGE_BYTES {
            range
        } else {
            range.and_then(AddressRange::in_huge_pages)
        };
        let range = range.ok_or(io::ErrorKind::Unsupported)?;
        Ok(ClientMapping { region, range, sharing, gate: Gate::Closed })
    }

    /// Allows reading, and writing if `writable`. The mapping stays one piece to the kernel.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for writing to a [`Sharing::PrivateReadOnly`] mapping, `PermissionDenied`
    /// for writing by way of a read-only descriptor. Nothing has changed then.
    pub fn open(&mut self, writable: bool) -> io::Result<()> {
        if writable && self.sharing == Sharing::PrivateReadOnly {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let read = MprotectFlags::READ;
        self.region.protect(if writable { read | MprotectFlags::WRITE } else { read })?;
        self.gate = if writable { Gate::Writable } else { Gate::Readable };
        Ok(())
    }

    /// Where it begins.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.range.start()
    }

    /// Its length in bytes, never zero.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> u64 {
        self.range.len()
    }

    /// Its addresses, as memory of huge pages if the file's frames are.
    #[must_use]
    pub fn range(&self) -> AddressRange {
        self.range
    }

    /// Whether it is open for writing.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.gate == Gate::Writable
    }

    /// Copies bytes out, at the speed of a plain copy.
    ///
    /// Others may write meanwhile. Every byte is read once and is whole; two neighbours may come
    /// from different writes. For more, take the atomics.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`], with `target` untouched. A mapping that is not open has no bytes.
    pub fn read(&self, offset: u64, target: &mut [u8]) -> Result<(), OutOfBounds> {
        let source = self.locate(offset, target.len() as u64, self.readable_bytes())?;
        // SAFETY: `locate` has compared the access with the bytes that are mapped and open, which
        // stay so while `self` is borrowed; `target` is ours and cannot lie in a mapping that no
        // slice exists of.
        unsafe { copy::from_shared(source, target) };
        Ok(())
    }

    /// Copies bytes in, at the speed of a plain copy. Each byte is written once.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`], with nothing written. A mapping that is not open for writing has no bytes.
    pub fn write(&self, offset: u64, source: &[u8]) -> Result<(), OutOfBounds> {
        let target = self.locate(offset, source.len() as u64, self.writable_bytes())?;
        // SAFETY: as in `read`, and open for writing.
        unsafe { copy::to_shared(source, target) };
        Ok(())
    }

    /// The bytes as atomics, if it is open for writing.
    ///
    /// Do not race accesses of different sizes to the same bytes, by way of the other methods
    /// here: the processor does not mind, but Rust's memory model has no meaning for it.
    #[must_use]
    pub fn atomic_u8s(&self) -> Option<&[AtomicU8]> {
        if !self.is_writable() {
            return None;
        }
        let start = self.region.as_ptr().cast::<AtomicU8>();
        // SAFETY: the whole region is mapped and writable while `self` is borrowed, an `AtomicU8`
        // has no alignment and any byte is one. Other processes may write: they are atomics.
        Some(unsafe { std::slice::from_raw_parts(start, to_usize(self.len())) })
    }

    /// The four bytes at `offset` as an atomic, if they are aligned, inside, and open for writing.
    ///
    /// See [`ClientMapping::atomic_u8s`] on mixing sizes.
    #[must_use]
    pub fn atomic_u32(&self, offset: u64) -> Option<&AtomicU32> {
        let place = self.locate_aligned(offset, size_of::<AtomicU32>() as u64)?;
        // SAFETY: aligned and inside, as just checked; writable and mapped while `self` is
        // borrowed; any four bytes are a u32, and who else writes them does so from outside.
        Some(unsafe { AtomicU32::from_ptr(place.cast()) })
    }

    /// The eight bytes at `offset` as an atomic, if they are aligned, inside, and open for writing.
    ///
    /// See [`ClientMapping::atomic_u8s`] on mixing sizes.
    #[must_use]
    pub fn atomic_u64(&self, offset: u64) -> Option<&AtomicU64> {
        let place = self.locate_aligned(offset, size_of::<AtomicU64>() as u64)?;
        // SAFETY: as in `atomic_u32`.
        Some(unsafe { AtomicU64::from_ptr(place.cast()) })
    }

    /// Where it begins, for those who pass it on to a device or to C.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.region.as_ptr()
    }

    /// The readable bytes as a slice: all of them, or none if it is not open.
    ///
    /// # Safety
    ///
    /// 1. Until the slice is gone, nobody writes to these pages of the file: no process, no device
    ///    and no other mapping. Filling an evicted page with the bytes that it had is no write.
    #[must_use]
    pub unsafe fn as_slice(&self) -> &[u8] {
        let len = to_usize(self.readable_bytes());
        // SAFETY: `len` bytes are mapped and readable while `self` is borrowed, and do not change,
        // which is promise 1.
        unsafe { std::slice::from_raw_parts(self.region.as_ptr(), len) }
    }

    /// The writable bytes as a slice: all of them, or none if it is not open for writing.
    ///
    /// # Safety
    ///
    /// 1. Until the slice is gone, nobody else reads or writes these pages of the file, except to
    ///    evict a page and to fill it with the bytes that it had.
    #[must_use]
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = to_usize(self.writable_bytes());
        // SAFETY: `len` bytes are mapped and writable while `self` is borrowed, and nobody else
        // uses them, which is promise 1.
        unsafe { std::slice::from_raw_parts_mut(self.region.as_ptr(), len) }
    }

    fn readable_bytes(&self) -> u64 {
        match self.gate {
            Gate::Closed => 0,
            Gate::Readable | Gate::Writable => self.len(),
        }
    }

    fn writable_bytes(&self) -> u64 {
        match self.gate {
            Gate::Closed | Gate::Readable => 0,
            Gate::Writable => self.len(),
        }
    }

    fn locate(&self, offset: u64, len: u64, limit: u64) -> Result<*mut u8, OutOfBounds> {
        match offset.checked_add(len) {
            Some(end) if end <= limit => Ok(self.region.at(to_usize(offset))),
            Some(_) | None => Err(OutOfBounds { offset, len, limit }),
        }
    }

    fn locate_aligned(&self, offset: u64, size: u64) -> Option<*mut u8> {
        if !offset.is_multiple_of(size) {
            return None;
        }
        self.locate(offset, size, self.writable_bytes()).ok()
    }
}

// SAFETY: the mapping belongs to the process, not to a thread, and `region` is its only owner.
unsafe impl Send for ClientMapping {}
// SAFETY: through a shared reference, the bytes are reached by atomics and by copies that take
// racing writers into account; the gate changes through an exclusive one only.
unsafe impl Sync for ClientMapping {}

impl fmt::Debug for ClientMapping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ClientMapping({:?}, {:?}, {:?})", self.range, self.sharing, self.gate)
    }
}

#[cfg(test)]
mod tests;
