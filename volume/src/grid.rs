//! The position of a volume's voxels in the patient.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
#[cfg(feature = "dicom")]
use std::sync::Arc;

use crate::affine::Affine;
use crate::nifti::{Header, MAX_VOXELS};
use crate::read_options::ReadOptions;
use segvol_base::ErrorKind;
#[cfg(feature = "dicom")]
use segvol_dicom::SourceSeries;

/// Why a grid cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GridError {
    /// An axis has no voxels, or there are more than [`MAX_VOXELS`] in total.
    #[error("shape {shape_xyz:?}: expected 1 to {limit} voxels", limit = MAX_VOXELS)]
    Shape {
        /// Voxels along i, j, k.
        shape_xyz: [usize; 3],
    },
    /// The affine is not finite, or its axes are not independent.
    #[error("affine: expected finite numbers and three independent axes, found {rows:?}", rows = .0.rows())]
    Affine(Affine),
}

impl GridError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Shape { .. } | Self::Affine(_) => ErrorKind::Input,
        }
    }
}

/// A volume's shape and affine. The affine's inverse and rotation are computed once, when the grid is made.
///
/// A grid can also carry the header of the file that the volume came from, and the path of that file. A mask on the grid is
/// then written with that header's geometry, and never over that file. Two grids are equal if all but the path is equal.
#[derive(Clone, Debug)]
pub struct Grid {
    shape_xyz: [usize; 3],
    affine: Affine,
    inverse: Affine,
    rotation: [[f64; 3]; 3],
    header: Option<Header>,
    source: Option<PathBuf>,
    data_files: Vec<PathBuf>,
    read_options: ReadOptions,
    #[cfg(feature = "dicom")]
    dicom: Option<Arc<SourceSeries>>,
}

impl PartialEq for Grid {
    fn eq(&self, other: &Self) -> bool {
        // The inverse and the rotation follow from the affine.
        let Self { shape_xyz, affine, header, .. } = self;
        (shape_xyz, affine, header) == (&other.shape_xyz, &other.affine, &other.header)
    }
}

impl Grid {
    /// A grid of `shape_xyz` voxels along i, j, k. `affine` maps voxel indices to RAS+ millimetres.
    ///
    /// # Errors
    /// [`GridError::Shape`] if an axis has no voxels or there are more than [`MAX_VOXELS`] in total;
    /// [`GridError::Affine`] if the affine cannot be inverted.
    pub fn new(shape_xyz: [usize; 3], affine: Affine) -> Result<Self, GridError> {
        check_shape(shape_xyz)?;
        match (affine.inverse(), affine.rotation()) {
            (Some(inverse), Some(rotation)) => {
                let read_options = ReadOptions::default();
                Ok(Self {
                    shape_xyz,
                    affine,
                    inverse,
                    rotation,
                    header: None,
                    source: None,
                    data_files: Vec::new(),
                    read_options,
                    #[cfg(feature = "dicom")]
                    dicom: None,
                })
            }
            _ => Err(GridError::Affine(affine)),
        }
    }

    /// The grid of a file with this header. `affine` is the affine that the header gives.
    ///
    /// # Errors
    /// The same as [`Grid::new`].
    pub fn with_header(header: Header, affine: Affine) -> Result<Self, GridError> {
        let grid = Self::new(header.shape_xyz, affine)?;
        Ok(Self { header: Some(header), ..grid })
    }

    /// The same grid, of a volume that was read from the file at `path`.
    pub(crate) fn with_source(self, path: &Path) -> Self {
        // Absolute, so that it stays the same file if the program changes its folder, or a link is changed.
        let source = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).ok();
        Self { source, ..self }
    }

    /// The file that the volume was read from, as an absolute path; `None` if it did not come from a file.
    pub fn source(&self) -> Option<&Path> {
        self.source.as_deref()
    }

    /// The same grid, of a volume whose voxels are in these files beside its header.
    pub(crate) fn with_data_files(self, data_files: Vec<PathBuf>) -> Self {
        let absolute = |path: PathBuf| std::fs::canonicalize(&path).unwrap_or(path);
        Self { data_files: data_files.into_iter().map(absolute).collect(), ..self }
    }

    /// The files with the volume's voxels, as absolute paths, if these are not in the file that names them.
    pub fn data_files(&self) -> &[PathBuf] {
        &self.data_files
    }

    /// Notes how the file was read.
    pub(crate) fn read_with(self, read_options: ReadOptions) -> Self {
        Self { read_options, ..self }
    }

    /// How the file was read that this grid comes from: another file of the same scan must be read in the same way.
    pub fn read_options(&self) -> &ReadOptions {
        &self.read_options
    }

    /// The same grid, of a volume that was read from this DICOM series. [`Volume::open`](crate::Volume::open) does this.
    #[cfg(feature = "dicom")]
    #[must_use]
    pub fn with_dicom(self, series: Arc<SourceSeries>) -> Self {
        Self { dicom: Some(series), ..self }
    }

    /// The DICOM series that the volume was read from; `None` if it did not come from DICOM. Its slices are in the order of k.
    #[cfg(feature = "dicom")]
    pub fn dicom(&self) -> Option<&Arc<SourceSeries>> {
        self.dicom.as_ref()
    }

    /// Voxels along the file's axes i, j, k.
    pub fn shape_xyz(&self) -> [usize; 3] {
        self.shape_xyz
    }

    /// The number of voxels.
    pub fn voxels(&self) -> usize {
        self.shape_xyz.iter().product()
    }

    /// The map from a voxel index to RAS+ millimetres. Always invertible.
    pub fn affine(&self) -> &Affine {
        &self.affine
    }

    /// The map from RAS+ millimetres to a voxel index.
    pub fn inverse(&self) -> &Affine {
        &self.inverse
    }

    /// The orthonormal matrix nearest to the affine's directions, `[x, y, z] x [i, j, k]`: the affine without scale and
    /// shear.
    pub fn rotation(&self) -> &[[f64; 3]; 3] {
        &self.rotation
    }

    /// Millimetres between neighbours along i, j, k.
    pub fn spacing_mm(&self) -> [f64; 3] {
        self.affine.spacing_mm()
    }

    /// The volume of one voxel, in millilitres. Also correct if the axes are not perpendicular.
    pub fn voxel_volume_ml(&self) -> f64 {
        self.affine.determinant().abs() / 1000.0
    }

    /// The volume of this many voxels, in millilitres.
    pub fn volume_ml(&self, voxels: u64) -> f64 {
        voxels as f64 * self.voxel_volume_ml()
    }

    /// The centres of the eight corner voxels, as voxel indices (i, j, k).
    pub fn corners_ijk(&self) -> [[f64; 3]; 8] {
        corners([0.0; 3], self.shape_xyz.map(|n| n as f64 - 1.0))
    }

    /// The header of the NIfTI file that the volume came from; `None` if it did not come from a file.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The header that a mask on this grid is written with: the header of the volume's file, or a new one with this
    /// shape and affine if the volume did not come from a file.
    pub fn nifti_header(&self) -> Cow<'_, Header> {
        match &self.header {
            Some(header) => Cow::Borrowed(header),
            None => Cow::Owned(Header::from_affine(self.shape_xyz, &self.affine)),
        }
    }
}

/// The number of voxels of a volume of this shape.
///
/// # Errors
/// [`GridError::Shape`] if an axis has no voxels, or there are more than [`MAX_VOXELS`] in total.
pub(crate) fn check_shape(shape_xyz: [usize; 3]) -> Result<usize, GridError> {
    let voxels = shape_xyz.into_iter().try_fold(1_usize, usize::checked_mul);
    voxels.filter(|&voxels| voxels > 0 && voxels as u64 <= MAX_VOXELS).ok_or(GridError::Shape { shape_xyz })
}

/// The eight corners of the box from `min` to `max`.
#[must_use]
pub fn corners(min: [f64; 3], max: [f64; 3]) -> [[f64; 3]; 8] {
    std::array::from_fn(|corner| {
        std::array::from_fn(|axis| if corner >> axis & 1 == 0 { min[axis] } else { max[axis] })
    })
}

/// The smallest box that contains all `points`: its minimum and its maximum coordinates.
///
/// Without points, the minimum is infinity and the maximum is minus infinity.
#[must_use]
pub fn bounds(points: impl IntoIterator<Item = [f64; 3]>) -> ([f64; 3], [f64; 3]) {
    points.into_iter().fold(([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]), |(min, max), point| {
        (std::array::from_fn(|axis| min[axis].min(point[axis])), std::array::from_fn(|axis| max[axis].max(point[axis])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_checked_when_it_is_made() {
        let affine = Affine::from_spacing([1.0, 2.0, 3.0]);
        for shape_xyz in [[0, 1, 1], [1 << 11, 1 << 11, 1 << 10], [usize::MAX; 3]] {
            assert_eq!(Grid::new(shape_xyz, affine).expect_err("no such shape"), GridError::Shape { shape_xyz });
        }
        let flat = Affine::from_spacing([1.0, 0.0, 3.0]);
        assert_eq!(Grid::new([2, 2, 2], flat).expect_err("a flat affine"), GridError::Affine(flat));
        let grid = Grid::new([2, 3, 4], affine).expect("a grid");
        assert_eq!(grid.inverse().apply([1.0, 2.0, 3.0]), [1.0; 3]);
        assert_eq!(grid.rotation(), &[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        assert!((grid.volume_ml(500) - 3.0).abs() < 1e-12);
    }

    #[test]
    fn eight_corners_bound_their_box() {
        let grid = Grid::new([2, 3, 4], Affine::from_spacing([1.0; 3])).expect("a grid");
        assert_eq!(bounds(grid.corners_ijk()), ([0.0; 3], [1.0, 2.0, 3.0]));
        let mut corners = corners([-1.0, 0.0, 5.0], [1.0, 2.0, 6.0]).to_vec();
        corners.dedup();
        assert_eq!(corners.len(), 8);
    }
}
