//! Every number of the core and the shell, with its name, unit and help line, in one place.
//!
//! Nothing is counted here. A scrape takes the counters under the core's lock, once, and gives
//! them names; the structs are taken apart without `..`, so that a new counter does not compile
//! until it has one.

use std::sync::Arc;

use bo_core::{Gauges, Stats};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::backing::{Backed, Frames};
use crate::counters::{Counters, REFUSAL_CAUSES};
use crate::shell::Shell;

mod ahead;
mod link;
mod moves;
mod orders;

/// Gives the registry what the daemon counts.
pub(crate) struct Exported {
    shell: Arc<Shell>,
}

impl Exported {
    pub(crate) fn new(shell: Arc<Shell>) -> Self {
        Self { shell }
    }
}

impl Collector for Exported {
    /// None: the families are made anew at each scrape, from tables that cannot disagree.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (stats, gauges) = self.shell.numbers();
        let mut page = Page::default();
        page.info();
        export_backing(&mut page, &self.shell.backed);
        export_faults(&mut page, &stats);
        moves::export(&mut page, &stats);
        ahead::export_guesses(&mut page, &stats);
        ahead::export_cleaner(&mut page, &stats, &gauges);
        export_gauges(&mut page, &gauges);
        orders::export(&mut page, &stats, &gauges);
        export_shell(&mut page, &self.shell.counters);
        if let Some(link) = &self.shell.link {
            link::export(&mut page, link);
        }
        let help = "Live objects that the limits of the operator and of descriptors allow.";
        page.gauge("bo_objects_max", help, u64::from(self.shell.budget.objects));
        page.families
    }
}

/// Families in the making.
#[derive(Default)]
struct Page {
    families: Vec<MetricFamily>,
}

/// A metric's only label and its value, or none.
type Label = Option<(&'static str, &'static str)>;

/// A value of a label, and the metric's value there.
type Row = (&'static str, u64);

fn labelled(label: &'static str, rows: &[Row]) -> Vec<(Label, u64)> {
    rows.iter().map(|(value, count)| (Some((label, *value)), *count)).collect()
}

impl Page {
    fn family(&mut self, name: &str, help: &str, kind: MetricType, rows: &[(Label, u64)]) {
        let rows: Vec<(Label, f64)> =
            rows.iter().map(|(label, value)| (*label, double(*value))).collect();
        self.exact(name, help, kind, &rows);
    }

    /// A family of numbers that are no integers.
    fn exact(&mut self, name: &str, help: &str, kind: MetricType, rows: &[(Label, f64)]) {
        let rows = rows.iter().map(|(label, value)| row(*label, kind, *value)).collect();
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(rows);
        self.families.push(family);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, help, MetricType::COUNTER, &[(None, value)]);
    }

    fn counters(&mut self, name: &str, help: &str, label: &'static str, rows: &[Row]) {
        self.family(name, help, MetricType::COUNTER, &labelled(label, rows));
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, help, MetricType::GAUGE, &[(None, value)]);
    }

    fn gauges(&mut self, name: &str, help: &str, label: &'static str, rows: &[Row]) {
        self.family(name, help, MetricType::GAUGE, &labelled(label, rows));
    }

    fn info(&mut self) {
        let label = Some(("version", env!("CARGO_PKG_VERSION")));
        let help = "The version of the daemon; always 1.";
        self.family("bo_build_info", help, MetricType::GAUGE, &[(label, 1)]);
    }
}

#[expect(clippy::cast_precision_loss, reason = "the format knows doubles only; exact below 2^53")]
fn double(value: u64) -> f64 {
    value as f64
}

fn row(label: Label, kind: MetricType, value: f64) -> Metric {
    let labels = label.into_iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    });
    let mut metric = Metric::from_label(labels.collect());
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

fn export_backing(page: &mut Page, backed: &Backed) {
    let rows = Frames::ALL.map(|frames| (frames.name(), u64::from(frames == backed.frames)));
    let help = "What pages of 2 MiB are made of: 1 for the kind in use.";
    page.gauges("bo_backing_info", help, "backing", &rows);
    let help = "Bytes by which the daemon has enlarged the host's pool of huge pages.";
    page.gauge("bo_backing_reserved_bytes", help, backed.reserved_bytes());
}

/// The half of the core's counters that is about faults. The other half is named, not left out.
fn export_faults(page: &mut Page, stats: &Stats) {
    let kinds = [
        ("read", stats.faults_read),
        ("write", stats.faults_write),
        ("protect", stats.faults_protect),
    ];
    page.counters("bo_faults_total", "Faults heard, by what was attempted.", "kind", &kinds);
    let verdicts = [
        ("refault", stats.verdicts_refault),
        ("sigbus", stats.verdicts_sigbus),
        ("oom", stats.verdicts_oom),
        ("gone", stats.verdicts_gone),
    ];
    let help = "Faults answered, by answer. 'gone': the client or mapping went first.";
    page.counters("bo_fault_verdicts_total", help, "verdict", &verdicts);
    let help = "Faults that met a page on its way in or out, and were answered with it.";
    page.counter("bo_faults_coalesced_total", help, stats.faults_coalesced);
    let help = "Faults on a page that was present after all.";
    page.counter("bo_faults_present_total", help, stats.faults_present);
    let help = "Faults that had to wait for room in the pool.";
    page.counter("bo_faults_starved_total", help, stats.faults_starved);
    let help = "Demand fills of a page that had been evicted before.";
    page.counter("bo_refaults_total", help, stats.refaults);
}

fn export_gauges(page: &mut Page, gauges: &Gauges) {
    let Gauges {
        vram_capacity_bytes,
        vram_target_bytes: _,
        vram_used_bytes,
        vram_peak_bytes,
        vram_evicting_bytes,
        reclaim_start_bytes,
        reclaim_stop_bytes,
        clean_window_bytes: _,
        store_patterns,
        ram_capacity_bytes,
        ram_used_bytes,
        ram_peak_bytes,
        store_held_bytes,
        store_present_bytes,
        ram_placed_bytes,
        ram_reserved_bytes,
        committed_bytes,
        commit_limit_bytes,
        clients,
        clients_suspended: _,
        clients_suspending: _,
        faults_parked: _,
        objects,
        mappings,
        moves,
        starved,
        watched,
    } = *gauges;
    let rows = [("vram", vram_capacity_bytes), ("ram", ram_capacity_bytes)];
    page.gauges("bo_pool_capacity_bytes", "The size of each pool.", "pool", &rows);
    let rows = [("vram", vram_used_bytes), ("ram", ram_used_bytes)];
    page.gauges("bo_pool_used_bytes", "Bytes in use in each pool.", "pool", &rows);
    let rows = [("vram", vram_peak_bytes), ("ram", ram_peak_bytes)];
    page.gauges("bo_pool_peak_bytes", "The most ever in use.", "pool", &rows);
    let help = "Bytes of the VRAM pool that are being evicted.";
    page.gauge("bo_pool_evicting_bytes", help, vram_evicting_bytes);
    let marks = [("start", reclaim_start_bytes), ("stop", reclaim_stop_bytes)];
    let help = "Bytes in use above which background reclaim starts, and at which it stops, as \
                things stand.";
    page.gauges("bo_reclaim_mark_bytes", help, "mark", &marks);
    page.gauge("bo_store_patterns", "Words that pages in the store are full of.", store_patterns);
    page.gauge("bo_store_held_bytes", "Bytes of pages in the store.", store_held_bytes);
    let help = "Bytes present in the store: pages, and free slots kept for the next ones.";
    page.gauge("bo_store_present_bytes", help, store_present_bytes);
    let help = "Bytes present in RAM-placed objects.";
    page.gauge("bo_ram_placed_bytes", help, ram_placed_bytes);
    let help = "Bytes promised to RAM-placed objects.";
    page.gauge("bo_ram_reserved_bytes", help, ram_reserved_bytes);
    page.gauge("bo_committed_bytes", "Bytes of all VRAM-placed objects.", committed_bytes);
    let help = "The most bytes that VRAM-placed objects may have together now.";
    page.gauge("bo_commit_limit_bytes", help, commit_limit_bytes);
    page.gauge("bo_clients", "Clients connected.", clients);
    page.gauge("bo_objects", "Objects alive.", objects);
    page.gauge("bo_mappings", "Mappings alive.", mappings);
    page.gauge("bo_moves_in_flight", "Runs of pages on their way in or out.", moves);
    page.gauge("bo_faults_waiting_for_room", "Fills that wait for room.", starved);
    let help = "Sampled pages that are present and not used yet.";
    page.gauge("bo_prefetch_pending_pages", help, watched);
}

fn export_shell(page: &mut Page, counters: &Counters) {
    let Counters {
        fault_reads,
        fault_reads_empty,
        fault_looks,
        listeners_all,
        listeners_one,
        fault_polls_hit,
        fault_polls_missed,
        faults_stray,
        events_foreign,
        host_failures,
        protocol_malformed,
        protocol_misuse,
        protocol_handshake,
        refusals,
        record_written,
        record_lost,
        record_errors,
        requests,
    } = counters;
    let rows = [("events", fault_reads.get()), ("empty", fault_reads_empty.get())];
    let help = "Reads of userfaultfds; 'empty': another thread was faster.";
    page.counters("bo_fault_reads_total", help, "result", &rows);
    let help = "Times it was looked up where a faulting thread runs.";
    page.counter("bo_fault_looks_total", help, fault_looks.get());
    let rows = [("all", listeners_all.get()), ("one", listeners_one.get())];
    let help = "Changes of who listens to a userfaultfd: all readers, or that of one CPU.";
    page.counters("bo_fault_listener_changes_total", help, "to", &rows);
    let rows = [("hit", fault_polls_hit.get()), ("missed", fault_polls_missed.get())];
    let help = "Times a fault reader polled instead of sleeping, by whether it found faults.";
    page.counters("bo_fault_polls_total", help, "result", &rows);
    let help = "Faults outside every known mapping.";
    page.counter("bo_faults_stray_total", help, faults_stray.get());
    let help = "Events other than page faults.";
    page.counter("bo_uffd_events_foreign_total", help, events_foreign.get());
    let help = "System calls that failed as on no healthy host; see the log.";
    page.counter("bo_host_failures_total", help, host_failures.get());
    let rows = [
        ("malformed", protocol_malformed.get()),
        ("misuse", protocol_misuse.get()),
        ("handshake", protocol_handshake.get()),
    ];
    let help = "Breaches of the protocol, each of which ended a connection.";
    page.counters("bo_protocol_errors_total", help, "kind", &rows);
    let rows: Vec<(&'static str, u64)> =
        REFUSAL_CAUSES.into_iter().zip(refusals.iter().map(|each| each.get())).collect();
    page.counters("bo_refusals_total", "Requests refused, by cause.", "cause", &rows);
    page.counter("bo_requests_total", "Requests received.", requests.get());
    let rows = [("written", record_written.get()), ("lost", record_lost.get())];
    let help = "Events of the recording, by whether they are in its file.";
    page.counters("bo_recorded_events_total", help, "result", &rows);
    let help = "Recordings that ended early because their file could not be written.";
    page.counter("bo_record_errors_total", help, record_errors.get());
}
