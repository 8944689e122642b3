//! The kernel as the buffer-object manager uses it, and the home of all unsafe code.
//!
//! Small primitives without opinions: each says what it promises, and turns `errno` into a word.
//! A race that a healthy host sees every day is an outcome; an [`std::io::Error`] is left for what
//! should not happen. Nothing here knows what an object, a client or the protocol is.
//!
//! | module | what it wraps |
//! | --- | --- |
//! | [`range`] | page-aligned addresses of another process |
//! | [`uffd`] | userfaultfd: watching ranges, answering and arming their faults |
//! | [`hugepages`] | what this host has of huge pages, and taking some for ourselves |
//! | [`memfd`] | sealed memory files, and the holes in them |
//! | [`window`] | filling memory files by copies that allocate no more than they copy |
//! | [`store`] | memory that pages are copied out to |
//! | [`mapping`] | a client's view of a memory file |
//! | [`socket`] | packets and descriptors between processes |
//! | [`heap`] | what a thread has allocated |
//! | [`swap`] | areas that the kernel swaps to |
//! | [`thread`] | names, processors, signals |

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test stops at what it did not expect"))]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("addresses and file offsets are u64 throughout: a 64-bit target is needed");

pub mod heap;
pub mod hugepages;
pub mod mapping;
pub mod memfd;
pub mod range;
pub mod socket;
pub mod store;
pub mod swap;
pub mod thread;
pub mod uffd;
pub mod window;

/// The kernel's page size. `userfaultfd` and hole punching work in multiples of it.
pub const KERNEL_PAGE_BYTES: u64 = 4096;

/// What this system calls a huge page: an entry of the page middle directory on x86-64 and, with
/// pages of 4 KiB, on arm64.
pub const HUGE_PAGE_BYTES: u64 = 2 << 20;

/// Lossless, since only 64-bit targets compile (see above).
#[expect(clippy::cast_possible_truncation, reason = "both are 64 bits wide on every target")]
pub(crate) const fn to_usize(value: u64) -> usize {
    value as usize
}
