//! The frames of a segmentation: which object is on which slice, and their voxels.

use segvol_base::memory::check_available;
use segvol_volume::mask::Labels;
use segvol_volume::{Grid, Mask};

use crate::Segments;
use crate::dicom::MAX_PIXELS;
use crate::error::SegmentsError;

/// The most frames: their number is a signed number of 32 bits.
const MAX_FRAMES: usize = i32::MAX as usize;

/// The frames that are written: those with a voxel of an object.
pub(super) struct Frames {
    /// The object's index and the slice of each frame. A label map's frames have all objects, and index 0.
    pub(super) places: Vec<(usize, usize)>,
    /// Pixel Data.
    pub(super) pixels: Vec<u8>,
    /// Bits of one pixel: 1, 8 or 16.
    pub(super) bits: u16,
    /// Whether a voxel is in several objects.
    pub(super) overlap: bool,
}

/// Bits, the first of them the lowest bit of the first byte, without gaps between frames.
///
/// # Source
///
/// DICOM PS3.5, 8.1.1 and 8.2: single bits are packed from the least significant one, and the next frame begins in the same byte.
#[derive(Default)]
pub(super) struct BitPacker {
    bytes: Vec<u8>,
    bits: usize,
}

impl BitPacker {
    /// Adds one bit for each value.
    pub(super) fn extend(&mut self, values: impl Iterator<Item = bool>) {
        for value in values {
            if self.bits.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from(value) << (self.bits % 8);
            }
            self.bits += 1;
        }
    }
}

/// Whether a voxel of a mask is inside.
fn inside(labels: &Labels, voxel: usize) -> bool {
    match labels {
        Labels::U8(labels) => labels[voxel] != 0,
        Labels::U16(labels) => labels[voxel] != 0,
    }
}

/// The mask of an object, if it is on the grid of the others.
fn mask_of(segments: &Segments<'_>, index: usize) -> Result<Mask, SegmentsError> {
    let mask = (segments.mask)(index)?;
    let (found, expected): (&Grid, &Grid) = (mask.grid(), &segments.grid);
    if found.shape_xyz() != expected.shape_xyz() || found.affine() != expected.affine() {
        let name = &segments.segments[index].name;
        let reason = format!("the mask of {name:?} is on another grid than the scan");
        return Err(SegmentsError::OffPlanes { reason });
    }
    Ok(mask)
}

/// The slices on which a mask has voxels.
fn slices_of(mask: &Mask) -> Vec<usize> {
    let [ni, nj, nk] = mask.shape_xyz();
    let area = ni * nj;
    (0..nk).filter(|k| (k * area..(k + 1) * area).any(|voxel| inside(mask.labels(), voxel))).collect()
}

fn check_size(frames: usize, bits: u64) -> Result<(), SegmentsError> {
    let unfit = |reason: String| Err(SegmentsError::Unfit { what: "DICOM SEG", reason });
    if frames > MAX_FRAMES {
        return unfit(format!(
            "expected at most {MAX_FRAMES} frames, found {frames}; write fewer objects into one file"
        ));
    }
    if bits.div_ceil(8) > MAX_PIXELS {
        let bytes = bits.div_ceil(8);
        return unfit(format!(
            "expected at most 4 GiB of pixels, found {bytes} bytes; write fewer objects into one file"
        ));
    }
    Ok(())
}

impl Frames {
    /// One frame for each object and slice that has voxels of it, one bit a voxel.
    ///
    /// Without any voxel, the first object has one empty frame, because a file has at least one.
    pub(super) fn binary(segments: &Segments<'_>) -> Result<Self, SegmentsError> {
        let [ni, nj, _] = segments.grid.shape_xyz();
        let area = ni * nj;
        let mut packer = BitPacker::default();
        let mut places = Vec::new();
        let voxels = segments.grid.voxels();
        check_available::<u8>("the voxels of any object", voxels.div_ceil(8))?;
        let (mut any, mut overlap) = (vec![0_u8; voxels.div_ceil(8)], false);
        for index in 0..segments.segments.len() {
            let mask = mask_of(segments, index)?;
            let slices = slices_of(&mask);
            let bits = (places.len() + slices.len()) as u64 * area as u64;
            check_size(places.len() + slices.len(), bits)?;
            let more = (bits.div_ceil(8) as usize).saturating_sub(packer.bytes.len());
            check_available::<u8>("the frames of a DICOM SEG", packer.bytes.len() + more)?;
            packer.bytes.reserve_exact(more);
            for k in slices {
                let voxels = k * area..(k + 1) * area;
                packer.extend(voxels.clone().map(|voxel| inside(mask.labels(), voxel)));
                for voxel in voxels.filter(|&voxel| inside(mask.labels(), voxel)) {
                    let bit = 1 << (voxel % 8);
                    overlap |= any[voxel / 8] & bit != 0;
                    any[voxel / 8] |= bit;
                }
                places.push((index, k));
            }
        }
        if places.is_empty() {
            packer.extend(std::iter::repeat_n(false, area));
            places.push((0, 0));
        }
        Ok(Self { places, pixels: packer.bytes, bits: 1, overlap })
    }

    /// One frame for each slice that has voxels of any object: a pixel has the number of its object, from 1.
    ///
    /// # Errors
    ///
    /// [`SegmentsError::Unfit`] if two objects share a voxel.
    pub(super) fn labelmap(segments: &Segments<'_>) -> Result<Self, SegmentsError> {
        let [ni, nj, nk] = segments.grid.shape_xyz();
        let (area, count) = (ni * nj, segments.segments.len());
        check_available::<u16>("the label map of a DICOM SEG", segments.grid.voxels())?;
        let mut labels = vec![0_u16; segments.grid.voxels()];
        for index in 0..count {
            let mask = mask_of(segments, index)?;
            let number = index as u16 + 1;
            let mut shared = (0_u16, 0_u64);
            for (_, label) in labels.iter_mut().enumerate().filter(|(voxel, _)| inside(mask.labels(), *voxel)) {
                match *label {
                    0 => *label = number,
                    other if shared.0 == 0 || shared.0 == other => shared = (other, shared.1 + 1),
                    _ => {}
                }
            }
            if shared.0 != 0 {
                let [a, b] = [usize::from(shared.0) - 1, index].map(|at| &segments.segments[at].name);
                let reason = format!(
                    "{a:?} and {b:?} share {} voxels, and a label map has one object in each voxel; write a binary one",
                    shared.1
                );
                return Err(SegmentsError::Unfit { what: "DICOM SEG as a label map", reason });
            }
        }
        let mut slices: Vec<usize> =
            (0..nk).filter(|k| labels[k * area..(k + 1) * area].iter().any(|&label| label != 0)).collect();
        if slices.is_empty() {
            slices.push(0);
        }
        let bytes = if count > usize::from(u8::MAX) { 2 } else { 1 };
        check_size(slices.len(), 8 * (slices.len() * area * bytes) as u64)?;
        check_available::<u8>("the frames of a DICOM SEG", slices.len() * area * bytes)?;
        let mut pixels = Vec::with_capacity(slices.len() * area * bytes);
        for label in slices.iter().flat_map(|k| &labels[k * area..(k + 1) * area]) {
            pixels.extend_from_slice(&label.to_le_bytes()[..bytes]);
        }
        let places = slices.into_iter().map(|k| (0, k)).collect();
        Ok(Self { places, pixels, bits: 8 * bytes as u16, overlap: false })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_are_where_they_belong_across_frames(frames in prop::collection::vec(prop::collection::vec(any::<bool>(), 7..30), 0..9)) {
            let mut packer = BitPacker::default();
            frames.iter().for_each(|frame| packer.extend(frame.iter().copied()));
            let bits: Vec<bool> = frames.concat();
            prop_assert_eq!(packer.bytes.len(), bits.len().div_ceil(8));
            for (n, &bit) in bits.iter().enumerate() {
                prop_assert_eq!(packer.bytes[n / 8] / (1 << (n % 8)) % 2 == 1, bit, "bit {}", n);
            }
            let unused = packer.bytes.len() * 8 - bits.len();
            prop_assert!(packer.bytes.last().is_none_or(|&last| u32::from(last) < (1 << (8 - unused))));
        }
    }
}
