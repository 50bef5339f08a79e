//! A study: one scan that is ready for prompts.

use std::ffi::c_void;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use segvol::{Cancellation, Error, Follower, Model, Progress, Prompt, Segmentation, Study};

use crate::arguments::{free, handle, output};
use crate::callbacks::{Caller, SegvolCallbacks, SegvolProgress, read};
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

/// One scan that is ready for prompts.
///
/// A study caches the image embeddings of the windows that it has encoded. A second prompt therefore takes a small part
/// of the time of the first.
pub struct SegvolStudy {
    pub(crate) study: Arc<Study>,
    pub(crate) model: Model,
    calls: Arc<Calls>,
}

/// The calls that segment with a study at this moment.
#[derive(Default)]
struct Calls {
    cancellation: Cancellation,
    /// The windows of all of them together.
    windows: Mutex<Windows>,
}

#[derive(Clone, Copy, Default)]
struct Windows {
    done: usize,
    total: usize,
}

impl Calls {
    /// A sum is consistent after every change, so a panic elsewhere does not invalidate it.
    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Segments, counts the windows, and can be stopped from another thread.
    fn segment(
        &self,
        study: &Study,
        prompts: &[Prompt],
        argument: &str,
        follower: &mut dyn Follower,
    ) -> Result<Vec<Segmentation>, Failure> {
        let mut call = Call { calls: self, windows: Windows::default(), follower };
        study.segment_followed(prompts, &mut call, &self.cancellation).map_err(|error| match error {
            Error::Cancelled if self.cancellation.is_requested() => {
                let message = "cancelled by segvol_study_cancel(); segvol_study_resume() lets the study segment again";
                Failure::new(SegvolStatus::Cancelled, message)
            }
            error @ (Error::Prompt(_) | Error::Tokenizer(_)) => Failure::from(error).of(argument),
            error => error.into(),
        })
    }
}

/// The share of one call in the sum, and who else follows the call.
struct Call<'a> {
    calls: &'a Calls,
    windows: Windows,
    follower: &'a mut dyn Follower,
}

impl Follower for Call<'_> {
    fn coarse(&mut self, coarse: &[Segmentation]) -> ControlFlow<()> {
        self.follower.coarse(coarse)
    }

    fn progress(&mut self, now: Progress) -> ControlFlow<()> {
        self.count(Windows { done: now.done, total: now.total });
        self.follower.progress(now)
    }
}

/// Follows nothing.
struct Alone;

impl Follower for Alone {}

impl Call<'_> {
    fn count(&mut self, now: Windows) {
        let mut sum = self.calls.windows();
        sum.done = sum.done - self.windows.done + now.done;
        sum.total = sum.total - self.windows.total + now.total;
        self.windows = now;
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.count(Windows::default());
    }
}

/// What a study has done since it was made, and what it is doing.
///
/// Initialise it with segvol_study_statistics_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SegvolStudyStatistics {
    /// Set by segvol_study_statistics_init().
    pub size: usize,
    /// Number of windows that the image encoder has encoded. Encoding takes nearly all of the time.
    pub windows_encoded: u64,
    /// Number of times that a cached embedding was used instead.
    pub windows_reused: u64,
    /// Number of windows that the calls that segment with the study at this moment have done; 0 if there is no such call.
    pub windows_done: u64,
    /// Number of windows that these calls need. A call that has not finished its first window counts as 0.
    pub windows_total: u64,
    /// Number of windows whose embeddings were read from the folder `embeddings` of SegvolOptions, instead of encoding them.
    pub windows_loaded: u64,
}

// SAFETY: `repr(C)`, the size comes first, all fields are numbers, no padding at the end.
unsafe impl Versioned for SegvolStudyStatistics {
    const NAME: &'static str = "SegvolStudyStatistics";
    const FIRST_SIZE: usize = std::mem::offset_of!(Self, windows_done);
    const DEFAULT: Self = Self {
        size: size_of::<Self>(),
        windows_encoded: 0,
        windows_reused: 0,
        windows_done: 0,
        windows_total: 0,
        windows_loaded: 0,
    };
}

/// Prepares a scan for prompts: turns it to the axes that the model expects, normalises its intensities and crops it to the body.
///
/// - `model`, `volume`: the study keeps what it needs of both, so they may be freed afterwards.
/// - `options`: NULL for the options with which the model was opened. Otherwise `zoom_in`, `overlap`, `orientation`, `axes`,
///   `profile`, `threshold`, `effort`, `independent`, `cache_bytes`, `embeddings` and `embeddings_bytes` are used for this study,
///   and the other fields are ignored.
/// - `study`: receives the study. The caller owns it and frees it with segvol_study_free(). Unchanged on failure.
///
/// Errors: INTENSITY, OPTION, ARGUMENT, MEMORY.
/// Any thread. Several threads can use one model.
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
            model.model.study_with(&volume.0, &model.study_options)
        } else {
            // SAFETY: initialised options.
            let (_, options) = unsafe { self::options(options) }?;
            model.model.study_with(&volume.0, &options)
        };
        let made = made.map_err(|error| match error {
            Error::Setting { .. } => Failure::from(error), // The message names the option.
            error => Failure::from(error).of("volume"),
        })?;
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolStudy { study: Arc::new(made), model: model.model.clone(), calls: Arc::default() }) };
        Ok(())
    })
}

/// Segments one object.
///
/// - `prompt`: what to segment, initialised with segvol_prompt_init().
/// - `mask`: receives the mask, on the scan's grid: 1 inside the object, 0 elsewhere. The caller owns it and frees it
///   with segvol_mask_free(). Unchanged on failure.
///
/// While it runs, another thread can ask for its progress with segvol_study_statistics(), and stop it with
/// segvol_study_cancel().
///
/// Errors: PROMPT, OUTSIDE_SCAN, TEXT, ARGUMENT, CANCELLED, RUN, NOT_FINITE, MEMORY, and BUNDLE if a file of the bundle was
/// changed after it was opened.
/// Any thread. Calls on one study, and on studies of one model, wait for each other while they need the same graph.
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
        let found = study.calls.segment(&study.study, &prompts, "prompt", &mut Alone)?;
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolMask(found[0].mask()?)) };
        Ok(())
    })
}

/// Segments several objects. Windows that they share are encoded once.
///
/// - `prompts`: `prompts_len` prompts without gaps between them, all with the same `size`.
/// - `progress`: the callback for progress, or NULL for none.
/// - `user_data`: a pointer that the callback receives.
/// - `result`: receives the result, with one object per prompt, in the order of the prompts. The caller owns it and
///   frees it with segvol_result_free(). Unchanged on failure.
///
/// Errors: CANCELLED, and those of segvol_study_segment().
/// Any thread, as for segvol_study_segment().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_study_segment_all(
    study: *const SegvolStudy,
    prompts: *const SegvolPrompt,
    prompts_len: usize,
    progress: SegvolProgress,
    user_data: *mut c_void,
    result: *mut *mut SegvolResult,
) -> SegvolStatus {
    let callbacks = SegvolCallbacks { progress, user_data, ..SegvolCallbacks::DEFAULT };
    // SAFETY: as the rules of the header require.
    fence(|| unsafe { segment_all(study, prompts, prompts_len, &callbacks, result) })
}

/// As segvol_study_segment_all(), with more callbacks: one receives the coarse masks as soon as they exist, which is after
/// the first window.
///
/// - `callbacks`: initialised with segvol_callbacks_init(). NULL for none.
/// - `result`: receives the result, with one object per prompt, in the order of the prompts. The caller owns it and
///   frees it with segvol_result_free(). Unchanged on failure.
///
/// Errors: those of segvol_study_segment_all().
/// Any thread, as for segvol_study_segment().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_study_segment_with(
    study: *const SegvolStudy,
    prompts: *const SegvolPrompt,
    prompts_len: usize,
    callbacks: *const SegvolCallbacks,
    result: *mut *mut SegvolResult,
) -> SegvolStatus {
    fence(|| {
        // SAFETY: NULL or initialised callbacks.
        let callbacks = unsafe { read(callbacks) }?;
        // SAFETY: as the rules of the header require.
        unsafe { segment_all(study, prompts, prompts_len, &callbacks, result) }
    })
}

/// Segments several objects, with callbacks.
///
/// # Safety
/// The pointers are NULL or as the rules of the header require.
unsafe fn segment_all(
    study: *const SegvolStudy,
    prompts: *const SegvolPrompt,
    prompts_len: usize,
    callbacks: &SegvolCallbacks,
    result: *mut *mut SegvolResult,
) -> Result<(), Failure> {
    let out = output(result, "result")?;
    // SAFETY: NULL or a live study.
    let study = unsafe { handle(study, "study") }?;
    // A callback may free the handle of the study, so the call has its own share.
    let (study, model, calls) = (Arc::clone(&study.study), study.model.clone(), Arc::clone(&study.calls));
    // SAFETY: NULL or as many initialised prompts.
    let prompts = unsafe { self::prompts(prompts, prompts_len) }?;
    let mut caller = Caller { callbacks, study: &study, model: &model, prompts: &prompts };
    let segmentations = calls.segment(&study, &prompts, "prompts", &mut caller)?;
    // SAFETY: the caller's pointer.
    unsafe { out.give(SegvolResult { study, model, prompts, segmentations, warnings: OnceLock::new() }) };
    Ok(())
}

/// Stops the calls that segment with a study, from any thread. They return CANCELLED soon, also in the middle of a window:
/// ONNX Runtime stops before the next node of its graph. A call that has finished its last window returns its result.
///
/// Calls that begin later also return CANCELLED, until segvol_study_resume(). So it does not matter whether another thread has
/// already begun its call. The study keeps the windows that it has encoded.
///
/// Any thread, also in a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_study_cancel(study: *const SegvolStudy) -> SegvolStatus {
    fence(|| {
        // SAFETY: NULL or a live study.
        unsafe { handle(study, "study") }?.calls.cancellation.request();
        Ok(())
    })
}

/// Lets a study segment again after segvol_study_cancel(). Does nothing if the study was not cancelled.
///
/// Call it when the cancelled calls have returned: a call that has not noticed yet that it is cancelled goes on.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_study_resume(study: *const SegvolStudy) -> SegvolStatus {
    fence(|| {
        // SAFETY: NULL or a live study.
        unsafe { handle(study, "study") }?.calls.cancellation.withdraw();
        Ok(())
    })
}

/// Gets the number of voxels along the axes i, j, k of the scan.
///
/// - `shape`: receives three numbers. Unchanged on failure.
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

/// Sets `size` of the struct, and all other fields to 0.
///
/// - `size`: sizeof(SegvolStudyStatistics).
///
/// Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_study_statistics_init(
    statistics: *mut SegvolStudyStatistics,
    size: usize,
) -> SegvolStatus {
    // SAFETY: NULL or `size` bytes, as the rules of the header require.
    fence(|| unsafe { sized::init(statistics, size, "statistics") })
}

/// Gets what a study has done since it was made, and how far the calls are that segment with it at this moment.
///
/// - `statistics`: receives the numbers. It must be initialised. Unchanged on failure.
///
/// Errors: ARGUMENT if `statistics` is not initialised.
/// Any thread, also while another thread segments with the study.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_study_statistics(
    study: *const SegvolStudy,
    statistics: *mut SegvolStudyStatistics,
) -> SegvolStatus {
    fence(|| {
        output(statistics, "statistics")?;
        // SAFETY: NULL or a live study.
        let study = unsafe { handle(study, "study") }?;
        let (found, windows) = (study.study.statistics(), *study.calls.windows());
        let found = SegvolStudyStatistics {
            windows_encoded: found.windows_encoded as u64,
            windows_reused: found.windows_reused as u64,
            windows_done: windows.done as u64,
            windows_total: windows.total as u64,
            windows_loaded: found.windows_loaded as u64,
            ..SegvolStudyStatistics::DEFAULT
        };
        // SAFETY: not NULL, and initialised.
        unsafe { sized::fill(statistics, &found, "statistics") }
    })
}

/// Frees a study. Results that were made with it stay valid. NULL is allowed and does nothing.
///
/// Any thread, but not while another thread uses this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_study_free(study: *mut SegvolStudy) {
    // SAFETY: NULL or a live study that is not used again.
    unsafe { free(study) }
}
