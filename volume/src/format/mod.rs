//! What a file is: the formats of masks by name, and all others by content.

mod content;
mod path;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use content::{Kind, RECOGNISED_BYTES, Recognised, recognise};
pub use path::{recognise_missing, recognise_path, recognise_unpacked};

/// A format that masks are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// NIfTI, uncompressed: `.nii`.
    Nifti,
    /// NIfTI, compressed with gzip: `.nii.gz`.
    NiftiGzip,
}

impl Format {
    /// The format for a file's name; `None` if the name does not end in `.nii` or `.nii.gz`. Upper and lower case are
    /// the same.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        if name.ends_with(".nii.gz") {
            Some(Self::NiftiGzip)
        } else if name.ends_with(".nii") {
            Some(Self::Nifti)
        } else {
            None
        }
    }
}
