//! Memory that pages of object files are copied out to and back in from.

// UNSAFETY: preadv(2) and pwritev(2) straight between a memory file and a mapping, and memcmp(3) on
// it. A slice of the mapping would promise that nobody else uses those bytes, which this module
// cannot know.
#![expect(unsafe_code, reason = "vectored I/O on memory without references")]

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd},
    ptr,
    sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
};

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::io::Errno;

use crate::{
    KERNEL_PAGE_BYTES,
    memfd::ObjectFile,
    to_usize,
    window::{Present, Window},
};

/// How many slots one system call moves. The table of them is on the stack (1 KiB).
const SLOTS_PER_CALL_MAX: usize = 64;

/// A range of bytes in a [`StoreFile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
}

/// A sparse file of memory, private to this process, where bytes wait while they have no frame.
///
/// It keeps no books: who may use which slot is the caller's to know. Two calls that meet in one
/// slot mix their bytes, and do no other harm.
pub struct StoreFile {
    file: ObjectFile,
    map: MmapRaw,
}

impl StoreFile {
    /// Makes an empty store with room for `bytes` bytes. Memory is taken as slots are written.
    ///
    /// # Errors
    ///
    /// As for [`ObjectFile::create`], and if the address space has no room for it.
    pub fn create(name: &str, bytes: u64) -> io::Result<StoreFile> {
        let file = ObjectFile::create(name, bytes)?;
        let map = MmapOptions::new()
            .len(to_usize(bytes))
            .no_reserve_swap()
            .map_raw(file.as_fd().as_raw_fd())?;
        map.advise(Advice::DontFork)?;
        match map.advise(Advice::NoHugePage) {
            // A kernel without huge pages has nothing to be asked.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            other => other?,
        }
        Ok(StoreFile { file, map })
    }

    /// The room in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a store has room, or does not exist")]
    pub fn len(&self) -> u64 {
        self.file.len()
    }

    /// Copies the bytes of `from` at `offset` into `slots`, one after the other.
    ///
    /// Holes come out as zeros and stay holes. One system call for up to 64 slots.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a slot is not inside the store, or the slots together are longer than what
    /// `from` has at `offset`; nothing was copied then. Otherwise the host's, with some slots
    /// copied and others not.
    pub fn copy_out(&self, from: &ObjectFile, offset: u64, slots: &[Slot]) -> io::Result<()> {
        self.check(from, offset, slots)?;
        self.transfer(offset, slots, |table, position| {
            // SAFETY: the first `table.len()` entries are initialised. Each lies inside our own
            // mapping (see `check`), which lives as long as `self`, and into which this module
            // makes no reference but to atomics: the kernel may write there.
            let count = unsafe {
                libc::preadv(from.as_fd().as_raw_fd(), table.as_ptr(), table_len(table), position)
            };
            check_count(count)
        })
    }

    /// Copies `slots`, one after the other, into `to` at `offset`.
    ///
    /// The reverse of [`StoreFile::copy_out`]; whole pages only, or the rest of a page that was a
    /// hole becomes zeros. One system call for up to 64 slots.
    ///
    /// # Errors
    ///
    /// As for [`StoreFile::copy_out`].
    pub fn copy_in(&self, to: &ObjectFile, offset: u64, slots: &[Slot]) -> io::Result<()> {
        self.check(to, offset, slots)?;
        self.transfer(offset, slots, |table, position| {
            // SAFETY: as in `copy_out`; the kernel only reads the entries' bytes here.
            let count = unsafe {
                libc::pwritev(to.as_fd().as_raw_fd(), table.as_ptr(), table_len(table), position)
            };
            check_count(count)
        })
    }

    /// Copies `slots`, one after the other, into holes of `to` at `offset`, through a window on it.
    ///
    /// Each hole gets one frame of the file's page size and nothing around it, without being
    /// cleared first. A page that somebody has put there meanwhile is replaced.
    ///
    /// # Errors
    ///
    /// As for [`StoreFile::copy_in`], and `InvalidInput` for slots that are not in whole pages of
    /// the file. `OutOfMemory` if the host has no frame left, or somebody puts huge pages there as
    /// fast as they can be taken away.
    pub fn copy_in_by(
        &self,
        window: &Window,
        to: &ObjectFile,
        offset: u64,
        slots: &[Slot],
    ) -> io::Result<()> {
        self.check(to, offset, slots)?;
        let mut position = offset;
        for &slot in slots {
            match self.copy_slot_by(window, to, position, slot) {
                // Where a source page has no page table entry, the kernel takes a second huge frame
                // to copy by way of: the one that was one too many.
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                    self.touch(slot);
                    self.copy_slot_by(window, to, position, slot)?;
                }
                other => other?,
            }
            position += slot.len;
        }
        Ok(())
    }

    fn copy_slot_by(
        &self,
        window: &Window,
        to: &ObjectFile,
        offset: u64,
        slot: Slot,
    ) -> io::Result<()> {
        let page = to.page_bytes();
        window.copy(offset, self.address(slot), slot.len, |present| {
            if page == KERNEL_PAGE_BYTES {
                // Nothing is allocated by writing to a page that is there.
                let part = Slot { offset: slot.offset + (present - offset), len: page };
                self.copy_in(to, present, &[part])?;
                return Ok(Present::Settled);
            }
            to.punch(present, page)?;
            Ok(Present::TryAgain)
        })
    }

    /// Gives every page of `slot` its page table entry.
    fn touch(&self, slot: Slot) {
        for skip in (0..slot.len).step_by(to_usize(KERNEL_PAGE_BYTES)) {
            let byte = self.address(Slot { offset: slot.offset + skip, len: 1 });
            // SAFETY: inside our mapping, as whoever calls has checked, which lives as long as
            // `self`; any byte is an `AtomicU8`, and so everybody here reads it.
            let byte = unsafe { AtomicU8::from_ptr(byte) };
            std::hint::black_box(byte.load(Relaxed));
        }
    }

    /// The word that `slot` is full of: eight bytes, in the machine's order, over and over.
    ///
    /// `None` if it is not, and for a slot that is not inside the store, does not begin at a
    /// multiple of eight bytes, or is not a multiple of eight long. Ends at the first eight bytes
    /// that differ; a slot that is full of a word is read once, at the speed of memory.
    #[must_use]
    pub fn uniform_word(&self, slot: Slot) -> Option<u64> {
        if !self.has(slot) || !slot.offset.is_multiple_of(8) || !slot.len.is_multiple_of(8) {
            return None;
        }
        let start = self.address(slot);
        // SAFETY: the slot is inside our mapping (see `has`), which lives as long as `self` and
        // begins at a page, so eight bytes are there, aligned. Nothing in this process writes to
        // the mapping but the kernel, on behalf of `copy_out`.
        let first = unsafe { AtomicU64::from_ptr(start.cast()) }.load(Relaxed);
        let rest = to_usize(slot.len) - 8;
        // Bytes that equal those eight places on, each of them, repeat the first eight. The C
        // library compares with the widest loads that the processor has, which a loop over atomics
        // is never compiled to.
        // SAFETY: both ranges lie inside the slot, and so inside our mapping; that they overlap
        // is no matter, since they are only read. No reference is made, so no promise is given
        // that the bytes stay as they are: should another thread copy into this slot meanwhile,
        // which is the caller's mistake, the answer means nothing, and nothing else happens.
        let order = unsafe { libc::memcmp(start.cast(), start.wrapping_add(8).cast(), rest) };
        (order == 0).then_some(first)
    }

    /// Gives the memory of `slot` back; it reads as zeros then.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the slot is not aligned to 4 KiB or not inside the store.
    pub fn discard(&self, slot: Slot) -> io::Result<()> {
        self.file.punch(slot.offset, slot.len)
    }

    /// How much memory the store takes, in bytes.
    ///
    /// # Errors
    ///
    /// None on a kernel that is not broken.
    pub fn populated_bytes(&self) -> io::Result<u64> {
        self.file.populated_bytes()
    }

    fn has(&self, slot: Slot) -> bool {
        self.file.check_bytes(slot.offset, slot.len).is_ok()
    }

    fn check(&self, object: &ObjectFile, offset: u64, slots: &[Slot]) -> io::Result<()> {
        let mut total: u64 = 0;
        for slot in slots {
            self.file.check_bytes(slot.offset, slot.len)?;
            total = total.checked_add(slot.len).ok_or(io::ErrorKind::InvalidInput)?;
        }
        match total {
            0 => Ok(()),
            total => object.check_bytes(offset, total),
        }
    }

    /// Where `slot`, which is inside the store, is mapped.
    fn address(&self, slot: Slot) -> *mut u8 {
        assert!(to_usize(slot.offset) < self.map.len());
        // SAFETY: the offset was just compared with the length of the mapping.
        unsafe { self.map.as_mut_ptr().add(to_usize(slot.offset)) }
    }

    /// Calls `call` with tables of at most 64 slots until all of `slots` is done. `call` says how
    /// many bytes the kernel moved, which may be fewer than it was given.
    fn transfer(
        &self,
        offset: u64,
        slots: &[Slot],
        mut call: impl FnMut(&[libc::iovec], libc::off_t) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut position = offset;
        for batch in slots.chunks(SLOTS_PER_CALL_MAX) {
            let empty = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
            let mut table = [empty; SLOTS_PER_CALL_MAX];
            for (entry, &slot) in table.iter_mut().zip(batch) {
                entry.iov_base = self.address(slot).cast();
                entry.iov_len = to_usize(slot.len);
            }
            let mut rest = &mut table[..batch.len()];
            while !rest.is_empty() {
                let at = libc::off_t::try_from(position).expect("inside a file, as checked before");
                let moved = match call(rest, at) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    other => other?,
                };
                position += moved as u64;
                rest = advance(rest, moved);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for StoreFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StoreFile({:?})", self.file)
    }
}

/// Drops the first `moved` bytes from the table.
fn advance(mut rest: &mut [libc::iovec], mut moved: usize) -> &mut [libc::iovec] {
    while let Some(first) = rest.first_mut() {
        if moved < first.iov_len {
            first.iov_base = first.iov_base.wrapping_byte_add(moved);
            first.iov_len -= moved;
            break;
        }
        moved -= first.iov_len;
        rest = &mut rest[1..];
    }
    rest
}

fn table_len(table: &[libc::iovec]) -> libc::c_int {
    libc::c_int::try_from(table.len()).expect("a table has at most 64 entries")
}

/// Nothing moved, although something was left, means that the file ended early: it cannot, being
/// sealed, but an endless loop would be the worse way to find out.
fn check_count(count: libc::ssize_t) -> io::Result<usize> {
    match usize::try_from(count) {
        Err(_) => Err(io::Error::last_os_error()),
        Ok(0) => Err(Errno::IO.into()),
        Ok(count) => Ok(count),
    }
}

#[cfg(test)]
mod tests;
