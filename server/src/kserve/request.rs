//! The JSON of a request: which tensors there are, and where.
//!
//! It is as large as its client makes it. So numbers stay text until it is known how many there must be, and lists are bounded.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::model::NAME;
use crate::error::ApiError;

/// The most bytes of the name that a client gives to its request.
const MAX_ID_BYTES: usize = 1024;

/// The most dimensions of a tensor.
const MAX_RANK: usize = 8;

/// The JSON of a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `inputs`")]
pub(super) struct Request<'a> {
    pub(super) id: Option<String>,
    model_name: Option<String>,
    parameters: Option<RequestParameters>,
    #[serde(borrow)]
    inputs: Few<Input<'a>, 3>,
    outputs: Option<Few<Output, 2>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "an object with parameters of the request")]
struct RequestParameters {
    binary_data_output: Option<bool>,
}

/// An input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `name`, `datatype` and `shape`")]
pub(super) struct Input<'a> {
    pub(super) name: String,
    pub(super) datatype: String,
    pub(super) shape: Few<u64, MAX_RANK>,
    parameters: Option<InputParameters>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "an object with parameters of an input")]
struct InputParameters {
    binary_data_size: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `name`")]
struct Output {
    name: String,
    parameters: Option<OutputParameters>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "an object with parameters of an output")]
struct OutputParameters {
    binary_data: Option<bool>,
}

/// Where the elements of an input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source<'a> {
    /// A list in the JSON.
    Json(&'a str),
    /// Bytes behind the JSON.
    Binary { start: u64, bytes: u64 },
}

/// The inputs of the model, each once.
pub(super) struct Inputs<'a> {
    pub(super) image: (Input<'a>, Source<'a>),
    pub(super) affine: (Input<'a>, Source<'a>),
    pub(super) prompts: (Input<'a>, Source<'a>),
}

/// An output of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputName {
    Labels,
    Report,
}

/// An output that the client wants, and whether as bytes behind the JSON.
pub(super) type Wanted = (OutputName, bool);

impl<'a> Request<'a> {
    /// Reads the JSON of a request.
    pub(super) fn parse(text: &'a str) -> Result<Self, ApiError> {
        let request: Self = serde_json::from_str(text).map_err(|error| bad(format!("request: {error}")))?;
        if request.id.as_ref().is_some_and(|id| id.len() > MAX_ID_BYTES) {
            return Err(bad(format!("id: expected at most {MAX_ID_BYTES} bytes")));
        }
        match &request.model_name {
            Some(name) if name != NAME => Err(bad(format!("model_name: expected `{NAME}`, found `{name}`"))),
            _ => Ok(request),
        }
    }

    /// The outputs that the client wants, in its order; without a list, all of them.
    pub(super) fn wanted(&self) -> Result<Vec<Wanted>, ApiError> {
        let all_binary = self.parameters.as_ref().and_then(|all| all.binary_data_output).unwrap_or(false);
        let named = self.outputs.as_ref().map_or(&[][..], |outputs| &outputs.0);
        if named.is_empty() {
            return Ok(vec![(OutputName::Labels, all_binary), (OutputName::Report, all_binary)]);
        }
        let mut wanted: Vec<Wanted> = Vec::new();
        for output in named {
            let name = match output.name.as_str() {
                "labels" => OutputName::Labels,
                "report" => OutputName::Report,
                other => return Err(bad(format!("outputs: expected `labels` or `report`, found `{other}`"))),
            };
            if wanted.iter().any(|(other, _)| *other == name) {
                return Err(bad(format!("outputs: `{}` is there twice", output.name)));
            }
            let binary = output.parameters.as_ref().and_then(|own| own.binary_data).unwrap_or(all_binary);
            wanted.push((name, binary));
        }
        Ok(wanted)
    }

    /// The inputs, if so many bytes follow the JSON.
    pub(super) fn inputs(self, binary_bytes: u64) -> Result<Inputs<'a>, ApiError> {
        let (mut image, mut affine, mut prompts) = (None, None, None);
        let mut end = 0_u64;
        for input in self.inputs.0 {
            let stated = input.parameters.as_ref().and_then(|own| own.binary_data_size);
            let source = match (input.data, stated) {
                (Some(data), None) => Source::Json(data.get()),
                (None, Some(bytes)) => {
                    let start = end;
                    end = start.checked_add(bytes).filter(|&end| end <= binary_bytes).ok_or_else(|| {
                        let place = format!("{binary_bytes} bytes follow the JSON");
                        let stated = format!("`binary_data_size` is {bytes}, from byte {start} of them");
                        bad(format!("{}: {place}, and {stated}", input.name))
                    })?;
                    Source::Binary { start, bytes }
                }
                (Some(_), Some(_)) => {
                    let message = "expected `data` or the parameter `binary_data_size`, found both";
                    return Err(bad(format!("{}: {message}", input.name)));
                }
                (None, None) => {
                    let message = "expected `data` or the parameter `binary_data_size`, found neither";
                    return Err(bad(format!("{}: {message}", input.name)));
                }
            };
            let place = match input.name.as_str() {
                "image" => &mut image,
                "affine" => &mut affine,
                "prompts" => &mut prompts,
                other => return Err(bad(format!("inputs: expected `image`, `affine` and `prompts`, found `{other}`"))),
            };
            if place.is_some() {
                return Err(bad(format!("inputs: `{}` is there twice", input.name)));
            }
            *place = Some((input, source));
        }
        if end != binary_bytes {
            return Err(bad(format!(
                "inputs: {binary_bytes} bytes follow the JSON, and the inputs have {end} of them"
            )));
        }
        let missing =
            |name: &str| bad(format!("inputs: expected `image`, `affine` and `prompts`; `{name}` is missing"));
        Ok(Inputs {
            image: image.ok_or_else(|| missing("image"))?,
            affine: affine.ok_or_else(|| missing("affine"))?,
            prompts: prompts.ok_or_else(|| missing("prompts"))?,
        })
    }
}

/// The request is not one of the protocol.
pub(super) fn bad(message: String) -> ApiError {
    ApiError::bad_request("bad_request", message)
}

/// A list of at most `MOST` values. A longer one is an error before it takes memory.
pub(super) struct Few<T, const MOST: usize>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Few<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FewVisitor(PhantomData))
    }
}

struct FewVisitor<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for FewVisitor<T, MOST> {
    type Value = Few<T, MOST>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of at most {MOST} values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            if values.len() == MOST {
                return Err(A::Error::custom(format!("expected a list of at most {MOST} values, found more")));
            }
            values.push(value);
        }
        Ok(Few(values))
    }
}
