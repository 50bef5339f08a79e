//! Postprocessing of masks: what a mask looks like to those who measure or print it, without another run of the model.
//!
//! Nothing runs unless it is asked for. [`Postprocessing`] says what runs; [`Postprocessing::apply`] takes the mask of one object
//! and returns the new mask with a [`Record`] of what each step did. The steps always run in this order, whatever the order in
//! which they were asked for:
//!
//! | step | what it does |
//! |---|---|
//! | [`keep_with_prompt`](Postprocessing::keep_with_prompt) | keeps the components that hold a point inside the object, or that touch the box |
//! | [`smooth_mm`](Postprocessing::smooth_mm) | smooths the surface |
//! | [`fill_holes`](Postprocessing::fill_holes) | fills what the mask encloses on all sides |
//! | [`min_volume_ml`](Postprocessing::min_volume_ml) | removes components that are smaller |
//! | [`largest_component`](Postprocessing::largest_component) | keeps the largest component |
//!
//! The choice by the prompt comes first, because the model's mask is the one that answers the click. Smoothing can split a thin
//! bridge or open a hole, so everything that promises something about the result comes after it: the mask that is returned has no
//! hole, no component below the volume, one component.
//!
//! A component is a set of voxels that are connected through [`Neighbours`]. Lengths are millimetres along the file's axes, which are
//! taken as perpendicular; volumes are voxels times the determinant of the affine, which also holds for sheared axes.
//!
//! [`label_map`] makes one label map of several objects' masks. This crate knows nothing about models and prompts, only where the
//! prompt's points and box lie on the scan.

#![forbid(unsafe_code)]

mod apply;
mod components;
mod error;
mod holes;
mod label_map;
mod part;
mod record;
mod runs;
mod settings;
mod smooth;

pub use apply::{INSIDE, Object, Postprocessed};
pub use error::PostprocessError;
pub use label_map::label_map;
pub use record::{Operation, Record, Step};
pub use runs::Runs;
pub use settings::{MAX_SMOOTH_MM, Neighbours, Overrides, Postprocessing, checked_min_volume_ml, checked_smooth_mm};

#[cfg(test)]
mod tests;
