//! What `UFFDIO_API` negotiates: the version, and the bits of `uffdio_api::features`.

/// The only version of the interface so far: the value of `uffdio_api::api`.
pub const UFFD_API: u64 = 0xAA;

/// Write faults say whether write protection was their cause.
pub const UFFD_FEATURE_PAGEFAULT_FLAG_WP: u64 = 1 << 0;
/// Report fork(2). The asking process needs `CAP_SYS_PTRACE`.
pub const UFFD_FEATURE_EVENT_FORK: u64 = 1 << 1;
/// Report mremap(2).
pub const UFFD_FEATURE_EVENT_REMAP: u64 = 1 << 2;
/// Report madvise(2) with `MADV_DONTNEED` or `MADV_REMOVE`.
pub const UFFD_FEATURE_EVENT_REMOVE: u64 = 1 << 3;
/// hugetlbfs ranges can be registered for missing faults.
pub const UFFD_FEATURE_MISSING_HUGETLBFS: u64 = 1 << 4;
/// shmem ranges can be registered for missing faults.
pub const UFFD_FEATURE_MISSING_SHMEM: u64 = 1 << 5;
/// Report munmap(2), and unmapping by mmap(2) and mremap(2).
pub const UFFD_FEATURE_EVENT_UNMAP: u64 = 1 << 6;
/// Raise `SIGBUS` in the faulting thread in place of a message.
pub const UFFD_FEATURE_SIGBUS: u64 = 1 << 7;
/// Say which thread faulted.
pub const UFFD_FEATURE_THREAD_ID: u64 = 1 << 8;
/// hugetlbfs ranges can be registered for minor faults.
pub const UFFD_FEATURE_MINOR_HUGETLBFS: u64 = 1 << 9;
/// shmem ranges can be registered for minor faults.
pub const UFFD_FEATURE_MINOR_SHMEM: u64 = 1 << 10;
/// Report addresses to the byte instead of to the page.
pub const UFFD_FEATURE_EXACT_ADDRESS: u64 = 1 << 11;
/// hugetlbfs and shmem ranges can be write-protected.
pub const UFFD_FEATURE_WP_HUGETLBFS_SHMEM: u64 = 1 << 12;
/// Write protection of anonymous memory covers pages that were never touched.
pub const UFFD_FEATURE_WP_UNPOPULATED: u64 = 1 << 13;
/// Pages can be poisoned with `UFFDIO_POISON`.
pub const UFFD_FEATURE_POISON: u64 = 1 << 14;
/// The kernel resolves write-protection faults by itself.
pub const UFFD_FEATURE_WP_ASYNC: u64 = 1 << 15;
/// Anonymous pages can be moved with `UFFDIO_MOVE`.
pub const UFFD_FEATURE_MOVE: u64 = 1 << 16;

/// Every feature that this crate has a name for.
pub const UFFD_API_FEATURES: u64 = UFFD_FEATURE_PAGEFAULT_FLAG_WP
    | UFFD_FEATURE_EVENT_FORK
    | UFFD_FEATURE_EVENT_REMAP
    | UFFD_FEATURE_EVENT_REMOVE
    | UFFD_FEATURE_MISSING_HUGETLBFS
    | UFFD_FEATURE_MISSING_SHMEM
    | UFFD_FEATURE_EVENT_UNMAP
    | UFFD_FEATURE_SIGBUS
    | UFFD_FEATURE_THREAD_ID
    | UFFD_FEATURE_MINOR_HUGETLBFS
    | UFFD_FEATURE_MINOR_SHMEM
    | UFFD_FEATURE_EXACT_ADDRESS
    | UFFD_FEATURE_WP_HUGETLBFS_SHMEM
    | UFFD_FEATURE_WP_UNPOPULATED
    | UFFD_FEATURE_POISON
    | UFFD_FEATURE_WP_ASYNC
    | UFFD_FEATURE_MOVE;

// Seventeen features without a gap: a bit given twice or left out shows here.
const _: () = assert!(UFFD_API_FEATURES == 0x1_ffff);
