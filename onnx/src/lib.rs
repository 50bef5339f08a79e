//! The contract between SegVol's converter and its runtime.
//!
//! - [`Stage`]: which graphs there are, and which tensors cross between them;
//! - [`Architecture`]: the sizes that their shapes follow from;
//! - [`Manifest`]: what a bundle on disk holds;
//! - [`Precision`]: in which element types it can hold the model; [`Activation`]: what int8 is calibrated with;
//! - [`Graph`]: how the converter writes a graph ([`ops`], [`proto`], [`save`]).

pub mod activation;
pub mod architecture;
pub mod graph;
pub mod manifest;
pub mod ops;
pub mod precision;
pub mod proto;
pub mod save;
pub mod stage;

pub use activation::{Activation, Activations, Observation};
pub use architecture::Architecture;
pub use graph::{Graph, Value};
pub use manifest::{BundleError, Manifest};
pub use precision::Precision;
pub use stage::{Dim, Dtype, PromptLabel, Stage, TensorSpec, Variant};
