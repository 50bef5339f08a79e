//! The contract between SegVol's converter and its runtime.
//!
//! - [`Stage`]: which graphs there are, and which tensors pass between them;
//! - [`Architecture`]: the sizes that determine their shapes;
//! - [`Manifest`]: what a bundle on disk holds; [`BundleFiles`]: its open files; [`BundleError`]: what can be wrong with it;
//! - [`Precision`]: the element types in which a bundle can hold the model; [`Activation`]: what int8 is calibrated with;
//! - [`Graph`]: how the converter writes a graph ([`ops`], [`proto`], [`save`]); [`external`]: the weights of a written one.

#![forbid(unsafe_code)]

pub mod activation;
pub mod architecture;
mod bundle_files;
pub mod element_type;
pub mod error;
pub mod external;
pub mod graph;
pub mod manifest;
mod meaning;
pub mod ops;
pub mod precision;
pub mod proto;
pub mod save;
pub mod stage;

pub use activation::{Activation, Activations, Observation};
pub use architecture::Architecture;
pub use bundle_files::BundleFiles;
pub use element_type::ElementType;
pub use error::BundleError;
pub use graph::{Graph, Value};
pub use manifest::Manifest;
pub use meaning::tensor_meaning;
pub use precision::Precision;
pub use stage::{Dim, Dtype, PromptLabel, Stage, TensorSpec, Variant};
