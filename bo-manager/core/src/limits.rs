//! Every ceiling of the core, in one place.

use std::time::Duration;

use bo_units::ByteCount;

/// What the operator chose, in exact bytes.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// The most bytes that may be present in the files of VRAM-placed objects. Rounded down to
    /// 4 KiB.
    pub vram: ByteCount,
    /// The most bytes that the store and RAM-placed objects may hold together. Rounded down to
    /// 4 KiB.
    pub ram: ByteCount,
    /// A fault may bring in neighbours up to an extent of this many bytes. Zero: never.
    pub fault_around: ByteCount,
    /// Background reclaim starts when fewer bytes than this are free in the pool.
    pub reclaim_start_free: ByteCount,
    /// Background reclaim stops when this many bytes are free.
    pub reclaim_stop_free: ByteCount,
    /// Free bytes that are left to those who must have a page: no neighbour of a fault takes them,
    /// and reclaim keeps them free even when it yields to a working set.
    pub reserve: ByteCount,
    /// Whether the two marks above give way to pages that come back while there is room for them,
    /// down to the reserve.
    pub reclaim_yields: bool,
    /// The cleaner works while more bytes than this are in use. `None`: it never does.
    pub clean_start: Option<ByteCount>,
    /// The eviction policy, by name.
    pub policy: String,
    /// The ceilings.
    pub limits: Limits,
}

impl CoreConfig {
    /// The usual settings for a pool and a store of these sizes.
    #[must_use]
    pub fn new(vram: ByteCount, ram: ByteCount) -> Self {
        Self {
            vram,
            ram,
            fault_around: ByteCount::new(64 * 1024),
            reclaim_start_free: ByteCount::new(vram.get() / 10),
            reclaim_stop_free: ByteCount::new(vram.get() / 10 * 3),
            reserve: ByteCount::new(vram.get() / 16),
            reclaim_yields: true,
            clean_start: Some(ByteCount::new(vram.get() / 10 * 7)),
            policy: crate::policy::DEFAULT.to_owned(),
            limits: Limits::DEFAULT,
        }
    }
}

/// Ceilings on everything that grows. At the ceiling the answer is a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Clients connected at the same time.
    pub clients: u32,
    /// Objects alive at the same time. Each costs the daemon one descriptor.
    pub objects: u32,
    /// Mappings alive at the same time, in all clients together.
    pub mappings: u32,
    /// Mappings of one client. The kernel's own ceiling, vm.max_map_count, is usually this.
    pub mappings_per_client: u32,
    /// Mappings of one object. Each makes evicting its pages dearer by one system call.
    pub mappings_per_object: u32,
    /// Words that pages may be full of and take no room; at most 4096. Pages full of further ones
    /// are stored like any others.
    pub patterns: u32,
}

impl Limits {
    /// What a daemon starts with.
    pub const DEFAULT: Self = Self {
        clients: 4096,
        objects: 250_000,
        mappings: 1_000_000,
        mappings_per_client: 65_536,
        mappings_per_object: 1024,
        patterns: PATTERNS_MAX,
    };
}

/// The largest object: 1 TiB.
pub(crate) const OBJECT_BYTES_MAX: u64 = 1 << 40;

/// A page may be at most this fraction of the pool. An instruction can touch several pages, and
/// each of them must still be there when the last has been filled.
pub(crate) const POOL_PAGES_MIN: u64 = 16;

/// The most bytes copied and punched in one go. Larger is cheaper by the byte, smaller holds those
/// who fault on these pages for a shorter time: 256 KiB are about 150 µs.
pub(crate) const EVICT_RUN_BYTES: u64 = 256 * 1024;

/// The most pages in one such run: a copy is then one vectored read (IOV_MAX is 1024).
pub(crate) const EVICT_RUN_PAGES: u32 = 64;

/// How many different words, besides zero, pages can be full of and take no room. zswap knows any
/// number, since it keeps the word in the entry itself; an entry here has room for a number only.
pub(crate) const PATTERNS_MAX: u32 = 4096;

/// Pages that one step of background reclaim chooses under the lock before it lets others in.
pub(crate) const RECLAIM_STEP_PAGES: u64 = 16;

/// The least that such a step frees.
pub(crate) const RECLAIM_STEP_BYTES_MIN: u64 = 64 * 1024;

/// The most that such a step frees.
pub(crate) const RECLAIM_STEP_BYTES_MAX: u64 = 512 * 1024;

/// Pages, at the least, among which a step looks for clean ones before it takes dirty ones.
pub(crate) const LOOK_AHEAD_PAGES: u64 = 8;

/// Neither the look-ahead nor the cleaner's smallest window is more than this part of the pool.
pub(crate) const LOOK_AHEAD_PART: u64 = 8;

/// Moves out of the pool that may fail in a row before eviction pauses: a host that refuses once
/// is asked again at once, a host that refuses always is not asked for ever.
pub(crate) const EVICT_FAILURES_MAX: u32 = 8;

/// The first such pause. Each one that ends in nothing but a failure is twice as long.
pub(crate) const EVICT_PAUSE_MIN: Duration = Duration::from_millis(1);

/// The longest.
pub(crate) const EVICT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A page that was written to after it was cleaned is not cleaned again before so many parts of
/// [`TURNOVER_PARTS`] of a pool have been filled.
pub(crate) const SHY_PARTS: u8 = 8;

/// How many parts make one pool.
pub(crate) const TURNOVER_PARTS: u64 = 8;

/// How many pages that left clean, thanks to the cleaner, weigh as much as one that was cleaned for
/// nothing. The first saves a copy of about 2 µs, which nobody need have waited for; the second
/// costs a thread a fault, which is ten to twenty.
pub(crate) const WASTE_WEIGHT: u64 = 32;

/// How much a refault into free room raises the watermarks, against what an eviction lowers them.
pub(crate) const YIELD_WEIGHT: u64 = 8;

/// Mappings of an object in which prefetched pages are installed. In others their first use faults.
pub(crate) const PREFETCH_MAPPINGS_MAX: usize = 4;

/// Pages that writes may call back in a row while a fill waits for room.
pub(crate) const RESCUES_MAX: u32 = 16;

/// Free slots whose RAM is kept for the next eviction. What is beyond goes back to the host.
pub(crate) const WARM_BYTES_MAX: u64 = 64 << 20;

/// Slots given back in one effect.
pub(crate) const DISCARD_SLOTS: usize = 256;

/// How often a thread must have faulted on the page after its last one to count as a stream.
pub(crate) const STREAM_FAULTS_MIN: u8 = 2;

/// How often a stream doubles the extent of its fills: from 64 KiB to 256 KiB by default. Beyond
/// that the first page waits longer than the faults that are saved.
pub(crate) const STREAM_DOUBLINGS_MAX: u32 = 2;

const _: () = assert!(EVICT_RUN_BYTES <= RECLAIM_STEP_BYTES_MAX);
const _: () = assert!(EVICT_RUN_PAGES <= 1024);
