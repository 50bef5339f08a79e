//! SegVol on ONNX Runtime: from a bundle, a CT and prompts to a mask.
//!
//! The flow: [`Model::open`] makes the sessions, [`Model::study`] prepares a scan, [`Study::segment`] runs
//! zoom-out-zoom-in for a [`Prompt`], [`Segmentation::mask`] gives the mask on the scan's own grid.
//!
//! Arrays are `[D, H, W]`, depth first, unless a name ends in `_xyz` or `_ijk`: those follow the file's axes.
//! Lengths are millimetres. A box says that its maximum is inclusive.

mod average;
mod binding;
mod bundle_files;
pub mod calibration;
pub mod crop;
mod embedding_cache;
mod error;
mod frame;
mod graph_session;
pub mod intensity;
mod marks;
pub mod mask;
pub mod metrics;
mod model;
pub mod nifti;
mod options;
pub mod orientation;
mod precision;
pub mod probe;
mod prompt;
mod prompt_file;
pub mod provider;
pub mod report;
pub mod resize;
mod scan;
mod segmentation;
mod session;
pub mod sliding_window;
mod stages;
mod strided;
mod study;
mod tokenizer;
pub mod truth;
pub mod volume;
mod zoom_in;
mod zoom_out;

#[doc(hidden)]
pub use average::stitched;
pub use calibration::Calibrator;
pub use error::Error;
pub use frame::Region;
pub use graph_session::{GraphSession, Tensor};
pub use marks::Marks;
pub use mask::Mask;
pub use model::Model;
pub use options::Options;
pub use orientation::Orientation;
pub use prompt::{BoundingBox, PointLabel, Prompt, PromptError, Space};
pub use prompt_file::{PromptFileError, parse_prompts};
pub use provider::{PassedOver, Placement, Provider, ProviderOptionError, ProviderOptions};
pub use report::{ObjectReport, Report};
pub use segmentation::{Segmentation, VoxelCounts, WindowCounts};
pub use segvol_base::atomic_file;
pub use segvol_onnx::Precision;
pub use stages::{ImageEmbedding, Stages, TextEmbedding, WindowPrompt};
pub use study::{Observer, Progress, Statistics, Study};
pub use tokenizer::{Tokenizer, TokenizerError};
pub use truth::{Truth, TruthError};
pub use volume::{Grid, Volume, VolumeError};
pub use zoom_in::Profile;
pub use zoom_out::RegionOfInterest;
