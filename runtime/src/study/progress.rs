//! What a call to a study hands out while it runs, and how a caller can stop it.

use std::ops::ControlFlow;

use super::segmentation::Segmentation;
use super::window_plan::WindowPlan;

/// Progress of a call to a study, in windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Number of windows that are done, of all objects together.
    pub done: usize,
    /// Number of windows that may be needed, of all objects together. The zoom-out pass counts as the first window; it finds
    /// the regions of interest, from which the number follows.
    pub total: usize,
}

/// A callback that observes the progress of a call. It is called after every window, on the caller's thread. It returns
/// [`ControlFlow::Continue`] to continue, or [`ControlFlow::Break`] to stop the call with
/// [`Error::Cancelled`](crate::Error::Cancelled). After the last window the result is complete, and the call returns it anyway.
pub type Observer<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Follows a call while it runs: the coarse segmentations, then the progress. Both are handed over on the caller's thread,
/// and the call waits until the method returns.
///
/// A method returns [`ControlFlow::Continue`] to continue, or [`ControlFlow::Break`] to stop the call with
/// [`Error::Cancelled`](crate::Error::Cancelled). As with an [`Observer`], a result that is already complete is returned anyway.
pub trait Follower {
    /// Receives what the zoom-out pass has found, one segmentation per prompt, in the order of the prompts. It is called once
    /// in a call, before the first progress, also if no zoom-in pass follows.
    ///
    /// Only one window has been encoded by then. [`Segmentation::mask`] gives the coarse mask on the scan's grid,
    /// [`Segmentation::region_of_interest`] the region that the zoom-in pass will look at. The warnings are those about the
    /// prompt; those about the mask follow with the result. A clone shares the logits, so it is cheap.
    fn coarse(&mut self, coarse: &[Segmentation]) -> ControlFlow<()> {
        let _ = coarse;
        ControlFlow::Continue(())
    }

    /// Receives what the zoom-in pass will compute. It is called once in a call, after [`Follower::coarse`].
    fn planned(&mut self, plan: &WindowPlan) -> ControlFlow<()> {
        let _ = plan;
        ControlFlow::Continue(())
    }

    /// Receives the progress after every window.
    fn progress(&mut self, progress: Progress) -> ControlFlow<()> {
        let _ = progress;
        ControlFlow::Continue(())
    }
}

/// A follower that asks for the progress only.
pub(crate) struct Observed<'a, 'b>(pub(crate) &'a mut Observer<'b>);

impl Follower for Observed<'_, '_> {
    fn progress(&mut self, progress: Progress) -> ControlFlow<()> {
        (self.0)(progress)
    }
}
