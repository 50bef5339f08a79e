//! CT scans, with the axes in the file's order.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol_base::{ErrorKind, OutOfMemory, Warning, WarningCode};

use crate::affine::{Affine, PLAUSIBLE_SPACING_MM};
use crate::format::{Format, Kind, RECOGNISED_BYTES, recognise};
use crate::grid::{Grid, GridError, check_shape};
use crate::intensities::Intensities;
use crate::metaimage;
use crate::nifti::{self, Header, NiftiError, NiftiVolume};
use crate::nrrd;
use crate::raster::{RasterError, RasterVolume};
use crate::read_options::ReadOptions;
use crate::save::{self, Failure};
use crate::voxels::Voxels;

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
    /// The file is NRRD or MetaImage, and cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Raster {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        source: RasterError,
    },
    /// The bytes from a reader are NRRD or MetaImage, and not a valid scan.
    #[error(transparent)]
    RasterContents(RasterError),
    /// A DICOM series cannot be read as one scan.
    #[cfg(feature = "dicom")]
    #[error(transparent)]
    Dicom(#[from] segvol_dicom::DicomError),
    /// A series of DICOM was asked for, and this is not DICOM.
    #[error("{}expected DICOM, because the series `{}` was chosen; {}", place(path.as_deref()), segvol_base::printable(series), FOUND)]
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
    /// The name of the file to write does not end in the extension of a format that can be written.
    #[error("{path}: expected a name that ends in {names}", path = path.display(), names = Format::NAMES)]
    Name {
        /// The name.
        path: PathBuf,
    },
    /// The file to write is one that the scan was read from.
    #[error("{path}: is the scan's own file, which a copy must not replace; choose another name", path = path.display())]
    OverScan {
        /// The file, as it was named.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("{path}: cannot write: {source}", path = path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl VolumeError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source, .. } | Self::Contents(source) => source.kind(),
            Self::Raster { source, .. } | Self::RasterContents(source) => source.kind(),
            Self::Memory(error) => error.kind(),
            #[cfg(feature = "dicom")]
            Self::Dicom(error) => error.kind(),
            Self::NotDicom { .. }
            | Self::Shape { .. }
            | Self::Length { .. }
            | Self::Strides { .. }
            | Self::Scaling { .. }
            | Self::Affine(_) => ErrorKind::Input,
            Self::Name { .. } | Self::OverScan { .. } => ErrorKind::Usage,
            Self::Write { .. } => ErrorKind::Runtime,
        }
    }
}

/// What there is where a series was chosen.
const FOUND: &str = if cfg!(feature = "dicom") { "found another format" } else { "this build does not read it" };

/// The path at the start of a message.
fn place(path: Option<&Path>) -> String {
    path.map(|path| format!("{}: ", segvol_base::printable_path(path))).unwrap_or_default()
}

/// Refuses a chosen series where there is no DICOM.
fn refuse_series(options: &ReadOptions, path: Option<&Path>) -> Result<(), VolumeError> {
    match &options.series {
        None => Ok(()),
        Some(series) => Err(VolumeError::NotDicom { path: path.map(Path::to_path_buf), series: series.clone() }),
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

/// Why a file or bytes of one of the formats cannot be read.
enum Failed {
    Nifti(NiftiError),
    Raster(RasterError),
}

/// A CT scan: intensities in Hounsfield units in the file's order (i fastest, then j, k), and the grid that they lie
/// on.
#[derive(Clone, Debug)]
pub struct Volume {
    voxels: Vec<f32>,
    grid: Arc<Grid>,
    intensities: Intensities,
    padding_hu: Option<[f32; 2]>,
    warnings: Vec<Warning>,
}

impl Volume {
    /// Reads a file of NIfTI, NRRD or MetaImage. What it is, and whether it is compressed, is detected from its contents, not from
    /// its name.
    ///
    /// Voxels are converted to float32; those of NIfTI after scaling with `scl_slope` and `scl_inter`. [`nifti`], [`nrrd`] and
    /// [`metaimage`] describe which files are accepted, and [`Header::affine`](nifti::Header::affine) which of a NIfTI header's
    /// affines is used. Everything unusual about the file is in [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// [`VolumeError::File`] or [`VolumeError::Raster`], with the path and the header field that is wrong, if the file cannot be read;
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
        let of_nifti = |source| VolumeError::File { path: path.to_path_buf(), source };
        let (reader, bytes) = nifti::open(path).map_err(of_nifti)?;
        let failed = |failure| match failure {
            Failed::Nifti(source) => of_nifti(nifti::not_voxels_alone(path, source)),
            Failed::Raster(source) => VolumeError::Raster { path: path.to_path_buf(), source },
        };
        Self::from_reader(reader, bytes, options, Some(path), failed)
    }

    /// Reads NIfTI, compressed or not, NRRD or MetaImage from any reader, such as bytes in memory or a network connection. The voxels
    /// must follow the header. In all other ways it is the same as [`Volume::open`].
    ///
    /// # Errors
    /// [`VolumeError::Contents`] or [`VolumeError::RasterContents`], with the header field that is wrong, if the bytes cannot be read;
    /// [`VolumeError::Affine`] if the header's affine cannot be inverted after its unit is converted.
    pub fn read(reader: impl Read) -> Result<Self, VolumeError> {
        Self::read_with(reader, &ReadOptions::default())
    }

    /// As [`Volume::read`], with the options of [`Volume::open_with`].
    ///
    /// # Errors
    /// The same as [`Volume::read`].
    pub fn read_with(reader: impl Read, options: &ReadOptions) -> Result<Self, VolumeError> {
        let failed = |failure| match failure {
            Failed::Nifti(source) => VolumeError::Contents(source),
            Failed::Raster(source) => VolumeError::RasterContents(source),
        };
        Self::from_reader(BufReader::new(reader), None, options, None, failed)
    }

    /// Reads the format that `reader` begins with. `bytes` is the length of the file, if that is known.
    fn from_reader(
        mut reader: impl BufRead,
        bytes: Option<u64>,
        options: &ReadOptions,
        path: Option<&Path>,
        failed: impl Fn(Failed) -> VolumeError + Copy,
    ) -> Result<Self, VolumeError> {
        refuse_series(options, path)?;
        let of_nifti = |error| failed(Failed::Nifti(error));
        let first = reader.fill_buf().map_err(|error| of_nifti(error.into()))?.first().copied();
        // NRRD and MetaImage begin with text. NIfTI, gzip and most other formats do not.
        if !first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte.is_ascii_whitespace() || byte == b'#') {
            let contents = nifti::read_from(reader, bytes).map_err(of_nifti)?;
            return Self::from_nifti(contents, options, path, of_nifti);
        }
        // A pipe hands out fewer bytes at once than a format needs.
        let mut head = Vec::new();
        let taken = (&mut reader).take(RECOGNISED_BYTES as u64).read_to_end(&mut head);
        taken.map_err(|error| of_nifti(error.into()))?;
        let kind = recognise(&head).map(|found| found.kind);
        let reader = Cursor::new(head).chain(reader);
        let folder = path.map(|path| path.parent().unwrap_or(Path::new("")));
        let raster = match kind {
            Some(Kind::Nrrd) => nrrd::read_from(reader, bytes, folder),
            Some(Kind::MetaImage) => metaimage::read_from(reader, bytes, folder),
            _ => {
                let contents = nifti::read_from(reader, bytes).map_err(of_nifti)?;
                return Self::from_nifti(contents, options, path, of_nifti);
            }
        };
        Self::from_raster(raster.map_err(|error| failed(Failed::Raster(error)))?, options, path)
    }

    fn from_raster(contents: RasterVolume, options: &ReadOptions, path: Option<&Path>) -> Result<Self, VolumeError> {
        let grid = Grid::new(contents.shape_xyz, contents.affine)?.read_with(options.clone());
        let mut grid = grid.with_data_files(contents.data_files);
        if let Some(path) = path {
            grid = grid.with_source(path);
        }
        Ok(Self::assemble(contents.voxels, grid, None, contents.warnings))
    }

    #[cfg(feature = "dicom")]
    fn from_dicom(scan: segvol_dicom::DicomScan, options: &ReadOptions, path: &Path) -> Result<Self, VolumeError> {
        let affine = Affine::from_lps(Affine::new(scan.affine_lps));
        let grid = Grid::new(scan.shape_xyz, affine)?.read_with(options.clone()).with_data_files(scan.files);
        let grid = grid.with_source(path).with_dicom(scan.source);
        Ok(Self::assemble(scan.voxels, grid, scan.padding_hu, scan.warnings))
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
        Ok(Self::assemble(contents.voxels, grid, None, warnings))
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
        Ok(Self::assemble(voxels, Grid::new(shape_xyz, affine)?, None, Vec::new()))
    }

    fn assemble(voxels: Vec<f32>, grid: Grid, padding_hu: Option<[f32; 2]>, mut warnings: Vec<Warning>) -> Self {
        let intensities = Intensities::without(&voxels, padding_hu);
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
        Self { voxels, grid: Arc::new(grid), intensities, padding_hu, warnings }
    }

    /// The same volume, whose voxels from `low` to `high` Hounsfield units are padding where they surround the scanner's field of
    /// view: in each slice (of constant k), those that are connected with its border by others of them. The voxels stay as they are;
    /// a model is shown air in their place.
    #[must_use]
    pub fn with_padding_hu(self, [low, high]: [f32; 2]) -> Self {
        let padding_hu = Some([low.min(high), low.max(high)]);
        let unwarned = |warning: &Warning| self.intensities.warning().as_ref() != Some(warning);
        let mut warnings: Vec<Warning> = self.warnings.iter().filter(|warning| unwarned(warning)).cloned().collect();
        let intensities = Intensities::without(&self.voxels, padding_hu);
        warnings.extend(intensities.warning());
        Self { intensities, padding_hu, warnings, ..self }
    }

    /// The lowest and the highest value of padding in Hounsfield units that the file states; `None` if it states none.
    pub fn padding_hu(&self) -> Option<[f32; 2]> {
        self.padding_hu
    }

    /// Writes the scan in the format of the file's name: `.nii`, `.nii.gz`, `.nrrd` or `.mha`.
    ///
    /// The voxels are Hounsfield units, unscaled: int16 or int32 if all are whole numbers that fit, else float32. So no voxel
    /// changes. The geometry is exact in NRRD and MetaImage. In NIfTI, it is the affine as sform (code 2), rounded to float32,
    /// which is less than 0.0001 mm for a body; a scan that was read from NIfTI keeps its header's version, byte order, spacings,
    /// units, qform and sform, unless [`ReadOptions::affine`] chose one of the two, which is then the only one that is written.
    /// Nothing else of the scan's file is copied, because it may name the patient.
    ///
    /// The write is atomic, as for [`Mask::save`](crate::Mask::save). The same scan gives the same bytes.
    ///
    /// # Errors
    /// [`VolumeError::Name`] if the name does not end in one of the four extensions; [`VolumeError::OverScan`] if the file is
    /// one that the scan was read from; [`VolumeError::Write`] if the file is write-protected or cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), VolumeError> {
        let path = path.as_ref();
        save::save(path, &self.grid, self.own_header(), Voxels::exact(&self.voxels), "").map_err(|failure| {
            let path = path.to_path_buf();
            match failure {
                Failure::Name => VolumeError::Name { path },
                Failure::OverScan => VolumeError::OverScan { path },
                Failure::Io(source) => VolumeError::Write { path, source },
            }
        })
    }

    /// Writes the same bytes as [`Volume::save`] to any writer, such as memory or a network connection.
    ///
    /// # Errors
    /// The error of `writer`.
    pub fn write(&self, writer: impl Write, format: Format) -> io::Result<()> {
        save::write(writer, format, &self.grid, &self.own_header(), Voxels::exact(&self.voxels), "")
    }

    fn own_header(&self) -> Cow<'_, Header> {
        match self.grid.read_options().affine {
            Some(_) => Cow::Owned(Header::from_affine(self.shape_xyz(), self.grid.affine())),
            None => self.grid.nifti_header(),
        }
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
