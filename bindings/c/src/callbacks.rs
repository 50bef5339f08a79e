//! The callbacks of a call that segments.

use std::ffi::{c_int, c_void};
use std::ops::ControlFlow;
use std::ptr::null_mut;
use std::sync::{Arc, OnceLock};

use segvol::{Follower, Model, Progress, Prompt, Segmentation, Study};

use crate::arguments::handle;
use crate::failure::Failure;
use crate::fence::fence;
use crate::result::SegvolResult;
use crate::sized::{self, Versioned};
use crate::status::SegvolStatus;

/// A callback that receives the progress of a call and can stop it.
///
/// - `done`: number of windows that are done. The first is the zoom-out window.
/// - `total`: number of all windows of the call.
/// - `user_data`: the pointer that was passed with the callback.
///
/// Returns 0 to continue. Any other number stops the call, which then returns CANCELLED. After the last window the result is
/// complete, and the call returns it anyway.
///
/// It is called after every window, in the thread of the call. It must return: it must not call longjmp(), and no C++
/// exception may leave it. It may call this library, also to free the study.
pub type SegvolProgress = Option<unsafe extern "C" fn(done: usize, total: usize, user_data: *mut c_void) -> c_int>;

/// A callback that receives the coarse masks of a call, and can stop it.
///
/// - `coarse`: the objects as the zoom-out pass has found them, one per prompt, in the order of the prompts. All functions that
///   take a result can be used with it. It belongs to the call and is valid until the callback returns: do not free it. Masks that
///   are made from it belong to the caller, as always, and stay valid.
/// - `user_data`: the pointer that was passed with the callback.
///
/// Returns 0 to continue. Any other number stops the call, which then returns CANCELLED. Without a zoom-in pass, the result is
/// already complete, and the call returns it anyway.
///
/// It is called once, after the first window and before the first SegvolProgress, in the thread of the call, which waits. It must
/// return: it must not call longjmp(), and no C++ exception may leave it. It may call this library, also to free the study.
pub type SegvolCoarse = Option<unsafe extern "C" fn(coarse: *const SegvolResult, user_data: *mut c_void) -> c_int>;

/// The callbacks of a call that segments.
///
/// Initialise it with segvol_callbacks_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SegvolCallbacks {
    /// Set by segvol_callbacks_init().
    pub size: usize,
    /// Receives the progress after every window; NULL for none.
    pub progress: SegvolProgress,
    /// Receives the coarse masks; NULL for none.
    pub coarse: SegvolCoarse,
    /// A pointer that all callbacks receive.
    pub user_data: *mut c_void,
}

// SAFETY: `repr(C)`, the size comes first, all fields are pointers that may be NULL, no padding at the end.
unsafe impl Versioned for SegvolCallbacks {
    const NAME: &'static str = "SegvolCallbacks";
    const FIRST_SIZE: usize = size_of::<Self>();
    const DEFAULT: Self = Self { size: size_of::<Self>(), progress: None, coarse: None, user_data: null_mut() };
}

/// The caller's callbacks; none if `callbacks` is NULL.
///
/// # Safety
/// `callbacks` is NULL or initialised.
pub(crate) unsafe fn read(callbacks: *const SegvolCallbacks) -> Result<SegvolCallbacks, Failure> {
    if callbacks.is_null() {
        return Ok(SegvolCallbacks::DEFAULT);
    }
    // SAFETY: not NULL; the caller of this function promises the rest.
    unsafe { handle(callbacks.cast::<usize>(), "callbacks") }?;
    // SAFETY: aligned and initialised.
    unsafe { sized::read(callbacks, "callbacks") }
}

/// Sets all callbacks to NULL.
///
/// - `size`: sizeof(SegvolCallbacks).
///
/// Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_callbacks_init(callbacks: *mut SegvolCallbacks, size: usize) -> SegvolStatus {
    // SAFETY: NULL or `size` bytes, as the rules of the header require.
    fence(|| unsafe { sized::init(callbacks, size, "callbacks") })
}

/// Calls the callbacks of the caller.
pub(crate) struct Caller<'a> {
    pub(crate) callbacks: &'a SegvolCallbacks,
    pub(crate) study: &'a Arc<Study>,
    pub(crate) model: &'a Model,
    pub(crate) prompts: &'a [Prompt],
}

impl Follower for Caller<'_> {
    fn coarse(&mut self, coarse: &[Segmentation]) -> ControlFlow<()> {
        let Some(callback) = self.callbacks.coarse else { return ControlFlow::Continue(()) };
        let result = SegvolResult {
            study: Arc::clone(self.study),
            model: self.model.clone(),
            prompts: self.prompts.to_vec(),
            segmentations: coarse.to_vec(),
            warnings: OnceLock::new(),
        };
        // SAFETY: the caller's callback, with the `user_data` that belongs to it.
        answered(unsafe { callback(&raw const result, self.callbacks.user_data) })
    }

    fn progress(&mut self, Progress { done, total }: Progress) -> ControlFlow<()> {
        // SAFETY: as above.
        answered(
            self.callbacks.progress.map_or(0, |callback| unsafe { callback(done, total, self.callbacks.user_data) }),
        )
    }
}

fn answered(answer: c_int) -> ControlFlow<()> {
    if answer == 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}
