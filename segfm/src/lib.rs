//! Case files of the CVPR 2025 challenge "Foundation Models for Interactive 3D Biomedical Image Segmentation" (SegFM), as the
//! entry SegVol-for-SegFM reads and writes them.
//!
//! [`Case::read`] reads a scan with its boxes from an `.npz`. [`segment`] runs a bundle with the profile
//! [`Profile::Segfm`](segvol::Profile::Segfm), and [`LabelMap::save`] writes the label map that the challenge expects.
//!
//! | file               | key     | contents                                                                                |
//! |--------------------|---------|------------------------------------------------------------------------------------------|
//! | `inputs/NAME.npz`  | `imgs`  | the scan, `[D, H, W]`, numbers of any type                                               |
//! |                    | `boxes` | a pickled array of dictionaries, one for each object: `z_min`, `z_max`, `z_mid_y_min`, … |
//! | `outputs/NAME.npz` | `segs`  | the label map, of the shape and type of `imgs`: 0, or the place of a box in the file     |
//!
//! Nothing in a file is executed: a pickle is read as a graph of objects. Other keys (`spacing`, `gts`, `clicks`, …) are not
//! read, as the program does not read them either.

#![forbid(unsafe_code)]

mod boxes;
mod case;
mod element;
mod error;
mod labels;
mod npy;

pub use case::{Case, CaseBox};
pub use element::Element;
pub use error::SegfmError;
pub use labels::{LabelMap, Segmented, segment};
