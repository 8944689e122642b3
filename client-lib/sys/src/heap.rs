//! How many bytes a thread has on the heap, for tests and benches of what tables cost.

// UNSAFETY: an allocator is implemented by an unsafe trait. This one hands every call on as it is.
#![expect(unsafe_code, reason = "GlobalAlloc")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Constant at first and without a destructor: it needs no allocation itself.
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread asks for. A program that wants to use
/// [`live_bytes`] makes it its `#[global_allocator]`.
///
/// It counts bytes as they are asked for: what the allocator adds, usually 8 to 16 bytes for each
/// piece, is not in it.
#[derive(Debug, Clone, Copy, Default)]
pub struct CountingAllocator;

/// The bytes that this thread has allocated, less those that it has freed. Negative for a thread
/// that frees what others made. Zero for all, if [`CountingAllocator`] is not in use.
#[must_use]
pub fn live_bytes() -> i64 {
    LIVE.try_with(Cell::get).unwrap_or(0)
}

fn count(bytes: i64) {
    // A thread that is ending has nothing to count with any more.
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

fn size(layout: Layout) -> i64 {
    i64::try_from(layout.size()).unwrap_or(i64::MAX)
}

// SAFETY: every method is the one of `System` with the same arguments, and counting neither
// allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-size(layout));
        // SAFETY: the pointer came from `System`, and the caller keeps the rest of the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(i64::try_from(bytes).unwrap_or(i64::MAX) - size(layout));
        // SAFETY: the pointer came from `System`, and the caller keeps the rest of the contract.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}
