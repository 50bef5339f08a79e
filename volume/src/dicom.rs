//! What is read as DICOM, and how.

use std::path::Path;

pub use segvol_dicom::{Catalogue, DicomError, DicomScan, PassedOver, SeriesEntry};

use crate::format::{Kind, recognise_path};
use crate::read_options::ReadOptions;

/// Whether a path is read as DICOM: a folder or a zip archive with a DICOM file in it, or a DICOM file. A pipe is not looked into,
/// because it can be read only once. What cannot be looked into, such as an encrypted archive, is read as DICOM too, for the error.
#[must_use]
pub fn is_dicom(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    if !metadata.is_file() && !metadata.is_dir() {
        return false;
    }
    let Ok(Some(found)) = recognise_path(path) else { return false };
    let may_hold = match found.kind {
        Kind::Dicom | Kind::Zip => true,
        // Only the first files of a folder were looked into.
        Kind::Other => metadata.is_dir(),
        _ => false,
    };
    may_hold && !matches!(segvol_dicom::holds_dicom(path), Ok(false))
}

/// What is at `path`: every series, and why it is no scan.
///
/// # Errors
///
/// [`DicomError`] if nothing can be listed.
pub fn catalogue(path: &Path, options: &ReadOptions) -> Result<Catalogue, DicomError> {
    Catalogue::open(path, &of(options))
}

/// Reads the scan at `path`.
pub(crate) fn read(path: &Path, options: &ReadOptions) -> Result<DicomScan, DicomError> {
    segvol_dicom::read(path, &of(options))
}

fn of(options: &ReadOptions) -> segvol_dicom::ReadOptions {
    segvol_dicom::ReadOptions::default().series(options.series.clone()).fill_gaps(options.fill_gaps)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::affine::Affine;
    use crate::mask::Mask;
    use crate::read_options::ReadOptions;
    use crate::volume::{Volume, VolumeError};

    /// Two slices, 3 mm apart along z, tilted: 3 columns of 0.75 mm, 2 rows of 0.5 mm.
    fn scan() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/dicom_file/two_frames")
    }

    #[test]
    fn dicom_is_read_into_ras() {
        let volume = Volume::open(scan()).expect("a scan");
        assert_eq!(volume.shape_xyz(), [3, 2, 2]);
        let rows = [[-0.75, 0.0, 0.0, -1.0], [0.0, -0.48, 0.0, 2.0], [0.0, 0.14, 3.0, 0.0]];
        assert_eq!(volume.grid().affine(), &Affine::new(rows));
        let expected: Vec<f32> = (0..2).flat_map(|k| (0..6).map(move |n| (10 * k + n - 1024) as f32)).collect();
        assert_eq!(volume.voxels(), expected);
        let source = volume.grid().dicom().expect("its series");
        assert_eq!(source.series_instance_uid.as_deref(), Some("1.2.3"));
        assert_eq!(volume.grid().data_files(), [scan().canonicalize().expect("there")]);
    }

    #[test]
    fn a_series_of_anything_but_dicom_is_refused() {
        let options = ReadOptions::default().series(Some("7".to_owned()));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mask.nii.gz");
        let grid = Volume::new([1, 1, 1], vec![0.0], Affine::from_spacing([1.0; 3])).expect("a volume").grid().clone();
        Mask::from_labels(vec![1_u8], grid).expect("a mask").save(&path).expect("saved");
        let error = Volume::open_with(&path, &options).expect_err("not DICOM");
        assert!(matches!(error, VolumeError::NotDicom { .. }) && error.to_string().contains("mask.nii.gz"), "{error}");
        let error = Volume::open_with(scan(), &options).expect_err("no such series").to_string();
        assert!(error.contains("`7`") && error.contains("1.2.3"), "{error}");
    }
}
