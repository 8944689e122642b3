//! What is done ahead of need: guesses, and the cleaner's copies.

use bo_core::{ByCause, Gauges, Stats};

use super::Page;

/// How good the guesses were.
pub(super) fn export_guesses(page: &mut Page, stats: &Stats) {
    let rows = |counts: &ByCause| {
        let ByCause { around, stream, density, hint } = *counts;
        [("around", around), ("stream", stream), ("density", density), ("prefetch", hint)]
    };
    let help = "Pages filled ahead whose first use was to be seen: a sample of all.";
    page.counters("bo_prefetch_sampled_pages_total", help, "cause", &rows(&stats.sampled));
    let help = "Sampled pages that were used while they were present.";
    page.counters("bo_prefetch_used_pages_total", help, "cause", &rows(&stats.sampled_used));
    let help = "Sampled pages that were evicted or freed before any use.";
    page.counters("bo_prefetch_wasted_pages_total", help, "cause", &rows(&stats.sampled_wasted));
    let ways = [("halved", stats.extents_halved), ("doubled", stats.extents_doubled)];
    let help = "Changes of the extents of a mapping, because of what the sample told.";
    page.counters("bo_prefetch_extent_changes_total", help, "change", &ways);
    let help = "Prefetches on request that ended since all that could make way was younger.";
    page.counter("bo_prefetches_cut_total", help, stats.prefetches_cut);
}

/// The third part: what is copied while it stays.
pub(super) fn export_cleaner(page: &mut Page, stats: &Stats, gauges: &Gauges) {
    page.counter("bo_cleaned_pages_total", "Pages that the cleaner copied.", stats.cleaned);
    let ends = [("used", stats.cleaned_used), ("wasted", stats.cleaned_wasted)];
    let help = "Those that left since without a copy, or were written to again first.";
    page.counters("bo_cleaned_pages_ended_total", help, "end", &ends);
    let lost = [("called_off", stats.cleanings_called_off), ("failed", stats.cleanings_failed)];
    let help = "Pages that the cleaner did not copy: a write came, or the host refused.";
    page.counters("bo_cleanings_lost_total", help, "cause", &lost);
    let help = "How much of the cold end of the pool the cleaner keeps clean, as things stand.";
    page.gauge("bo_clean_window_bytes", help, gauges.clean_window_bytes);
}
