//! The parameters of a request, with errors as the rest of the interface has them.

use axum::extract::{FromRequestParts, Query as Parsed};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// The parameters behind `?`. Unknown ones are errors, so that a misspelt one is not ignored.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Parsed::<T>::from_request_parts(parts, state).await {
            Ok(Parsed(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(ApiError::bad_request("bad_parameter", rejection.body_text())),
        }
    }
}
