//! The objects of a session.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use segvol::Prompt;
use serde_json::{Value, json};

use super::path::Named;
use super::schema::{PromptsDocument, SessionState};
use crate::app::{App, Shared};
use crate::error::{ApiError, ErrorBody};
use crate::session::Objects;
use crate::upload;

/// The most bytes of a document with prompts.
const MAX_DOCUMENT_BYTES: u64 = 4 << 20;

/// Replaces the objects of a session. What was before can be undone. A call that runs ends.
#[utoipa::path(put, operation_id = "replace_objects", path = "/v1/sessions/{id}/objects", tag = "segmentation",
    params(("id" = String, Path, description = "The session")), request_body = PromptsDocument, responses(
        (status = 200, description = "The session", body = SessionState),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 410, description = "The session has ended", body = ErrorBody),
        (status = 422, description = "The prompts cannot be used", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn replace(
    State(app): State<Shared>,
    Named(session): Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SessionState>, ApiError> {
    let text = received(&app, &headers, body).await?;
    session.set_objects(parse(&app, &text)?);
    Ok(Json(SessionState::of(&session)))
}

/// Goes one step back: objects and result are as they were before.
#[utoipa::path(post, operation_id = "undo", path = "/v1/sessions/{id}/undo", tag = "segmentation",
    params(("id" = String, Path, description = "The session")), responses(
        (status = 200, description = "The session", body = SessionState),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 409, description = "There is nothing to undo", body = ErrorBody),
        (status = 410, description = "The session has ended", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn undo(Named(session): Named) -> Result<Json<SessionState>, ApiError> {
    if !session.step(true) {
        return Err(ApiError::conflict("nothing_to_undo", "there is nothing to undo"));
    }
    Ok(Json(SessionState::of(&session)))
}

/// Goes forward again.
#[utoipa::path(post, operation_id = "redo", path = "/v1/sessions/{id}/redo", tag = "segmentation",
    params(("id" = String, Path, description = "The session")), responses(
        (status = 200, description = "The session", body = SessionState),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 409, description = "There is nothing to do again", body = ErrorBody),
        (status = 410, description = "The session has ended", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn redo(Named(session): Named) -> Result<Json<SessionState>, ApiError> {
    if !session.step(false) {
        return Err(ApiError::conflict("nothing_to_redo", "there is nothing to do again"));
    }
    Ok(Json(SessionState::of(&session)))
}

/// Receives a document with prompts.
pub(super) async fn received(app: &App, headers: &HeaderMap, body: Body) -> Result<String, ApiError> {
    let bytes = upload::to_memory(app, headers, body, MAX_DOCUMENT_BYTES).await?;
    String::from_utf8(bytes).map_err(|_| ApiError::unprocessable("bad_prompts", "prompts: expected JSON in UTF-8"))
}

/// Reads a document with prompts.
pub(crate) fn parse(app: &App, text: &str) -> Result<Objects, ApiError> {
    let bad = |message: String| ApiError::unprocessable("bad_prompts", message);
    let document: Value = serde_json::from_str(text).map_err(|error| bad(format!("prompts: {error}")))?;
    let is_empty = document.get("objects").and_then(Value::as_array).is_some_and(Vec::is_empty);
    let checked = |text: &str| segvol::parse_prompts(text).map_err(|error| bad(error.0.to_string()));
    let prompts = if is_empty {
        // No prompts file is empty; all else must be right here, too.
        let mut with_one = document.clone();
        with_one["objects"] = json!([{ "text": "any" }]);
        checked(&with_one.to_string())?;
        Vec::new()
    } else {
        checked(text)?
    };
    let is_bare =
        |prompt: &Prompt| prompt.as_text().is_none() && prompt.points.is_empty() && prompt.bounding_box.is_none();
    if let Some(index) = prompts.iter().position(is_bare) {
        return Err(bad(format!("objects[{index}]: expected a text, points or a box, found none of them")));
    }
    let most = app.settings.limits.objects;
    if prompts.len() > most {
        return Err(bad(format!("expected at most {most} objects, found {}", prompts.len())));
    }
    Ok(Objects { document: Arc::new(document), prompts: Arc::new(prompts) })
}
