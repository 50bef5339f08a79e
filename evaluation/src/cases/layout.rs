//! How a folder of cases can be arranged, and what is read from it.

use std::collections::BTreeMap;
use std::fmt;

use segvol::Warning;

use super::Case;

/// How the files of a data set are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layout {
    /// One folder: each scan `X.nii.gz` has its label map beside it, `X_labels.nii.gz`, `X_label.nii.gz` or `X_seg.nii.gz`. The
    /// names are in `labels.json`, or in `X_labels.json` for one label map.
    Pairs,
    /// nnU-Net's: `imagesTr/X_0000.nii.gz` with `labelsTr/X.nii.gz`, and `dataset.json` with the names. The Medical Segmentation
    /// Decathlon's is the same without `_0000`.
    NnUnet,
    /// TotalSegmentator's: a folder for each case, with `ct.nii.gz` and one mask for each structure,
    /// `segmentations/liver.nii.gz`.
    CaseFolders,
}

impl Layout {
    /// All layouts.
    pub const ALL: [Self; 3] = [Self::Pairs, Self::NnUnet, Self::CaseFolders];

    /// What it is called in messages and options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pairs => "pairs",
            Self::NnUnet => "nnunet",
            Self::CaseFolders => "case-folders",
        }
    }

    /// Which files it has, in a few words.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Pairs => "X.nii.gz beside X_labels.nii.gz",
            Self::NnUnet => "imagesTr/X_0000.nii.gz with labelsTr/X.nii.gz",
            Self::CaseFolders => "X/ct.nii.gz with X/segmentations/liver.nii.gz",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A part of a data set in nnU-Net's layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// `imagesTr` with `labelsTr`.
    Train,
    /// `imagesTs` with `labelsTs`.
    Test,
}

/// The cases of a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// What the folder is, in words.
    pub description: String,
    /// Its cases, by name.
    pub cases: Vec<Case>,
    /// Files by their names, without extension, with the structure that each was taken for, where the model spells it otherwise.
    pub renamed: BTreeMap<String, String>,
    /// What is in the folder and is not used.
    pub warnings: Vec<Warning>,
}

impl Data {
    pub(super) fn new(description: String, cases: Vec<Case>) -> Self {
        Self { description, cases, renamed: BTreeMap::new(), warnings: Vec::new() }
    }
}

/// `1 scan`, `2 scans`.
pub(super) fn scans(count: usize) -> String {
    if count == 1 { "1 scan".to_owned() } else { format!("{count} scans") }
}
