//! Progress of a call, and how a caller can stop it.

use std::ops::ControlFlow;

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
