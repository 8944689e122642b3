//! What operators have ordered: suspended clients, and other sizes for the pool.

use bo_core::{Gauges, Stats};

use super::Page;

pub(super) fn export(page: &mut Page, stats: &Stats, gauges: &Gauges) {
    let help = "Clients that are suspended, or being suspended.";
    page.gauge("bo_clients_suspended", help, gauges.clients_suspended);
    let help = "Clients among them that still have pages in the pool.";
    page.gauge("bo_clients_suspending", help, gauges.clients_suspending);
    let help = "Faults of suspended clients that wait until these go on.";
    page.gauge("bo_faults_parked", help, gauges.faults_parked);
    page.counter("bo_suspensions_total", "Times a client was suspended.", stats.suspensions);
    page.counter("bo_resumes_total", "Times a suspended client went on.", stats.resumes);
    let help = "Pages that left with a suspended client and are not remembered.";
    page.counter("bo_working_set_left_out_pages_total", help, stats.working_set_left_out);
    page.counter("bo_pool_resizes_total", "Times the pool was resized.", stats.resizes);
    let help = "The size of the VRAM pool that was asked for last; while the pool shrinks, its \
                capacity falls to this.";
    page.gauge("bo_pool_target_bytes", help, gauges.vram_target_bytes);
}
