//! One scan, ready for prompts.

use std::ffi::{c_int, c_void};
use std::ops::ControlFlow;
use std::sync::Arc;

use segvol::{Error, Model, Progress, Study};

use crate::arguments::{free, handle, output};
use crate::failure::Failure;
use crate::fence::fence;
use crate::mask::SegvolMask;
use crate::model::SegvolModel;
use crate::options::{SegvolOptions, options};
use crate::prompt::{SegvolPrompt, prompts};
use crate::result::SegvolResult;
use crate::sized::{self, Versioned};
use crate::status::SegvolStatus;
use crate::volume::SegvolVolume;

/// One scan, ready for prompts. It keeps the image embeddings of the windows that it has met, so that the next prompt costs
/// a small part of the first.
pub struct SegvolStudy {
    pub(crate) study: Arc<Study>,
    pub(crate) model: Model,
}

/// Is told how far a call has come: `done` of `total` windows, the first of them the zoom-out window. Gives 0 to go on;
/// anything else ends the call with CANCELLED. It runs in the thread of the call, after every window.
///
/// It must return: no longjmp, and no C++ exception may leave it. It may call this library, and free what the call does
/// not use.
pub type SegvolProgress = Option<unsafe extern "C" fn(done: usize, total: usize, user_data: *mut c_void) -> c_int>;

/// What a study has done since it was made. Set `size` with segvol_study_statistics_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SegvolStudyStatistics {
    /// Set by segvol_study_statistics_init().
    pub size: usize,
    /// Windows that went through the image encoder, which is nearly all of the time.
    pub windows_encoded: u64,
    /// Times that a kept embedding served one more object or call instead.
    pub windows_reused: u64,
}

// SAFETY: `repr(C)`, the size first, numbers alone, no padding at the end.
unsafe impl Versioned for SegvolStudyStatistics {
    const NAME: &'static str = "SegvolStudyStatistics";
    const FIRST_SIZE: usize = size_of::<Self>();
    const DEFAULT: Self = Self { size: size_of::<Self>(), windows_encoded: 0, windows_reused: 0 };
}

/// Prepares a scan: turned to the patient's axes, normalised, cropped to the body.
///
/// `options`: NULL for those that the model was opened with; else zoom_in, overlap, orientation, profile and cache_bytes
/// count for this scan, and the rest stays the model's. The study keeps what it needs of model and volume: both may be
/// freed. `*study` is the caller's, to be freed with segvol_study_free().
///
/// INTENSITY, OPTION, ARGUMENT, MEMORY. Any thread; one model serves several threads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_study_new(
    model: *const SegvolModel,
    volume: *const SegvolVolume,
    options: *const SegvolOptions,
    study: *mut *mut SegvolStudy,
) -> SegvolStatus {
    fence(|| {
        let out = output(study, "study")?;
        // SAFETY: NULL or live handles.
        let (model, volume) = unsafe { (handle(model, "model")?, handle(volume, "volume")?) };
        let made = if options.is_null() {
            model.0.study(&volume.0)
        } else {
            // SAFETY: initialised options.
            let options = unsafe { self::options(options) }?;
            model.0.study_with(&volume.0, &options)
        };
        let made = made.map_err(|error| match error {
            Error::Setting { .. } => Failure::from(error), // It names the option.
            error => Failure::from(error).of("volume"),
        })?;
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolStudy { study: Arc::new(made), model: model.0.clone() }) };
        Ok(())
    })
}

/// Segments one object. `*mask` is the caller's, to be freed with segvol_mask_free(): 1 in the object, 0 elsewhere, on the
/// scan's grid.
///
/// PROMPT, OUTSIDE_SCAN, TEXT, ARGUMENT, RUN, NOT_FINITE, MEMORY, and BUNDLE where its files were written to since it was
/// opened. Any thread; calls on one study, or on studies of one model, take turns where they need the same graph.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_study_segment(
    study: *const SegvolStudy,
    prompt: *const SegvolPrompt,
    mask: *mut *mut SegvolMask,
) -> SegvolStatus {
    fence(|| {
        let out = output(mask, "mask")?;
        // SAFETY: NULL or a live study.
        let study = unsafe { handle(study, "study") }?;
        // SAFETY: NULL or one initialised prompt.
        let prompts = unsafe { prompts(prompt, 1) }?;
        let found = study.study.segment(&prompts[0]).map_err(|error| refused(error, "prompt"))?;
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolMask(found.mask()?)) };
        Ok(())
    })
}

/// Names the argument where the error is about one.
fn refused(error: Error, argument: &str) -> Failure {
    let about_prompts = matches!(error, Error::Prompt(_) | Error::Tokenizer(_));
    let failure = Failure::from(error);
    if about_prompts { failure.of(argument) } else { failure }
}

/// Segments several objects: windows that they share are encoded once. The prompts stand one after the other, all of one
/// `size`.
///
/// `progress`: NULL for none; `user_data` is handed to it. `*result` is the caller's, to be freed with
/// segvol_result_free(); it has one object per prompt, in their order.
///
/// CANCELLED, and as for segvol_study_segment(). Any thread, likewise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_study_segment_all(
    study: *const SegvolStudy,
    prompts: *const SegvolPrompt,
    prompts_len: usize,
    progress: SegvolProgress,
    user_data: *mut c_void,
    result: *mut *mut SegvolResult,
) -> SegvolStatus {
    fence(|| {
        let out = output(result, "result")?;
        // SAFETY: NULL or a live study.
        let study = unsafe { handle(study, "study") }?;
        // The callback may free the handle.
        let (study, model) = (Arc::clone(&study.study), study.model.clone());
        // SAFETY: NULL or as many initialised prompts.
        let prompts = unsafe { self::prompts(prompts, prompts_len) }?;
        let segmentations = study.segment_observed(&prompts, &mut |Progress { done, total }| {
            // SAFETY: the caller's function, with the caller's data.
            let answer = progress.map_or(0, |progress| unsafe { progress(done, total, user_data) });
            if answer == 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let segmentations = segmentations.map_err(|error| refused(error, "prompts"))?;
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolResult { study, model, prompts, segmentations }) };
        Ok(())
    })
}

/// The number of voxels along the scan's axes i, j, k.
///
/// Any thread.
/// cbindgen:ptrs-as-arrays=[[shape;3]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_study_shape(study: *const SegvolStudy, shape: *mut usize) -> SegvolStatus {
    fence(|| {
        let out = output(shape.cast::<[usize; 3]>(), "shape")?;
        // SAFETY: NULL or a live study.
        let study = unsafe { handle(study, "study") }?;
        // SAFETY: the caller's three numbers.
        unsafe { out.write(study.study.grid().shape_xyz()) };
        Ok(())
    })
}

/// Sets `size`. `size`: sizeof(SegvolStudyStatistics).
///
/// ARGUMENT. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_study_statistics_init(
    statistics: *mut SegvolStudyStatistics,
    size: usize,
) -> SegvolStatus {
    // SAFETY: NULL, or `size` bytes, as the header's first page asks.
    fence(|| unsafe { sized::init(statistics, size, "statistics") })
}

/// What the study has done since it was made.
///
/// ARGUMENT. Any thread, also while another segments.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_study_statistics(
    study: *const SegvolStudy,
    statistics: *mut SegvolStudyStatistics,
) -> SegvolStatus {
    fence(|| {
        output(statistics, "statistics")?;
        // SAFETY: NULL or a live study.
        let study = unsafe { handle(study, "study") }?;
        let found = study.study.statistics();
        let found = SegvolStudyStatistics {
            windows_encoded: found.windows_encoded as u64,
            windows_reused: found.windows_reused as u64,
            ..SegvolStudyStatistics::DEFAULT
        };
        // SAFETY: not NULL, and initialised.
        unsafe { sized::fill(statistics, &found, "statistics") }
    })
}

/// Frees a study. Results of it stay whole. NULL is nothing.
///
/// Any thread, when no other uses this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_study_free(study: *mut SegvolStudy) {
    // SAFETY: NULL or a live study that is not used again.
    unsafe { free(study) }
}
