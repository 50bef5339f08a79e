//! The file formats of masks.

use std::path::Path;

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

/// What a file that begins with `bytes` is, in words; `None` if it is none of the formats that are mistaken for scans.
///
/// `bytes` are the first 132 bytes, or all of a shorter file.
#[must_use]
pub fn describe(bytes: &[u8]) -> Option<&'static str> {
    let dicom = bytes.get(128..132) == Some(b"DICM");
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    Some(match () {
        () if dicom => "a DICOM file",
        () if starts(b"NRRD") => "an NRRD file",
        () if starts(b"ObjectType") || starts(b"NDims") => "a MetaImage header",
        () if starts(b"PK\x03\x04") => "a zip archive",
        () if starts(b"\x89PNG") => "a PNG picture",
        () if starts(b"\xff\xd8\xff") => "a JPEG picture",
        () if starts(b"\x89HDF") => "an HDF5 file (MINC, MATLAB)",
        () if starts(b"\x93NUMPY") => "a NumPy array",
        () => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_asks_for_a_format() {
        let format = |name: &str| Format::of_name(Path::new(name));
        assert_eq!(format("a/mask.nii"), Some(Format::Nifti));
        assert_eq!(format("MASK.NII.GZ"), Some(Format::NiftiGzip));
        assert_eq!(format("mask.nrrd"), None);
        assert_eq!(format("nii"), None);
    }

    #[test]
    fn files_that_are_mistaken_for_nifti_are_described() {
        let mut dicom = vec![0; 128];
        dicom.extend(b"DICM");
        assert_eq!(describe(&dicom), Some("a DICOM file"));
        assert_eq!(describe(&dicom[..131]), None);
        assert_eq!(describe(b"NRRD0004\n"), Some("an NRRD file"));
        assert_eq!(describe(b"not a scan"), None);
    }
}
