//! How much memory a case needs.

use segvol::volume::most_voxels;

use crate::cases::Case;

/// Bytes per voxel that one case holds at its peak, rounded up: scan, its copy and its crop (4 each), label map (4),
/// an object's sums, counts and logits (10), its masks (6), surfaces and distances (8).
const BYTES_PER_VOXEL: u64 = 40;

/// What a second bundle adds per voxel: another crop, another object's logits and masks.
const BYTES_PER_VOXEL_AGAINST: u64 = 20;

/// What masks in files of their own add per voxel: the boxes around them, which together fill the body several times.
const BYTES_PER_VOXEL_OWN_MASKS: u64 = 8;

/// An upper bound of the bytes that a case needs, without embeddings. 0 if its scan's header cannot be read: such a case fails
/// before it allocates anything.
pub(crate) fn case_bytes(case: &Case, against: bool) -> u64 {
    let voxels = most_voxels(&case.image);
    let has_own_masks = case.structures.iter().any(|structure| !structure.files.is_empty());
    let own = if has_own_masks { BYTES_PER_VOXEL_OWN_MASKS } else { 0 };
    voxels * (BYTES_PER_VOXEL + own + if against { BYTES_PER_VOXEL_AGAINST } else { 0 })
}
