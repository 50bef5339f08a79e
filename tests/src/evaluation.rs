//! Cases for tests of `segvol eval`: the phantoms of the goldens, with label maps that are made of their shapes alone.

use std::path::PathBuf;
use std::sync::Arc;

use segvol::Volume;
use segvol::mask::Mask;

use crate::golden::data;

/// The scan of a phantom.
#[must_use]
pub fn scan(name: &str) -> PathBuf {
    data(&format!("tiny/volumes/{name}.nii.gz"))
}

/// A label map with a block of label 1 in the middle and a smaller block of label 2 at its corner. No voxel has label 3.
///
/// # Panics
///
/// If there is no such phantom.
#[must_use]
pub fn truth(name: &str) -> Mask {
    let volume = Volume::open(scan(name)).expect("a scan");
    let [ni, nj, nk] = volume.shape_xyz();
    let within = |at: usize, n: usize, from: usize, to: usize| (n * from / 12..n * to / 12).contains(&at);
    let label = |index: usize| {
        let [i, j, k] = [index % ni, index / ni % nj, index / (ni * nj)];
        let block = |from, to| within(i, ni, from, to) && within(j, nj, from, to) && within(k, nk, from, to);
        if block(3, 5) { 2_u8 } else { u8::from(block(4, 9)) }
    };
    let labels: Vec<u8> = (0..ni * nj * nk).map(label).collect();
    Mask::from_labels(labels, Arc::clone(volume.grid())).expect("a mask")
}
