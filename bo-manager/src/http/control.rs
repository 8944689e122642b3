//! Calls that change something: suspend, resume, evict, resize; and the two that tell how far
//! they are.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use bo_core::{ClientView, ControlRefusal};
use bo_units::{ByteCount, ClientId, ObjectId, PageIndex};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::http::Site;
use crate::http::failure::Failure;
use crate::limits::{CONTROL_STEPS, EVICT_PAUSE};
use crate::recall;
use crate::shell::Shell;

/// A call that takes nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// How a client goes on.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct HowToResume {
    /// What it had in the pool comes back ahead of need.
    #[serde(default)]
    prefetch: bool,
}

/// A size for the pool.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSize {
    bytes: Size,
}

/// In bytes, or as on the command line.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Number(u64),
    Text(String),
}

/// What came of a resume.
#[derive(Debug, Serialize)]
pub(crate) struct Resumption {
    #[serde(flatten)]
    client: ClientView,
    /// Faults that had waited.
    woken_faults: u64,
    /// Pages that are fetched ahead of need.
    prefetch_pages: u64,
    /// Pages that left when it was suspended and are not remembered.
    left_out_pages: u64,
}

/// What came of an eviction.
#[derive(Debug, Serialize)]
pub(crate) struct Eviction {
    /// Bytes that were made to leave. A write may have called some of them back.
    bytes: u64,
}

/// The pool.
#[derive(Debug, Serialize)]
pub(crate) struct PoolView {
    capacity_bytes: u64,
    target_bytes: u64,
    used_bytes: u64,
    evicting_bytes: u64,
    committed_bytes: u64,
    commit_limit_bytes: u64,
}

type Body = Result<Bytes, BytesRejection>;
type Answer<T> = Result<Json<T>, Failure>;

pub(crate) async fn show_client(
    State(site): State<Site>,
    Path(id): Path<String>,
) -> Answer<ClientView> {
    let id = client_of(&id)?;
    tokio::task::block_in_place(|| view(&site.shell, id)).map(Json)
}

pub(crate) async fn show_pool(State(site): State<Site>) -> Json<PoolView> {
    Json(pool_of(&site.shell))
}

pub(crate) async fn suspend(
    State(site): State<Site>,
    Path(id): Path<String>,
    body: Body,
) -> Answer<ClientView> {
    let id = client_of(&id)?;
    let Nothing {} = read(body)?;
    tokio::task::block_in_place(|| {
        site.shell.decide(|core, now| core.suspend(now, id))?;
        tracing::info!(client = %id, "a client is being suspended");
        view(&site.shell, id).map(Json)
    })
}

pub(crate) async fn resume(
    State(site): State<Site>,
    Path(id): Path<String>,
    body: Body,
) -> Answer<Resumption> {
    let id = client_of(&id)?;
    let HowToResume { prefetch } = read(body)?;
    let resumed =
        tokio::task::block_in_place(|| site.shell.decide(|core, now| core.resume(now, id)))?;
    tracing::info!(client = %id, prefetch, "a suspended client goes on");
    let woken_faults = resumed.parked_faults;
    let left_out_pages = resumed.left_out_pages;
    let pages = |(_, range): &(ObjectId, bo_units::PageRange)| u64::from(range.count().get());
    let prefetch_pages = if prefetch { resumed.working_set.iter().map(pages).sum() } else { 0 };
    if prefetch {
        drop(tokio::spawn(recall::fetch(Arc::clone(&site.shell), id, resumed)));
    }
    let client = tokio::task::block_in_place(|| view(&site.shell, id))?;
    Ok(Json(Resumption { client, woken_faults, prefetch_pages, left_out_pages }))
}

pub(crate) async fn evict_client(
    State(site): State<Site>,
    Path(id): Path<String>,
    body: Body,
) -> Answer<Eviction> {
    let id = client_of(&id)?;
    let Nothing {} = read(body)?;
    let (mut bytes, mut next) = (0, Some(0));
    while let Some(slot) = next {
        let (objects, then) = site.shell.decide_in_turn(|core, _| core.own_objects(id, slot))?;
        for object in objects {
            // One that was freed meanwhile has nothing left to evict.
            bytes += evict(&site.shell, object).await.unwrap_or(0);
        }
        next = then;
    }
    Ok(Json(Eviction { bytes }))
}

pub(crate) async fn evict_object(
    State(site): State<Site>,
    Path(id): Path<String>,
    body: Body,
) -> Answer<Eviction> {
    let id: ObjectId = id.parse().map_err(|error| Failure::malformed(format!("{error}")))?;
    let Nothing {} = read(body)?;
    Ok(Json(Eviction { bytes: evict(&site.shell, id).await? }))
}

pub(crate) async fn resize(State(site): State<Site>, body: Body) -> Answer<PoolView> {
    let NewSize { bytes } = read(body)?;
    let size = match bytes {
        Size::Number(bytes) => ByteCount::new(bytes),
        Size::Text(text) => text.parse().map_err(|error| Failure::malformed(format!("{error}")))?,
    };
    tokio::task::block_in_place(|| {
        let shell = &site.shell;
        let config = &shell.config;
        config.check_vram(size).map_err(|error| Failure::conflict("size", format!("{error:#}")))?;
        let now = shell.lock().pool_size();
        let huge = shell.objects.iter().map(|each| Arc::clone(&each));
        let room = shell.backed.room_to_resize(now, size, huge);
        room.map_err(|error| Failure::conflict("backing", format!("{error:#}")))?;
        let resized = shell.decide(|core, now| core.resize(now, size, config.marks(size)))?;
        tracing::info!(target = %resized.target, capacity = %resized.capacity, "another pool size");
        Ok(Json(pool_of(shell)))
    })
}

fn pool_of(shell: &Shell) -> PoolView {
    let (_, gauges) = shell.numbers();
    PoolView {
        capacity_bytes: gauges.vram_capacity_bytes,
        target_bytes: gauges.vram_target_bytes,
        used_bytes: gauges.vram_used_bytes,
        evicting_bytes: gauges.vram_evicting_bytes,
        committed_bytes: gauges.committed_bytes,
        commit_limit_bytes: gauges.commit_limit_bytes,
    }
}

/// Evicts what can leave of an object, with everybody else in between.
async fn evict(shell: &Arc<Shell>, object: ObjectId) -> Result<u64, ControlRefusal> {
    let (mut bytes, mut next) = (0, Some(PageIndex::ZERO));
    while next.is_some() {
        let mut waits = false;
        tokio::task::block_in_place(|| {
            for _ in 0..CONTROL_STEPS {
                let Some(from) = next.filter(|_| !waits) else { break };
                let step = shell.decide_in_turn(|core, now| core.evict_some(now, object, from))?;
                bytes += step.bytes;
                waits = step.bytes == 0 && step.rest == Some(from);
                next = step.rest;
            }
            Ok(())
        })?;
        match waits {
            true => tokio::time::sleep(EVICT_PAUSE).await,
            false => tokio::task::yield_now().await,
        }
    }
    Ok(bytes)
}

fn client_of(id: &str) -> Result<ClientId, Failure> {
    id.parse().map_err(|error| Failure::malformed(format!("{error}")))
}

fn view(shell: &Shell, id: ClientId) -> Result<ClientView, Failure> {
    let mut view = shell.lock().client_entry(id).ok_or(ControlRefusal::NoSuchClient)?;
    let mut next = Some(0);
    while let Some(slot) = next {
        next = shell.decide_in_turn(|core, _| core.add_holds(id, slot, &mut view.sums));
    }
    Ok(view)
}

/// Reads a body; none at all is as good as an empty object.
fn read<T: DeserializeOwned>(body: Body) -> Result<T, Failure> {
    let body = body.map_err(|rejection| {
        let status = rejection.status();
        let cause = if status == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "malformed" };
        Failure::new(status, cause, rejection.body_text())
    })?;
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(text).map_err(|error| Failure::malformed(format!("the body: {error}")))
}
