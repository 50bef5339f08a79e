//! Named objects of a scan, in files that keep their names.
//!
//! A label map has numbers. Programs that show or archive a segmentation want names, colours and codes too: DICOM SEG and
//! RTSTRUCT in hospitals, `.seg.nrrd` in 3D Slicer. [`Segments`] is what all writers take.
//!
//! This crate knows nothing about models; [`Provenance`] is text to it.

#![forbid(unsafe_code)]

pub mod codes;
#[cfg(feature = "dicom")]
pub mod dicom;
mod error;
pub mod label_table;
mod read;
#[cfg(feature = "dicom")]
pub mod rtstruct;
#[cfg(feature = "dicom")]
pub mod seg;
pub mod seg_nrrd;

use std::sync::Arc;

use segvol_volume::{Grid, Mask, MaskError};

#[cfg(feature = "dicom")]
pub use dicom::DicomOptions;
pub use error::SegmentsError;
pub use read::{NamedMasks, names, read};

/// One named object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The name, as the user gave it.
    pub name: String,
    /// The label in a label map, from 1.
    pub label: u16,
}

/// Where a segmentation comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The algorithm's name: the model that was converted.
    pub algorithm: String,
    /// This toolkit's version.
    pub version: String,
    /// The hash of the bundle's manifest, in hexadecimal digits.
    pub bundle_sha256: String,
}

/// The named objects of a scan, and how to get their masks.
pub struct Segments<'a> {
    /// The scan's grid. For DICOM outputs it must come from DICOM: [`Grid::dicom`].
    pub grid: Arc<Grid>,
    /// The objects. Their masks may overlap.
    pub segments: Vec<Segment>,
    /// The mask of an object by its index, 1 inside: a writer asks for each in turn, so that only one is in memory.
    pub mask: &'a dyn Fn(usize) -> Result<Mask, MaskError>,
    /// What made them.
    pub provenance: Provenance,
}

impl Segments<'_> {
    /// The same objects with other masks.
    #[must_use]
    pub fn with_masks<'m>(&self, mask: &'m dyn Fn(usize) -> Result<Mask, MaskError>) -> Segments<'m> {
        let Self { grid, segments, provenance, .. } = self;
        Segments { grid: Arc::clone(grid), segments: segments.clone(), mask, provenance: provenance.clone() }
    }
}
