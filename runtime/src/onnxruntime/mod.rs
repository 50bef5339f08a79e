//! All code that uses `ort`, and all `unsafe` code of the runtime: the library, sessions, tensors, providers.

pub(crate) mod binding;
pub(crate) mod cancellation;
#[allow(unsafe_code)] // Reads versions of libraries and a GPU's compute capability, and turns telemetry off.
mod foreign;
pub(crate) mod graph;
pub(crate) mod library;
#[allow(unsafe_code)] // `ort` has no safe wrapper for ONNX Runtime's record of which provider took which node.
mod placement;
pub(crate) mod precision;
pub mod probe;
pub(crate) mod provider;
pub(crate) mod search;
pub(crate) mod session;
