//! What a file is: the formats of masks by name, and all others by content.

mod content;
mod path;

use std::path::Path;

pub use content::{Kind, RECOGNISED_BYTES, Recognised, recognise};
pub use path::{recognise_missing, recognise_path, recognise_unpacked};

/// A format that masks, maps and copies of scans are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// NIfTI, uncompressed: `.nii`.
    Nifti,
    /// NIfTI, compressed with gzip: `.nii.gz`.
    NiftiGzip,
    /// NRRD, compressed with gzip: `.nrrd`.
    Nrrd,
    /// MetaImage, one file: `.mha`.
    MetaImage,
}

impl Format {
    /// The extensions of all formats, for messages.
    pub const NAMES: &'static str = ".nii, .nii.gz, .nrrd or .mha";

    /// The format for a file's name; `None` if it does not end in `.nii`, `.nii.gz`, `.nrrd` or `.mha`. Upper and lower case are
    /// the same. `.seg.nrrd` is another format, for named segments.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let ends = |end: &str| name.ends_with(end);
        match () {
            () if ends(".nii.gz") => Some(Self::NiftiGzip),
            () if ends(".nii") => Some(Self::Nifti),
            () if ends(".nrrd") && !ends(".seg.nrrd") => Some(Self::Nrrd),
            () if ends(".mha") => Some(Self::MetaImage),
            () => None,
        }
    }
}

/// The extensions of files that can be read as a scan or a label map, apart from DICOM. Longer ones come first.
pub const SCAN_EXTENSIONS: [&str; 6] = [".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd"];

/// Whether a file's name is one of a scan or of a label map: `.nii`, `.nii.gz`, `.nrrd`, `.nhdr`, `.mha` or `.mhd`, in any case.
/// The files of DICOM may have any name, and a `.seg.nrrd` is neither.
#[must_use]
pub fn is_scan_name(path: &Path) -> bool {
    scan_stem(path).is_some()
}

/// A file's name without the extension of a scan or of a label map; `None` if it has no such extension.
#[must_use]
pub fn scan_stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    let lower = name.to_ascii_lowercase();
    if lower.ends_with(".seg.nrrd") {
        return None;
    }
    let end = SCAN_EXTENSIONS.into_iter().find(|end| lower.ends_with(end))?;
    Some(name[..name.len() - end.len()].to_owned())
}
