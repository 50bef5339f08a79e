//! Outputs that name their objects, and refer to the images of a DICOM series: their options, and how they are written.

use std::path::{Path, PathBuf};

use segvol::{Grid, Warning};
use segvol_objects::{DicomFiles, FileFormat, Objects, SaveError};
use segvol_segments::{SegmentsError, dicom};

use crate::exit::Usage;

/// The options of DICOM outputs.
#[derive(clap::Args)]
pub(crate) struct DicomArguments {
    /// How --output FILE.dcm holds the masks: one bit a voxel for each object, so that objects may overlap, or one label map, where
    /// the object with the higher logit wins [default: binary]
    #[arg(long, value_enum, value_name = "KIND", help_heading = "DICOM output")]
    seg: Option<SegKind>,
    /// RT Structure Set with the objects' contours, for treatment planning: closed lines at the borders of the voxels, on the planes of
    /// the scan's images
    #[arg(long, value_name = "FILE", help_heading = "DICOM output")]
    rtstruct: Option<PathBuf>,
    #[command(flatten)]
    objects: DicomObjectArguments,
}

/// The options of every DICOM object that is written.
#[derive(clap::Args)]
pub(crate) struct DicomObjectArguments {
    /// Root of the UIDs of new DICOM objects, such as that of your institution [default: UIDs under 2.25, from hashes of the
    /// content]
    #[arg(long, value_name = "UID", help_heading = "DICOM output")]
    uid_root: Option<String>,
    /// Make up identifiers and dates that the scan's files lack, such as the Frame of Reference UID, with a warning. For research
    /// data; without it, they are an error
    #[arg(long, help_heading = "DICOM output")]
    fill_missing: bool,
    /// Leave out of DICOM outputs who the patient is, and dates. UIDs are kept: they say which images are segmented
    #[arg(long, help_heading = "DICOM output")]
    anonymous: bool,
}

impl DicomObjectArguments {
    /// The first option that is given.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let given = [
            ("--uid-root", self.uid_root.is_some()),
            ("--fill-missing", self.fill_missing),
            ("--anonymous", self.anonymous),
        ];
        given.into_iter().find_map(|(option, is_given)| is_given.then_some(option))
    }

    /// How files are written.
    pub(crate) fn files(&self, labelmap: bool) -> DicomFiles {
        let Self { uid_root, fill_missing, anonymous } = self;
        DicomFiles { labelmap, uid_root: uid_root.clone(), fill_missing: *fill_missing, anonymous: *anonymous }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SegKind {
    /// One bit a voxel; every reader knows it
    Binary,
    /// One number a voxel; since DICOM 2024
    Labelmap,
}

/// Whether a file is DICOM that no output may replace: neither a segmentation nor a structure set.
pub(crate) fn is_image(path: &Path) -> bool {
    dicom::is_image(path)
}

/// Whether a name is that of a DICOM file.
pub(crate) fn is_dicom_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("dcm"))
}

/// The DICOM outputs of a call.
pub(crate) struct DicomOutputs<'a> {
    arguments: &'a DicomArguments,
    /// The DICOM SEG.
    seg: Option<&'a PathBuf>,
    files: DicomFiles,
}

impl DicomArguments {
    /// The DICOM outputs. `output` is where masks go, whatever its format.
    ///
    /// Refuses options that do nothing.
    pub(crate) fn outputs<'a>(&'a self, output: Option<&'a PathBuf>) -> anyhow::Result<DicomOutputs<'a>> {
        let seg = output.filter(|path| is_dicom_name(path));
        if self.seg.is_some() && seg.is_none() {
            return Err(Usage("--seg: expected an --output whose name ends in .dcm".to_owned()).into());
        }
        let is_absent = seg.is_none() && self.rtstruct.is_none();
        if let Some(option) = self.objects.first_given().filter(|_| is_absent) {
            let message = "expected a DICOM output: --output FILE.dcm or --rtstruct FILE.dcm";
            return Err(Usage(format!("{option}: {message}")).into());
        }
        if let Some(path) = self.rtstruct.as_ref().filter(|path| !is_dicom_name(path)) {
            return Err(Usage(format!("`{}`: expected a name that ends in .dcm", path.display())).into());
        }
        let files = self.objects.files(self.seg == Some(SegKind::Labelmap));
        files.check()?;
        Ok(DicomOutputs { arguments: self, seg, files })
    }
}

impl DicomOutputs<'_> {
    fn is_absent(&self) -> bool {
        self.seg.is_none() && self.arguments.rtstruct.is_none()
    }

    /// The RT Structure Set.
    pub(crate) fn rtstruct(&self) -> Option<&PathBuf> {
        self.arguments.rtstruct.as_ref()
    }

    /// Refuses a scan to which no DICOM object can refer, before any work. Returns what will be made up.
    pub(crate) fn check(&self, grid: &Grid) -> Result<Vec<Warning>, SegmentsError> {
        if self.is_absent() { Ok(Vec::new()) } else { self.files.check_scan(grid) }
    }

    /// Writes the masks.
    pub(crate) fn save(&self, objects: &Objects<'_>) -> Result<(), SaveError> {
        if let Some(path) = self.seg {
            objects.save(path, FileFormat::DicomSeg, &self.files)?;
        }
        if let Some(path) = self.rtstruct() {
            objects.save_rtstruct(path, &self.files)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        dicom: DicomArguments,
    }

    fn refused(line: &str, output: Option<&str>) -> String {
        let line = Line::try_parse_from(std::iter::once("segvol").chain(line.split_whitespace())).expect("valid");
        let output = output.map(PathBuf::from);
        let outputs = line.dicom.outputs(output.as_ref());
        outputs.map(|_| ()).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn options_that_do_nothing_are_refused() {
        for (line, output) in [
            ("", None),
            ("--seg labelmap --anonymous --fill-missing --uid-root 1.2.3", Some("a.dcm")),
            ("--seg binary", Some("A.DCM")),
            ("--rtstruct a.dcm --anonymous", Some("a.nii.gz")),
            ("--rtstruct a.dcm", None),
        ] {
            assert_eq!(refused(line, output), "", "{line}");
        }
        for (line, output, part) in [
            ("--seg binary", Some("a.nii.gz"), "--seg: expected an --output whose name ends in .dcm"),
            ("--seg binary --rtstruct a.dcm", None, "--seg: expected"),
            ("--anonymous", Some("a.nii.gz"), "--anonymous: expected a DICOM output"),
            ("--fill-missing", None, "--fill-missing: expected a DICOM output"),
            ("--uid-root 1.2", None, "--uid-root: expected a DICOM output"),
            ("--uid-root 1..2", Some("a.dcm"), "UID root"),
            ("--rtstruct a.xml", None, "`a.xml`: expected a name that ends in .dcm"),
        ] {
            assert!(refused(line, output).contains(part), "{line}: {}", refused(line, output));
        }
    }
}
