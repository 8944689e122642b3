//! `/api/v1/status`: pools, counters, stages, clients and objects, as JSON.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use bo_core::{ClientView, Gauges, ObjectView, Stats};
use serde::Serialize;

use crate::descriptors::Budget;
use crate::http::Site;
use crate::limits::STATUS_LIST_MAX;
use crate::link::{Link, LinkStatus};
use crate::session::uffd_source_name;

#[derive(Debug, Serialize)]
pub(crate) struct Status {
    version: &'static str,
    policy: &'static str,
    userfaultfd: &'static str,
    /// What pages of 2 MiB are made of.
    backing: &'static str,
    backing_reason: String,
    /// `null`: moves cost what they cost.
    link: Option<LinkStatus>,
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
    limits: Budget,
    /// What this host lacks, and what to do about it.
    lacks: Vec<String>,
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
    // Many short locks, on a thread that serves connections as well.
    Json(tokio::task::block_in_place(|| look(&site)))
}

fn look(site: &Site) -> Status {
    let shell = &site.shell;
    // One lock: the numbers belong to one instant. The lists take several, and each of their
    // entries is of one instant.
    let (all, gauges, policy) = {
        let core = shell.lock();
        (core.stats().clone(), core.gauges(), core.policy_name())
    };
    let objects = listed(|slot| shell.decide_in_turn(|core, _| core.object_views(slot)));
    let mut clients = listed(|slot| shell.decide_in_turn(|core, _| core.client_views(slot)));
    for client in &mut clients {
        let mut next = Some(0);
        while let Some(slot) = next {
            let sums = &mut client.sums;
            next = shell.decide_in_turn(|core, _| core.add_holds(client.id, slot, sums));
        }
    }
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
    Status {
        version: env!("CARGO_PKG_VERSION"),
        policy,
        userfaultfd: uffd_source_name(shell.uffd_source),
        backing: shell.backed.frames.name(),
        backing_reason: shell.backed.reason.clone(),
        link: shell.link.as_ref().map(Link::status),
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
        // Some may have come since.
        clients_omitted: gauges.clients.saturating_sub(clients.len() as u64),
        clients,
        objects_omitted: gauges.objects.saturating_sub(objects.len() as u64),
        objects,
        limits: shell.budget,
        lacks: shell.lacks.clone(),
    }
}

/// The first entries of a table that is looked at in steps.
fn listed<T>(mut step: impl FnMut(u32) -> (Vec<T>, Option<u32>)) -> Vec<T> {
    let (mut list, mut next) = (Vec::new(), Some(0));
    while let Some(slot) = next.filter(|_| list.len() < STATUS_LIST_MAX) {
        let (part, then) = step(slot);
        list.extend(part);
        next = then;
    }
    list.truncate(STATUS_LIST_MAX);
    list
}
