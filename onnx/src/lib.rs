//! The contract between SegVol's converter and its runtime.
//!
//! - [`Stage`]: which graphs there are, and which tensors cross between them;
//! - [`Architecture`]: the sizes that their shapes follow from;
//! - [`Manifest`]: what a bundle on disk holds.

pub mod architecture;
pub mod manifest;
pub mod stage;

pub use architecture::Architecture;
pub use manifest::{BundleError, Manifest};
pub use stage::{Dim, Dtype, PromptLabel, Stage, TensorSpec, Variant};
