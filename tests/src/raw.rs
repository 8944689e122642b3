//! System calls that Rust has no safe form of: what clients do behind the library's back.

// UNSAFETY: the tests unmap, move and discard memory that the library has mapped, fork, handle
// signals and hand managed memory to the kernel. That is what they are about.
#![expect(unsafe_code, reason = "system calls on memory that somebody else looks after")]

mod process;
mod uring;

use std::ffi::c_void;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use bo_client::Mapping;
use rustix::io::Errno;
use rustix::mm::{Advice, MprotectFlags, MremapFlags};
use rustix::pipe::{IoSliceRaw, SpliceFlags};

pub use process::{
    count_signals, fork_and_load, process_vm_read, signal_thread, signalled_thread, signals,
};
pub use uring::{Ring, Transfer};

use crate::{PAGE, PAGE_LEN};

/// Gives `work` a page of a mapping as a slice, which it may hand to the kernel.
///
/// The caller is the only one who uses these bytes meanwhile, apart from the daemon, which moves
/// them.
///
/// # Panics
///
/// If the mapping has no such page.
pub fn with_page<R>(mapping: &Mapping, index: u64, work: impl FnOnce(&[u8]) -> R) -> R {
    let start = place(mapping, index).cast_const();
    // SAFETY: a page of the mapping, which is borrowed and open for reading; by the story's word
    // nobody writes to it.
    work(unsafe { std::slice::from_raw_parts(start, PAGE_LEN) })
}

/// Whether the kernel can read a byte at an address on our behalf. It says no where a load would
/// raise SIGBUS, and waits where a load would.
///
/// # Panics
///
/// If the host is out of descriptors.
#[must_use]
pub fn can_be_read(address: u64) -> bool {
    let (_reader, writer) = rustix::pipe::pipe().expect("descriptors");
    let start = ptr::with_exposed_provenance(usize::try_from(address).expect("a 64-bit target"));
    // SAFETY: the kernel checks the address itself, which is what is asked; nobody looks at the
    // byte.
    let written = unsafe { libc::write(writer.as_raw_fd(), start, 1) };
    written == 1
}

/// The same, to write to.
///
/// # Panics
///
/// If the mapping has no such page, or is for reading only.
pub fn with_page_mut<R>(mapping: &Mapping, index: u64, work: impl FnOnce(&mut [u8]) -> R) -> R {
    assert!(mapping.access().is_writable());
    let start = place(mapping, index);
    // SAFETY: a page of the mapping, which is borrowed and open for writing; by the story's word
    // nobody else uses it.
    work(unsafe { std::slice::from_raw_parts_mut(start, PAGE_LEN) })
}

/// Loads a word, as any program does.
#[must_use]
pub fn load(mapping: &Mapping, offset: u64) -> u64 {
    load_at(mapping.address() + offset)
}

/// Stores a word, as any program does.
pub fn store(mapping: &Mapping, offset: u64, value: u64) {
    let target = pointer(mapping.address() + offset).cast::<u64>();
    // SAFETY: the story's word that this is inside, aligned and writable; or that the process is
    // meant to end here.
    unsafe { ptr::write_volatile(target, value) };
}

/// Loads a word from an address.
#[must_use]
pub fn load_at(address: u64) -> u64 {
    let source = pointer(address).cast::<u64>();
    // SAFETY: the story's word that something is mapped there; or that the process is meant to end.
    unsafe { ptr::read_volatile(source) }
}

/// Loads a page from an address.
#[must_use]
pub fn load_page(address: u64) -> [u8; PAGE_LEN] {
    let source = pointer(address).cast::<[u8; PAGE_LEN]>();
    // SAFETY: as for `load_at`.
    unsafe { ptr::read_volatile(source) }
}

/// munmap(2) of some pages of a mapping, which must not be touched there again.
///
/// # Errors
///
/// The kernel's.
pub fn unmap(mapping: &Mapping, first: u64, pages: u64) -> Result<(), Errno> {
    let start = place(mapping, first).cast::<c_void>();
    // SAFETY: no reference to these pages exists, and the story makes none afterwards.
    unsafe { rustix::mm::munmap(start, length(pages)) }
}

/// mremap(2) of some pages of a mapping; says where they are now.
///
/// # Errors
///
/// The kernel's.
pub fn relocate(mapping: &Mapping, first: u64, pages: u64) -> Result<u64, Errno> {
    let (start, len) = (place(mapping, first).cast::<c_void>(), length(pages));
    // SAFETY: a free place of this size, which nobody else knows of.
    let target = unsafe {
        rustix::mm::mmap_anonymous(
            ptr::null_mut(),
            len,
            rustix::mm::ProtFlags::empty(),
            rustix::mm::MapFlags::PRIVATE,
        )
    }?;
    // SAFETY: what is replaced is that place; no reference to the old one exists.
    unsafe { rustix::mm::mremap_fixed(start, len, len, MremapFlags::MAYMOVE, target) }?;
    Ok(target.addr() as u64)
}

/// madvise(2) of some pages of a mapping.
///
/// # Errors
///
/// The kernel's.
pub fn advise(mapping: &Mapping, first: u64, pages: u64, advice: Advice) -> Result<(), Errno> {
    let start = place(mapping, first).cast::<c_void>();
    // SAFETY: shared memory may change at any time as it is.
    unsafe { rustix::mm::madvise(start, length(pages), advice) }
}

/// mprotect(2) of a whole mapping to reading and writing.
///
/// # Errors
///
/// The kernel's.
pub fn make_writable(mapping: &Mapping) -> Result<(), Errno> {
    let start = place(mapping, 0).cast::<c_void>();
    let flags = MprotectFlags::READ | MprotectFlags::WRITE;
    // SAFETY: allowing more breaks no reference.
    unsafe { rustix::mm::mprotect(start, length(mapping.len() / PAGE), flags) }
}

/// vmsplice(2) of a page into a pipe; says how many bytes went.
///
/// # Errors
///
/// The kernel's.
pub fn vmsplice(pipe: BorrowedFd<'_>, mapping: &Mapping, index: u64) -> Result<usize, Errno> {
    with_page(mapping, index, |page| {
        let slices = [IoSliceRaw::from_slice(page)];
        // SAFETY: the page stays mapped, and by the story's word nobody writes to it until the
        // pipe is empty.
        unsafe { rustix::pipe::vmsplice(pipe, &slices, SpliceFlags::empty()) }
    })
}

fn place(mapping: &Mapping, index: u64) -> *mut u8 {
    assert!(index < mapping.len() / PAGE, "page {index} of {mapping:?}");
    let offset = usize::try_from(index * PAGE).expect("a 64-bit target");
    mapping.as_ptr().wrapping_add(offset)
}

fn pointer(address: u64) -> *mut u8 {
    ptr::with_exposed_provenance_mut(usize::try_from(address).expect("a 64-bit target"))
}

fn length(pages: u64) -> usize {
    usize::try_from(pages * PAGE).expect("a 64-bit target")
}
