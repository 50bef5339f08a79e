//! Postprocessing of the masks of a result.

use std::ffi::c_char;

use segvol::postprocess::{Neighbours, Object, PostprocessError, Postprocessed, Postprocessing, label_map};
use segvol::{ErrorKind, Mask};
use serde_json::json;

use crate::arguments::{handle, output, owned_text, unknown};
use crate::failure::Failure;
use crate::fence::fence;
use crate::mask::SegvolMask;
use crate::result::{SegvolResult, beyond};
use crate::sized::{self, Versioned};
use crate::status::SegvolStatus;

/// What is done to a mask after the model. The steps run in the order of the fields.
///
/// Initialise it with segvol_postprocessing_init(), which turns all steps off.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SegvolPostprocessing {
    /// Set by segvol_postprocessing_init().
    pub size: usize,
    /// Smooths the mask with a Gaussian of this standard deviation in millimetres, at most 50: a voxel is inside if more than half
    /// of its surroundings are. 0 (the default) turns it off. It runs after `keep_with_prompt`.
    pub smooth_mm: f64,
    /// Removes components of less than this many millilitres. 0 (the default) turns it off. It runs after `fill_holes`.
    pub min_volume_ml: f64,
    /// 1 to keep the components that hold a point inside the object or, without such a point, that touch the box; 0 (the default) to
    /// keep all.
    pub keep_with_prompt: i32,
    /// 1 to fill holes: background that is not connected to the border of the scan, in three dimensions. 0 by default.
    pub fill_holes: i32,
    /// 1 to keep the largest component. 0 by default.
    pub largest_component: i32,
    /// What connects the voxels of a component: 6 for common faces, 18 also for edges, 26 (the default) also for corners.
    pub neighbours: i32,
}

// SAFETY: `repr(C)`, the size comes first, all fields are numbers, no padding at the end.
unsafe impl Versioned for SegvolPostprocessing {
    const NAME: &'static str = "SegvolPostprocessing";
    const FIRST_SIZE: usize = size_of::<Self>();
    const DEFAULT: Self = Self {
        size: size_of::<Self>(),
        smooth_mm: 0.0,
        min_volume_ml: 0.0,
        keep_with_prompt: 0,
        fill_holes: 0,
        largest_component: 0,
        neighbours: 26,
    };
}

/// Turns all steps off.
///
/// - `size`: sizeof(SegvolPostprocessing).
///
/// Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_postprocessing_init(
    postprocessing: *mut SegvolPostprocessing,
    size: usize,
) -> SegvolStatus {
    // SAFETY: NULL or `size` bytes, as the rules of the header require.
    fence(|| unsafe { sized::init(postprocessing, size, "postprocessing") })
}

/// Makes the mask of one object as segvol_result_mask() does, and postprocesses it. The steps always run in this order: the choice
/// of components by the prompt, smoothing, holes, small components, the largest component.
///
/// - `index`: the object, counted from 0, in the order of the prompts.
/// - `postprocessing`: initialised with segvol_postprocessing_init().
/// - `mask`: receives the mask. The caller owns it and frees it with segvol_mask_free(). Unchanged on failure.
/// - `json`: receives what was done: an object with `record`, which has what each step did, and `warnings`, a list of objects with
///   `code` and `message`, for example that the mask became empty. The caller owns it and frees it with segvol_string_free().
///   Unchanged on failure. May be NULL.
///
/// Errors: INDEX, MEMORY, and ARGUMENT for a field of `postprocessing`.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_mask_with(
    result: *const SegvolResult,
    index: usize,
    postprocessing: *const SegvolPostprocessing,
    mask: *mut *mut SegvolMask,
    json: *mut *mut c_char,
) -> SegvolStatus {
    fence(|| {
        let out = output(mask, "mask")?;
        let text = if json.is_null() { None } else { Some(output(json, "json")?) };
        // SAFETY: NULL or a live result; NULL or initialised.
        let (result, settings) = unsafe { (handle(result, "result")?, read(postprocessing)?) };
        let found = postprocessed(result, index, &settings)?;
        let said = serde_json::to_string_pretty(&json!({"record": found.record, "warnings": found.warnings}))?;
        // SAFETY: the caller's pointers.
        unsafe {
            out.give(SegvolMask(found.mask));
            if let Some(text) = text {
                text.write(owned_text(said));
            }
        }
        Ok(())
    })
}

/// Makes one mask of all objects as segvol_result_label_map() does, of masks that are postprocessed one by one.
///
/// Where the new masks overlap, a voxel gets the label of the object for which the model is more confident. So an object never loses
/// a voxel of the model's own mask to one that was filled or smoothed into it.
///
/// - `postprocessing`: for every object; initialised with segvol_postprocessing_init().
/// - `mask`: receives the mask. The caller owns it and frees it with segvol_mask_free(). Unchanged on failure.
///
/// Errors: MEMORY, and ARGUMENT for a field of `postprocessing`.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_label_map_with(
    result: *const SegvolResult,
    postprocessing: *const SegvolPostprocessing,
    mask: *mut *mut SegvolMask,
) -> SegvolStatus {
    fence(|| {
        let out = output(mask, "mask")?;
        // SAFETY: NULL or a live result; NULL or initialised.
        let (result, settings) = unsafe { (handle(result, "result")?, read(postprocessing)?) };
        let object = |index: usize| -> Result<(Mask, Vec<f32>), Failure> {
            Ok((postprocessed(result, index, &settings)?.mask, result.segmentations[index].logit_map()?))
        };
        let found = label_map(result.study.grid(), result.segmentations.len(), object)?;
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolMask(found)) };
        Ok(())
    })
}

fn postprocessed(result: &SegvolResult, index: usize, settings: &Postprocessing) -> Result<Postprocessed, Failure> {
    let found = result.segmentations.get(index).ok_or_else(|| beyond(result, index))?;
    let (mask, marks) = (found.mask()?, result.study.marks(&result.prompts[index]));
    Ok(settings.apply(&Object { name: found.name(), mask: &mask, marks: &marks })?)
}

/// Reads the caller's settings.
///
/// # Safety
/// The pointer is NULL, which is refused, or points to initialised settings.
unsafe fn read(pointer: *const SegvolPostprocessing) -> Result<Postprocessing, Failure> {
    // SAFETY: initialised.
    unsafe { handle(pointer.cast::<usize>(), "postprocessing") }?;
    // SAFETY: not NULL, and initialised.
    let given = unsafe { sized::read(pointer, "postprocessing") }?;
    let flag = |name: &str, value: i32| match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(unknown(&format!("postprocessing.{name}"), "0 or 1", other)),
    };
    let neighbours = u32::try_from(given.neighbours).ok().and_then(Neighbours::of_count);
    let settings = Postprocessing {
        keep_with_prompt: flag("keep_with_prompt", given.keep_with_prompt)?,
        smooth_mm: (given.smooth_mm != 0.0).then_some(given.smooth_mm),
        fill_holes: flag("fill_holes", given.fill_holes)?,
        min_volume_ml: (given.min_volume_ml != 0.0).then_some(given.min_volume_ml),
        largest_component: flag("largest_component", given.largest_component)?,
        neighbours: neighbours.ok_or_else(|| unknown("postprocessing.neighbours", "6, 18 or 26", given.neighbours))?,
    };
    settings.check()?;
    Ok(settings)
}

impl From<PostprocessError> for Failure {
    fn from(error: PostprocessError) -> Self {
        let status = match error.kind() {
            ErrorKind::Usage => SegvolStatus::Argument,
            ErrorKind::Memory => SegvolStatus::Memory,
            // A mask of the library's own that does not fit its grid.
            _ => SegvolStatus::Internal,
        };
        let field = if status == SegvolStatus::Argument { "postprocessing." } else { "" };
        Self::new(status, format!("{field}{error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_turn_everything_off() {
        // SAFETY: initialised.
        let found = unsafe { read(&SegvolPostprocessing::DEFAULT) }.expect("settings");
        assert_eq!(found, Postprocessing::default());
        assert!(found.is_off());
    }
}
