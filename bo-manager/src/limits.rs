//! Every ceiling of the shell, in one place.

use std::time::Duration;

use bo_units::ByteCount;

/// Fault events taken from the kernel in one read. UVM serves batches of 256; each event here is
/// answered by a system call of its own, so a smaller batch keeps the first from waiting long.
pub(crate) const FAULT_EVENTS_MAX: usize = 64;

/// Userfaultfds looked at after one wait.
pub(crate) const READY_MAX: usize = 32;

/// A client that has not said hello and handed over its userfaultfd after this long is sent away.
pub(crate) const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// Connections that have not finished their handshake.
pub(crate) const HANDSHAKES_MAX: usize = 256;

/// How long a stop waits for moves in flight. They take microseconds each.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(2);

/// How long a stop goes on answering faults after every absent page was poisoned: a thread may
/// have looked at its page table entry just before.
pub(crate) const LAST_ANSWERS: Duration = Duration::from_millis(50);

/// How often recorded events are written, unless there are many: what a daemon that is killed has
/// recorded and not written.
pub(crate) const RECORD_EVERY: Duration = Duration::from_millis(50);

/// How long a stop waits until threads of suspended clients, which it has woken, fault again.
pub(crate) const WOKEN_MAX: Duration = Duration::from_secs(1);

/// How often a stop looks whether the work is done.
pub(crate) const DRAIN_STEP: Duration = Duration::from_millis(2);

/// Descriptors that the daemon keeps for itself: sockets, epolls, HTTP connections, the store.
pub(crate) const DESCRIPTORS_RESERVED: u64 = 256;

/// Descriptors that one client usually costs: its socket, its pidfd, and for each userfaultfd the
/// descriptor itself and two threads' places in /proc.
pub(crate) const DESCRIPTORS_PER_CLIENT: u64 = 2 + 3 * UFFD_SHARDS_USUAL as u64;

/// Userfaultfds that one client may hand over.
pub(crate) const UFFD_SHARDS_MAX: usize = 16;

/// Userfaultfds of a client, unless the operator chooses.
pub(crate) const UFFD_SHARDS_USUAL: usize = 2;

/// A reader that polls for longer than this is no longer waiting for the next fault.
pub(crate) const BUSY_POLL_MAX: Duration = Duration::from_secs(1);

/// Whose only reader has been at one batch for this long is heard by the others as well.
pub(crate) const STUCK_AFTER: Duration = Duration::from_millis(100);

/// A part of a mapping that has a userfaultfd of its own is at least this long: the largest page,
/// so that none is cut, and long enough to be worth a mapping in the client's kernel tables.
pub(crate) const SHARD_BYTES_MIN: u64 = 2 << 20;

/// Objects and clients listed in one status answer. What is left out is counted there.
pub(crate) const STATUS_LIST_MAX: usize = 1000;

/// The most bytes in the body of an HTTP request. The longest that makes sense has a hundred.
pub(crate) const HTTP_BODY_MAX: usize = 64 << 10;

/// Steps of an eviction on request before other tasks of the same thread get their turn.
pub(crate) const CONTROL_STEPS: u32 = 64;

/// How long an eviction on request waits when much is on its way out, over a link perhaps.
pub(crate) const EVICT_PAUSE: Duration = Duration::from_millis(1);

/// How long an HTTP request may take once its headers are there.
pub(crate) const HTTP_MAX: Duration = Duration::from_secs(10);

/// Fault readers, unless the operator chooses. Every fault wakes them all.
pub(crate) const FAULT_THREADS_USUAL_MAX: usize = 8;

/// How long to wait after a connection could not be accepted for want of descriptors.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How often a client may make its userfaultfd blocking before it is sent away.
pub(crate) const BLOCKING_MAX: u32 = 16;

/// Processes whose connection is over while their mappings live on, and which are still answered
/// (with SIGBUS). Beyond that the oldest way out is taken at once: everything is poisoned.
pub(crate) const OUTCASTS_MAX: usize = 1024;

/// Pages looked at under one lock for a request that names many.
pub(crate) const PAGES_PER_LOOK: u32 = 512;

/// Steps of seeing a client off before other tasks of the same thread get their turn.
pub(crate) const FAREWELL_STEPS: u32 = 64;

/// Steps of a prefetch before other requests of the same thread get their turn.
pub(crate) const PREFETCH_STEPS: u32 = 8;

/// The slowest simulated link. A page of 2 MiB takes two seconds.
pub(crate) const LINK_BANDWIDTH_MIN: ByteCount = ByteCount::MIB;

/// The fastest one, far beyond the memory of any machine.
pub(crate) const LINK_BANDWIDTH_MAX: ByteCount = ByteCount::TIB;

/// The longest latency of a simulated link.
pub(crate) const LINK_LATENCY_MAX: Duration = Duration::from_secs(1);

/// Threads that carry out what has crossed the link: one waits while the other works.
pub(crate) const LINK_WORKERS: usize = 2;

/// How long a prefetch leaves evictions alone that it waits for.
pub(crate) const PREFETCH_PAUSE: Duration = Duration::from_millis(1);

/// Descriptors on their way to be closed by a thread that may block.
pub(crate) const CLOSING_MAX: usize = 4096;
