//! Bulk copies to and from memory that other processes change meanwhile.
//!
//! A plain copy would be a data race, which the compiler may take as leave to do anything, such as
//! to read a byte twice. Copying by `AtomicU8` is right and slow; by `AtomicU64` it is fast, but
//! Rust has no meaning for a race between atomics of different sizes. So the copy is one
//! instruction that the compiler cannot look into, and that does the same as a loop of relaxed
//! `AtomicU8`s. It can be interrupted by a fault at each byte, and goes on where it was.

// UNSAFETY: `rep movsb`, and atomics made from addresses.
#![expect(unsafe_code, reason = "memory that is shared with other processes")]

/// Copies `target.len()` bytes from `source`, each read once.
///
/// # Safety
///
/// 1. `target.len()` bytes at `source` are readable, and disjoint from `target`.
/// 2. This process has no `&mut` to them, and writes them only atomically or by [`to_shared`].
pub(super) unsafe fn from_shared(source: *const u8, target: &mut [u8]) {
    // SAFETY: `target` is writable as long as it is; the rest is promised by 1 and 2.
    unsafe { copy_bytes(source, target.as_mut_ptr(), target.len()) };
}

/// Copies all of `source` to `target`, each byte written once.
///
/// # Safety
///
/// 1. `source.len()` bytes at `target` are writable, and disjoint from `source`.
/// 2. This process has no reference to them but to atomics.
pub(super) unsafe fn to_shared(source: &[u8], target: *mut u8) {
    // SAFETY: `source` is readable as long as it is; the rest is promised by 1 and 2.
    unsafe { copy_bytes(source.as_ptr(), target, source.len()) };
}

/// # Safety
///
/// 1. `len` bytes are readable at `source`, writable at `target`, and the two are disjoint.
/// 2. References of this process to either, beyond the caller's own, are to atomics.
#[cfg(target_arch = "x86_64")]
unsafe fn copy_bytes(source: *const u8, target: *mut u8, len: usize) {
    // SAFETY: the instruction reads and writes the bytes of promise 1 and no others; the direction
    // flag is clear, as `asm!` guarantees on entry. It takes no stack and changes no flags.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rsi") source => _,
            inout("rdi") target => _,
            options(nostack, preserves_flags),
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
use copy_bytes_portably as copy_bytes;

/// The meaning of `copy_bytes`, byte by byte, for processors without such an instruction.
///
/// # Safety
///
/// As for `copy_bytes`.
#[cfg(any(test, not(target_arch = "x86_64")))]
unsafe fn copy_bytes_portably(source: *const u8, target: *mut u8, len: usize) {
    use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

    // SAFETY: `len` bytes are readable there; other references to them are to atomics or shared,
    // and these here only load.
    let from = unsafe { std::slice::from_raw_parts(source.cast::<AtomicU8>(), len) };
    // SAFETY: `len` bytes are writable there, disjoint from `from`.
    let to = unsafe { std::slice::from_raw_parts(target.cast::<AtomicU8>(), len) };
    for (to, from) in to.iter().zip(from) {
        to.store(from.load(Relaxed), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_copying_do_the_same() {
        let source: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for (start, len) in [(0, 0), (1, 1), (3, 8), (5, 64), (7, 993)] {
            let mut fast = vec![0; len + 2];
            let mut plain = vec![0; len + 2];
            let from = source[start..].as_ptr();
            // SAFETY: `len` bytes are left behind `start`, and there is room for them behind the
            // first byte of the target.
            unsafe { copy_bytes(from, fast[1..].as_mut_ptr(), len) };
            // SAFETY: the same.
            unsafe { copy_bytes_portably(from, plain[1..].as_mut_ptr(), len) };
            assert_eq!(fast, plain);
            assert_eq!(fast[1..=len], source[start..start + len]);
            assert_eq!((fast[0], fast[len + 1]), (0, 0));
        }
    }
}
