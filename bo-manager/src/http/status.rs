//! `/api/v1/status`: pools, counters, stages, clients and objects, as JSON.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use bo_core::{ClientView, Gauges, ObjectView, Stats};
use serde::Serialize;

use crate::http::Site;
use crate::limits::STATUS_LIST_MAX;
use crate::session::uffd_source_name;

#[derive(Debug, Serialize)]
pub(crate) struct Status {
    version: &'static str,
    policy: &'static str,
    userfaultfd: &'static str,
    ready: bool,
    pools: [Pool; 2],
    counters: Counters,
    gauges: Gauges,
    stages: BTreeMap<&'static str, Stage>,
    clients: Vec<ClientView>,
    /// Clients that are not listed.
    clients_omitted: u64,
    objects: Vec<ObjectView>,
    /// Objects that are not listed.
    objects_omitted: u64,
}

#[derive(Debug, Serialize)]
struct Pool {
    name: &'static str,
    capacity_bytes: u64,
    used_bytes: u64,
    peak_bytes: u64,
}

/// The sums that people ask for, beside every counter there is.
#[derive(Debug, Serialize)]
struct Counters {
    faults: u64,
    evictions: u64,
    #[serde(flatten)]
    all: Stats,
}

#[derive(Debug, Serialize)]
struct Stage {
    seconds: f64,
    count: u64,
}

pub(crate) async fn show(State(site): State<Site>) -> Json<Status> {
    let shell = &site.shell;
    // One lock: the parts belong to one instant.
    let (all, gauges, policy, clients, objects) = {
        let core = shell.lock();
        (
            core.stats().clone(),
            core.gauges(),
            core.policy_name(),
            core.client_views(STATUS_LIST_MAX),
            core.object_views(STATUS_LIST_MAX),
        )
    };
    let pool = |name, capacity_bytes, used_bytes, peak_bytes| Pool {
        name,
        capacity_bytes,
        used_bytes,
        peak_bytes,
    };
    let mut stages: BTreeMap<&'static str, Stage> = shell
        .timings
        .sums()
        .into_iter()
        .map(|(name, seconds, count)| (name, Stage { seconds, count }))
        .collect();
    let evict = ["protect", "copy", "punch"].iter().filter_map(|name| stages.get(name));
    let evict = evict.fold(Stage { seconds: 0.0, count: 0 }, |sum, each| Stage {
        seconds: sum.seconds + each.seconds,
        count: sum.count.max(each.count),
    });
    stages.insert("evict", evict);
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        policy,
        userfaultfd: uffd_source_name(shell.uffd_source),
        ready: site.ready.load(std::sync::atomic::Ordering::Acquire),
        pools: [
            pool(
                "vram",
                gauges.vram_capacity_bytes,
                gauges.vram_used_bytes,
                gauges.vram_peak_bytes,
            ),
            pool("ram", gauges.ram_capacity_bytes, gauges.ram_used_bytes, gauges.ram_peak_bytes),
        ],
        counters: Counters {
            faults: all.faults_read + all.faults_write + all.faults_protect,
            evictions: all.evictions_copied
                + all.evictions_clean
                + all.evictions_zero
                + all.evictions_same,
            all,
        },
        gauges,
        stages,
        clients_omitted: gauges.clients - clients.len() as u64,
        clients,
        objects_omitted: gauges.objects - objects.len() as u64,
        objects,
    })
}
