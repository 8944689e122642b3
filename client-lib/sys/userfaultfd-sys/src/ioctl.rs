//! The ioctls: their numbers, their arguments, and the `mode` bits of each.

/// The type byte of the ioctl on `/dev/userfaultfd`.
pub const USERFAULTFD_IOC: u32 = 0xAA;
/// The type byte of the ioctls on a userfaultfd.
pub const UFFDIO: u32 = 0xAA;

/// Sequence number of [`UFFDIO_REGISTER`]; also its bit in `uffdio_api::ioctls`.
pub const _UFFDIO_REGISTER: u32 = 0x00;
/// Sequence number of [`UFFDIO_UNREGISTER`].
pub const _UFFDIO_UNREGISTER: u32 = 0x01;
/// Sequence number of [`UFFDIO_WAKE`].
pub const _UFFDIO_WAKE: u32 = 0x02;
/// Sequence number of [`UFFDIO_COPY`].
pub const _UFFDIO_COPY: u32 = 0x03;
/// Sequence number of [`UFFDIO_ZEROPAGE`].
pub const _UFFDIO_ZEROPAGE: u32 = 0x04;
/// Sequence number of [`UFFDIO_MOVE`].
pub const _UFFDIO_MOVE: u32 = 0x05;
/// Sequence number of [`UFFDIO_WRITEPROTECT`].
pub const _UFFDIO_WRITEPROTECT: u32 = 0x06;
/// Sequence number of [`UFFDIO_CONTINUE`].
pub const _UFFDIO_CONTINUE: u32 = 0x07;
/// Sequence number of [`UFFDIO_POISON`].
pub const _UFFDIO_POISON: u32 = 0x08;
/// Sequence number of [`UFFDIO_API`].
pub const _UFFDIO_API: u32 = 0x3F;

/// Makes a userfaultfd. On `/dev/userfaultfd`; takes the flags of userfaultfd(2) by value.
pub const USERFAULTFD_IOC_NEW: u32 = ioc(IOC_NONE, USERFAULTFD_IOC, 0x00, 0);
/// Negotiates version and features. Once per userfaultfd.
pub const UFFDIO_API: u32 = iowr::<uffdio_api>(_UFFDIO_API);
/// Watches a range.
pub const UFFDIO_REGISTER: u32 = iowr::<uffdio_register>(_UFFDIO_REGISTER);
/// Stops watching a range.
pub const UFFDIO_UNREGISTER: u32 = ior::<uffdio_range>(_UFFDIO_UNREGISTER);
/// Lets the threads that wait in a range fault again.
pub const UFFDIO_WAKE: u32 = ior::<uffdio_range>(_UFFDIO_WAKE);
/// Fills absent pages with a copy.
pub const UFFDIO_COPY: u32 = iowr::<uffdio_copy>(_UFFDIO_COPY);
/// Fills absent pages with zeros.
pub const UFFDIO_ZEROPAGE: u32 = iowr::<uffdio_zeropage>(_UFFDIO_ZEROPAGE);
/// Moves anonymous pages.
pub const UFFDIO_MOVE: u32 = iowr::<uffdio_move>(_UFFDIO_MOVE);
/// Sets or lifts write protection.
pub const UFFDIO_WRITEPROTECT: u32 = iowr::<uffdio_writeprotect>(_UFFDIO_WRITEPROTECT);
/// Installs page-table entries for cached pages.
pub const UFFDIO_CONTINUE: u32 = iowr::<uffdio_continue>(_UFFDIO_CONTINUE);
/// Makes absent pages raise `SIGBUS`.
pub const UFFDIO_POISON: u32 = iowr::<uffdio_poison>(_UFFDIO_POISON);

/// The ioctls that [`UFFDIO_API`] promises for the userfaultfd as a whole, as bits.
pub const UFFD_API_IOCTLS: u64 = 1 << _UFFDIO_REGISTER | 1 << _UFFDIO_UNREGISTER | 1 << _UFFDIO_API;
/// The ioctls that [`UFFDIO_REGISTER`] may promise for a range of anonymous memory.
pub const UFFD_API_RANGE_IOCTLS: u64 =
    UFFD_API_RANGE_IOCTLS_BASIC | 1 << _UFFDIO_ZEROPAGE | 1 << _UFFDIO_MOVE;
/// The ioctls that [`UFFDIO_REGISTER`] may promise for a range of any memory.
pub const UFFD_API_RANGE_IOCTLS_BASIC: u64 = 1 << _UFFDIO_WAKE
    | 1 << _UFFDIO_COPY
    | 1 << _UFFDIO_WRITEPROTECT
    | 1 << _UFFDIO_CONTINUE
    | 1 << _UFFDIO_POISON;

/// A flag of userfaultfd(2): faults that the kernel itself takes in the range fail with `EFAULT`.
pub const UFFD_USER_MODE_ONLY: u32 = 1;

/// Report faults on absent pages.
pub const UFFDIO_REGISTER_MODE_MISSING: u64 = 1 << 0;
/// Report writes to protected pages.
pub const UFFDIO_REGISTER_MODE_WP: u64 = 1 << 1;
/// Report faults on cached pages that have no page-table entry.
pub const UFFDIO_REGISTER_MODE_MINOR: u64 = 1 << 2;
/// Leave the waiting threads asleep.
pub const UFFDIO_COPY_MODE_DONTWAKE: u64 = 1 << 0;
/// Install the pages write-protected.
pub const UFFDIO_COPY_MODE_WP: u64 = 1 << 1;
/// Leave the waiting threads asleep.
pub const UFFDIO_ZEROPAGE_MODE_DONTWAKE: u64 = 1 << 0;
/// Leave the waiting threads asleep.
pub const UFFDIO_MOVE_MODE_DONTWAKE: u64 = 1 << 0;
/// Holes in the source are no mistake.
pub const UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES: u64 = 1 << 1;
/// Set protection; without this bit it is lifted.
pub const UFFDIO_WRITEPROTECT_MODE_WP: u64 = 1 << 0;
/// Leave the waiting threads asleep. Only when protection is lifted.
pub const UFFDIO_WRITEPROTECT_MODE_DONTWAKE: u64 = 1 << 1;
/// Leave the waiting threads asleep.
pub const UFFDIO_CONTINUE_MODE_DONTWAKE: u64 = 1 << 0;
/// Install the pages write-protected.
pub const UFFDIO_CONTINUE_MODE_WP: u64 = 1 << 1;
/// Leave the waiting threads asleep.
pub const UFFDIO_POISON_MODE_DONTWAKE: u64 = 1 << 0;

/// The argument of [`UFFDIO_API`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uffdio_api {
    /// In: [`UFFD_API`](crate::UFFD_API).
    pub api: u64,
    /// In: the features wanted. Out: the features that this kernel has.
    pub features: u64,
    /// Out: the ioctls that may be used, as bits.
    pub ioctls: u64,
}

/// A range of addresses in whole pages; the whole argument of [`UFFDIO_WAKE`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uffdio_range {
    /// The first address.
    pub start: u64,
    /// The length in bytes.
    pub len: u64,
}

/// The argument of [`UFFDIO_REGISTER`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uffdio_register {
    /// In: what to watch.
    pub range: uffdio_range,
    /// In: `UFFDIO_REGISTER_MODE_` bits.
    pub mode: u64,
    /// Out: the ioctls that may be used on the range, as bits.
    pub ioctls: u64,
}

/// The argument of [`UFFDIO_COPY`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uffdio_copy {
    /// In: where to, in the watched process.
    pub dst: u64,
    /// In: where from, in the calling process.
    pub src: u64,
    /// In: the length in bytes.
    pub len: u64,
    /// In: `UFFDIO_COPY_MODE_` bits.
    pub mode: u64,
    /// Out: the bytes copied, or a negative errno.
    pub copy: i64,
}

/// The argument of [`UFFDIO_ZEROPAGE`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uffdio_zeropage {
    /// In: what to fill.
    pub range: uffdio_range,
    /// In: `UFFDIO_ZEROPAGE_MODE_` bits.
    pub mode: u64,
    /// Out: the bytes filled, or a negative errno.
    pub zeropage: i64,
}

/// The argument of [`UFFDIO_MOVE`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uffdio_move {
    /// In: where to.
    pub dst: u64,
    /// In: where from.
    pub src: u64,
    /// In: the length in bytes.
    pub len: u64,
    /// In: `UFFDIO_MOVE_MODE_` bits.
    pub mode: u64,
    /// Out: the bytes moved, or a negative errno.
    pub r#move: i64,
}

/// The argument of [`UFFDIO_WRITEPROTECT`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uffdio_writeprotect {
    /// In: what to protect.
    pub range: uffdio_range,
    /// In: `UFFDIO_WRITEPROTECT_MODE_` bits.
    pub mode: u64,
}

/// The argument of [`UFFDIO_CONTINUE`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uffdio_continue {
    /// In: what to install.
    pub range: uffdio_range,
    /// In: `UFFDIO_CONTINUE_MODE_` bits.
    pub mode: u64,
    /// Out: the bytes installed, or a negative errno.
    pub mapped: i64,
}

/// The argument of [`UFFDIO_POISON`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uffdio_poison {
    /// In: what to poison.
    pub range: uffdio_range,
    /// In: `UFFDIO_POISON_MODE_` bits.
    pub mode: u64,
    /// Out: the bytes poisoned, or a negative errno.
    pub updated: i64,
}

const IOC_NONE: u32 = 0;
const IOC_READ: u32 = 2;
const IOC_READ_WRITE: u32 = 3;

/// `_IOC` of asm-generic/ioctl.h: two bits of direction, fourteen of size, type, number.
const fn ioc(direction: u32, kind: u32, number: u32, size: usize) -> u32 {
    assert!(size < 1 << 14);
    #[expect(clippy::cast_possible_truncation, reason = "below 1 << 14, as just asserted")]
    let size = size as u32;
    direction << 30 | size << 16 | kind << 8 | number
}

const fn ior<Argument>(number: u32) -> u32 {
    ioc(IOC_READ, UFFDIO, number, size_of::<Argument>())
}

const fn iowr<Argument>(number: u32) -> u32 {
    ioc(IOC_READ_WRITE, UFFDIO, number, size_of::<Argument>())
}

#[cfg(any(
    target_arch = "mips",
    target_arch = "mips64",
    target_arch = "powerpc",
    target_arch = "powerpc64",
    target_arch = "sparc",
    target_arch = "sparc64",
))]
compile_error!("this architecture encodes ioctl numbers in its own way");

const _: () = assert!(USERFAULTFD_IOC_NEW == 0x0000_aa00);
const _: () = assert!(UFFDIO_API == 0xc018_aa3f);
const _: () = assert!(UFFDIO_REGISTER == 0xc020_aa00);
const _: () = assert!(UFFDIO_UNREGISTER == 0x8010_aa01);
const _: () = assert!(UFFDIO_WAKE == 0x8010_aa02);
const _: () = assert!(UFFDIO_COPY == 0xc028_aa03);
const _: () = assert!(UFFDIO_ZEROPAGE == 0xc020_aa04);
const _: () = assert!(UFFDIO_MOVE == 0xc028_aa05);
const _: () = assert!(UFFDIO_WRITEPROTECT == 0xc018_aa06);
const _: () = assert!(UFFDIO_CONTINUE == 0xc020_aa07);
const _: () = assert!(UFFDIO_POISON == 0xc020_aa08);
const _: () = assert!(size_of::<uffdio_api>() == 24);
const _: () = assert!(size_of::<uffdio_range>() == 16);
const _: () = assert!(size_of::<uffdio_register>() == 32);
const _: () = assert!(size_of::<uffdio_copy>() == 40);
const _: () = assert!(size_of::<uffdio_zeropage>() == 32);
const _: () = assert!(size_of::<uffdio_move>() == 40);
const _: () = assert!(size_of::<uffdio_writeprotect>() == 24);
const _: () = assert!(size_of::<uffdio_continue>() == 32);
const _: () = assert!(size_of::<uffdio_poison>() == 32);
