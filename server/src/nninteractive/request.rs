//! What requests contain: JSON in the body, or JSON in a header beside an array.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::answer::{META, Refusal};
use super::container::{ContainerError, Packed};
use super::image::Properties;
use crate::app::{App, Shared};
use crate::error::ApiError;
use crate::session::memory::Reserved;
use crate::{scan, upload};

/// The most bytes of a body of JSON.
const MAX_JSON_BYTES: u64 = 64 << 10;

/// `set_image`.
#[derive(Deserialize)]
pub(super) struct SetImage {
    #[serde(default)]
    pub(super) image_properties: Option<Properties>,
}

/// `set_target_buffer`.
#[derive(Deserialize)]
pub(super) struct SetTargetBuffer {
    pub(super) shape: Vec<u64>,
    pub(super) dtype: String,
}

/// What an interaction says beside its place.
#[derive(Deserialize)]
pub(super) struct Flags {
    pub(super) include_interaction: bool,
    #[serde(default = "yes")]
    pub(super) run_prediction: bool,
}

/// `add_point_interaction`.
#[derive(Deserialize)]
pub(super) struct AddPoint {
    pub(super) coordinates: [f64; 3],
    #[serde(flatten)]
    pub(super) flags: Flags,
}

/// `add_bbox_interaction`.
#[derive(Deserialize)]
pub(super) struct AddBox {
    pub(super) bbox_coords: [[f64; 2]; 3],
    #[serde(flatten)]
    pub(super) flags: Flags,
}

/// `add_scribble_interaction` and `add_lasso_interaction`.
#[derive(Deserialize)]
pub(super) struct AddStroke {
    #[serde(default)]
    pub(super) interaction_bbox: Option<[[u64; 2]; 3]>,
    #[serde(flatten)]
    pub(super) flags: Flags,
}

fn yes() -> bool {
    true
}

/// Receives the whole body of a request that has a small one, also where nobody looks at it: the connection of a client whose request was
/// answered before all of it had arrived would be closed.
pub(super) async fn whole_body(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match upload::to_memory(&app, &parts.headers, body, MAX_JSON_BYTES).await {
        Ok(bytes) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(error) => Refusal::from(error).into_response(),
    }
}

/// Reads a body of JSON.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::new(format!("the body is not what was expected: {error}")))
}

/// Reads the header with JSON.
pub(super) fn meta<T: DeserializeOwned>(headers: &HeaderMap) -> Result<T, Refusal> {
    let bytes = headers.get(META).map_or(&b"{}"[..], |value| value.as_bytes());
    serde_json::from_slice(bytes).map_err(|error| Refusal::new(format!("X-Meta is not what was expected: {error}")))
}

/// Receives what is left of a body, and forgets it: a client that still sends does not read an answer.
pub(super) async fn discard(app: &App, body: Body) {
    let limits = &app.settings.limits;
    let all = async {
        let mut left = limits.upload_bytes;
        let mut chunks = body.into_data_stream();
        while let Some(Ok(chunk)) = chunks.next().await {
            left = left.checked_sub(chunk.len() as u64)?;
        }
        Some(())
    };
    // Whatever happens, the answer comes next.
    let mut stopping = app.stopping();
    tokio::select! {
        _ = timeout(limits.pause, all) => {}
        _ = stopping.wait_for(|&stopping| stopping) => {}
    }
}

/// The packed array of a request, and the memory that is reserved for it.
pub(super) struct Upload {
    bytes: Vec<u8>,
    limit: usize,
    _reserved: Reserved,
}

impl Upload {
    /// Receives the array. It may have as many bytes as any upload, packed or not.
    pub(super) async fn receive(app: &App, headers: &HeaderMap, body: Body) -> Result<Self, Refusal> {
        let most = app.settings.limits.upload_bytes;
        let stated = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let reserved = match scan::reserve(app, stated.unwrap_or(most).min(most)) {
            Ok(reserved) => reserved,
            Err(error) => {
                discard(app, body).await;
                return Err(error.into());
            }
        };
        let bytes = upload::to_memory(app, headers, body, most).await?;
        Ok(Self { bytes, limit: usize::try_from(most).unwrap_or(usize::MAX), _reserved: reserved })
    }

    /// Reads the header of the array.
    pub(super) fn packed(&self) -> Result<Packed<'_>, Refusal> {
        Packed::new(&self.bytes, self.limit).map_err(refused)
    }
}

/// An array that cannot be used.
pub(super) fn refused(error: ContainerError) -> Refusal {
    match error {
        ContainerError::TooLarge { limit } => ApiError::too_large(limit as u64).into(),
        ContainerError::Memory(_) => ApiError::busy("out_of_memory", error.to_string()).into(),
        other => Refusal::new(other.to_string()),
    }
}
