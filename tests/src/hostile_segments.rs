//! Files with named objects from anywhere: DICOM SEG, RTSTRUCT and `.seg.nrrd`.

use std::sync::{Arc, LazyLock};

use segvol_segments::SegmentsError;
use segvol_volume::{Affine, Grid};

use crate::hostile::file;

/// So many objects of a file are looked at.
const LOOKED_AT: usize = 8;

/// The scan: that of the seeds.
static SCAN: LazyLock<Arc<Grid>> = LazyLock::new(|| {
    let affine = Affine::from_lps(Affine::from_spacing([0.5, 0.75, 2.0]));
    Arc::new(Grid::new([4, 3, 2], affine).expect("a grid"))
});

/// Any file as the known masks of a scan. Its names are the same without its voxels, and each object has a mask on the scan's grid or a
/// reason why not.
///
/// # Panics
///
/// If a property does not hold.
pub fn named(bytes: &[u8]) {
    let path = file("segments", &[bytes]);
    let names = segvol_segments::names(&path);
    let Ok(Some(found)) = segvol_segments::read(&path, &SCAN) else { return };
    let names = names.expect("it was read").expect("it has names");
    assert!(found.names().eq(names.iter().map(String::as_str)), "{names:?}");
    for (index, name) in names.iter().enumerate().take(LOOKED_AT) {
        match found.find(name) {
            Ok(same) => assert_eq!(same, index),
            Err(error) => assert!(matches!(error, SegmentsError::SeveralObjects { .. }), "{error}"),
        }
        if let Ok(mask) = found.mask(index) {
            assert!(Arc::ptr_eq(mask.grid(), &SCAN));
            assert_eq!(mask.count(0) + mask.count(1), SCAN.voxels() as u64, "a mask is 0 or 1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_have_masks() {
        for (seed, expected) in [
            ("dicom_seg/binary", &[("liver", 16), ("liver tumor", 2)][..]),
            ("dicom_seg/labelmap", &[("liver", 6), ("liver tumor", 3)]),
            ("dicom_seg/fractional", &[("liver", 5)]),
            ("rtstruct/ring", &[("ring", 10)]),
            ("seg_nrrd/cropped_layers", &[("liver", 2), ("tumor", 2)]),
        ] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(seed);
            let found = segvol_segments::read(&path, &SCAN).expect(seed).expect(seed);
            let count = |index: usize| found.mask(index).expect(seed).count(1);
            // The second object of the contours has points alone, which enclose no voxel.
            let counted: Vec<_> =
                found.names().enumerate().take(expected.len()).map(|(index, name)| (name, count(index))).collect();
            assert_eq!(counted, expected, "{seed}");
        }
    }
}
