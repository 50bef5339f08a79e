//! Errors as the protocol wants them: `{"error": "..."}`.

use axum::Json;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::error::ApiError;

/// The most characters of an error: what a client has sent may be in it.
const MAX_CHARACTERS: usize = 1000;

/// Gives every error under `/v2` the form of the protocol, wherever it comes from.
pub(crate) async fn form(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_of_protocol = path == "/v2" || path.starts_with("/v2/");
    let response = next.run(request).await;
    let status = response.status();
    if !is_of_protocol || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let message = match response.extensions().get::<ApiError>() {
        Some(error) => error.message.chars().take(MAX_CHARACTERS).collect(),
        // A server that is not ready says so in its own form.
        None if response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json") => return response,
        None => status.canonical_reason().unwrap_or("the request has failed").to_lowercase(),
    };
    let (mut parts, body) = Json(json!({ "error": message })).into_response().into_parts();
    parts.status = status;
    for (name, value) in response.headers().iter().filter(|(name, _)| *name != CONTENT_TYPE && *name != CONTENT_LENGTH)
    {
        parts.headers.insert(name, value.clone());
    }
    Response::from_parts(parts, body)
}
