//! Reads the masks of a scan again, for pictures.

use std::path::Path;
use std::sync::Arc;

use segvol::truth::read_label_map;
use segvol::{Grid, Mask, TruthError};
use segvol_base::ErrorKind;
use segvol_overlay::OverlayError;
use segvol_segments::SegmentsError;

use crate::record::{Done, OutputFile};
use crate::review::Shown;

/// Why a picture cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The scan cannot be read.
    #[error(transparent)]
    Volume(#[from] segvol::VolumeError),
    /// A mask cannot be read.
    #[error(transparent)]
    Mask(#[from] TruthError),
    /// A file with named segments cannot be read.
    #[error(transparent)]
    Segments(#[from] SegmentsError),
    /// The picture cannot be made.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// The record has no file for an object.
    #[error("the record has no mask of {0:?}")]
    NoMask(String),
}

impl PictureError {
    /// The kind of failure, which says what the caller can change.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Volume(error) => error.kind(),
            Self::Mask(error) => error.kind(),
            Self::Segments(error) => error.kind(),
            Self::Overlay(error) => error.kind(),
            Self::NoMask(_) => ErrorKind::Input,
        }
    }
}

/// The mask of an object on the scan's grid, and its value in it.
///
/// # Errors
///
/// [`PictureError`] if its file is not there any more, is damaged, or is on another grid.
pub fn read_mask(
    out: &Path,
    done: &Done,
    object: &Shown<'_>,
    grid: &Arc<Grid>,
) -> Result<(Arc<Mask>, u16), PictureError> {
    let path = |file: &OutputFile| out.join(&file.path);
    let missing = || PictureError::NoMask(object.name.to_owned());
    // One file has all objects, or each object has its own, in the order of their labels. With one object, it has label 1 in both.
    let (path, label) = match &done.outputs[..] {
        [one] => (path(one), object.label),
        several => (several.get(object.label.wrapping_sub(1)).map(path).ok_or_else(missing)?, 1),
    };
    if let Some(named) = segvol_segments::read(&path, grid)? {
        return Ok((Arc::new(named.mask(named.find(object.name)?)?), 1));
    }
    let (mask, _) = read_label_map(&path, grid)?;
    Ok((Arc::new(mask), u16::try_from(label).map_err(|_| missing())?))
}
