//! What belongs to the process that opened it.

use std::ops::Deref;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use segvol_base::ErrorKind;

use crate::errors::Failure;

/// The process that has opened a model; 0 if none has. A fork inherits it.
static OPENED: AtomicU32 = AtomicU32::new(0);

/// A model, or what holds one, in the process that opened it. A fork has none of its threads: whatever needs them would wait forever,
/// and freeing the model there ends the process. So the fork can do neither.
pub(crate) struct OfProcess<T> {
    /// `None` only while it is dropped.
    value: Option<T>,
    process: u32,
}

impl<T> OfProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value), process: process::id() }
    }

    /// Refuses to work in another process.
    pub(crate) fn here(&self) -> Result<&T, Failure> {
        if self.process == process::id() { Ok(self) } else { Err(forked()) }
    }
}

impl<T> Deref for OfProcess<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is not being dropped")
    }
}

impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if self.process != process::id() {
            std::mem::forget(self.value.take());
        }
    }
}

/// Notes that this process opens a model, or refuses if it was forked from one that has.
pub(crate) fn opens() -> Result<(), Failure> {
    let this = process::id();
    match OPENED.compare_exchange(0, this, Ordering::Relaxed, Ordering::Relaxed) {
        Err(other) if other != this => Err(forked()),
        _ => Ok(()),
    }
}

fn forked() -> Failure {
    Failure::new(
        ErrorKind::Runtime,
        "this process was forked from one that has opened a model, so it can neither use that model nor open another. Start processes \
         before the first model is opened, or with the start method \"spawn\"",
    )
}
