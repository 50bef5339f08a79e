//! Where a prompt's points and box lie in the file: for those who draw them.

use serde::{Deserialize, Serialize};

/// Whether a point lies in the object or beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointLabel {
    /// In the object; 1 on the command line.
    Foreground,
    /// Beside the object; 0 on the command line.
    Background,
}

/// A box whose maximum is inclusive, in the coordinates of whoever made it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BoundingBox {
    /// Least coordinates.
    pub min: [f64; 3],
    /// Greatest coordinates, inclusive.
    pub max: [f64; 3],
}

/// A prompt's points and box in voxels of the file, `(i, j, k)`, whatever space they were given in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Marks {
    /// Points; fractions of voxels are allowed.
    pub points: Vec<([f64; 3], PointLabel)>,
    /// The voxels at the corners of the box, both inclusive.
    pub bounding_box: Option<BoundingBox>,
}
