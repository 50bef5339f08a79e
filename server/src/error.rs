//! Errors, as clients see them.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use segvol_base::{ErrorKind, printable};
use segvol_objects::SaveError;
use serde::Serialize;
use utoipa::ToSchema;

/// Seconds after which a client that was turned away should try again.
pub(crate) const RETRY_AFTER_S: u64 = 10;

/// An error: its status, a code for programs, and a sentence for people.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
}

/// The body of an error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// The error.
    pub(crate) error: ErrorDetail,
}

/// What is wrong.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// The kind of the error, for programs. Codes keep their names and meanings.
    #[schema(example = "no_such_session")]
    pub(crate) code: &'static str,
    /// What the caller can change: `usage` the request, `input` the scan or the prompts, `memory` nothing but the time, and so on.
    #[schema(example = "usage")]
    pub(crate) kind: &'static str,
    /// What was expected and what was found, in one line.
    #[schema(example = "there is no such session")]
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, kind: ErrorKind, message: impl AsRef<str>) -> Self {
        Self { status, code, kind, message: printable(message.as_ref()).into_owned() }
    }

    /// The request itself is wrong.
    pub(crate) fn bad_request(code: &'static str, message: impl AsRef<str>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, ErrorKind::Usage, message)
    }

    /// The request does not fit the state of the session.
    pub(crate) fn conflict(code: &'static str, message: impl AsRef<str>) -> Self {
        Self::new(StatusCode::CONFLICT, code, ErrorKind::Usage, message)
    }

    /// The contents of the request cannot be used.
    pub(crate) fn unprocessable(code: &'static str, message: impl AsRef<str>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, ErrorKind::Input, message)
    }

    /// The server is full.
    pub(crate) fn busy(code: &'static str, message: impl AsRef<str>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, ErrorKind::Memory, message)
    }

    /// The server is about to end.
    pub(crate) fn stopping() -> Self {
        Self::busy("stopping", "the server is stopping")
    }

    /// Too many calls wait for the model.
    pub(crate) fn queue_full() -> Self {
        Self::busy("queue_full", "too many calls wait for the model: try again later")
    }

    /// The body has more bytes than are allowed.
    pub(crate) fn too_large(limit: u64) -> Self {
        let message = format!("expected at most {limit} bytes, found more");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", ErrorKind::Input, message)
    }

    /// A fault of the server.
    pub(crate) fn internal(message: impl AsRef<str>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", ErrorKind::Runtime, message)
    }

    /// The body as JSON.
    pub(crate) fn body(&self) -> ErrorBody {
        ErrorBody { error: ErrorDetail { code: self.code, kind: self.kind.name(), message: self.message.clone() } }
    }

    /// An error of the toolkit.
    pub(crate) fn of_kind(kind: ErrorKind, message: impl AsRef<str>) -> Self {
        let (status, code) = match kind {
            ErrorKind::Usage => (StatusCode::BAD_REQUEST, "bad_request"),
            ErrorKind::Input => (StatusCode::UNPROCESSABLE_ENTITY, "cannot_be_used"),
            ErrorKind::Memory => (StatusCode::SERVICE_UNAVAILABLE, "out_of_memory"),
            ErrorKind::Cancelled => (StatusCode::CONFLICT, "cancelled"),
            ErrorKind::Bundle | ErrorKind::Provider | ErrorKind::Runtime => {
                (StatusCode::INTERNAL_SERVER_ERROR, "failed")
            }
        };
        Self::new(status, code, kind, message)
    }
}

impl From<segvol::Error> for ApiError {
    fn from(error: segvol::Error) -> Self {
        Self::of_kind(error.kind(), error.to_string())
    }
}

impl From<SaveError> for ApiError {
    fn from(error: SaveError) -> Self {
        Self::of_kind(error.kind(), error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"segvol\""));
            }
            _ => {}
        }
        // For interfaces whose errors have another form.
        response.extensions_mut().insert(self);
        response
    }
}
