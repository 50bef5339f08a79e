//! Formats, by the names of files.

use std::path::Path;

use segvol::volume::Format;

/// The format of a file with all objects of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileFormat {
    /// A label map, which has numbers for names: NIfTI, NRRD or MetaImage.
    LabelMap,
    /// A segmentation of 3D Slicer.
    SegNrrd,
    /// A DICOM SEG.
    #[cfg(feature = "dicom")]
    DicomSeg,
}

impl FileFormat {
    /// The format that a name asks for, whatever its case; `None` if it is none of them.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        match () {
            () if name.ends_with(".seg.nrrd") => Some(Self::SegNrrd),
            #[cfg(feature = "dicom")]
            () if path.extension().is_some() && name.ends_with(".dcm") => Some(Self::DicomSeg),
            () => Format::of_name(path).map(|_| Self::LabelMap),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_format() {
        let of = |name: &str| FileFormat::of_name(Path::new(name));
        for name in ["a.nii.gz", "a.NII", "b/a.nrrd", "a.mha"] {
            assert_eq!(of(name), Some(FileFormat::LabelMap), "{name}");
        }
        assert_eq!(of("b/a.Seg.nrrd"), Some(FileFormat::SegNrrd));
        #[cfg(feature = "dicom")]
        assert_eq!(of("a.DCM"), Some(FileFormat::DicomSeg));
        for name in ["a.png", "dcm", ".dcm", "a", ""] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
