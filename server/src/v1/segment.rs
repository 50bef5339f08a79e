//! Segmenting, and stopping it.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::events;
use super::objects;
use super::path::Named;
use super::schema::{PromptsDocument, SessionState};
use crate::app::Shared;
use crate::call;
use crate::error::{ApiError, ErrorBody};
use crate::session::End;

/// Segments the objects of a session; those of the body, if it has any, which then replace them.
///
/// With `Accept: text/event-stream`, the answer is a stream of events: `queued`, `coarse` (the mask of the first window), `progress`,
/// then `done` or `error`. Otherwise it is the session when all is done. A call that runs in the session ends. A client that closes the
/// connection ends its call.
#[utoipa::path(post, operation_id = "segment", path = "/v1/sessions/{id}/segment", tag = "segmentation",
    params(("id" = String, Path, description = "The session")), request_body(content = Option<PromptsDocument>), responses(
        (status = 200, description = "The session, or events", content((SessionState = "application/json"), (String = "text/event-stream"))),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 409, description = "There is no scan or no object, or the call was ended", body = ErrorBody),
        (status = 410, description = "The session has ended", body = ErrorBody),
        (status = 422, description = "The prompts cannot be used", body = ErrorBody),
        (status = 503, description = "Too many calls wait", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn segment(
    State(app): State<Shared>,
    Named(session): Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let text = objects::received(&app, &headers, body).await?;
    if !text.trim().is_empty() && text.trim() != "null" {
        session.set_objects(objects::parse(&app, &text)?);
    }
    let call = call::begin(&app, &session)?;
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/event-stream")) {
        return Ok(events::stream(session, call));
    }
    call.result().await?;
    Ok(Json(SessionState::of(&session)).into_response())
}

/// Ends the call that runs in a session. What the zoom-out pass has found stays.
#[utoipa::path(post, operation_id = "cancel_segment", path = "/v1/sessions/{id}/cancel", tag = "segmentation",
    params(("id" = String, Path, description = "The session")), responses(
        (status = 202, description = "It ends soon, or none runs"),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 410, description = "The session has ended", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn cancel(Named(session): Named) -> StatusCode {
    session.end_call(None, End::Cancelled);
    StatusCode::ACCEPTED
}
