//! Runs work of the runtime beside the interpreter: other threads of Python go on, callbacks are called, and Ctrl-C stops it.

use std::ops::ControlFlow;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;
use segvol::{Cancellation, Error, ErrorKind, Observer, Progress};

use crate::errors::{self, Raise as _};

/// How often the interpreter may handle signals while the work runs.
const SIGNALS: Duration = Duration::from_millis(50);

enum Event<T> {
    Progress(Progress),
    Done(Result<T, Error>),
}

/// Runs `work` on a thread of its own. After each window, `progress` is called with the windows that are done and their total, on
/// this thread. An exception in it, or a signal such as Ctrl-C, stops the work and is raised when it has stopped.
pub(crate) fn run<T: Send>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&mut Observer<'_>, &Cancellation) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let cancellation = &Cancellation::new();
    let (sender, receiver) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut observer = |progress| {
                let listens = sender.send(Event::Progress(progress)).is_ok() && !cancellation.is_requested();
                if listens { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            let done = work(&mut observer, cancellation);
            // Whoever started this thread waits for it.
            let _ = sender.send(Event::Done(done));
        });
        let mut receiver = receiver;
        let mut stopped: Option<PyErr> = None;
        loop {
            let received;
            (received, receiver) = py.detach(move || (receiver.recv_timeout(SIGNALS), receiver));
            let told = match (received, progress) {
                (Ok(Event::Done(done)), _) => {
                    return stopped.map_or_else(|| done.raise(py), Err);
                }
                (Ok(Event::Progress(at)), Some(progress)) if stopped.is_none() => {
                    progress.call1((at.done, at.total)).map(drop)
                }
                (Ok(Event::Progress(_)), _) => Ok(()),
                (Err(RecvTimeoutError::Timeout), _) => py.check_signals(),
                // The work has panicked, and so will the end of this scope.
                (Err(RecvTimeoutError::Disconnected), _) => {
                    return Err(errors::raised(py, ErrorKind::Runtime, "the work has ended without a result"));
                }
            };
            if let Err(error) = told {
                cancellation.request();
                stopped.get_or_insert(error);
            }
        }
    })
}
