//! The points and the box of a prompt in voxels of the file, for drawing them.

use serde::{Deserialize, Serialize};

/// Whether a point is inside or outside of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointLabel {
    /// Inside of the object; 1 on the command line.
    Foreground,
    /// Outside of the object; 0 on the command line.
    Background,
}

/// A box whose maximum is inclusive. The creator of the box decides in which coordinates it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BoundingBox {
    /// The smallest coordinates.
    pub min: [f64; 3],
    /// The largest coordinates, inclusive.
    pub max: [f64; 3],
}

/// A prompt's points and box in voxels of the file, `(i, j, k)`, whatever coordinates the prompt itself used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Marks {
    /// Points; fractions of voxels are allowed.
    pub points: Vec<([f64; 3], PointLabel)>,
    /// The voxels at the corners of the box, both inclusive.
    pub bounding_box: Option<BoundingBox>,
}
