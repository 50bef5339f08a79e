//! Finds the scans of a calibration, and tells label maps from scans.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use segvol::Volume;
use segvol::volume::format::is_scan_name;
use segvol::volume::intensities::Unlike;
use segvol_base::is_leftover;

use crate::error::CalibrationError;

/// Words of file names that mean a label map, whole or before a number, as in `ct_01_seg`, `labels-2` and `mask3`.
const LABEL_WORDS: [&str; 18] = [
    "annotation",
    "annotations",
    "groundtruth",
    "gt",
    "label",
    "labelmap",
    "labels",
    "mask",
    "masks",
    "pred",
    "prediction",
    "predictions",
    "roi",
    "rois",
    "seg",
    "segmentation",
    "segmentations",
    "truth",
];

/// A file that the calibration left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: SkipReason,
}

/// Why a file was left out of a calibration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// A word of the file's name means a label map.
    Name(&'static str),
    /// The voxels are those of a label map.
    Contents {
        /// Number of different values, 0 included.
        labels: usize,
    },
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(word) => write!(f, "a label map by its name ({word})"),
            Self::Contents { labels } => write!(f, "a label map by its voxels ({labels} different whole numbers)"),
        }
    }
}

/// What was given for a calibration.
pub(crate) struct Found {
    /// The scans, sorted by name.
    pub(crate) scans: Vec<PathBuf>,
    /// Label maps by their names.
    pub(crate) skipped: Vec<Skipped>,
    /// Whether the scans were found in a folder, so that one that turns out to be a label map is left out. A file that was
    /// named is used.
    pub(crate) in_folder: bool,
}

/// The scan at `path`, or those in that folder. There is at least one, or a label map.
pub(crate) fn find(path: &Path) -> Result<Found, CalibrationError> {
    let none = |found: String| CalibrationError::NoScans { path: path.to_owned(), found };
    let is_scan = |path: &Path| path.is_file() && is_scan_name(path);
    if is_scan(path) {
        return Ok(Found { scans: vec![path.to_owned()], skipped: Vec::new(), in_folder: false });
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(_) if path.is_file() => return Err(none("another file".to_owned())),
        Err(error) => return Err(none(error.to_string())),
    };
    let all: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut all = all.map_err(|error| none(error.to_string()))?;
    all.sort();
    let (mut scans, mut skipped) = (Vec::new(), Vec::new());
    for path in all.iter().filter(|path| is_scan(path) && !is_leftover(path)) {
        match label_word(path) {
            Some(word) => skipped.push(Skipped { path: path.clone(), reason: SkipReason::Name(word) }),
            None => scans.push(path.clone()),
        }
    }
    match (scans.is_empty(), skipped.is_empty(), all.len()) {
        (false, ..) => Ok(Found { scans, skipped, in_folder: true }),
        (true, false, _) => Err(none(only(&skipped))),
        (true, true, 0) => Err(none("an empty folder".to_owned())),
        (true, true, others) => Err(none(format!("{others} other files"))),
    }
}

/// What is in a folder that has only label maps.
pub(crate) fn only(skipped: &[Skipped]) -> String {
    let first = skipped.first().map(|first| (segvol_base::printable_path(&first.path), first.reason));
    let first = first.map(|(path, reason)| format!(", such as `{path}`, {reason}")).unwrap_or_default();
    format!("only {} that look like label maps{first}; name a file to use it all the same", files(skipped.len()))
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// Whether the voxels are those of a label map.
pub(crate) fn label_map(volume: &Volume) -> Option<SkipReason> {
    match volume.intensities().unlike_hounsfield {
        Some(Unlike::LabelMap { labels }) => Some(SkipReason::Contents { labels }),
        _ => None,
    }
}

/// The word of the file's name that means a label map.
fn label_word(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let mut words =
        name.split(|c: char| !c.is_alphanumeric()).map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()));
    words.find_map(|word| LABEL_WORDS.iter().find(|known| **known == word).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_system_leaves_in_a_folder_is_no_scan() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| fs::write(folder.path().join(name), "").expect("written");
        ["._a.nii.gz", ".DS_Store", "Thumbs.db"].into_iter().for_each(file);
        let error = find(folder.path()).err().expect("no scan");
        assert!(error.to_string().contains("3 other files"), "{error}");
        file("a.nii.gz");
        assert_eq!(find(folder.path()).expect("a scan").scans, [folder.path().join("a.nii.gz")]);
    }

    #[test]
    fn label_maps_are_known_by_a_word_of_their_name() {
        for (name, word) in [
            ("ct_01_seg.nii.gz", Some("seg")),
            ("Labels-2.nii", Some("labels")),
            ("case7.GT.nii.gz", Some("gt")),
            ("mask3.nii.gz", Some("mask")),
            ("liver_segmentation.nii", Some("segmentation")),
            ("segrap_0001.nii.gz", None),
            ("unmasked_0001.nii.gz", None),
            ("ct.nii.gz", None),
        ] {
            assert_eq!(label_word(Path::new(name)), word, "{name}");
        }
    }

    #[test]
    fn a_folder_of_label_maps_is_no_folder_of_scans_and_a_named_file_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let label = folder.path().join("ct_seg.nii.gz");
        fs::write(&label, "").expect("written");
        let error = find(folder.path()).err().expect("no scan").to_string();
        assert!(error.contains("only 1 file") && error.contains("ct_seg.nii.gz"), "{error}");
        let found = find(&label).expect("a scan that was named");
        assert_eq!((found.scans, found.in_folder), (vec![label.clone()], false));
        fs::write(folder.path().join("ct.nii.gz"), "").expect("written");
        let found = find(folder.path()).expect("a scan");
        assert_eq!(found.skipped, [Skipped { path: label, reason: SkipReason::Name("seg") }]);
        assert!(found.in_folder);
    }
}
