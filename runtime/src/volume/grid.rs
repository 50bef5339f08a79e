//! Where a volume's voxels lie.

use super::Affine;
use crate::nifti::Header;

/// A volume's shape and affine, and the header that a mask on the same grid is written with.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    header: Header,
    affine: Affine,
}

impl Grid {
    /// The caller has checked that the affine is invertible.
    pub(crate) fn new(header: Header, affine: Affine) -> Self {
        Self { header, affine }
    }

    /// Voxels along the file's axes i, j, k.
    pub fn shape_xyz(&self) -> [usize; 3] {
        self.header.shape_xyz
    }

    /// How many voxels there are.
    pub fn voxels(&self) -> usize {
        self.header.voxels()
    }

    /// From a voxel's index to RAS+ millimetres. Always invertible.
    pub fn affine(&self) -> &Affine {
        &self.affine
    }

    /// Millimetres between neighbours along i, j, k.
    pub fn spacing_mm(&self) -> [f64; 3] {
        self.affine.spacing_mm()
    }

    /// The volume of one voxel, in millilitres; right also where axes are not perpendicular.
    pub fn voxel_volume_ml(&self) -> f64 {
        self.affine.determinant().abs() / 1000.0
    }

    /// What the input's header says; [`Mask::save`](crate::mask::Mask::save) copies its geometry.
    pub fn header(&self) -> &Header {
        &self.header
    }
}
