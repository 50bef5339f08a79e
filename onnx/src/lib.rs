//! The contract between SegVol's converter and its runtime.
//!
//! - [`Stage`]: which graphs there are, and which tensors cross between them;
//! - [`Architecture`]: the sizes that their shapes follow from;
//! - [`Manifest`]: what a bundle on disk holds;
//! - [`Graph`]: how the converter writes a graph ([`ops`], [`proto`], [`save`]).

pub mod architecture;
pub mod graph;
pub mod manifest;
pub mod ops;
pub mod proto;
pub mod save;
pub mod stage;

pub use architecture::Architecture;
pub use graph::{Graph, Value};
pub use manifest::{BundleError, Manifest};
pub use stage::{Dim, Dtype, PromptLabel, Stage, TensorSpec, Variant};
