//! A CT scan as its file stores it.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol_base::{ErrorKind, OutOfMemory};

use crate::affine::Affine;
use crate::grid::{Grid, GridError, check_shape};
use crate::nifti::{self, MAX_VOXELS, NiftiError, NiftiVolume};

/// A scan whose darkest voxel is brighter than this is not in Hounsfield units: air is -1000.
const BRIGHTEST_AIR_HU: f32 = -500.0;

/// Voxels of a body's scan are neither smaller nor larger than this, in millimetres: outside, the unit is another.
const PLAUSIBLE_SPACING_MM: std::ops::RangeInclusive<f64> = 0.02..=50.0;

/// Why there is no volume.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: NiftiError,
    },
    /// The bytes are not those of a scan.
    #[error(transparent)]
    Contents(NiftiError),
    /// An axis has no voxels, or there are too many altogether.
    #[error("shape {shape_xyz:?}: expected 1 to {limit} voxels", limit = MAX_VOXELS)]
    Shape {
        /// Voxels along i, j, k.
        shape_xyz: [usize; 3],
    },
    /// The voxels are not as many as the shape says.
    #[error("voxels of a volume {shape_xyz:?}: expected {expected}, found {found}")]
    Length {
        /// Voxels along i, j, k.
        shape_xyz: [usize; 3],
        /// Their product.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// Strides that do not fit the shape or the buffer.
    #[error("strides {strides:?}: expected {reason}")]
    Strides {
        /// Elements between neighbours along i, j, k.
        strides: [isize; 3],
        /// What they may be.
        reason: &'static str,
    },
    /// Elements cannot become Hounsfield units.
    #[error("scaling: expected a finite slope that is not 0 and a finite intercept, found {slope} and {intercept}")]
    Scaling {
        /// Hounsfield units per unit of an element.
        slope: f64,
        /// Hounsfield units of an element that is 0.
        intercept: f64,
    },
    /// The affine is not finite, or its axes do not span space.
    #[error("affine: expected finite numbers and three independent axes, found {0:?}")]
    Affine(Affine),
}

impl VolumeError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source, .. } | Self::Contents(source) => source.kind(),
            Self::Memory(error) => error.kind(),
            Self::Shape { .. }
            | Self::Length { .. }
            | Self::Strides { .. }
            | Self::Scaling { .. }
            | Self::Affine(_) => ErrorKind::Input,
        }
    }
}

impl From<GridError> for VolumeError {
    fn from(error: GridError) -> Self {
        match error {
            GridError::Shape { shape_xyz } => Self::Shape { shape_xyz },
            GridError::Affine(affine) => Self::Affine(affine),
        }
    }
}

/// A CT: intensities in Hounsfield units, in the file's order (i fastest, then j, k), and where they lie.
#[derive(Clone, Debug)]
pub struct Volume {
    voxels: Vec<f32>,
    grid: Arc<Grid>,
    warnings: Vec<String>,
}

impl Volume {
    /// Reads a NIfTI file: `.nii` or `.nii.gz`, told apart by content.
    ///
    /// Voxels are float32 after `scl_slope` and `scl_inter`; see [`nifti`] for what a file may be,
    /// [`Header::affine`] for which of its affines counts. What is unusual is in [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// [`VolumeError::File`], with the path and the name of the field that is wrong.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, VolumeError> {
        let path = path.as_ref();
        let file = |source| VolumeError::File { path: path.to_path_buf(), source };
        Self::from_nifti(nifti::read(path).map_err(file)?, file)
    }

    /// Reads NIfTI, compressed or not, from any reader: bytes in memory, or from a network. As [`Volume::open`] otherwise.
    ///
    /// # Errors
    /// [`VolumeError::Contents`] with the name of the field that is wrong.
    pub fn read(reader: impl Read) -> Result<Self, VolumeError> {
        let contents = nifti::read_from(BufReader::new(reader), None).map_err(VolumeError::Contents)?;
        Self::from_nifti(contents, VolumeError::Contents)
    }

    fn from_nifti(contents: NiftiVolume, failed: impl Fn(NiftiError) -> VolumeError) -> Result<Self, VolumeError> {
        let mut warnings = contents.warnings;
        let affine = contents.header.affine(&mut warnings).map_err(failed)?;
        Ok(Self::assemble(contents.voxels, Grid::with_header(contents.header, affine)?, warnings))
    }

    /// A volume that comes from no file: `voxels` with i fastest, then j, k; `affine` to RAS+ millimetres.
    ///
    /// A mask of it is written with the affine as sform (code 2) and no qform, in NIfTI-1 (so rounded to float32) where
    /// the shape fits.
    ///
    /// # Errors
    /// [`VolumeError::Shape`], [`VolumeError::Length`] or [`VolumeError::Affine`].
    pub fn new(shape_xyz: [usize; 3], voxels: Vec<f32>, affine: Affine) -> Result<Self, VolumeError> {
        let expected = check_shape(shape_xyz)?;
        if voxels.len() != expected {
            return Err(VolumeError::Length { shape_xyz, expected, found: voxels.len() });
        }
        Ok(Self::assemble(voxels, Grid::new(shape_xyz, affine)?, Vec::new()))
    }

    fn assemble(voxels: Vec<f32>, grid: Grid, mut warnings: Vec<String>) -> Self {
        let darkest = voxels.iter().copied().fold(f32::INFINITY, f32::min);
        if darkest > BRIGHTEST_AIR_HU {
            warnings.push(format!(
                "the darkest voxel is {darkest}: these do not look like Hounsfield units, in which air is -1000"
            ));
        }
        let spacing = grid.spacing_mm();
        if spacing.iter().any(|spacing| !PLAUSIBLE_SPACING_MM.contains(spacing)) {
            warnings.push(format!(
                "the spacing is {spacing:?} mm: expected {} to {}; lengths may be in another unit",
                PLAUSIBLE_SPACING_MM.start(),
                PLAUSIBLE_SPACING_MM.end()
            ));
        }
        Self { voxels, grid: Arc::new(grid), warnings }
    }

    /// Where the voxels lie.
    pub fn grid(&self) -> &Arc<Grid> {
        &self.grid
    }

    /// Voxels along the file's axes i, j, k.
    pub fn shape_xyz(&self) -> [usize; 3] {
        self.grid.shape_xyz()
    }

    /// The intensities, i fastest, then j, k.
    pub fn voxels(&self) -> &[f32] {
        &self.voxels
    }

    /// The intensities, without a copy.
    pub fn into_voxels(self) -> Vec<f32> {
        self.voxels
    }

    /// What is unusual about the file, in plain words; empty for most.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
