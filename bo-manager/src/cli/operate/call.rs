//! HTTP over the control socket: one call, one connection.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

/// The daemon gives every call ten seconds itself.
const CALL_MAX: Duration = Duration::from_secs(15);

/// Nobody takes orders where they were to be given.
#[derive(Debug)]
pub(crate) struct NoDaemon(PathBuf);

impl fmt::Display for NoDaemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no daemon takes orders at {}: start one, or give its --control",
            self.0.display()
        )
    }
}

impl std::error::Error for NoDaemon {}

/// Makes calls to one daemon.
pub(super) struct Caller {
    path: PathBuf,
    runtime: Runtime,
}

impl Caller {
    pub(super) fn new(path: PathBuf) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot talk to a socket")?;
        Ok(Self { path, runtime })
    }

    /// Asks how something is.
    pub(super) fn get(&self, call: &str) -> anyhow::Result<Value> {
        self.make(Method::GET, call, Bytes::new())
    }

    /// Gives an order.
    pub(super) fn post(&self, call: &str, body: &Value) -> anyhow::Result<Value> {
        self.make(Method::POST, call, Bytes::from(body.to_string()))
    }

    fn make(&self, method: Method, call: &str, body: Bytes) -> anyhow::Result<Value> {
        let request = Request::builder()
            .method(method)
            .uri(call)
            .header(header::HOST, "bo-manager")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .context("this is no call")?;
        let answer = async { tokio::time::timeout(CALL_MAX, self.send(request)).await };
        let (status, body) =
            self.runtime.block_on(answer).context("the daemon does not answer in time")??;
        let answer: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(answer);
        }
        match answer["error"].as_str() {
            Some(error) => bail!("refused: {error}"),
            None => bail!("refused: {status}"),
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
        let stream = match UnixStream::connect(&self.path).await {
            Ok(stream) => stream,
            Err(error)
                if [ErrorKind::NotFound, ErrorKind::ConnectionRefused].contains(&error.kind()) =>
            {
                return Err(NoDaemon(self.path.clone()).into());
            }
            Err(error) => {
                let shown = self.path.display();
                return Err(anyhow::Error::new(error).context(format!(
                    "cannot open {shown}, which takes orders of the daemon's user and root only"
                )));
            }
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.context("the daemon hung up")?;
        // It ends with the answer.
        let talk = tokio::spawn(connection);
        let response = sender.send_request(request).await.context("the daemon hung up")?;
        let status = response.status();
        let body = response.into_body().collect().await.context("the daemon hung up")?.to_bytes();
        talk.abort();
        Ok((status, body))
    }
}
