//! The windows of the zoom-in pass: where they are, which of them a call needs, and how their logits become one. It knows
//! neither models nor prompts.
//!
//! Coordinates are voxels of the crop, `(d, h, w)`, unless another frame is named.

mod average;
mod cover;
mod frame;
mod known;
mod plan;
mod region;
mod slab;
pub mod sliding_window;
mod threshold;
mod window_key;

pub use average::{Average, Coarse, Shown, View, stitched};
pub use cover::{Cover, Start};
pub use frame::{Frame, frames_of_lattice, frames_over_region};
pub use plan::{Planner, Target};
pub use region::{Region, Run, bounding_box, count, runs};
pub use slab::slab_box;
pub use threshold::{RELEASED_THRESHOLD, Threshold, is_threshold};
pub use window_key::WindowKey;
