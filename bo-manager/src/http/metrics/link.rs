//! The numbers of the simulated link, if there is one.

use bo_core::{Direction, LinkTotals};
use prometheus::proto::MetricType;

use crate::http::metrics::Page;
use crate::link::{Cargo, Link};

pub(super) fn export(page: &mut Page, link: &Link<Cargo>) {
    let totals = Direction::ALL.map(|direction| (direction.name(), link.totals(direction)));
    let rows = |of: fn(&LinkTotals) -> u64| totals.map(|(name, totals)| (name, of(&totals)));
    let help = "Transfers whose last byte has crossed the simulated link.";
    page.counters("bo_link_transfers_total", help, "direction", &rows(|each| each.transfers));
    let help = "Bytes that have crossed the simulated link.";
    page.counters("bo_link_bytes_total", help, "direction", &rows(|each| each.bytes));
    let help = "Transfers on the simulated link: waiting, moving, or in their latency.";
    page.gauges("bo_link_in_flight", help, "direction", &rows(|each| each.in_flight));
    let help = "Seconds for which bytes moved on the simulated link.";
    let rows = totals.map(|(name, totals)| (Some(("direction", name)), totals.busy.as_secs_f64()));
    page.exact("bo_link_busy_seconds_total", help, MetricType::COUNTER, &rows);
}
