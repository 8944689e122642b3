//! Pages on their way in and out, and what is made and freed.

use bo_core::Stats;

use super::Page;

pub(super) fn export(page: &mut Page, stats: &Stats) {
    // No `..`: a counter added to the core must be exported to compile. Those that are not named
    // here are exported elsewhere.
    let Stats {
        faults_read: _,
        faults_write: _,
        faults_protect: _,
        verdicts_refault: _,
        verdicts_sigbus: _,
        verdicts_oom: _,
        verdicts_gone: _,
        faults_coalesced: _,
        faults_present: _,
        faults_starved: _,
        refaults: _,
        fills_zero_pages,
        fills_same_pages,
        fills_stored_pages,
        filled_bytes,
        fills_around_pages,
        fills_stream_pages,
        fills_density_pages,
        fills_prefetch_pages,
        prefetches_cut: _,
        sampled: _,
        sampled_used: _,
        sampled_wasted: _,
        extents_halved: _,
        extents_doubled: _,
        fills_failed,
        evictions_copied,
        evictions_clean,
        evictions_zero,
        evictions_same,
        evictions_background,
        evictions_direct,
        evictions_asked,
        evicted_bytes,
        evicted_background_bytes,
        evicted_asked_bytes,
        evictions_rescued,
        evictions_failed,
        eviction_pauses,
        cleaned: _,
        cleaned_used: _,
        cleaned_wasted: _,
        cleanings_called_off: _,
        cleanings_failed: _,
        copies_dropped,
        holes_patched,
        answers_unmapped,
        allocations,
        allocated_bytes,
        frees,
        connects,
        disconnects,
        suspensions: _,
        resumes: _,
        working_set_left_out: _,
        resizes: _,
    } = stats;
    let sources =
        [("zero", *fills_zero_pages), ("same", *fills_same_pages), ("store", *fills_stored_pages)];
    page.counters("bo_filled_pages_total", "Pages filled, by source.", "source", &sources);
    page.counter("bo_filled_bytes_total", "Bytes of pages filled.", *filled_bytes);
    let extras = [
        ("around", *fills_around_pages),
        ("stream", *fills_stream_pages),
        ("density", *fills_density_pages),
        ("prefetch", *fills_prefetch_pages),
    ];
    let help = "Pages filled that no fault had asked for, by what suggested them.";
    page.counters("bo_filled_ahead_pages_total", help, "cause", &extras);
    page.counter("bo_fill_failures_total", "Fills without a frame.", *fills_failed);
    let reasons = [
        ("background", *evictions_background),
        ("direct", *evictions_direct),
        ("asked", *evictions_asked),
    ];
    let help = "Pages evicted, ahead of need, because a fault waited, or because somebody asked.";
    page.counters("bo_evictions_total", help, "reason", &reasons);
    let direct = evicted_bytes - evicted_background_bytes - evicted_asked_bytes;
    let reasons = [
        ("background", *evicted_background_bytes),
        ("direct", direct),
        ("asked", *evicted_asked_bytes),
    ];
    page.counters("bo_evicted_bytes_total", "Bytes of pages evicted.", "reason", &reasons);
    let ways = [
        ("copied", *evictions_copied),
        ("clean", *evictions_clean),
        ("zero", *evictions_zero),
        ("same", *evictions_same),
    ];
    let help = "Pages prepared for eviction: copied, clean already, or found to be all zeros or \
                one other word over and over.";
    page.counters("bo_eviction_pages_total", help, "contents", &ways);
    let help = "Pages that a write called back before they were gone.";
    page.counter("bo_evictions_rescued_total", help, *evictions_rescued);
    let help = "Pages that could not be evicted when they should.";
    page.counter("bo_eviction_failures_total", help, *evictions_failed);
    let help = "Times that eviction paused because the host refused again and again.";
    page.counter("bo_eviction_pauses_total", help, *eviction_pauses);
    let help = "Store copies of present pages given up to make room.";
    page.counter("bo_copies_dropped_total", help, *copies_dropped);
    let help = "Pages into which a client had punched holes, filled with zeros.";
    page.counter("bo_holes_patched_total", help, *holes_patched);
    let help = "Answers to a range that the client had unmapped.";
    page.counter("bo_answers_unmapped_total", help, *answers_unmapped);
    page.counter("bo_allocations_total", "Objects made.", *allocations);
    page.counter("bo_allocated_bytes_total", "Bytes of objects made.", *allocated_bytes);
    page.counter("bo_frees_total", "Objects freed.", *frees);
    page.counter("bo_connects_total", "Clients that came.", *connects);
    page.counter("bo_disconnects_total", "Clients that went.", *disconnects);
}
