//! What all requests share: the model, the sessions, the queue, the figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use segvol::Model;
use tokio::sync::{Semaphore, watch};

use crate::metrics::Metrics;
use crate::session::Sessions;
use crate::session::memory::Memory;
use crate::settings::Settings;
use crate::turns::Turns;

/// How many files for clients are made at the same time. The others wait.
const DOWNLOADS: usize = 2;

/// What all requests share.
pub(crate) struct App {
    pub(crate) model: Model,
    pub(crate) settings: Settings,
    pub(crate) sessions: Sessions,
    pub(crate) turns: Turns,
    /// Who may have an upload on the disk without a session: as many as may wait, and one more.
    pub(crate) one_shots: Arc<Semaphore>,
    pub(crate) memory: Memory,
    pub(crate) metrics: Metrics,
    /// The right to make a file for a client.
    pub(crate) downloads: Semaphore,
    /// Whether the model has run once.
    warm: AtomicBool,
    /// Whether the server is stopping.
    stopping: watch::Sender<bool>,
}

/// The application, as handlers have it.
pub(crate) type Shared = Arc<App>;

impl App {
    pub(crate) fn new(model: Model, settings: Settings) -> Self {
        let limits = &settings.limits;
        Self {
            sessions: Sessions::new(limits.sessions, limits.liveness, limits.idle),
            turns: Turns::new(limits.queue),
            one_shots: Arc::new(Semaphore::new(limits.queue.saturating_add(1).min(Semaphore::MAX_PERMITS))),
            memory: Memory::new(limits.memory_bytes),
            metrics: Metrics::new(),
            downloads: Semaphore::new(DOWNLOADS),
            warm: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            model,
            settings,
        }
    }

    /// Whether requests for masks can be answered at once.
    pub(crate) fn is_ready(&self) -> bool {
        self.warm.load(Ordering::SeqCst) && !self.is_stopping()
    }

    pub(crate) fn set_warm(&self) {
        self.warm.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_warm(&self) -> bool {
        self.warm.load(Ordering::SeqCst)
    }

    /// From now on, the server is not ready, and its sessions are gone.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
        self.sessions.close_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Tells when the server begins to stop.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }
}
