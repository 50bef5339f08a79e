//! All code that uses `ort`, and all `unsafe` code of the runtime: the library, sessions, tensors, providers.

pub(crate) mod binding;
pub(crate) mod cancellation;
#[allow(unsafe_code)] // Reads versions of libraries before ONNX Runtime is loaded, and a GPU's compute capability.
mod foreign;
pub(crate) mod graph;
pub(crate) mod library;
#[allow(unsafe_code)] // `ort` has no safe wrapper for ONNX Runtime's record of which provider took which node.
mod placement;
pub(crate) mod precision;
pub mod probe;
pub(crate) mod provider;
pub(crate) mod session;
