//! How a caller follows a call, and stops it.

use std::ops::ControlFlow;

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Windows that are done, of all objects together.
    pub done: usize,
    /// Windows that may be needed. Known once the zoom-out pass, which counts as the first window, has found the regions of
    /// interest.
    pub total: usize,
}

/// Follows the progress of a call. It is called after every window, on the caller's thread; it returns
/// [`ControlFlow::Continue`] to go on, or [`ControlFlow::Break`] to stop the call with
/// [`Error::Cancelled`](crate::Error::Cancelled).
pub type Observer<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;
