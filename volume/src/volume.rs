//! CT scans, with the axes in the file's order.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol_base::{ErrorKind, OutOfMemory, Warning, WarningCode};

use crate::affine::{Affine, PLAUSIBLE_SPACING_MM};
use crate::grid::{Grid, GridError, check_shape};
use crate::intensities::Intensities;
use crate::nifti::{self, NiftiError, NiftiVolume};
use crate::read_options::ReadOptions;

/// Why a volume cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        source: NiftiError,
    },
    /// A DICOM series cannot be read as one scan.
    #[cfg(feature = "dicom")]
    #[error(transparent)]
    Dicom(#[from] segvol_dicom::DicomError),
    /// A series of DICOM was asked for, and this is not DICOM.
    #[error("{}expected DICOM, because the series `{}` was chosen; found another format", place(path.as_deref()), segvol_base::printable(series))]
    NotDicom {
        /// The file; `None` for bytes from a reader.
        path: Option<PathBuf>,
        /// The series that was chosen.
        series: String,
    },
    /// The bytes from a reader are not a valid scan.
    #[error(transparent)]
    Contents(NiftiError),
    /// An axis has no voxels, or there are more than [`nifti::MAX_VOXELS`] in total.
    #[error("{}", GridError::Shape { shape_xyz: *shape_xyz })]
    Shape {
        /// Voxels along i, j, k.
        shape_xyz: [usize; 3],
    },
    /// The number of voxels does not match the shape.
    #[error("volume of shape {shape_xyz:?}: expected {expected} voxels, found {found}")]
    Length {
        /// Voxels along i, j, k.
        shape_xyz: [usize; 3],
        /// The shape's number of voxels.
        expected: usize,
        /// The number of voxels given.
        found: usize,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The strides do not fit the shape or the buffer.
    #[error("strides {strides:?}: expected {reason}")]
    Strides {
        /// The number of elements from one voxel to the next along i, j, k.
        strides: [isize; 3],
        /// What was expected.
        reason: &'static str,
    },
    /// The scaling factors cannot convert elements to Hounsfield units.
    #[error("scaling: expected a finite slope that is not 0 and a finite intercept, found {slope} and {intercept}")]
    Scaling {
        /// Hounsfield units per unit of an element.
        slope: f64,
        /// Hounsfield units of an element that is 0.
        intercept: f64,
    },
    /// The affine is not finite, or its axes are not independent.
    #[error("{}", GridError::Affine(*.0))]
    Affine(Affine),
}

impl VolumeError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source, .. } | Self::Contents(source) => source.kind(),
            Self::Memory(error) => error.kind(),
            #[cfg(feature = "dicom")]
            Self::Dicom(error) => error.kind(),
            Self::NotDicom { .. }
            | Self::Shape { .. }
            | Self::Length { .. }
            | Self::Strides { .. }
            | Self::Scaling { .. }
            | Self::Affine(_) => ErrorKind::Input,
        }
    }
}

/// The path at the start of a message.
fn place(path: Option<&Path>) -> String {
    path.map(|path| format!("{}: ", segvol_base::printable_path(path))).unwrap_or_default()
}

/// Refuses a chosen series where there is no DICOM.
fn refuse_series(options: &ReadOptions, path: Option<&Path>) -> Result<(), VolumeError> {
    match &options.series {
        None => Ok(()),
        Some(series) => {
            Err(VolumeError::NotDicom { path: path.map(Path::to_path_buf), series: series.clone() })
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

/// A CT scan: intensities in Hounsfield units in the file's order (i fastest, then j, k), and the grid that they lie
/// on.
#[derive(Clone, Debug)]
pub struct Volume {
    voxels: Vec<f32>,
    grid: Arc<Grid>,
    intensities: Intensities,
    warnings: Vec<Warning>,
}

impl Volume {
    /// Reads a NIfTI file. Whether it is compressed is detected from its contents, not from its name.
    ///
    /// Voxels are converted to float32 after scaling with `scl_slope` and `scl_inter`. [`nifti`] describes which files
    /// are accepted, and [`Header::affine`](nifti::Header::affine) which of the header's affines is used. Everything
    /// unusual about the file is in [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// [`VolumeError::File`], with the path and the header field that is wrong, if the file cannot be read;
    /// [`VolumeError::Affine`] if the header's affine cannot be inverted after its unit is converted.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, VolumeError> {
        Self::open_with(path, &ReadOptions::default())
    }

    /// As [`Volume::open`], with options. If they choose one of the header's two affines, the grid remembers the choice,
    /// so that the scan's label map is read in the same way.
    ///
    /// A mask of the volume has the scan's own header with both affines, so a reader puts scan and mask at the same
    /// place, whichever affine it uses.
    ///
    /// # Errors
    /// The same as [`Volume::open`], and [`VolumeError::NotDicom`] if a series is chosen of something that is not DICOM.
    pub fn open_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self, VolumeError> {
        let path = path.as_ref();
        #[cfg(feature = "dicom")]
        if crate::dicom::is_dicom(path) {
            return Self::from_dicom(crate::dicom::read(path, options)?, options, path);
        }
        refuse_series(options, Some(path))?;
        let file = |source| VolumeError::File { path: path.to_path_buf(), source };
        Self::from_nifti(nifti::read(path).map_err(file)?, options, Some(path), file)
    }

    /// Reads NIfTI, compressed or not, from any reader, such as bytes in memory or a network connection. In all other
    /// ways it is the same as [`Volume::open`].
    ///
    /// # Errors
    /// [`VolumeError::Contents`], with the header field that is wrong, if the bytes cannot be read;
    /// [`VolumeError::Affine`] if the header's affine cannot be inverted after its unit is converted.
    pub fn read(reader: impl Read) -> Result<Self, VolumeError> {
        Self::read_with(reader, &ReadOptions::default())
    }

    /// As [`Volume::read`], with the options of [`Volume::open_with`].
    ///
    /// # Errors
    /// The same as [`Volume::read`].
    pub fn read_with(reader: impl Read, options: &ReadOptions) -> Result<Self, VolumeError> {
        refuse_series(options, None)?;
        let contents = nifti::read_from(BufReader::new(reader), None).map_err(VolumeError::Contents)?;
        Self::from_nifti(contents, options, None, VolumeError::Contents)
    }

    #[cfg(feature = "dicom")]
    fn from_dicom(scan: segvol_dicom::DicomScan, options: &ReadOptions, path: &Path) -> Result<Self, VolumeError> {
        let affine = Affine::from_lps(Affine::new(scan.affine_lps));
        let grid = Grid::new(scan.shape_xyz, affine)?.read_with(options.clone());
        Ok(Self::assemble(scan.voxels, grid.with_source(path).with_dicom(scan.source), scan.warnings))
    }

    fn from_nifti(
        contents: NiftiVolume,
        options: &ReadOptions,
        path: Option<&Path>,
        failed: impl Fn(NiftiError) -> VolumeError,
    ) -> Result<Self, VolumeError> {
        let mut warnings = contents.warnings;
        let affine = contents.header.affine_by(options.affine, &mut warnings).map_err(failed)?;
        let mut grid = Grid::with_header(contents.header, affine)?.read_with(options.clone());
        if let Some(path) = path {
            grid = grid.with_source(path);
        }
        Ok(Self::assemble(contents.voxels, grid, warnings))
    }

    /// A volume that does not come from a file.
    ///
    /// | value       | shape                   | unit                                  |
    /// |-------------|-------------------------|---------------------------------------|
    /// | `shape_xyz` | `[3]`                   | voxels along i, j, k                  |
    /// | `voxels`    | voxels, i fastest, j, k | Hounsfield units                      |
    /// | `affine`    | `[3, 4]`                | from voxel indices to RAS+ millimetres |
    ///
    /// A mask of this volume is written with the affine as sform (code 2) and without a qform. If the shape fits, the
    /// file is NIfTI-1, which rounds the affine to float32; otherwise it is NIfTI-2.
    ///
    /// # Errors
    /// [`VolumeError::Shape`] if an axis has no voxels or there are too many in total; [`VolumeError::Length`] if the
    /// number of voxels does not match the shape; [`VolumeError::Affine`] if the affine cannot be inverted.
    pub fn new(shape_xyz: [usize; 3], voxels: Vec<f32>, affine: Affine) -> Result<Self, VolumeError> {
        let expected = check_shape(shape_xyz)?;
        if voxels.len() != expected {
            return Err(VolumeError::Length { shape_xyz, expected, found: voxels.len() });
        }
        Ok(Self::assemble(voxels, Grid::new(shape_xyz, affine)?, Vec::new()))
    }

    fn assemble(voxels: Vec<f32>, grid: Grid, mut warnings: Vec<Warning>) -> Self {
        let intensities = Intensities::of(&voxels);
        warnings.extend(intensities.warning());
        let spacing = grid.spacing_mm();
        if spacing.iter().any(|spacing| !PLAUSIBLE_SPACING_MM.contains(spacing)) {
            let message = format!(
                "the spacing is {spacing:?} mm: expected {} to {} mm; the file may use another unit of length",
                PLAUSIBLE_SPACING_MM.start(),
                PLAUSIBLE_SPACING_MM.end()
            );
            warnings.push(Warning::new(WarningCode::SpacingImplausible, message));
        }
        Self { voxels, grid: Arc::new(grid), intensities, warnings }
    }

    /// The grid that the voxels lie on.
    pub fn grid(&self) -> &Arc<Grid> {
        &self.grid
    }

    /// The file that the volume was read from, as an absolute path; `None` if it did not come from a file. A mask of this
    /// volume is never saved over it.
    pub fn source(&self) -> Option<&Path> {
        self.grid.source()
    }

    /// Voxels along the file's axes i, j, k.
    pub fn shape_xyz(&self) -> [usize; 3] {
        self.grid.shape_xyz()
    }

    /// The intensities in Hounsfield units, i fastest, then j, k.
    pub fn voxels(&self) -> &[f32] {
        &self.voxels
    }

    /// What the intensities look like: their range, padding, metal.
    pub fn intensities(&self) -> &Intensities {
        &self.intensities
    }

    /// The intensities in Hounsfield units, i fastest, then j, k, without a copy.
    pub fn into_voxels(self) -> Vec<f32> {
        self.voxels
    }

    /// What is unusual about the file. Empty for most files.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
