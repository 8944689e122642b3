//! Every ceiling of the core, in one place.

use std::time::Duration;

use bo_units::ByteCount;

use crate::prefetch::PrefetchConfig;

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
    /// Pages of 2 MiB are the fastest that the pool has. Objects in VRAM of at least that size
    /// whose maker does not choose have them, unless an eighth of such an object or more would be
    /// behind its end.
    pub huge_frames: bool,
    /// Which pages come beyond that, ahead of need.
    pub prefetch: PrefetchConfig,
    /// Where reclaim and the cleaner begin and end, in bytes of this pool.
    pub marks: Watermarks,
    /// Whether the marks of reclaim give way to pages that come back while there is room for them,
    /// down to the reserve.
    pub reclaim_yields: bool,
    /// Whether clean pages leave before dirty ones that are about as cold. Without it pages leave
    /// in exactly the order of the policy.
    pub prefer_clean: bool,
    /// The eviction policy, by name.
    pub policy: String,
    /// The ceilings.
    pub limits: Limits,
    /// Pages that one step of a long walk looks at under the lock, at least 1. The usual 512 are
    /// 8 KiB of tables, about a microsecond.
    pub step_pages: u32,
}

impl CoreConfig {
    /// The usual settings for a pool and a store of these sizes.
    #[must_use]
    pub fn new(vram: ByteCount, ram: ByteCount) -> Self {
        Self {
            vram,
            ram,
            fault_around: ByteCount::new(64 * 1024),
            huge_frames: false,
            prefetch: PrefetchConfig::DEFAULT,
            marks: Watermarks::usual(vram),
            reclaim_yields: true,
            prefer_clean: true,
            policy: crate::policy::DEFAULT.to_owned(),
            limits: Limits::DEFAULT,
            step_pages: 512,
        }
    }
}

/// What depends on the size of the pool: another size comes with other marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Background reclaim starts when fewer bytes than this are free in the pool.
    pub reclaim_start_free: ByteCount,
    /// Background reclaim stops when this many bytes are free.
    pub reclaim_stop_free: ByteCount,
    /// Free bytes that are left to those who must have a page: no neighbour of a fault takes them,
    /// and reclaim keeps them free even when it yields to a working set.
    pub reserve: ByteCount,
    /// The cleaner works while more bytes than this are in use. `None`: it never does.
    pub clean_start: Option<ByteCount>,
}

impl Watermarks {
    /// Those of a pool of this size, unless the operator chooses.
    #[must_use]
    pub fn usual(vram: ByteCount) -> Self {
        Self {
            reclaim_start_free: ByteCount::new(vram.get() / 10),
            reclaim_stop_free: ByteCount::new(vram.get() / 10 * 3),
            reserve: ByteCount::new(vram.get() / 16),
            clean_start: Some(ByteCount::new(vram.get() / 10 * 7)),
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

/// Pages that one step of a touch moves in the policy's lists, where each is a few cache misses.
pub(crate) const TOUCH_STEP_PAGES: u32 = 32;

/// Frames of dying objects that a policy may name in a row before others have their turn.
pub(crate) const DYING_STEP_FRAMES: usize = 64;

/// Mappings of a client that is gone that one step forgets.
pub(crate) const GONE_STEP_MAPPINGS: usize = 8;

/// Holds of a client that is gone that one step gives back. The last hold forgets up to a leaf of
/// pages.
pub(crate) const GONE_STEP_HOLDS: usize = 4;

/// Holds that one step of emptying the objects of a suspended client looks at.
pub(crate) const SUSPEND_STEP_HOLDS: usize = 32;

/// Faults of a client that goes on that one step answers.
pub(crate) const RESUME_STEP_FAULTS: usize = 16;

/// Different faults of a suspended client that are noted, page by page: far more than it usually
/// has threads. A client can make as many as it has pages, by signal handlers that never return.
pub(crate) const PARKED_FAULTS_MAX: usize = 1024;

/// How long nothing is looked at of suspended clients when nothing of them could leave: the store
/// is full, or their pages must stay.
pub(crate) const SUSPEND_RETRY: Duration = Duration::from_millis(10);

/// Bytes that may be on their way out at one time because somebody has asked for it. More would
/// only keep those waiting who fault on what is behind them.
pub(crate) const EXPELLING_BYTES_MAX: u64 = 16 << 20;

/// Runs of pages that are remembered of what a suspended client had in the pool: 16 bytes each.
/// What does not fit comes back when it is touched.
pub(crate) const WORKING_SET_RUNS_MAX: usize = 4096;

/// Slots of a table of clients or objects that one step of a list looks at.
pub(crate) const LIST_STEP_SLOTS: u32 = 32;

/// Holds that one step of adding up looks at.
pub(crate) const LIST_STEP_HOLDS: usize = 32;

/// Copies of present pages that one step gives up, to make RAM for an object that stays there.
pub(crate) const RAM_STEP_COPIES: usize = 32;

/// Moves and effects in flight that are provided for from the start: with more of them a table
/// that grows is copied under the lock.
pub(crate) const IN_FLIGHT_USUAL: usize = 2048;

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

/// Neighbouring pages that get their entries by one call: 2 MiB of the smallest.
pub(crate) const ANSWER_RUN_PAGES: u32 = 512;
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

/// The most bytes in one fill, unless one page is larger. The thread that faulted waits for them
/// all; what else is to come follows in fills of its own.
pub(crate) const FILL_RUN_BYTES: u64 = 256 * 1024;

/// A stream looks so many pages ahead at the least, the one that faulted among them, however large
/// they are: while one is used the next is on its way.
pub(crate) const STREAM_PAGES_MIN: u64 = 2;

/// The most pages that a strided stream looks ahead. Each is a fill of its own.
pub(crate) const STRIDE_PAGES_MAX: u64 = 16;

/// The fewest, if the extent of a stream has so many.
pub(crate) const STRIDE_PAGES_MIN: u64 = 4;

/// Copy queues in each direction of a simulated link. Their sharing is exact up to sixteen.
pub const LINK_QUEUES_MAX: u32 = 16;

const _: () = assert!(EVICT_RUN_BYTES <= RECLAIM_STEP_BYTES_MAX);
const _: () = assert!(EVICT_RUN_PAGES <= 1024);
