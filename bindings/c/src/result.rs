//! Several objects of one call.

use std::ffi::c_char;
use std::sync::Arc;

use segvol::{Model, Prompt, Report, Segmentation, Study};

use crate::arguments::{free, handle, output, owned_text};
use crate::failure::Failure;
use crate::fence::{fence, fence_value};
use crate::mask::SegvolMask;
use crate::status::SegvolStatus;

/// The objects of one call. It shares its study's image and embeddings: memory of both is free when the last of them is.
pub struct SegvolResult {
    pub(crate) study: Arc<Study>,
    pub(crate) model: Model,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) segmentations: Vec<Segmentation>,
}

/// How many objects there are: as many as prompts. 0 for NULL.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_len(result: *const SegvolResult) -> usize {
    // SAFETY: NULL or a live result.
    fence_value(0, || unsafe { handle(result, "result") }.map_or(0, |result| result.segmentations.len()))
}

/// The mask of one object, counted from 0: 1 in the object, 0 elsewhere; masks of objects may overlap. `*mask` is the
/// caller's, to be freed with segvol_mask_free().
///
/// INDEX, MEMORY. Any thread.
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
        let found = result.segmentations.get(index).ok_or_else(|| {
            let message = format!("index: expected less than {}, found {index}", result.segmentations.len());
            Failure::new(SegvolStatus::Index, message)
        })?;
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolMask(found.mask()?)) };
        Ok(())
    })
}

/// All objects in one mask: 1 for the first, 2 for the second, and so on, 0 for none; where they overlap, the one that the
/// model is surer of. `*mask` is the caller's, to be freed with segvol_mask_free().
///
/// MEMORY. Any thread.
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

/// What was done, as JSON text: bundle, provider and precision that ran, windows, times; volume, box and warnings per object,
/// such as that a point in the air was moved to the body. `*json` is the caller's, to be freed with segvol_string_free().
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

/// Frees a result. Masks of it stay whole. NULL is nothing.
///
/// Any thread, when no other uses this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_result_free(result: *mut SegvolResult) {
    // SAFETY: NULL or a live result that is not used again.
    unsafe { free(result) }
}
