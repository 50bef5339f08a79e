//! NRRD and MetaImage files from anywhere: what must hold whatever the bytes are.
//!
//! This file needs `segvol-volume` only, so that `fuzz/` can build its targets without ONNX Runtime.

use segvol_volume::nifti::Voxels;
use segvol_volume::raster::{RasterError, RasterVolume};
use segvol_volume::{Grid, Volume, metaimage, nrrd};

/// An NRRD file, as a scan and as the layers of a segmentation.
///
/// # Panics
///
/// If a known length changes the voxels, or a copy has other voxels or another position.
pub fn nrrd(bytes: &[u8]) {
    let known = nrrd::read_from(bytes, Some(bytes.len() as u64), None);
    check(bytes, known, nrrd::read_from(bytes, None, None));
    if let Ok(found) = nrrd::read_layers_of(bytes, Some(bytes.len() as u64)) {
        let voxels: usize = found.shape_xyz.iter().product();
        assert_eq!(found.labels.len(), voxels * found.layers);
        let grid = Grid::new(found.shape_xyz, found.affine).expect("a checked affine");
        let text: Vec<nrrd::TextField> = found.text.into_iter().filter(|(key, _)| is_plain(key)).collect();
        let mut copy = Vec::new();
        nrrd::write(&mut copy, &grid, found.layers, Voxels::U16(&found.labels), &text).expect("memory");
        let again = nrrd::read_layers_of(&copy[..], Some(copy.len() as u64)).expect("our own file");
        assert!(again.labels == found.labels && again.layers == found.layers, "a copy has other layers");
        let lines = |text: &str| text.replace('\r', "\n");
        for (key, value) in &text {
            assert_eq!(again.text.get(key), Some(&lines(value)), "a copy has another text");
        }
    }
}

/// A MetaImage file.
///
/// # Panics
///
/// If a known length changes the voxels, or a copy has other voxels or another position.
pub fn metaimage(bytes: &[u8]) {
    let known = metaimage::read_from(bytes, Some(bytes.len() as u64), None);
    check(bytes, known, metaimage::read_from(bytes, None, None));
}

/// Whether a key can stand before `:=`.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && !key.starts_with('#') && !key.contains([':', '\r', '\n'])
}

fn check(bytes: &[u8], known: Result<RasterVolume, RasterError>, unknown: Result<RasterVolume, RasterError>) {
    let found = match (known, unknown) {
        (Ok(a), Ok(b)) => {
            assert!(same(&a.voxels, &b.voxels), "without a known length the voxels differ");
            a
        }
        // Voxels before the end of a file need its length.
        (Ok(a), Err(_)) => a,
        (Err(_), Err(_)) => return,
        (Err(error), Ok(_)) => panic!("it can be read only without its length: {error}"),
    };
    assert_eq!(found.voxels.len(), found.shape_xyz.iter().product::<usize>());
    if let Ok(volume) = Volume::read(bytes) {
        assert!(same(volume.voxels(), &found.voxels) && *volume.grid().affine() == found.affine);
    }
    let grid = Grid::new(found.shape_xyz, found.affine).expect("a checked affine");
    let mut copy = Vec::new();
    nrrd::write(&mut copy, &grid, 1, Voxels::F32(&found.voxels), &[]).expect("memory");
    let again = nrrd::read_from(&copy[..], Some(copy.len() as u64), None).expect("our own file");
    assert!(same(&again.voxels, &found.voxels) && again.affine == found.affine, "a copy differs");
    copy.clear();
    metaimage::write(&mut copy, &grid, Voxels::F32(&found.voxels)).expect("memory");
    if let Ok(again) = metaimage::read_from(&copy[..], Some(copy.len() as u64), None) {
        assert!(same(&again.voxels, &found.voxels), "a copy differs");
    }
}

fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
