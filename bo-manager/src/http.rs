//! What operators and their machines see: metrics, health and status over HTTP.
//!
//! Loopback unless told otherwise, read-only, and without a byte of any client's contents.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
use tokio::net::TcpListener;
use tower_http::timeout::TimeoutLayer;

use crate::limits::HTTP_MAX;
use crate::shell::Shell;

pub(crate) mod metrics;
mod status;

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
pub(crate) async fn serve(listener: TcpListener, site: Site) {
    let timeout = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, HTTP_MAX);
    let routes = Router::new()
        .route("/", get(index))
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/api/v1/status", get(status::show))
        .layer(timeout)
        .with_state(site);
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "HTTP has stopped");
    }
}

async fn index() -> &'static str {
    "bo-manager\n\n/metrics\n/healthz\n/readyz\n/api/v1/status\n"
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
