//! How DICOM objects are written, if a file's name asks for them.

use serde::Serialize;

/// How DICOM objects are written. Nothing of this matters to other formats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DicomFiles {
    /// One label map, where the object with the higher logit wins; otherwise one bit a voxel for each object, so that objects may
    /// overlap.
    pub labelmap: bool,
    /// The root of new UIDs, such as that of an institution. `None`: UIDs are made from hashes, under `2.25`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid_root: Option<String>,
    /// Whether identifiers and dates that a scan lacks are made up, with a warning. Without it, they are an error.
    pub fill_missing: bool,
    /// Whether who the patient is, and dates, are left out.
    pub anonymous: bool,
}

#[cfg(feature = "dicom")]
mod written {
    use segvol::{Grid, Prompt, Warning};
    use segvol_segments::{DicomOptions, SegmentsError, dicom};

    use super::DicomFiles;

    impl DicomFiles {
        /// The same for the writers of all DICOM objects. Of these prompts, those with points or a box are a person's.
        pub(crate) fn options(&self, prompts: &[Prompt]) -> DicomOptions {
            let is_placed = |prompt: &Prompt| !prompt.points.is_empty() || prompt.bounding_box.is_some();
            let interactive = prompts.iter().zip(1..).filter(|(prompt, _)| is_placed(prompt)).map(|(_, label)| label);
            DicomOptions::default()
                .uid_root(self.uid_root.clone())
                .fill_missing(self.fill_missing)
                .anonymous(self.anonymous)
                .interactive(interactive)
        }

        /// Checks the root of UIDs.
        ///
        /// # Errors
        ///
        /// [`SegmentsError::UidRoot`].
        pub fn check(&self) -> Result<(), SegmentsError> {
            self.options(&[]).check()
        }

        /// Refuses a scan to which no DICOM object can refer, before any work. Returns what will be made up.
        ///
        /// # Errors
        ///
        /// [`SegmentsError`]: the scan does not come from DICOM, or its files lack what an object needs.
        pub fn check_scan(&self, grid: &Grid) -> Result<Vec<Warning>, SegmentsError> {
            dicom::check(grid, &self.options(&[]))
        }
    }
}
