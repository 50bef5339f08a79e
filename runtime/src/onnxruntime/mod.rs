//! All code that uses `ort`, and all `unsafe` code of the runtime: the library, sessions, tensors, providers.

#[allow(unsafe_code)] // `ort` cannot copy a part of a tensor.
mod batch_item;
pub(crate) mod binding;
pub(crate) mod cancellation;
#[allow(unsafe_code)] // Reads versions of libraries and a GPU's compute capability, and turns telemetry off.
mod foreign;
pub(crate) mod graph;
mod graph_source;
pub(crate) mod library;
mod logger;
#[allow(unsafe_code)] // `ort` has no safe wrapper for ONNX Runtime's record of which provider took which node.
mod placement;
pub(crate) mod precision;
pub mod probe;
pub(crate) mod provider;
pub(crate) mod session;

/// The oldest minor version of ONNX Runtime 1 that can be loaded, such as 24. Newer ones can be loaded too.
pub const OLDEST_MINOR_VERSION: u32 = ort::MINOR_VERSION;
