//! Outputs that keep the names of the objects without DICOM: `.seg.nrrd`, and a table of labels beside a label map.

use std::path::{Path, PathBuf};

use segvol_objects::{DicomFiles, FileFormat, Objects, segments};
use segvol_segments::label_table::{self, TableFormat};

use crate::exit::{self, Usage};
use crate::outputs::Files;

/// The option for a table of labels.
#[derive(clap::Args)]
pub(crate) struct LabelArguments {
    /// Names and colours of the labels in --output, for programs that show it: .txt for ITK-SNAP, .ctbl for 3D Slicer. With it, a
    /// NIfTI label map has the names, too, in a header extension
    #[arg(long, value_name = "FILE", requires = "output", help_heading = "Output")]
    labels_file: Option<PathBuf>,
}

/// Whether a name is that of a segmentation of 3D Slicer.
fn is_seg_nrrd_name(path: &Path) -> bool {
    FileFormat::of_name(path) == Some(FileFormat::SegNrrd)
}

/// Whether a name is that of a label map, or of another file with all objects.
pub(crate) fn is_output_name(path: &Path) -> bool {
    matches!(FileFormat::of_name(path), Some(FileFormat::LabelMap | FileFormat::SegNrrd))
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
    pub(crate) fn save(&self, output: &Path, objects: &Objects<'_>) -> anyhow::Result<()> {
        let names = segments(objects.prompts);
        match &self.labels_file {
            // A label map has the names, too.
            Some(_) if !is_seg_nrrd_name(output) => {
                let saved = objects.masks.label_map()?.save_with_comment(output, &label_table::comment(&names));
                saved.map_err(segvol::Error::from)?;
            }
            _ => {
                let format = if is_seg_nrrd_name(output) { FileFormat::SegNrrd } else { FileFormat::LabelMap };
                objects.save(output, format, &DicomFiles::default()).map_err(exit::unwrapped)?;
            }
        }
        match &self.labels_file {
            Some(path) => Ok(label_table::save(path, &names)?),
            None => Ok(()),
        }
    }
}
