//! How `segvol cohort` writes DICOM SEG files.

use segvol_cohort::Pattern;
use segvol_objects::DicomFiles;

#[cfg(feature = "dicom")]
use crate::exit::Usage;
#[cfg(feature = "dicom")]
use crate::segment_files::{DicomObjectArguments, SegKind};

/// The options; none in a build without DICOM.
#[derive(clap::Args)]
pub(crate) struct CohortDicomArguments {
    /// How files of a --pattern that ends in .dcm hold the masks: one bit a voxel for each object, so that objects may overlap, or one
    /// label map, where the object with the higher logit wins [default: binary]
    #[cfg(feature = "dicom")]
    #[arg(long, value_enum, value_name = "KIND", help_heading = "DICOM output")]
    seg: Option<SegKind>,
    #[cfg(feature = "dicom")]
    #[command(flatten)]
    objects: DicomObjectArguments,
}

impl CohortDicomArguments {
    /// How the files of this pattern are written.
    ///
    /// Refuses options that do nothing.
    #[cfg(feature = "dicom")]
    pub(crate) fn files(&self, pattern: &Pattern) -> anyhow::Result<DicomFiles> {
        let given = self.seg.map(|_| "--seg").or(self.objects.first_given());
        if let Some(option) = given.filter(|_| !pattern.is_dicom()) {
            return Err(Usage(format!("{option}: expected a --pattern that ends in .dcm")).into());
        }
        let files = self.objects.files(self.seg == Some(SegKind::Labelmap));
        files.check()?;
        Ok(files)
    }

    #[cfg(not(feature = "dicom"))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "as with DICOM")]
    pub(crate) fn files(&self, _pattern: &Pattern) -> anyhow::Result<DicomFiles> {
        Ok(DicomFiles::default())
    }
}
