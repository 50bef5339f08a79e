//! What every DICOM object of a scan shares: the patient, the study, the identifiers, and how it is written.

mod file;
mod header;
mod options;
mod planes;
mod uids;
mod values;

pub(crate) use file::{MAX_PIXELS, Part, write_file};
pub(crate) use header::{Header, ImageReference, NewObject};
pub use options::DicomOptions;
pub(crate) use planes::{Plane, planes};
pub(crate) use uids::Fingerprint;
pub(crate) use values::{code_item, code_sequence, ds, empty, fits_lo, item_sequence, number, text};

use segvol_base::Warning;
use segvol_volume::Grid;

use crate::error::SegmentsError;

/// Checks whether DICOM objects can be written for a scan on this grid, before any work: the scan comes from DICOM, and its files
/// have what such an object must state. Returns what will be warned of.
///
/// # Errors
///
/// [`SegmentsError::NotDicom`]; [`SegmentsError::Missing`] with all that is missing, unless [`DicomOptions::fill_missing`] is set;
/// [`SegmentsError::UidRoot`]; [`SegmentsError::OffPlanes`] if the grid is not that of the slices.
pub fn check(grid: &Grid, options: &DicomOptions) -> Result<Vec<Warning>, SegmentsError> {
    let header = Header::new(grid, options)?;
    planes(grid)?;
    Ok(header.warnings)
}
