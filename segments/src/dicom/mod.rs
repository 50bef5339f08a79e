//! What every DICOM object of a scan shares: the patient, the study, the identifiers, and how it is written.

mod file;
mod header;
mod load;
mod open;
mod options;
mod planes;
mod uids;
mod values;

pub(crate) use file::{Encoding, MAX_PIXELS, Part, write_file, write_to};
pub(crate) use header::{Header, NewObject};
pub(crate) use load::{identifier, is_dicom_file, items, load, text_of};
pub use open::is_image;
pub(crate) use open::open;
pub use options::DicomOptions;
pub(crate) use planes::{Plane, planes};
pub(crate) use uids::Fingerprint;
#[cfg(test)]
pub(crate) use values::ds;
pub(crate) use values::{code_item, code_sequence, empty, fits_lo, item_sequence, number, text};

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
