//! The objects that one call has segmented.

use std::ffi::c_char;
use std::sync::{Arc, OnceLock};

use segvol::{FloatType, Model, Prompt, Report, Segmentation, Study, Warning, save_map};

use crate::arguments::{free, handle, output, owned_text, text, unknown};
use crate::failure::{Failure, Named};
use crate::fence::{fence, fence_value};
use crate::mask::SegvolMask;
use crate::status::SegvolStatus;

/// The objects that one call has segmented.
///
/// A result shares the image and the embeddings of its study. Their memory is freed with the last handle that uses it.
pub struct SegvolResult {
    pub(crate) study: Arc<Study>,
    pub(crate) model: Model,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) segmentations: Vec<Segmentation>,
    /// The warnings of each object. They need a report, which counts voxels, so they are collected when first asked for.
    pub(crate) warnings: OnceLock<Vec<Vec<Warning>>>,
}

/// Returns the number of objects, which is the number of prompts of the call. 0 if `result` is NULL.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_len(result: *const SegvolResult) -> usize {
    // SAFETY: NULL or a live result.
    fence_value(0, || unsafe { handle(result, "result") }.map_or(0, |result| result.segmentations.len()))
}

/// Gets the number of voxels along the axes i, j, k of the scan.
///
/// - `shape`: receives three numbers. Unchanged on failure.
///
/// Any thread.
/// cbindgen:ptrs-as-arrays=[[shape;3]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_shape(result: *const SegvolResult, shape: *mut usize) -> SegvolStatus {
    fence(|| {
        let out = output(shape.cast::<[usize; 3]>(), "shape")?;
        // SAFETY: NULL or a live result.
        let result = unsafe { handle(result, "result") }?;
        // SAFETY: the caller's three numbers.
        unsafe { out.write(result.study.grid().shape_xyz()) };
        Ok(())
    })
}

/// Copies the logits of one object: one float per voxel of the scan, without gaps, i fastest, then j, then k, as in
/// segvol_mask_voxels(). The affine is that of the scan.
///
/// A voxel is in the mask if its logit is above 0, or above that of `threshold` of SegvolOptions. Logits are NaN outside the body's
/// box, which the model does not see.
///
/// - `index`: the object, counted from 0, in the order of the prompts.
/// - `values`: receives the logits.
/// - `len`: number of floats that may be written: at least the product of the numbers of segvol_result_shape().
///
/// Errors: INDEX, BUFFER if `len` is too small, MEMORY. On failure nothing is written.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_logits(
    result: *const SegvolResult,
    index: usize,
    values: *mut f32,
    len: usize,
) -> SegvolStatus {
    // SAFETY: NULL or a live result, and `len` floats.
    fence(|| unsafe { copy_map(result, index, values, len, Segmentation::logit_map) })
}

/// Copies the probabilities of one object, from 0 to 1: the logistic function of the logits, in the same order as
/// segvol_result_logits(). They are 0 outside the body's box, which is background.
///
/// A voxel is in the mask if its probability is above `threshold` of SegvolOptions, one half by default. Logits decide: a
/// probability that is nearly the threshold may be rounded to it.
///
/// - `index`: the object, counted from 0, in the order of the prompts.
/// - `values`: receives the probabilities.
/// - `len`: number of floats that may be written: at least the product of the numbers of segvol_result_shape().
///
/// Errors: INDEX, BUFFER if `len` is too small, MEMORY. On failure nothing is written.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_probabilities(
    result: *const SegvolResult,
    index: usize,
    values: *mut f32,
    len: usize,
) -> SegvolStatus {
    // SAFETY: NULL or a live result, and `len` floats.
    fence(|| unsafe { copy_map(result, index, values, len, Segmentation::probability_map) })
}

/// Copies one value per voxel to the caller.
///
/// # Safety
/// `result` is NULL or live; `values` is NULL or `len` floats can be written there.
unsafe fn copy_map(
    result: *const SegvolResult,
    index: usize,
    values: *mut f32,
    len: usize,
    map: impl Fn(&Segmentation) -> Result<Vec<f32>, segvol::Error>,
) -> Result<(), Failure> {
    output(values, "values")?;
    // SAFETY: the caller of this function promises it.
    let result = unsafe { handle(result, "result") }?;
    let found = result.segmentations.get(index).ok_or_else(|| beyond(result, index))?;
    let voxels = result.study.grid().voxels();
    if len < voxels {
        return Err(Failure::new(SegvolStatus::Buffer, format!("len: expected at least {voxels}, found {len}")));
    }
    let map = map(found)?;
    // SAFETY: not NULL, aligned, and the caller of this function promises `len` floats, of which `voxels` are used.
    unsafe { values.copy_from_nonoverlapping(map.as_ptr(), voxels) };
    Ok(())
}

/// The floating-point type to which the numbers of a file are rounded.
#[repr(i32)]
#[derive(Clone, Copy, Debug)]
pub enum SegvolFloatType {
    /// Nothing is rounded.
    Float32 = 0,
    /// The numbers are those of float16, in a float32 file, because NIfTI has no float16.
    Float16 = 1,
}

/// Writes the logits of one object to a NIfTI file, float32, on the scan's grid: those of segvol_result_logits().
///
/// - `index`: the object, counted from 0, in the order of the prompts.
/// - `path`: the file. The name must end in .nii, or in .nii.gz for a compressed file.
/// - `float_type`: how the numbers are rounded: a SegvolFloatType.
///
/// The write is atomic, as that of a mask: on failure there is no new file, and an existing file is unchanged.
///
/// Errors: INDEX, ARGUMENT, MEMORY, and WRITE, also if the file is write-protected or the one that the scan was opened from.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_save_logits(
    result: *const SegvolResult,
    index: usize,
    path: *const c_char,
    float_type: i32,
) -> SegvolStatus {
    // SAFETY: NULL or a live result, and a string.
    fence(|| unsafe { save(result, index, path, float_type, Segmentation::logit_map) })
}

/// Writes the probabilities of one object to a NIfTI file, float32, on the scan's grid: those of segvol_result_probabilities().
///
/// - `index`: the object, counted from 0, in the order of the prompts.
/// - `path`: the file. The name must end in .nii, or in .nii.gz for a compressed file.
/// - `float_type`: how the numbers are rounded: a SegvolFloatType.
///
/// The write is atomic, as that of a mask: on failure there is no new file, and an existing file is unchanged.
///
/// Errors: INDEX, ARGUMENT, MEMORY, and WRITE, also if the file is write-protected or the one that the scan was opened from.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_save_probabilities(
    result: *const SegvolResult,
    index: usize,
    path: *const c_char,
    float_type: i32,
) -> SegvolStatus {
    // SAFETY: NULL or a live result, and a string.
    fence(|| unsafe { save(result, index, path, float_type, Segmentation::probability_map) })
}

/// Writes one value per voxel to a file.
///
/// # Safety
/// `result` is NULL or live; `path` is NULL or a string.
unsafe fn save(
    result: *const SegvolResult,
    index: usize,
    path: *const c_char,
    float_type: i32,
    map: impl Fn(&Segmentation) -> Result<Vec<f32>, segvol::Error>,
) -> Result<(), Failure> {
    // SAFETY: the caller of this function promises it.
    let (result, path) = unsafe { (handle(result, "result")?, text(path, "path")?) };
    let float_type = match float_type {
        0 => FloatType::Float32,
        1 => FloatType::Float16,
        other => return Err(unknown("float_type", "one of SegvolFloatType, 0 or 1", other)),
    };
    let found = result.segmentations.get(index).ok_or_else(|| beyond(result, index))?;
    let mut values = map(found)?;
    float_type.round(&mut values);
    save_map(path, &values, result.study.grid()).named("path")
}

/// Makes the mask of one object: 1 inside the object, 0 elsewhere. The masks of several objects can overlap.
///
/// - `index`: the object, counted from 0, in the order of the prompts.
/// - `mask`: receives the mask. The caller owns it and frees it with segvol_mask_free(). Unchanged on failure.
///
/// Errors: INDEX, MEMORY.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_mask(
    result: *const SegvolResult,
    index: usize,
    mask: *mut *mut SegvolMask,
) -> SegvolStatus {
    fence(|| {
        let out = output(mask, "mask")?;
        // SAFETY: NULL or a live result.
        let result = unsafe { handle(result, "result") }?;
        let found = result.segmentations.get(index).ok_or_else(|| beyond(result, index))?;
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolMask(found.mask()?)) };
        Ok(())
    })
}

/// Makes one mask of all objects: 1 for the first object, 2 for the second, and so on, and 0 for the background.
///
/// Where objects overlap, a voxel gets the label of the object for which the model is more confident.
///
/// - `mask`: receives the mask. The caller owns it and frees it with segvol_mask_free(). Unchanged on failure.
///
/// Errors: MEMORY.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_label_map(
    result: *const SegvolResult,
    mask: *mut *mut SegvolMask,
) -> SegvolStatus {
    fence(|| {
        let out = output(mask, "mask")?;
        // SAFETY: NULL or a live result.
        let result = unsafe { handle(result, "result") }?;
        let found = result.study.label_map(&result.segmentations)?;
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolMask(found)) };
        Ok(())
    })
}

/// Gets the warnings about one object, as JSON: a list of objects with `code` and `message`. The list is empty if there
/// are none. Codes keep their names and meanings from version to version; for example, `name_unknown` means that the
/// model was not trained with the text of the prompt, and `mask_empty` that nothing was found.
///
/// Warnings about the scan are in segvol_result_report().
///
/// - `index`: the object, counted from 0, in the order of the prompts.
/// - `json`: receives the list. The caller owns it and frees it with segvol_string_free(). Unchanged on failure.
///
/// Errors: INDEX.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_warnings(
    result: *const SegvolResult,
    index: usize,
    json: *mut *mut c_char,
) -> SegvolStatus {
    fence(|| {
        let out = output(json, "json")?;
        // SAFETY: NULL or a live result.
        let result = unsafe { handle(result, "result") }?;
        let warnings = result.warnings.get_or_init(|| {
            let report = Report::new(&result.model, &result.study, &result.prompts, &result.segmentations);
            report.objects.into_iter().map(|object| object.warnings).collect()
        });
        let warnings = warnings.get(index).ok_or_else(|| beyond(result, index))?;
        let text = serde_json::to_string_pretty(warnings)?;
        // SAFETY: the caller's pointer.
        unsafe { out.write(owned_text(text)) };
        Ok(())
    })
}

/// The failure for an index that is too large.
pub(crate) fn beyond(result: &SegvolResult, index: usize) -> Failure {
    let message = format!("index: expected less than {}, found {index}", result.segmentations.len());
    Failure::new(SegvolStatus::Index, message)
}

/// Makes a report of the call, as JSON.
///
/// It contains the bundle, the provider and precision that ran, the numbers of windows and the times. For each object
/// it contains the volume, the box and the warnings, for example that a point in the air was moved to the body.
///
/// - `json`: receives the report. The caller owns it and frees it with segvol_string_free(). Unchanged on failure.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_report(result: *const SegvolResult, json: *mut *mut c_char) -> SegvolStatus {
    fence(|| {
        let out = output(json, "json")?;
        // SAFETY: NULL or a live result.
        let result = unsafe { handle(result, "result") }?;
        let report = Report::new(&result.model, &result.study, &result.prompts, &result.segmentations);
        let text = report.to_json()?;
        // SAFETY: the caller's pointer.
        unsafe { out.write(owned_text(text)) };
        Ok(())
    })
}

/// Frees a result. Masks that were made from it stay valid. NULL is allowed and does nothing.
///
/// Any thread, but not while another thread uses this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_free(result: *mut SegvolResult) {
    // SAFETY: NULL or a live result that is not used again.
    unsafe { free(result) }
}
