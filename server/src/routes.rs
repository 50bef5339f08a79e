//! All routes, and what lies around them.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use segvol_base::ErrorKind;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::Shared;
use crate::error::ApiError;
use crate::{guard, kserve, nninteractive, operations, page, v1};

/// The whole server.
pub(crate) fn router(app: Shared) -> Router {
    let with_token = Router::new()
        .merge(v1::router())
        .merge(kserve::router())
        .merge(operations::metrics())
        .layer(from_fn_with_state(Shared::clone(&app), guard::token));
    Router::new()
        .merge(with_token)
        .merge(nninteractive::router(&app))
        .merge(operations::health())
        .merge(page::router())
        .merge(kserve::health())
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(failed))
        .layer(from_fn_with_state(Shared::clone(&app), guard::own_site))
        .layer(from_fn(kserve::form))
        .layer(from_fn_with_state(Shared::clone(&app), observe))
        .with_state(app)
}

async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "no_such_path", ErrorKind::Usage, "there is nothing at this path")
}

async fn wrong_method() -> ApiError {
    let message = "this path does not take this method; the header `Allow` has those that it takes";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", ErrorKind::Usage, message)
}

/// A handler has panicked. The reason is in the log, not in the answer.
fn failed(reason: Box<dyn std::any::Any + Send>) -> Response {
    let text = reason.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| reason.downcast_ref::<&str>().copied()).unwrap_or("no reason");
    tracing::error!(reason = text, "a request has failed");
    ApiError::internal("the request has failed; the log has the reason").into_response()
}

/// Counts requests, logs them without anything that clients have chosen, and marks every answer as not to be guessed at.
async fn observe(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let (status, seconds) = (response.status().as_u16(), start.elapsed().as_secs_f64());
    app.metrics.requested(&route, status, seconds);
    tracing::info!(%method, route, status, milliseconds = seconds * 1e3, "request");
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
