//! The answer to a request: its JSON, and the bytes behind it.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use segvol::mask::Labels;
use serde::Serialize;

use super::model::{NAME, VERSION};
use super::request::{OutputName, Wanted};
use crate::error::ApiError;
use crate::session::memory::Reserved;

/// The header that says where the JSON ends.
pub(super) const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

#[derive(Serialize)]
struct Head<'a> {
    model_name: &'static str,
    model_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'static str,
    datatype: &'static str,
    shape: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
struct Parameters {
    binary_data_size: usize,
}

/// The elements of an output.
#[derive(Serialize, Clone, Copy)]
#[serde(untagged)]
enum Data<'a> {
    Uint8(&'a [u8]),
    Uint16(&'a [u16]),
    Text([&'a str; 1]),
}

impl Data<'_> {
    fn datatype(self) -> &'static str {
        match self {
            Self::Uint8(_) => "UINT8",
            Self::Uint16(_) => "UINT16",
            Self::Text(_) => "BYTES",
        }
    }

    /// How many bytes it has as the extension for binary tensors has it.
    fn bytes(self) -> usize {
        match self {
            Self::Uint8(labels) => labels.len(),
            Self::Uint16(labels) => size_of_val(labels),
            Self::Text([text]) => size_of::<u32>() + text.len(),
        }
    }

    fn append_to(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Uint8(labels) => bytes.extend_from_slice(labels),
            Self::Uint16(labels) => bytes.extend(labels.iter().flat_map(|label| label.to_le_bytes())),
            Self::Text([text]) => {
                // A report has a few kilobytes for each object.
                bytes.extend((text.len() as u32).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// What was found.
pub(super) struct Found<'a> {
    pub(super) labels: &'a Labels,
    /// `[K, J, I]`.
    pub(super) shape: [usize; 3],
    pub(super) report: &'a str,
}

/// The body of an answer.
pub(super) struct Answer {
    bytes: Vec<u8>,
    /// Bytes of its JSON, if others follow.
    json: Option<usize>,
    /// The memory that it takes.
    reserved: Reserved,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Answer {
    /// The outputs that the client wants, in its order.
    pub(super) fn new(
        id: Option<&str>,
        wanted: &[Wanted],
        found: &Found<'_>,
        reserved: Reserved,
    ) -> Result<Self, ApiError> {
        let data = |name| match (name, found.labels) {
            (OutputName::Labels, Labels::U8(labels)) => Data::Uint8(labels),
            (OutputName::Labels, Labels::U16(labels)) => Data::Uint16(labels),
            (OutputName::Report, _) => Data::Text([found.report]),
        };
        let output = |&(name, is_binary): &Wanted| {
            let data = data(name);
            let (name, shape) = match name {
                OutputName::Labels => ("labels", found.shape.to_vec()),
                OutputName::Report => ("report", vec![1]),
            };
            let parameters = is_binary.then(|| Parameters { binary_data_size: data.bytes() });
            Output { name, datatype: data.datatype(), shape, parameters, data: (!is_binary).then_some(data) }
        };
        let outputs = wanted.iter().map(output).collect();
        let head = Head { model_name: NAME, model_version: VERSION, id, outputs };
        let mut bytes = serde_json::to_vec(&head).map_err(|error| ApiError::internal(error.to_string()))?;
        let json = bytes.len();
        let binary = || wanted.iter().filter(|(_, is_binary)| *is_binary).map(|&(name, _)| data(name));
        bytes.reserve_exact(binary().map(Data::bytes).sum());
        binary().for_each(|data| data.append_to(&mut bytes));
        let json = binary().next().map(|_| json);
        let mut answer = Self { bytes, json, reserved };
        answer.reserved.keep(answer.bytes.capacity() as u64);
        Ok(answer)
    }

    /// The answer, whose memory stays reserved until it is sent.
    pub(super) fn into_response(self) -> Response {
        let json = self.json;
        let mut response = Body::from(axum::body::Bytes::from_owner(self)).into_response();
        let headers = response.headers_mut();
        let kind = if json.is_some() { "application/octet-stream" } else { "application/json" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(json) = json {
            headers.insert(JSON_LENGTH, HeaderValue::from(json));
        }
        response
    }
}
