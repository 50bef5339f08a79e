//! Masks, the result of a segmentation: labels on the input's grid.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol_base::{ErrorKind, OutOfMemory};

use crate::format::Format;
use crate::grid::Grid;
use crate::save::{self, Failure};
use crate::voxels::Voxels;

/// Why a mask cannot be made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaskError {
    /// The number of values is not the number of voxels of the grid.
    #[error("mask on a grid of {shape_xyz:?} voxels: expected {expected} values, found {found}")]
    Length {
        /// The grid's voxels along i, j, k.
        shape_xyz: [usize; 3],
        /// The grid's number of voxels.
        expected: usize,
        /// The number of values given.
        found: usize,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The file's name does not end in the extension of a format that can be written.
    #[error("{path}: expected a name that ends in {names}", path = path.display(), names = Format::NAMES)]
    Name {
        /// The name.
        path: PathBuf,
    },
    /// The file is the scan's own.
    #[error("{path}: is the scan's own file, which a mask must not replace; choose another name", path = path.display())]
    OverScan {
        /// The file, as it was named.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("{path}: cannot write: {source}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl MaskError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Length { .. } | Self::Name { .. } | Self::OverScan { .. } => ErrorKind::Usage,
            Self::Memory(error) => error.kind(),
            Self::Io { .. } => ErrorKind::Runtime,
        }
    }
}

/// One label per voxel, i fastest, then j, k; 0 is background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Labels up to 255.
    U8(Vec<u8>),
    /// Labels up to 65535.
    U16(Vec<u16>),
}

impl Labels {
    /// The number of voxels.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(labels) => labels.len(),
            Self::U16(labels) => labels.len(),
        }
    }

    /// Whether there are no voxels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The label of the voxel at this index in the file's order; `None` if the index is out of range.
    pub fn get(&self, index: usize) -> Option<u16> {
        match self {
            Self::U8(labels) => labels.get(index).map(|&label| u16::from(label)),
            Self::U16(labels) => labels.get(index).copied(),
        }
    }

    /// Calls `visit` with the index of every voxel that has this label, in order.
    fn each(&self, label: u16, mut visit: impl FnMut(usize)) {
        match self {
            Self::U8(labels) => {
                let Ok(label) = u8::try_from(label) else { return };
                labels.iter().enumerate().filter(|&(_, &l)| l == label).for_each(|(index, _)| visit(index));
            }
            Self::U16(labels) => {
                labels.iter().enumerate().filter(|&(_, &l)| l == label).for_each(|(index, _)| visit(index));
            }
        }
    }
}

impl From<Vec<u8>> for Labels {
    fn from(labels: Vec<u8>) -> Self {
        Self::U8(labels)
    }
}

impl From<Vec<u16>> for Labels {
    fn from(labels: Vec<u16>) -> Self {
        Self::U16(labels)
    }
}

/// Labels on the grid of the volume that they segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    labels: Labels,
    grid: Arc<Grid>,
}

impl Mask {
    /// A mask of labels in the grid's order: i fastest, then j, k.
    ///
    /// # Errors
    /// [`MaskError::Length`] if the number of labels is not the grid's number of voxels.
    pub fn from_labels(labels: impl Into<Labels>, grid: Arc<Grid>) -> Result<Self, MaskError> {
        let labels = labels.into();
        check_length(labels.len(), &grid)?;
        Ok(Self { labels, grid })
    }

    /// Voxels along the file's axes i, j, k.
    pub fn shape_xyz(&self) -> [usize; 3] {
        self.grid.shape_xyz()
    }

    /// The grid that the voxels lie on.
    pub fn grid(&self) -> &Arc<Grid> {
        &self.grid
    }

    /// The labels, i fastest, then j, k.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The labels, without a copy.
    pub fn into_labels(self) -> Labels {
        self.labels
    }

    /// Whether each voxel has this label, i fastest, then j, k.
    ///
    /// # Errors
    /// [`MaskError::Memory`] if there is not enough memory for the result.
    pub fn voxels_of(&self, label: u16) -> Result<Vec<bool>, MaskError> {
        segvol_base::memory::check_available::<bool>("the voxels of a label", self.labels.len())?;
        let mut voxels = vec![false; self.labels.len()];
        self.labels.each(label, |index| voxels[index] = true);
        Ok(voxels)
    }

    /// The number of voxels with this label.
    pub fn count(&self, label: u16) -> u64 {
        let mut count = 0;
        self.labels.each(label, |_| count += 1);
        count
    }

    /// The volume of this label, in millilitres.
    pub fn volume_ml(&self, label: u16) -> f64 {
        self.grid.volume_ml(self.count(label))
    }

    /// The smallest and the largest index `(i, j, k)` of voxels with this label, both inclusive. `None` if no voxel has
    /// this label.
    pub fn bounding_box_ijk(&self, label: u16) -> Option<([usize; 3], [usize; 3])> {
        let [ni, nj, _] = self.shape_xyz();
        let mut bounds: Option<([usize; 3], [usize; 3])> = None;
        self.labels.each(label, |index| {
            let ijk = [index % ni, index / ni % nj, index / (ni * nj)];
            let (minimum, maximum) = bounds.get_or_insert((ijk, ijk));
            for axis in 0..3 {
                minimum[axis] = minimum[axis].min(ijk[axis]);
                maximum[axis] = maximum[axis].max(ijk[axis]);
            }
        });
        bounds
    }

    /// Writes the labels on the input's grid. The file's name decides the format: `.nii`, `.nii.gz`, `.nrrd` or `.mha`.
    ///
    /// The voxels are `uint8` ([`Labels::U8`]) or `uint16` ([`Labels::U16`]), unscaled. In NIfTI, their `intent_code` is 1002
    /// (labels), and the version, byte order, spacings, units, qform, sform and both codes are copied from an input that is NIfTI,
    /// too. In NRRD and MetaImage, the affine is exact. Nothing else of the input is copied, because it may name the patient.
    ///
    /// The write is atomic: the file appears whole or not at all. Only a file that a rename cannot replace, such as a mount point, is
    /// written in place: an error then says what has become of the old content. The same mask gives the same bytes. An existing mask is
    /// replaced, and keeps its permissions.
    ///
    /// # Errors
    /// [`MaskError::Name`] if the name does not end in one of the four extensions; [`MaskError::OverScan`] if the file is the one
    /// that the scan was read from, also through a link; [`MaskError::Io`], with the path, if the file is write-protected or
    /// cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), MaskError> {
        save(path.as_ref(), &self.grid, self.as_voxels(), "")
    }

    /// As [`Mask::save`], with a comment in the file: in NIfTI as a header extension of code 6 (plain text), as nibabel and others read
    /// it; in NRRD as the key `comment`. MetaImage gets none.
    ///
    /// # Errors
    /// The same as [`Mask::save`].
    pub fn save_with_comment(&self, path: impl AsRef<Path>, comment: &str) -> Result<(), MaskError> {
        save(path.as_ref(), &self.grid, self.as_voxels(), comment)
    }

    /// Writes the same bytes as [`Mask::save`] to any writer, such as memory or a network connection.
    ///
    /// # Errors
    /// The error of `writer`.
    pub fn write(&self, writer: impl Write, format: Format) -> io::Result<()> {
        save::write(writer, format, &self.grid, &self.grid.nifti_header(), self.as_voxels(), "")
    }

    fn as_voxels(&self) -> Voxels<'_> {
        match &self.labels {
            Labels::U8(labels) => Voxels::U8(labels),
            Labels::U16(labels) => Voxels::U16(labels),
        }
    }
}

/// Writes logits as float32 on the input's grid, in the way in which [`Mask::save`] writes labels. Voxels without a
/// logit are NaN.
///
/// # Errors
/// [`MaskError::Length`] if the number of values is not the grid's number of voxels; [`MaskError::Name`] if the name
/// does not end in `.nii`, `.nii.gz`, `.nrrd` or `.mha`; [`MaskError::OverScan`] if the file is the scan's own; [`MaskError::Io`] if the
/// file cannot be written.
pub fn save_logits(path: impl AsRef<Path>, logits: &[f32], grid: &Grid) -> Result<(), MaskError> {
    save(path.as_ref(), grid, Voxels::F32(logits), "")
}

fn save(path: &Path, grid: &Grid, voxels: Voxels<'_>, comment: &str) -> Result<(), MaskError> {
    check_length(voxels.len(), grid)?;
    save::save(path, grid, grid.nifti_header(), voxels, comment).map_err(|failure| {
        let path = path.to_path_buf();
        match failure {
            Failure::Name => MaskError::Name { path },
            Failure::OverScan => MaskError::OverScan { path },
            Failure::Io(source) => MaskError::Io { path, source },
        }
    })
}

fn check_length(found: usize, grid: &Grid) -> Result<(), MaskError> {
    let expected = grid.voxels();
    if found == expected { Ok(()) } else { Err(MaskError::Length { shape_xyz: grid.shape_xyz(), expected, found }) }
}
