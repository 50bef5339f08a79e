//! Outputs that keep the names of the objects without DICOM: `.seg.nrrd`, and a table of labels beside a label map.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol::volume::Format;
use segvol::{FinishedMasks, Prompt};
use segvol_segments::label_table::{self, TableFormat};
use segvol_segments::{Provenance, Segments, seg_nrrd};

use crate::exit::Usage;
use crate::outputs::Files;
use crate::postprocessing::segments;

/// The option for a table of labels.
#[derive(clap::Args)]
pub(crate) struct LabelArguments {
    /// Names and colours of the labels in --output, for programs that show it: .txt for ITK-SNAP, .ctbl for 3D Slicer. With it, a
    /// NIfTI label map has the names, too, in a header extension
    #[arg(long, value_name = "FILE", requires = "output", help_heading = "Output")]
    labels_file: Option<PathBuf>,
}

/// Whether a name is that of a segmentation of 3D Slicer.
pub(crate) fn is_seg_nrrd_name(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().to_ascii_lowercase().ends_with(".seg.nrrd"))
}

/// Whether a name is that of a label map, or of another file with all objects.
pub(crate) fn is_output_name(path: &Path) -> bool {
    is_seg_nrrd_name(path) || Format::of_name(path).is_some()
}

impl LabelArguments {
    /// Notes the file, and refuses another extension, and an output that has names and no labels.
    pub(crate) fn add_to(&self, files: &mut Files, output: Option<&PathBuf>) -> Result<(), Usage> {
        let has_labels = |path: &PathBuf| is_output_name(path);
        if self.labels_file.is_some() && !output.is_some_and(has_labels) {
            let message = "--labels-file: expected an --output with labels; a DICOM SEG has its own names and colours";
            return Err(Usage(message.to_owned()));
        }
        if let Some(path) = self.labels_file.as_ref().filter(|path| TableFormat::of_name(path).is_none()) {
            let name = path.display();
            let message = format!("--labels-file `{name}`: expected a name that ends in {}", TableFormat::NAMES);
            return Err(Usage(message));
        }
        files.output_if("--labels-file", self.labels_file.as_ref());
        Ok(())
    }

    /// Writes all objects to one file, which is not DICOM, and the table of labels.
    pub(crate) fn save(&self, output: &Path, masks: &FinishedMasks<'_>, prompts: &[Prompt]) -> anyhow::Result<()> {
        let segments = segments(prompts);
        if is_seg_nrrd_name(output) {
            let mask = |index: usize| masks.mask_for(output, index);
            let (grid, segments) = (Arc::clone(masks.grid()), segments.clone());
            seg_nrrd::save(output, &Segments { grid, segments, mask: &mask, provenance: Provenance::default() })?;
        } else {
            let map = masks.label_map()?;
            let saved = match &self.labels_file {
                Some(_) => map.save_with_comment(output, &label_table::comment(&segments)),
                None => map.save(output),
            };
            saved.map_err(segvol::Error::from)?;
        }
        match &self.labels_file {
            Some(path) => Ok(label_table::save(path, &segments)?),
            None => Ok(()),
        }
    }
}
