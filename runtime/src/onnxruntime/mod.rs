//! All code that uses `ort`, and all `unsafe` code of the runtime: the library, sessions, tensors, providers.

pub(crate) mod binding;
#[allow(unsafe_code)] // Reads versions of libraries before ONNX Runtime is loaded, and a GPU's compute capability.
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
