//! What the protocol asks about the server and its model.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use segvol_base::ErrorKind;
use serde::Serialize;
use serde_json::{Value, json};

use crate::app::Shared;
use crate::error::ApiError;

/// The name of the model.
pub(super) const NAME: &str = "segvol";

/// Its version: that of its tensors, which have their names and meanings as long as it stays.
pub(super) const VERSION: &str = "1";

/// The model that a path names: there is one.
pub(super) struct Named;

impl FromRequestParts<Shared> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, ApiError> {
        let missing = |what: &str, found: &str, expected: &str| {
            let message = format!("there is no {what} `{found}`: expected `{expected}`");
            ApiError::new(StatusCode::NOT_FOUND, "no_such_model", ErrorKind::Usage, message)
        };
        let Path(named) = Path::<HashMap<String, String>>::from_request_parts(parts, app)
            .await
            .map_err(|_| missing("model", "?", NAME))?;
        let (model, version) = (named.get("model").map_or("", String::as_str), named.get("version"));
        if model != NAME {
            return Err(missing("model", model, NAME));
        }
        match version {
            Some(version) if version != VERSION => Err(missing("version", version, VERSION)),
            _ => Ok(Self),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ServerMetadata {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; 1],
}

pub(super) async fn server() -> Json<ServerMetadata> {
    Json(ServerMetadata { name: "segvol", version: env!("CARGO_PKG_VERSION"), extensions: ["binary_tensor_data"] })
}

pub(super) async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

fn status(is_ready: bool) -> StatusCode {
    if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

pub(super) async fn ready(State(app): State<Shared>) -> (StatusCode, Json<Value>) {
    let is_ready = app.is_ready();
    (status(is_ready), Json(json!({ "ready": is_ready })))
}

pub(super) async fn model_ready(_: Named, State(app): State<Shared>) -> (StatusCode, Json<Value>) {
    let is_ready = app.is_ready();
    (status(is_ready), Json(json!({ "name": NAME, "ready": is_ready })))
}

/// A tensor of the model; -1 is a length that differs from request to request.
#[derive(Serialize)]
struct TensorMetadata {
    name: &'static str,
    datatype: &'static str,
    shape: &'static [i64],
}

#[derive(Serialize)]
pub(super) struct ModelMetadata {
    name: &'static str,
    versions: [&'static str; 1],
    platform: &'static str,
    inputs: [TensorMetadata; 3],
    outputs: [TensorMetadata; 2],
}

pub(super) async fn metadata(_: Named) -> Json<ModelMetadata> {
    let tensor = |name, datatype, shape| TensorMetadata { name, datatype, shape };
    Json(ModelMetadata {
        name: NAME,
        versions: [VERSION],
        platform: "segvol_bundle",
        inputs: [
            tensor("image", "FP32", &[-1, -1, -1]),
            tensor("affine", "FP64", &[-1, 4]),
            tensor("prompts", "BYTES", &[1]),
        ],
        outputs: [tensor("labels", "UINT8", &[-1, -1, -1]), tensor("report", "BYTES", &[1])],
    })
}
