//! What operators and their machines see: metrics, health and status over HTTP.
//!
//! Loopback unless told otherwise, and without a byte of any client's contents. What changes
//! something is for those whom [`door`] lets in; to all others it is read-only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prometheus::{Registry, TextEncoder};
use tokio::net::TcpListener;
use tower_http::timeout::TimeoutLayer;

use crate::limits::{HTTP_BODY_MAX, HTTP_MAX};
use crate::shell::Shell;

mod control;
mod door;
mod failure;
mod listen;
pub(crate) mod metrics;
mod status;

pub(crate) use door::{Door, Peer, Token};
pub(crate) use listen::ControlListener;

/// What the routes share.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) shell: Arc<Shell>,
    pub(crate) registry: Registry,
    /// False before the first client can be served and after the last one will be.
    pub(crate) ready: Arc<AtomicBool>,
}

/// Takes the address, so that a failure is known before anything else is started.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot serve HTTP on {address}: choose another --http, or stop who is there")
    })?;
    let address = listener.local_addr().context("cannot tell the HTTP address")?;
    Ok((listener, address))
}

/// Serves until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, site: Site, door: Door) {
    let routes = routes(site, door);
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "HTTP has stopped");
    }
}

/// Serves the same on the control socket.
pub(crate) async fn serve_control(listener: ControlListener, site: Site, door: Door) {
    let routes = routes(site, door).into_make_service_with_connect_info::<Peer>();
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "the control socket has stopped");
    }
}

fn routes(site: Site, door: Door) -> Router {
    let timeout = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, HTTP_MAX);
    let changes = Router::new()
        .route("/api/v1/clients/{id}/suspend", post(control::suspend))
        .route("/api/v1/clients/{id}/resume", post(control::resume))
        .route("/api/v1/clients/{id}/evict", post(control::evict_client))
        .route("/api/v1/objects/{id}/evict", post(control::evict_object))
        .route("/api/v1/pool/resize", post(control::resize))
        .route_layer(from_fn_with_state(door, door::admit));
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/api/v1/status", get(status::show))
        .route("/api/v1/clients/{id}", get(control::show_client))
        .route("/api/v1/pool", get(control::show_pool))
        .merge(changes)
        .method_not_allowed_fallback(failure::wrong_method)
        .fallback(failure::nothing_here)
        .layer(DefaultBodyLimit::max(HTTP_BODY_MAX))
        .layer(timeout)
        .with_state(site)
}

async fn index() -> &'static str {
    "bo-manager\n\n/metrics\n/healthz\n/readyz\n/api/v1/status\n/api/v1/clients/ID\n\
     /api/v1/pool\n\nPOST, for those who may:\n\n/api/v1/clients/ID/suspend\n\
     /api/v1/clients/ID/resume\n/api/v1/clients/ID/evict\n\
     /api/v1/objects/ID/evict\n/api/v1/pool/resize\n"
}

async fn show_metrics(State(site): State<Site>) -> Response {
    match TextEncoder::new().encode_to_string(&site.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot encode metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn healthz() -> &'static str {
    "alive\n"
}

async fn readyz(State(site): State<Site>) -> (StatusCode, &'static str) {
    match site.ready.load(Ordering::Acquire) {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not serving\n"),
    }
}
