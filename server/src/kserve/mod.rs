//! The Open Inference Protocol, version 2 (KServe, Triton), over HTTP: one model, `segvol`, of which one request is one whole
//! segmentation without a session.
//!
//! The protocol: <https://github.com/kserve/open-inference-protocol>, `specification/protocol/inference_rest.md`, with the extension
//! for binary tensors, <https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md>.

mod form;
mod infer;
mod model;
mod numbers;
mod request;
mod response;
mod tensor;

use axum::routing::{get, post};

pub(crate) use form::form;

use crate::app::Shared;

/// Routes that need no token.
pub(crate) fn health() -> axum::Router<Shared> {
    axum::Router::new().route("/v2/health/live", get(model::live)).route("/v2/health/ready", get(model::ready))
}

/// All other routes.
pub(crate) fn router() -> axum::Router<Shared> {
    axum::Router::new()
        .route("/v2", get(model::server))
        .route("/v2/", get(model::server))
        .route("/v2/models/{model}", get(model::metadata))
        .route("/v2/models/{model}/versions/{version}", get(model::metadata))
        .route("/v2/models/{model}/ready", get(model::model_ready))
        .route("/v2/models/{model}/versions/{version}/ready", get(model::model_ready))
        .route("/v2/models/{model}/infer", post(infer::infer))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer::infer))
}
