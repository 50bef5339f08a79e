//! Answers of the protocol: its errors, and the changed part of a mask.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use segvol::Mask;
use segvol::mask::Labels;
use serde_json::json;

use super::container::{Element, encode};
use crate::error::{ApiError, RETRY_AFTER_S};
use crate::session::Change;
use crate::session::region::{Bounds, cut};

/// The header with JSON beside an array.
pub(super) const META: &str = "x-meta";

/// An error as clients of nnInteractive read it: `{"detail": "…"}`.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Refusal {
    /// The request cannot be done.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// There is no such lease.
    pub(super) fn gone(message: &str) -> Self {
        Self { status: StatusCode::GONE, message: message.to_owned() }
    }
}

impl From<ApiError> for Refusal {
    /// The protocol has fewer statuses: a client knows 400, 401, 410, 413 and 503.
    fn from(error: ApiError) -> Self {
        let status = match error.status {
            StatusCode::NOT_FOUND => StatusCode::GONE,
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            other => other,
        };
        Self { status, message: error.message }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "detail": self.message }))).into_response();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
            }
            StatusCode::UNAUTHORIZED => {
                let realm = HeaderValue::from_static("Bearer realm=\"segvol\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, realm);
            }
            _ => {}
        }
        response
    }
}

/// Nothing was segmented, and nothing has changed.
pub(super) fn nothing() -> Response {
    octets(&json!({ "ran_prediction": false, "bbox": null }), Vec::new())
}

/// The part of the mask that the client does not have yet.
///
/// `all` sends the whole mask: nobody knows what the client has.
pub(super) fn changed(change: &Change, all: bool) -> Response {
    let [ni, nj, nk] = change.shape_xyz;
    let whole = Bounds { min_ijk: [0; 3], max_ijk: [ni - 1, nj - 1, nk - 1] };
    let Some(bounds) = (if all { Some(whole) } else { change.bounds }) else {
        return octets(&json!({ "ran_prediction": true, "bbox": null }), Vec::new());
    };
    let mask = change.labels.as_deref();
    let mut labels = cut(change.shape_xyz, mask, bounds);
    if let Some(Labels::U16(_)) = mask.map(Mask::labels) {
        labels = labels.as_chunks().0.iter().map(|&label| u8::from(label != [0; 2])).collect();
    }
    labels.iter_mut().for_each(|label| *label = u8::from(*label != 0));
    // The last axis of the client's array runs fastest, as i does here.
    let axes = [2, 1, 0];
    let bbox = axes.map(|axis| [bounds.min_ijk[axis], bounds.max_ijk[axis] + 1]);
    let shape = axes.map(|axis| bounds.shape()[axis]);
    let element = Element::UInt8;
    let meta = json!({ "ran_prediction": true, "bbox": bbox, "dtype": element.name(), "shape": shape });
    octets(&meta, encode(element, &shape, &labels))
}

fn octets(meta: &serde_json::Value, body: Vec<u8>) -> Response {
    // Numbers, names and punctuation: always a valid value of a header.
    let meta = HeaderValue::try_from(meta.to_string()).unwrap_or(HeaderValue::from_static("{}"));
    let kind = HeaderValue::from_static("application/octet-stream");
    ([(HeaderName::from_static(META), meta), (CONTENT_TYPE, kind)], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_that_clients_know() {
        let status = |error: ApiError| Refusal::from(error).status.as_u16();
        assert_eq!(status(ApiError::conflict("x", "x")), 400);
        assert_eq!(status(ApiError::unprocessable("x", "x")), 400);
        assert_eq!(status(ApiError::bad_request("x", "x")), 400);
        assert_eq!(status(ApiError::too_large(1)), 413);
        assert_eq!(status(ApiError::busy("x", "x")), 503);
        assert_eq!(status(crate::session::gone()), 410);
        let response = Refusal::from(ApiError::busy("x", "x")).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "10");
    }

    #[test]
    fn boxes_are_in_the_order_of_the_array_and_half_open() {
        let bounds = Some(Bounds { min_ijk: [1, 2, 3], max_ijk: [4, 5, 9] });
        let change = Change { revision: 1, stage: None, bounds, whole: false, labels: None, shape_xyz: [10, 20, 30] };
        let meta = |response: Response| response.headers()[META].to_str().expect("text").to_owned();
        let expected = r#"{"bbox":[[3,10],[2,6],[1,5]],"dtype":"uint8","ran_prediction":true,"shape":[7,4,4]}"#;
        assert_eq!(meta(changed(&change, false)), expected);
        let expected = r#"{"bbox":[[0,30],[0,20],[0,10]],"dtype":"uint8","ran_prediction":true,"shape":[30,20,10]}"#;
        assert_eq!(meta(changed(&change, true)), expected);
        let same = Change { bounds: None, ..change };
        assert_eq!(meta(changed(&same, false)), r#"{"bbox":null,"ran_prediction":true}"#);
        assert_eq!(meta(nothing()), r#"{"bbox":null,"ran_prediction":false}"#);
    }
}
