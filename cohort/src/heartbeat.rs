//! A thread that gives signs of life.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::CohortError;
use crate::folder::{Folder, io};

/// How often a worker gives a sign of life.
pub(crate) const BEAT: Duration = Duration::from_secs(5);

/// The thread. It ends when this is dropped.
pub(crate) struct Heartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Starts the thread.
    pub(crate) fn start(folder: &Arc<Folder>, every: Duration) -> Result<Self, CohortError> {
        let (stop, stopped) = mpsc::channel::<()>();
        let worker = Arc::clone(folder);
        let beats = move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = worker.beat() {
                    tracing::debug!("no sign of life: {error}");
                }
            }
        };
        let thread = thread::Builder::new().name("segvol-heartbeat".to_owned()).spawn(beats);
        let file = folder.worker_file(&folder.me().token);
        Ok(Self { stop: Some(stop), thread: Some(thread.map_err(io(&file))?) })
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
