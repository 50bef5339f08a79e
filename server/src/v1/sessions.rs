//! Sessions: begin, look, keep alive, end.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};

use super::path::{Alive, Named};
use super::schema::SessionState;
use crate::app::Shared;
use crate::error::{ApiError, ErrorBody};

/// Begins a session.
#[utoipa::path(post, operation_id = "begin_session", path = "/v1/sessions", tag = "sessions", responses(
    (status = 201, description = "The session", body = SessionState, headers(("Location" = String, description = "Its path"))),
    (status = 503, description = "All sessions are in use", body = ErrorBody,
        headers(("Retry-After" = u64, description = "Seconds after which to try again"))),
    (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn create(State(app): State<Shared>) -> Result<impl IntoResponse, ApiError> {
    if app.is_stopping() {
        return Err(ApiError::stopping());
    }
    let session = app.sessions.create()?;
    tracing::info!(session = session.id.short(), "session begun");
    let location = AppendHeaders([(header::LOCATION, format!("/v1/sessions/{}", session.id.as_str()))]);
    Ok((StatusCode::CREATED, location, Json(SessionState::of(&session))))
}

/// What a session is now.
#[utoipa::path(get, operation_id = "read_session", path = "/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "The session", body = SessionState),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 410, description = "The session has ended", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn read(Named(session): Named) -> Json<SessionState> {
    Json(SessionState::of(&session))
}

/// Ends a session and frees what it has.
#[utoipa::path(delete, operation_id = "end_session", path = "/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path, description = "The session")),
    responses(
        (status = 204, description = "It has ended"),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 410, description = "It had ended before", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn delete(State(app): State<Shared>, Named(session): Named) -> StatusCode {
    app.sessions.remove(session.id.as_str());
    tracing::info!(session = session.id.short(), "session ended");
    StatusCode::NO_CONTENT
}

/// Keeps a session alive. A session without any request ends after `liveness_s` seconds; one with nothing but these after `idle_s`.
#[utoipa::path(post, operation_id = "keep_session_alive", path = "/v1/sessions/{id}/heartbeat", tag = "sessions",
    params(("id" = String, Path, description = "The session")), responses(
        (status = 204, description = "Noted"),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 410, description = "The session has ended", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn heartbeat(_alive: Alive) -> StatusCode {
    StatusCode::NO_CONTENT
}
