//! One label map of the masks of several objects.

use std::sync::Arc;

use segvol_base::memory::check_available;
use segvol_volume::mask::Labels;
use segvol_volume::{Grid, Mask, MaskError};

use crate::apply::INSIDE;

/// The label map of several objects, 1 for the first. `object` gives the mask and the logits of one object at a time, so that only
/// one object's are in memory.
///
/// | value    | shape                             | unit                                         |
/// |----------|-----------------------------------|----------------------------------------------|
/// | mask     | on `grid`                         | [`INSIDE`] inside of the object              |
/// | logits   | one per voxel, i fastest, j, k    | the model's logits; NaN where it saw nothing |
///
/// Where masks overlap, the object with the higher logit gets the voxel, also if postprocessing added it. The logit of an added voxel
/// is not positive, so an object never takes a voxel in this way from one that has it from the model. Of equal logits, the
/// earlier object's wins. Of masks that are as the model made them, this is the label map of the model.
///
/// # Errors
/// [`MaskError::Length`] if a mask or its logits do not have one value per voxel of the grid; [`MaskError::Memory`] if there is not
/// enough memory for a label and a logit per voxel; the errors of `object`.
pub fn label_map<E: From<MaskError>>(
    grid: &Arc<Grid>,
    objects: usize,
    object: impl FnMut(usize) -> Result<(Mask, Vec<f32>), E>,
) -> Result<Mask, E> {
    let labels = if objects <= usize::from(u8::MAX) {
        Labels::from(filled(grid, objects, object, |index| (index + 1) as u8)?)
    } else {
        Labels::from(filled(grid, objects, object, |index| (index + 1) as u16)?)
    };
    Ok(Mask::from_labels(labels, Arc::clone(grid))?)
}

fn filled<L: Copy + Default + PartialEq, E: From<MaskError>>(
    grid: &Grid,
    objects: usize,
    mut object: impl FnMut(usize) -> Result<(Mask, Vec<f32>), E>,
    label: impl Fn(usize) -> L,
) -> Result<Vec<L>, E> {
    let voxels = grid.voxels();
    check_available::<u8>("the label map", voxels * (size_of::<f32>() + size_of::<L>())).map_err(MaskError::from)?;
    let (mut labels, mut best) = (vec![L::default(); voxels], vec![f32::NEG_INFINITY; voxels]);
    for index in 0..objects {
        let (mask, logits) = object(index)?;
        for found in [mask.labels().len(), logits.len()] {
            if found != voxels {
                let shape_xyz = grid.shape_xyz();
                return Err(MaskError::Length { shape_xyz, expected: voxels, found }.into());
            }
        }
        match mask.labels() {
            Labels::U8(inside) => take(&mut labels, &mut best, inside, &logits, label(index)),
            Labels::U16(inside) => take(&mut labels, &mut best, inside, &logits, label(index)),
        }
    }
    Ok(labels)
}

/// Gives an object its voxels. `best` has the logit of the object that has a voxel.
fn take<L: Copy + Default + PartialEq, T: Copy + Into<u16>>(
    labels: &mut [L],
    best: &mut [f32],
    inside: &[T],
    logits: &[f32],
    label: L,
) {
    for (((has, best), &inside), &logit) in labels.iter_mut().zip(best).zip(inside).zip(logits) {
        if inside.into() == INSIDE && (*has == L::default() || logit > *best) {
            // A voxel that the model did not see counts less than any other.
            (*has, *best) = (label, if logit.is_nan() { f32::NEG_INFINITY } else { logit });
        }
    }
}
