//! What operators ask for: is it alive, is it ready, what has it done?

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::app::Shared;
use crate::error::ApiError;
use crate::metrics::Now;

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// Routes that need no token.
pub(crate) fn health() -> axum::Router<Shared> {
    axum::Router::new().route("/health/live", get(live)).route("/health/ready", get(ready))
}

/// Figures for Prometheus.
pub(crate) fn metrics() -> axum::Router<Shared> {
    axum::Router::new().route("/metrics", get(figures))
}

async fn live() -> Json<Health> {
    Json(Health { status: "live" })
}

async fn ready(State(app): State<Shared>) -> (StatusCode, Json<Health>) {
    if app.is_ready() {
        return (StatusCode::OK, Json(Health { status: "ready" }));
    }
    let status = if app.is_stopping() { "stopping" } else { "starting" };
    (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status }))
}

async fn figures(State(app): State<Shared>) -> Result<Response, ApiError> {
    let now = Now { sessions: app.sessions.count(), waiting: app.turns.waiting(), memory_bytes: app.memory.used() };
    let text = app.metrics.text(&now).map_err(|error| ApiError::internal(error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
