//! Calls that fail, as JSON: what was wrong, a word for machines, and what to do.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bo_core::{ControlRefusal, PoolFloor};
use serde::Serialize;

/// A call that was not carried out. Nothing has changed.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    body: Body,
}

#[derive(Debug, Serialize)]
struct Body {
    /// For people.
    error: String,
    /// For machines: one word.
    cause: &'static str,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, cause: &'static str, error: impl Into<String>) -> Self {
        Self { status, body: Body { error: error.into(), cause } }
    }

    /// A request that cannot be read.
    pub(crate) fn malformed(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", error)
    }

    /// A caller who may not.
    pub(crate) fn forbidden(error: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", error)
    }

    /// Not while things are as they are.
    pub(crate) fn conflict(cause: &'static str, error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, cause, error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

impl From<ControlRefusal> for Failure {
    fn from(refusal: ControlRefusal) -> Self {
        match refusal {
            ControlRefusal::NoSuchClient => Self::new(
                StatusCode::NOT_FOUND,
                "no_such_client",
                "no such client: it may have gone; /api/v1/status lists those that are there",
            ),
            ControlRefusal::NoSuchObject => Self::new(
                StatusCode::NOT_FOUND,
                "no_such_object",
                "no such object: it may have been freed; /api/v1/status lists those that are there",
            ),
            ControlRefusal::Suspended => Self::conflict("suspended", "it is suspended already"),
            ControlRefusal::Running => Self::conflict("running", "it is not suspended"),
            ControlRefusal::PoolTooSmall { asked, possible, floor } => {
                let why = match floor {
                    PoolFloor::Pages { largest } => {
                        format!("sixteen pages of {largest}, the largest in use, must fit")
                    }
                    PoolFloor::Committed { committed, store } => format!(
                        "objects of {committed} are committed, and the RAM for evicted pages is \
                         {store}: pool and RAM must hold them with two pages to spare"
                    ),
                    PoolFloor::Pinned { pinned } => format!("{pinned} are pinned"),
                };
                let error =
                    format!("a pool of {asked} is too small: {why}; the least is {possible}");
                Self::conflict("pool_too_small", error)
            }
            ControlRefusal::Draining => Self::conflict("draining", "the daemon is stopping"),
        }
    }
}

/// The call exists, and not by this method.
pub(crate) async fn wrong_method() -> Failure {
    let error = "this call is not made by this method: what changes something is a POST, what \
                 shows something is a GET";
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", error)
}

/// There is no such call.
pub(crate) async fn nothing_here() -> Failure {
    let error = "there is nothing here: GET / lists what there is";
    Failure::new(StatusCode::NOT_FOUND, "no_such_call", error)
}
