//! What read(2) on a userfaultfd returns.

/// A page fault waits for an answer.
pub const UFFD_EVENT_PAGEFAULT: u8 = 0x12;
/// The process forked.
pub const UFFD_EVENT_FORK: u8 = 0x13;
/// A registered range has moved.
pub const UFFD_EVENT_REMAP: u8 = 0x14;
/// Pages of a registered range were given up.
pub const UFFD_EVENT_REMOVE: u8 = 0x15;
/// A registered range was unmapped.
pub const UFFD_EVENT_UNMAP: u8 = 0x16;

/// The access was a write.
pub const UFFD_PAGEFAULT_FLAG_WRITE: u64 = 1 << 0;
/// The page is write-protected.
pub const UFFD_PAGEFAULT_FLAG_WP: u64 = 1 << 1;
/// The page is cached, only its page-table entry is absent.
pub const UFFD_PAGEFAULT_FLAG_MINOR: u64 = 1 << 2;

/// One message.
///
/// The kernel's structure is packed. Every field lies at its natural place all the same, so this
/// one is not, and its fields can be borrowed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uffd_msg {
    /// One of the `UFFD_EVENT_` constants. It decides which member of `arg` is meant.
    pub event: u8,
    /// Zero.
    pub reserved1: u8,
    /// Zero.
    pub reserved2: u16,
    /// Zero.
    pub reserved3: u32,
    /// What `event` has to say.
    pub arg: uffd_msg_arg,
}

/// The part of a message that depends on its kind. Any bytes are a valid value of every member.
#[repr(C)]
#[derive(Clone, Copy)]
pub union uffd_msg_arg {
    /// For `UFFD_EVENT_PAGEFAULT`.
    pub pagefault: uffd_msg_pagefault,
    /// For `UFFD_EVENT_FORK`.
    pub fork: uffd_msg_fork,
    /// For `UFFD_EVENT_REMAP`.
    pub remap: uffd_msg_remap,
    /// For `UFFD_EVENT_REMOVE` and `UFFD_EVENT_UNMAP`.
    pub remove: uffd_msg_remove,
    /// The whole, as bare words.
    pub reserved: uffd_msg_reserved,
}

/// The argument of `UFFD_EVENT_PAGEFAULT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uffd_msg_pagefault {
    /// `UFFD_PAGEFAULT_FLAG_` bits.
    pub flags: u64,
    /// Where, rounded down to the page unless `UFFD_FEATURE_EXACT_ADDRESS` is on.
    pub address: u64,
    /// Who.
    pub feat: uffd_msg_pagefault_feat,
}

/// What optional features add to a page fault.
#[repr(C)]
#[derive(Clone, Copy)]
pub union uffd_msg_pagefault_feat {
    /// The thread, with `UFFD_FEATURE_THREAD_ID`; else zero.
    pub ptid: u32,
}

/// The argument of `UFFD_EVENT_FORK`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uffd_msg_fork {
    /// A new descriptor in the reading process: the child's userfaultfd.
    pub ufd: u32,
}

/// The argument of `UFFD_EVENT_REMAP`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uffd_msg_remap {
    /// The old address.
    pub from: u64,
    /// The new address.
    pub to: u64,
    /// The old length in bytes.
    pub len: u64,
}

/// The argument of `UFFD_EVENT_REMOVE` and `UFFD_EVENT_UNMAP`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uffd_msg_remove {
    /// The first address.
    pub start: u64,
    /// The first address behind it.
    pub end: u64,
}

/// The argument as bare words.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uffd_msg_reserved {
    /// Bytes 0 to 7.
    pub reserved1: u64,
    /// Bytes 8 to 15.
    pub reserved2: u64,
    /// Bytes 16 to 23.
    pub reserved3: u64,
}

const _: () = assert!(size_of::<uffd_msg>() == 32);
const _: () = assert!(std::mem::offset_of!(uffd_msg, reserved3) == 4);
const _: () = assert!(std::mem::offset_of!(uffd_msg, arg) == 8);
const _: () = assert!(std::mem::offset_of!(uffd_msg_pagefault, address) == 8);
const _: () = assert!(std::mem::offset_of!(uffd_msg_pagefault, feat) == 16);
const _: () = assert!(size_of::<uffd_msg_arg>() == 24);
