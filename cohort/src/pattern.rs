//! How the files of a scan are named.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use segvol::Prompt;
use segvol::volume::Format;
use segvol_base::file_names::unique_stems;
use segvol_objects::FileFormat;

/// The place of the scan's id.
const ID: &str = "{id}";
/// The place of an object's name.
const OBJECT: &str = "{object}";

/// How masks are named, relative to the output folder: `{id}` is the scan's id, `{object}` the name of an object. Without `{object}`,
/// all objects of a scan are in one file. The extension says the format.
///
/// ```
/// use segvol_cohort::Pattern;
///
/// let pattern: Pattern = "{id}/{object}.nii.gz".parse()?;
/// assert_eq!(pattern.report("patient-1").to_string_lossy(), "patient-1/report.json");
/// assert!("{object}.nii.gz".parse::<Pattern>().is_err(), "all scans would have the same file");
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    format: FileFormat,
}

impl Default for Pattern {
    fn default() -> Self {
        Self { text: format!("{ID}/{OBJECT}.nii.gz"), format: FileFormat::LabelMap }
    }
}

impl Pattern {
    /// The pattern as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether each object has a file of its own.
    #[must_use]
    pub fn is_per_object(&self) -> bool {
        self.text.contains(OBJECT)
    }

    /// Whether masks are written as DICOM SEG.
    #[must_use]
    pub fn is_dicom(&self) -> bool {
        #[cfg(feature = "dicom")]
        {
            self.format == FileFormat::DicomSeg
        }
        #[cfg(not(feature = "dicom"))]
        {
            false
        }
    }

    pub(crate) fn format(&self) -> FileFormat {
        self.format
    }

    /// The files of a scan, relative to the output folder: one for each object, in their order, or one for all of them.
    #[must_use]
    pub fn files(&self, id: &str, prompts: &[Prompt]) -> Vec<PathBuf> {
        // An object's name has no braces by now.
        let file = |object: &str| PathBuf::from(self.text.replace(OBJECT, object).replace(ID, id));
        if !self.is_per_object() {
            return vec![file("")];
        }
        let name = self.text.rsplit('/').next().unwrap_or_default();
        // What a file's name has beside the object's; an id in it is a part of the scan's.
        let beside = name.replace(OBJECT, "").replace(ID, id.rsplit('/').next().unwrap_or_default());
        let stems = unique_stems(prompts.iter().map(Prompt::name), &beside);
        stems.iter().map(|stem| file(&stem.text)).collect()
    }

    /// The report of a scan, relative to the output folder: `report.json` in the scan's own folder, or `reports/{id}.json` if it has none.
    #[must_use]
    pub fn report(&self, id: &str) -> PathBuf {
        match self.text.strip_prefix(ID) {
            Some(rest) if rest.starts_with('/') => PathBuf::from(format!("{id}/report.json")),
            _ => PathBuf::from(format!("reports/{id}.json")),
        }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |reason: &str| Err(format!("expected a pattern such as {ID}/{OBJECT}.nii.gz; {reason}"));
        if !text.contains(ID) {
            return refused("without {id}, all scans would have the same file");
        }
        let rest = text.replace(ID, "").replace(OBJECT, "");
        if rest.contains(['{', '}']) {
            return refused("the only placeholders are {id} and {object}");
        }
        let path = Path::new(text);
        let is_inside = path.components().all(|part| matches!(part, Component::Normal(_))) && !text.ends_with('/');
        let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.chars().any(char::is_control);
        if !is_inside || text.contains('\\') || !text.split('/').all(is_plain) {
            return refused("it must name a file inside of the output folder");
        }
        let Some(format) = FileFormat::of_name(path) else {
            return refused(&format!("it must end in .seg.nrrd, .dcm, {}", Format::NAMES));
        };
        if format != FileFormat::LabelMap && text.contains(OBJECT) {
            return refused("a file with named segments holds all objects: leave {object} out");
        }
        Ok(Self { text: text.to_owned(), format })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn files_follow_from_ids_and_names() {
        let prompts = ["left kidney", "left_kidney", "../x"].map(Prompt::text);
        let files = |text: &str| {
            let files = pattern(text).files("p/1", &prompts).into_iter();
            files.map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            files("{id}/{object}.nii.gz"),
            ["p/1/left_kidney_2.nii.gz", "p/1/left_kidney.nii.gz", "p/1/___x.nii.gz"]
        );
        assert_eq!(files("labels/{id}.mha"), ["labels/p/1.mha"]);
        assert_eq!(files("{object}/{id}_mask.nii")[1], "left_kidney/p/1_mask.nii");
        assert_eq!(files("{id}_{object}.nii")[1], "p/1_left_kidney.nii");
        let odd = pattern("{id}/{object}.nii").files("{object}", &[Prompt::text("{id}")]);
        assert_eq!(odd, [PathBuf::from("{object}/_id_.nii")], "names that look like places");
        for (text, report) in [
            ("{id}/{object}.nii.gz", "a/report.json"),
            ("{id}/masks/{object}.nii.gz", "a/report.json"),
            ("{id}.seg.nrrd", "reports/a.json"),
            ("{object}/{id}.nii", "reports/a.json"),
        ] {
            assert_eq!(pattern(text).report("a"), PathBuf::from(report), "{text}");
        }
    }

    #[test]
    fn a_pattern_keeps_scans_apart_and_inside_of_the_folder() {
        for (text, part) in [
            ("{object}.nii.gz", "without {id}"),
            ("{id}/{name}.nii.gz", "placeholders"),
            ("/tmp/{id}.nii.gz", "inside"),
            ("../{id}.nii.gz", "inside"),
            ("a/./{id}.nii.gz", "inside"),
            ("a//{id}.nii.gz", "inside"),
            ("{id}/", "inside"),
            (".{id}.nii.gz", "inside"),
            ("{id}.png", "must end in"),
            ("{id}", "must end in"),
            ("{object}/{id}.seg.nrrd", "leave {object} out"),
        ] {
            let error = text.parse::<Pattern>().expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
