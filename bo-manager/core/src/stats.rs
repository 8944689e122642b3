//! What happened so far, in plain counters. Every one is exported; none is ever reset.

use serde::Serialize;

use crate::manager::FaultKind;
use crate::prefetch::ByCause;

/// Counters of the whole manager, since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Faults by a load on a page that was not there.
    pub faults_read: u64,
    /// Faults by a store on a page that was not there.
    pub faults_write: u64,
    /// Faults by a store on a page that was write-protected.
    pub faults_protect: u64,
    /// Faults answered: the page is there, run the instruction again.
    pub verdicts_refault: u64,
    /// Faults answered with SIGBUS: the contents are lost or the object is gone.
    pub verdicts_sigbus: u64,
    /// Faults answered with SIGBUS because the host had no frame.
    pub verdicts_oom: u64,
    /// Faults whose client or mapping went before the answer.
    pub verdicts_gone: u64,
    /// Faults that met a page already on its way in or out, and were answered with it.
    pub faults_coalesced: u64,
    /// Faults on a page that was present after all.
    pub faults_present: u64,
    /// Faults that had to wait for room in the pool.
    pub faults_starved: u64,
    /// Demand fills of a page that had been evicted before.
    pub refaults: u64,
    /// Pages filled with zeros, without a copy.
    pub fills_zero_pages: u64,
    /// Pages filled with a word that they hold over and over.
    pub fills_same_pages: u64,
    /// Pages filled from the store.
    pub fills_stored_pages: u64,
    /// Bytes of all.
    pub filled_bytes: u64,
    /// Pages among them that nobody had asked for: neighbours of a lone fault.
    pub fills_around_pages: u64,
    /// Pages among them that nobody had asked for: a stream was to come to them.
    pub fills_stream_pages: u64,
    /// Pages among them that nobody had asked for: most of their region was present.
    pub fills_density_pages: u64,
    /// Pages among them brought in by request.
    pub fills_prefetch_pages: u64,
    /// Prefetches on request that ended early: all that could make way for them was younger.
    pub prefetches_cut: u64,
    /// Pages among those that nobody had asked for of which the first use would be seen. Each is
    /// later in `sampled_used` or `sampled_wasted`; until then, in [`Gauges::watched`].
    pub sampled: ByCause,
    /// Those among them that were used while they were present.
    pub sampled_used: ByCause,
    /// Those among them that were evicted or freed before any use.
    pub sampled_wasted: ByCause,
    /// How often the extents of a mapping were halved, because of pages wasted.
    pub extents_halved: u64,
    /// How often they were doubled again.
    pub extents_doubled: u64,
    /// Fills for which the host had no frame.
    pub fills_failed: u64,
    /// Pages evicted by copying them to the store.
    pub evictions_copied: u64,
    /// Pages evicted without a copy: the store's was still valid.
    pub evictions_clean: u64,
    /// Pages evicted that were found to hold zeros only, and took no room.
    pub evictions_zero: u64,
    /// Pages evicted that were found to hold one other word over and over, and took no room.
    pub evictions_same: u64,
    /// Pages evicted ahead of need.
    pub evictions_background: u64,
    /// Pages evicted because a fault or a prefetch waited for room.
    pub evictions_direct: u64,
    /// Pages evicted because an operator asked for it: their clients are suspended, or they were
    /// named.
    pub evictions_asked: u64,
    /// Bytes of pages evicted.
    pub evicted_bytes: u64,
    /// Bytes of those evicted ahead of need.
    pub evicted_background_bytes: u64,
    /// Bytes of those evicted because an operator asked for it.
    pub evicted_asked_bytes: u64,
    /// Pages that a write called back before they were gone.
    pub evictions_rescued: u64,
    /// Pages that stayed because a mapping could not be protected, or a page not read or punched.
    pub evictions_failed: u64,
    /// Times that eviction paused because the host refused again and again.
    pub eviction_pauses: u64,
    /// Pages that the cleaner has copied while they stayed.
    pub cleaned: u64,
    /// Pages among them that left without being written to again.
    pub cleaned_used: u64,
    /// Pages among them that were written to again first.
    pub cleaned_wasted: u64,
    /// Pages that were written to while the cleaner copied them.
    pub cleanings_called_off: u64,
    /// Pages that the cleaner could not copy: a mapping could not be protected, or a page not read.
    pub cleanings_failed: u64,
    /// Store copies given up early, to make room for others.
    pub copies_dropped: u64,
    /// Holes that a client had punched into a page that was in use, filled with zeros.
    pub holes_patched: u64,
    /// Answers to a range that the client had unmapped.
    pub answers_unmapped: u64,
    /// Objects made.
    pub allocations: u64,
    /// Bytes of them.
    pub allocated_bytes: u64,
    /// Objects freed.
    pub frees: u64,
    /// Clients that came.
    pub connects: u64,
    /// Clients that went.
    pub disconnects: u64,
    /// Times a client was suspended.
    pub suspensions: u64,
    /// Times a suspended client was told to go on.
    pub resumes: u64,
    /// Pages that a suspended client had in the pool and that were not remembered.
    pub working_set_left_out: u64,
    /// Times the pool was given another size.
    pub resizes: u64,
}

impl Stats {
    /// One more fault was heard.
    pub(crate) fn count_heard(&mut self, kind: FaultKind, write: bool) {
        match (kind, write) {
            (FaultKind::WriteProtected, _) => self.faults_protect += 1,
            (FaultKind::Missing, true) => self.faults_write += 1,
            (FaultKind::Missing, false) => self.faults_read += 1,
        }
    }
}

/// What is, rather than what was. In bytes where it says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Gauges {
    /// The pool's size in bytes. While it shrinks it falls with each page that leaves, down to the
    /// target: what is in use is never more.
    pub vram_capacity_bytes: u64,
    /// The size that was asked for last, in bytes.
    pub vram_target_bytes: u64,
    /// Bytes of frames in use.
    pub vram_used_bytes: u64,
    /// The most that ever was.
    pub vram_peak_bytes: u64,
    /// Bytes of frames that are being evicted.
    pub vram_evicting_bytes: u64,
    /// Background reclaim starts when more bytes than this are in use, as things stand.
    pub reclaim_start_bytes: u64,
    /// And stops when no more than this are.
    pub reclaim_stop_bytes: u64,
    /// How much of the cold end of the pool the cleaner keeps clean, as things stand.
    pub clean_window_bytes: u64,
    /// Words that pages in the store are full of.
    pub store_patterns: u64,
    /// The size of the store and the RAM-placed objects together, in bytes.
    pub ram_capacity_bytes: u64,
    /// Bytes in the store and present in RAM-placed objects.
    pub ram_used_bytes: u64,
    /// The most that ever was.
    pub ram_peak_bytes: u64,
    /// Bytes in the store that hold a page.
    pub store_held_bytes: u64,
    /// Bytes present in the store's file: held, and kept for the next eviction.
    pub store_present_bytes: u64,
    /// Bytes present in RAM-placed objects.
    pub ram_placed_bytes: u64,
    /// Bytes promised to RAM-placed objects.
    pub ram_reserved_bytes: u64,
    /// Bytes of all VRAM-placed objects.
    pub committed_bytes: u64,
    /// The most that could be committed now.
    pub commit_limit_bytes: u64,
    /// Live clients.
    pub clients: u64,
    /// Clients among them that are suspended, or being suspended.
    pub clients_suspended: u64,
    /// Clients among those that still have pages in the pool.
    pub clients_suspending: u64,
    /// Faults of suspended clients that wait until these go on.
    pub faults_parked: u64,
    /// Live objects.
    pub objects: u64,
    /// Live mappings.
    pub mappings: u64,
    /// Runs of pages on their way in or out.
    pub moves: u64,
    /// Faults that wait for room.
    pub starved: u64,
    /// Pages brought unasked of which the first use will be seen, and was not yet.
    pub watched: u64,
}

/// Counters of one object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ObjectStats {
    /// Faults on its pages.
    pub faults: u64,
    /// Those that brought back a page evicted before.
    pub refaults: u64,
    /// Pages evicted.
    pub evictions: u64,
}

/// Counters of one client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ClientStats {
    /// Its faults.
    pub faults: u64,
    /// Those that brought back a page evicted before.
    pub refaults: u64,
}
