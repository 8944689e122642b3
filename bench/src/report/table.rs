//! The report as a short table for people.

use bo_units::ByteCount;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, TableComponent, presets};

use crate::latency::Percentiles;
use crate::report::Report;
use crate::report::ratios::{self, Aim, Bar};
use crate::settings::{Limit, Settings};
use crate::sizes;

/// The whole report.
pub(super) fn render(report: &Report) -> String {
    let lacks = report.lacks.iter().map(|lack| format!("missing here: {lack}"));
    let parts = [
        [what_ran(report)].into_iter().chain(lacks).collect::<Vec<_>>().join("\n"),
        machine(report).to_string(),
        latencies(report).to_string(),
        totals(report).to_string(),
        bars(report).to_string(),
        verdict(report),
    ];
    parts.join("\n\n")
}

/// One sentence, and one more for each broken rule.
pub(super) fn verdict(report: &Report) -> String {
    let checked = ByteCount::new(report.bytes_verified);
    if report.is_clean() {
        return format!("all right: {checked} checked, no byte wrong, no rule broken");
    }
    let mut lines = vec![format!("NOT RIGHT: {} wrong bytes in {checked}", report.mismatches)];
    lines.extend(report.broken_rules.iter().map(|rule| format!("  broken: {rule}")));
    lines.extend(report.first_mismatches.iter().map(|mismatch| {
        let place = mismatch.place;
        format!(
            "  wrong: client {} object {} offset {:#x}: {} instead of {}",
            place.client, place.object, place.offset, mismatch.found, mismatch.expected
        )
    }));
    lines.join("\n")
}

fn what_ran(report: &Report) -> String {
    let Settings { clients, threads, objects, object_bytes, pattern, write_ratio, .. } =
        &report.settings;
    let limit = match report.settings.limit {
        Limit::Ops(ops) => format!("{ops} operations"),
        Limit::DurationMs(millis) => format!("{:.1} s", millis as f64 / 1e3),
    };
    format!(
        "{clients} client process(es) x {threads} thread(s), {objects} object(s) of {} each: \
         {} in a pool of {}\n{} pages, {pattern}, {:.0} % rewrites of {}, {limit}, seed {}\n\
         Linux {}, {}, {} CPU(s), load {}, version {} ({})",
        ByteCount::new(*object_bytes),
        ByteCount::new(report.settings.data_bytes),
        ByteCount::new(report.vram_capacity),
        ByteCount::new(report.page_bytes),
        write_ratio * 100.0,
        report.settings.access_bytes,
        report.settings.seed,
        report.machine.kernel,
        report.machine.cpu,
        report.machine.cpus,
        number(report.machine.load_average),
        report.machine.version,
        report.machine.commit,
    )
}

fn machine(report: &Report) -> Table {
    let calibration = &report.calibration;
    let mut table = new_table(&["this machine by itself", "", ""]);
    row(&mut table, "memcpy", &[number(Some(calibration.memcpy_gbps)), "GB/s".into()]);
    let micros = [
        ("ping-pong, one CPU", Some(calibration.pingpong_same_cpu_us)),
        ("ping-pong, two CPUs", calibration.pingpong_cross_cpu_us),
        ("first touch of a page", Some(calibration.first_touch_us)),
        ("minor fault", Some(calibration.minor_fault_us)),
    ];
    for (what, value) in micros {
        row(&mut table, what, &[number(value), "µs".into()]);
    }
    table
}

fn latencies(report: &Report) -> Table {
    let mut table = new_table(&["µs", "count", "p50", "p90", "p99", "p99.9", "max", "mean"]);
    for (what, count, percentiles) in [
        ("operations", report.ops, report.op_us),
        ("those that faulted", report.faults, report.fault_us),
    ] {
        let Percentiles { p50, p90, p99, p999, max, mean } = percentiles;
        let mut cells = vec![count.to_string()];
        cells.extend([p50, p90, p99, p999, max, mean].map(number));
        row(&mut table, what, &cells);
    }
    table
}

fn totals(report: &Report) -> Table {
    let mut table = new_table(&["what happened", "", ""]);
    let counts = &report.fault_counts;
    let share = 100.0 * report.vram_peak as f64 / report.vram_capacity.max(1) as f64;
    let gbps = |value: Option<f64>| [number(value), "GB/s".to_owned()];
    row(&mut table, "throughput", &[number(Some(report.throughput_ops_per_s)), "ops/s".into()]);
    row(&mut table, "write sweep", &gbps(report.write_sweep_gbps));
    row(&mut table, "read sweep", &gbps(report.read_sweep_gbps));
    row(&mut table, "fill (time in that stage)", &gbps(report.fill_gbps));
    row(&mut table, "evict (time in that stage)", &gbps(report.evict_gbps));
    row(&mut table, "resident access", &[number(Some(report.hit_ns)), "ns".into()]);
    row(&mut table, "  ordinary memfd", &[number(Some(report.plain_hit_ns)), "ns".into()]);
    let evicted = sizes::about(report.evicted_bytes);
    row(&mut table, "evictions", &[report.evictions.to_string(), evicted]);
    row(&mut table, "faults: the daemon's count", &[counts.daemon.to_string(), String::new()]);
    let slow = counts.slow_without_fault.to_string();
    row(&mut table, "slow without a fault", &[slow, "ops".into()]);
    let peak = ByteCount::new(report.vram_peak).to_string();
    if let Some(rush) = &report.rush {
        let what = format!("{} threads on one page, {} times", rush.threads, rush.rounds);
        let merged = format!("fills; {} faults, {} merged", rush.faults, rush.coalesced);
        row(&mut table, &what, &[rush.fills.to_string(), merged]);
    }
    row(&mut table, "pool at its peak", &[peak, format!("{share:.1} % of capacity")]);
    row(&mut table, "wrong bytes", &[report.mismatches.to_string(), String::new()]);
    table
}

fn bars(report: &Report) -> Table {
    let mut table = new_table(&["as a ratio within this run", "reached", "aim", ""]);
    for Bar { what, ratio, aim } in ratios::bars(report) {
        let aim_text = match aim {
            Aim::AtMost(most) => format!("<= {most}"),
            Aim::AtLeast(least) => format!(">= {least}"),
            Aim::NotForThese => "(other settings)".to_owned(),
        };
        let met = match aim.is_met(ratio) {
            Some(true) => "met",
            Some(false) => "missed",
            None => "",
        };
        row(&mut table, what, &[format!("{ratio:.3}"), aim_text, met.to_owned()]);
    }
    table
}

pub(crate) fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_style(TableComponent::HeaderLines, '-');
    table.set_style(TableComponent::MiddleHeaderIntersections, '-');
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().enumerate().map(|(column, text)| aligned(column, text)));
    table
}

pub(crate) fn row(table: &mut Table, what: &str, values: &[String]) {
    let texts = [what].into_iter().chain(values.iter().map(String::as_str));
    table.add_row(texts.enumerate().map(|(column, text)| aligned(column, text)));
}

/// Names to the left, figures to the right.
fn aligned(column: usize, text: &str) -> Cell {
    let alignment = if column == 0 { CellAlignment::Left } else { CellAlignment::Right };
    Cell::new(text).set_alignment(alignment)
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if 100.0 <= value => format!("{value:.0}"),
        Some(value) => format!("{value:.2}"),
    }
}
