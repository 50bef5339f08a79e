//! NIfTI files from anywhere: what must hold whatever the bytes are.
//!
//! This file needs `segvol-volume` only, so that `fuzz/` can build its targets without ONNX Runtime.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use segvol_volume::Volume;
use segvol_volume::nifti::{self, Header, NiftiError, NiftiVolume, Voxels};

/// A header. The header of a mask on its grid must have the same geometry.
///
/// # Panics
///
/// If it does not.
pub fn header(bytes: &[u8]) {
    let Ok(header) = Header::parse(bytes) else { return };
    let affine = header.affine(&mut Vec::new());
    let copy = header.encode(0, "");
    let copy = Header::parse(&copy).expect("our own header");
    assert_eq!(copy.shape_xyz, header.shape_xyz);
    match (affine, copy.affine(&mut Vec::new())) {
        (Ok(a), Ok(b)) => assert_eq!(a, b, "a mask would have another position"),
        (Err(_), Err(_)) => {}
        (a, b) => panic!("only one of a header and its copy has an affine: {a:?}, {b:?}"),
    }
}

/// An uncompressed file, if it can be read. A known length must change nothing but how much memory is allocated at once.
///
/// # Panics
///
/// If it does, or if a mask on the file's grid cannot be written and read again.
pub fn plain(bytes: &[u8]) -> Option<NiftiVolume> {
    let (known, unknown) = (read(bytes), nifti::read_from(bytes, None));
    match (&known, &unknown) {
        (Ok(a), Ok(b)) => assert!(same(a, b), "without a known length the voxels differ"),
        (Err(_), Err(_)) => {}
        _ => panic!("only one of them can be read: {known:?}, {unknown:?}"),
    }
    let found = known.ok()?;
    assert_eq!(found.voxels.len(), found.header.voxels());
    let mut mask = Vec::new();
    nifti::write_to(&mut mask, &found.header, 0, Voxels::U8(&vec![1; found.voxels.len()])).expect("memory");
    assert!(read(&mask).expect("our own file").voxels.iter().all(|&label| label == 1.0));
    if let Ok(volume) = Volume::read(bytes) {
        assert_eq!(volume.shape_xyz(), found.header.shape_xyz);
    }
    Some(found)
}

/// A compressed stream; and an uncompressed file, after compression in two members.
///
/// # Panics
///
/// If compression changes the voxels.
pub fn gzip(bytes: &[u8]) {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let _ = read(bytes);
        return;
    }
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    };
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let packed = [gzip(first), gzip(second)].concat();
    match (read(bytes), read(&packed)) {
        (Ok(a), Ok(b)) => assert!(same(&a, &b), "compression changes voxels"),
        (Err(_), Err(_)) => {}
        (a, b) => panic!("only one of them can be read: {a:?}, {b:?}"),
    }
}

fn read(bytes: &[u8]) -> Result<NiftiVolume, NiftiError> {
    nifti::read_from(bytes, Some(bytes.len() as u64))
}

fn same(a: &NiftiVolume, b: &NiftiVolume) -> bool {
    let bits = |volume: &NiftiVolume| volume.voxels.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    bits(a) == bits(b)
}
