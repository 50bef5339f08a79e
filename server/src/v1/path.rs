//! The session that a path names, with errors as the rest of the interface has them.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::app::Shared;
use crate::error::ApiError;
use crate::session::{InUse, no_such_session};

/// The session that a path names. It is in use until the request is answered.
pub(super) struct Named(pub(super) InUse);

/// The same for a sign of life.
pub(super) struct Alive(#[expect(dead_code, reason = "it is in use until it is dropped")] InUse);

impl FromRequestParts<Shared> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, ApiError> {
        find(parts, app, false).await.map(Self)
    }
}

impl FromRequestParts<Shared> for Alive {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, ApiError> {
        find(parts, app, true).await.map(Self)
    }
}

async fn find(parts: &mut Parts, app: &Shared, is_heartbeat: bool) -> Result<InUse, ApiError> {
    // What is no text is no name of a session.
    let Path(id) = Path::<String>::from_request_parts(parts, app).await.map_err(|_| no_such_session())?;
    app.sessions.find(&id, is_heartbeat)
}
