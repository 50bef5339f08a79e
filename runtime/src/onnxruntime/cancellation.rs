//! Stops calls from another thread, also while ONNX Runtime runs a graph.
//!
//! All sessions of a call run in the thread of its caller, under a cancellation ([`Cancellation::during`]). Every run has its
//! own options, through which a request ends it before its next node.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort::session::RunOptions;

use crate::error::Error;

/// A request to stop calls, which any thread may make. Clones share it.
///
/// Until [`Cancellation::withdraw`], calls under it end with [`Error::Cancelled`]: those that run now, and those that begin
/// later. ONNX Runtime stops before the next node of the graph, so a call ends within a fraction of a window, unless the provider
/// has fused the graph into one node. A call that has run its last graph returns its result.
///
/// [`Error::Cancelled`]: crate::Error::Cancelled
#[derive(Clone, Default)]
pub struct Cancellation(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    requested: bool,
    /// The runs of sessions at this moment, and whether each was stopped.
    runs: BTreeMap<u64, (Arc<RunOptions>, bool)>,
    next: u64,
}

thread_local! {
    /// That of the call that this thread is in.
    static CURRENT: RefCell<Cancellation> = RefCell::default();
}

impl Cancellation {
    /// A cancellation that nobody has requested.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the calls under this cancellation.
    pub fn request(&self) {
        let mut state = self.state();
        state.requested = true;
        for (options, stopped) in state.runs.values_mut() {
            *stopped = options.terminate().is_ok();
        }
    }

    /// Lets calls run again. A call that has not noticed the request may go on.
    pub fn withdraw(&self) {
        self.state().requested = false;
    }

    /// Whether calls are stopped.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.state().requested
    }

    /// Does work under this cancellation.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        /// Puts the outer call's back, also after a panic.
        struct Outer(Cancellation);
        impl Drop for Outer {
            fn drop(&mut self) {
                CURRENT.with(|current| std::mem::swap(&mut *current.borrow_mut(), &mut self.0));
            }
        }
        let _outer = Outer(CURRENT.replace(self.clone()));
        work()
    }

    /// The state is consistent after every change, so a panic elsewhere does not invalidate it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellation").field("requested", &self.is_requested()).finish_non_exhaustive()
    }
}

/// Runs a session under the cancellation of this thread's call. `failed` makes an error of ONNX Runtime's.
///
/// # Errors
///
/// [`Error::Cancelled`] if the call is to stop before or during the run; otherwise that of `failed`.
pub(super) fn run<T>(
    failed: impl Fn(&ort::Error) -> Error,
    work: impl FnOnce(&RunOptions) -> ort::Result<T>,
) -> Result<T, Error> {
    run_with(None, failed, work)
}

/// As [`run`], with an entry in the options of the run: a key and its value.
///
/// # Errors
///
/// As for [`run`].
pub(super) fn run_with<T>(
    entry: Option<(&str, &str)>,
    failed: impl Fn(&ort::Error) -> Error,
    work: impl FnOnce(&RunOptions) -> ort::Result<T>,
) -> Result<T, Error> {
    let cancellation = CURRENT.with_borrow(Cancellation::clone);
    let mut options = RunOptions::new().map_err(|error| failed(&error))?;
    if let Some((key, value)) = entry {
        options.set(key, value).map_err(|error| failed(&error))?;
    }
    let options = Arc::new(options);
    let id = {
        let mut state = cancellation.state();
        if state.requested {
            return Err(Error::Cancelled);
        }
        state.next += 1;
        let id = state.next;
        state.runs.insert(id, (Arc::clone(&options), false));
        id
    };
    let result = work(&options);
    let stopped = cancellation.state().runs.remove(&id).is_some_and(|(_, stopped)| stopped);
    // ONNX Runtime's error for a run that was stopped has no code of its own.
    result.map_err(|error| if stopped { Error::Cancelled } else { failed(&error) })
}

#[cfg(test)]
mod tests {
    use ort::session::Session;
    use ort::value::TensorRef;
    use segvol_onnx::{Dim, Graph, TensorSpec, save};

    use super::*;
    use crate::onnxruntime::library;

    /// A session that doubles two numbers.
    fn session() -> Session {
        let (graph, spec) = (Graph::new("double"), |name| TensorSpec::float(name, [Dim::Fixed(1), Dim::Fixed(2)]));
        let x = graph.input(&spec("x"));
        let weight = graph.floats("weight", &[2, 2], &[2.0, 0.0, 0.0, 2.0]);
        graph.output(&spec("y"), &graph.mat_mul(&x, &weight));
        let folder = tempfile::tempdir().expect("a folder");
        save::save_model(folder.path(), "double.onnx", &graph.to_model()).expect("saved");
        let environment = library::environment(None, &[]).expect("ONNX Runtime");
        let mut builder = Session::builder(&environment).expect("a builder");
        builder.commit_from_file(folder.path().join("double.onnx")).expect("a session")
    }

    #[test]
    fn a_run_is_stopped_before_it_begins_and_in_its_middle_but_not_after_its_end() {
        let (mut session, cancellation) = (session(), Cancellation::new());
        let failed = |error: &ort::Error| Error::Setting { name: "run", expected: "success", found: error.to_string() };
        let mut run_and = |before: &dyn Fn(), after: &dyn Fn()| {
            cancellation.during(|| {
                run(failed, |options| {
                    before();
                    let x = TensorRef::from_array_view(([1, 2], &[1.0_f32, 3.0][..]))?;
                    let y =
                        session.run_with_options(vec![("x", x)], options)?["y"].try_extract_tensor::<f32>()?.1.to_vec();
                    after();
                    Ok(y)
                })
            })
        };
        let request = || cancellation.request();
        assert!(matches!(run_and(&request, &|| {}), Err(Error::Cancelled)), "ONNX Runtime stops before its next node");
        assert!(matches!(run_and(&|| {}, &|| {}), Err(Error::Cancelled)), "a request stays");
        cancellation.withdraw();
        let both = || {
            cancellation.request();
            cancellation.withdraw();
        };
        assert!(matches!(run_and(&both, &|| {}), Err(Error::Cancelled)), "a stopped run is not a failed one");
        assert_eq!(run_and(&|| {}, &request).expect("complete"), [2.0, 6.0]);
        assert!(cancellation.is_requested());
        assert_eq!(Cancellation::new().during(|| run(failed, |_| Ok(7))).expect("another call"), 7);
    }
}
