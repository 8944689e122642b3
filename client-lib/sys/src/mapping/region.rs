//! Address space that is unmapped when it is dropped.

// UNSAFETY: mmap(2), mprotect(2), madvise(2) and munmap(2) change what addresses mean.
#![expect(unsafe_code, reason = "mappings are raw memory")]

use std::{io, os::fd::BorrowedFd, ptr};

use rustix::{
    io::Errno,
    mm::{Advice, MapFlags, MprotectFlags, ProtFlags},
};

use super::Sharing;

/// Mapped pages, none if `len` is zero, that nobody else in this process has the address of,
/// unless [`Region::as_ptr`] gave it to them.
pub(crate) struct Region {
    start: *mut u8,
    len: usize,
}

impl Region {
    /// Takes `len` bytes of address space, anywhere, with nothing in it. `len` is in whole pages.
    pub(crate) fn reserve(len: usize) -> io::Result<Region> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: with no address asked for, the kernel takes one that is not in use.
        let start =
            unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, ProtFlags::empty(), flags) }?;
        Ok(Region { start: start.cast(), len })
    }

    /// Gives back all but `len` bytes at the first multiple of `alignment`, which is a power of
    /// two. The region was reserved `alignment` bytes less a page longer than `len`.
    pub(crate) fn align(&mut self, alignment: usize, len: usize) -> io::Result<()> {
        let head = self.start.addr().next_multiple_of(alignment) - self.start.addr();
        let tail = self.len.checked_sub(head + len).expect("reserved with room to align");
        if head > 0 {
            // SAFETY: the first `head` bytes belong to this region and to no reference.
            unsafe { rustix::mm::munmap(self.start.cast(), head) }?;
            self.start = self.start.wrapping_add(head);
            self.len -= head;
        }
        if tail > 0 {
            // SAFETY: the bytes from `len` on belong to this region and to no reference.
            unsafe { rustix::mm::munmap(self.start.wrapping_add(len).cast(), tail) }?;
            self.len = len;
        }
        Ok(())
    }

    /// Replaces the whole region by a view of `fd`, without any access to it.
    pub(crate) fn map_file(
        &mut self,
        fd: BorrowedFd<'_>,
        offset: u64,
        sharing: Sharing,
    ) -> io::Result<()> {
        let kind = match sharing {
            Sharing::Shared => MapFlags::SHARED,
            Sharing::PrivateReadOnly => MapFlags::PRIVATE,
        };
        let flags = kind | MapFlags::FIXED | MapFlags::NORESERVE;
        let none = ProtFlags::empty();
        // SAFETY: what MAP_FIXED unmaps is this very region, to which no reference exists.
        match unsafe { rustix::mm::mmap(self.start.cast(), self.len, none, flags, fd, offset) } {
            Ok(_) => Ok(()),
            Err(errno) => {
                // The kernel may have unmapped the region before it failed, and another thread's
                // memory may be there now: the addresses are given up, not unmapped a second time.
                self.len = 0;
                Err(errno.into())
            }
        }
    }

    /// Keeps the region out of forked children, and huge pages out of the region.
    pub(crate) fn seclude(&self) -> io::Result<()> {
        // SAFETY: no reference lives in a child, and this process sees no change.
        unsafe { rustix::mm::madvise(self.start.cast(), self.len, Advice::LinuxDontFork) }?;
        // SAFETY: the size of pages is invisible to references.
        match unsafe { rustix::mm::madvise(self.start.cast(), self.len, Advice::LinuxNoHugepage) } {
            // Neither a kernel without huge pages nor a file of nothing else has to be asked.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sets what accesses are allowed, for the whole region in one call: two calls for two halves
    /// would make two mappings of it, which userfaultfd's ioctls cannot cross.
    pub(crate) fn protect(&mut self, allowed: MprotectFlags) -> io::Result<()> {
        // SAFETY: the region is borrowed exclusively, so that nobody holds a reference into it
        // that would need more than `allowed`.
        unsafe { rustix::mm::mprotect(self.start.cast(), self.len, allowed) }?;
        Ok(())
    }

    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.start
    }

    /// The address `offset` bytes in, at most the end.
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.len);
        // SAFETY: the offset is inside the region or at its end, as just asserted.
        unsafe { self.start.add(offset) }
    }

    pub(crate) fn address(&self) -> u64 {
        self.start.addr() as u64
    }
}

// SAFETY: address space belongs to the process, not to a thread, and a region is its only owner.
unsafe impl Send for Region {}
// SAFETY: a shared reference gives away addresses, and nothing at them.
unsafe impl Sync for Region {}

impl Drop for Region {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        // SAFETY: references into the region borrow its owner, so there are none left.
        // If the process has too many mappings to split one more, then this one leaks.
        let _leaked = unsafe { rustix::mm::munmap(self.start.cast(), self.len) };
    }
}
