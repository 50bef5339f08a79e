//! A session: one scan, the prompts of its objects, and what was found.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use segvol::{Cancellation, Mask, Prompt, Study, Volume, Warning};
use serde_json::Value;

use super::id::SessionId;
use super::memory::Reserved;
use super::outcome::{Outcome, Stage};
use super::region::{self, Bounds};
use crate::error::ApiError;

/// The most steps that can be undone.
const MAX_STEPS: usize = 100;

/// How many label maps are kept, so that a client which has one of them is sent the changes only.
const RECENT: usize = 3;

/// A scan that was uploaded.
pub(crate) struct OpenScan {
    pub(crate) volume: Arc<Volume>,
    pub(crate) study: Study,
    pub(crate) is_dicom: bool,
    /// Warnings about the scan.
    pub(crate) warnings: Vec<Warning>,
    /// Ends what is encoded before the first call.
    pub(crate) look_ahead: Cancellation,
    /// The upload, for as long as something may read it. It has no name in any folder.
    pub(crate) _upload: Option<File>,
    pub(crate) _reserved: Reserved,
}

/// What the user has said about the objects.
#[derive(Clone)]
pub(crate) struct Objects {
    /// As it was sent.
    pub(crate) document: Arc<Value>,
    pub(crate) prompts: Arc<Vec<Prompt>>,
}

impl Objects {
    pub(crate) fn none() -> Self {
        let document = serde_json::json!({ "schema_version": 1, "space": "voxel", "objects": [] });
        Self { document: Arc::new(document), prompts: Arc::default() }
    }
}

/// What can be undone.
#[derive(Clone)]
struct Step {
    objects: Objects,
    outcome: Option<Arc<Outcome>>,
}

/// Why a call was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client asked for it, or went away.
    Cancelled,
    /// The next call of the session.
    Superseded,
    /// The session is gone.
    Closed,
}

/// A call that runs.
struct Running {
    number: u64,
    cancellation: Cancellation,
    end: Option<End>,
    stop: Arc<tokio::sync::Notify>,
}

struct Inner {
    closed: bool,
    scan: Option<Arc<OpenScan>>,
    objects: Objects,
    outcome: Option<Arc<Outcome>>,
    revision: u64,
    /// The label maps of the last revisions; `None` where nothing was found yet.
    recent: VecDeque<(u64, Option<Arc<Mask>>)>,
    undo: VecDeque<Step>,
    redo: Vec<Step>,
    running: Option<Running>,
    calls: u64,
}

/// When something came from the client.
struct Clock {
    contact: Instant,
    used: Instant,
    /// Requests that are being answered: meanwhile the session does not expire.
    open: usize,
}

/// A session. Nothing of it is reachable from another one.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    inner: Mutex<Inner>,
    clock: Mutex<Clock>,
    /// Calls of one session follow each other.
    pub(crate) one_call: Arc<tokio::sync::Mutex<()>>,
    /// Uploads of one session do not run at the same time.
    pub(crate) one_upload: Arc<tokio::sync::Mutex<()>>,
}

/// A copy of what a session is at one moment.
pub(crate) struct View {
    pub(crate) scan: Option<Arc<OpenScan>>,
    pub(crate) objects: Objects,
    pub(crate) outcome: Option<Arc<Outcome>>,
    pub(crate) revision: u64,
    pub(crate) busy: bool,
    pub(crate) undo: usize,
    pub(crate) redo: usize,
}

/// The changes since a revision.
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) stage: Option<Stage>,
    /// `None` if nothing differs.
    pub(crate) bounds: Option<Bounds>,
    /// All voxels outside of the bounds are 0, whatever the client has.
    pub(crate) whole: bool,
    pub(crate) labels: Option<Arc<Mask>>,
    pub(crate) shape_xyz: [usize; 3],
}

/// A request that is being answered.
pub(crate) struct InUse(Arc<Session>);

impl std::ops::Deref for InUse {
    type Target = Arc<Session>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut clock = self.0.clock();
        clock.open -= 1;
        // A request that took long was contact until now.
        clock.contact = Instant::now();
    }
}

/// The right to run a call.
pub(crate) struct Ticket {
    pub(crate) number: u64,
    pub(crate) scan: Arc<OpenScan>,
    pub(crate) prompts: Arc<Vec<Prompt>>,
    pub(crate) cancellation: Cancellation,
    pub(crate) stop: Arc<tokio::sync::Notify>,
}

impl Session {
    pub(crate) fn new(id: SessionId) -> Self {
        let inner = Inner {
            closed: false,
            scan: None,
            objects: Objects::none(),
            outcome: None,
            revision: 0,
            recent: VecDeque::from([(0, None)]),
            undo: VecDeque::new(),
            redo: Vec::new(),
            running: None,
            calls: 0,
        };
        let now = Instant::now();
        let clock = Clock { contact: now, used: now, open: 0 };
        Self {
            id,
            inner: Mutex::new(inner),
            clock: Mutex::new(clock),
            one_call: Arc::default(),
            one_upload: Arc::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request, which is being answered until the result is dropped. A heartbeat is a sign of life, not of use.
    pub(crate) fn in_use(self: &Arc<Self>, is_heartbeat: bool) -> InUse {
        let mut clock = self.clock();
        clock.contact = Instant::now();
        if !is_heartbeat {
            clock.used = clock.contact;
        }
        clock.open += 1;
        drop(clock);
        InUse(Arc::clone(self))
    }

    /// Whether nothing has come from the client for too long.
    pub(crate) fn is_expired(&self, liveness: Duration, idle: Duration) -> bool {
        let clock = self.clock();
        clock.open == 0 && (clock.contact.elapsed() > liveness || clock.used.elapsed() > idle)
    }

    /// Time until it expires if nothing comes.
    pub(crate) fn expires_in(&self, liveness: Duration, idle: Duration) -> Duration {
        let clock = self.clock();
        let left = |limit: Duration, since: Instant| limit.saturating_sub(since.elapsed());
        left(liveness, clock.contact).min(left(idle, clock.used))
    }

    /// What the session is now.
    pub(crate) fn view(&self) -> View {
        let inner = self.inner();
        View {
            scan: inner.scan.clone(),
            objects: inner.objects.clone(),
            outcome: inner.outcome.clone(),
            revision: inner.revision,
            busy: inner.running.is_some(),
            undo: inner.undo.len(),
            redo: inner.redo.len(),
        }
    }

    /// Puts a scan into the session. Prompts and results of the scan before are gone.
    pub(crate) fn set_scan(&self, scan: OpenScan) -> Result<Arc<OpenScan>, ApiError> {
        let mut inner = self.inner();
        if inner.closed {
            return Err(gone());
        }
        inner.end(End::Superseded);
        inner.clear();
        let scan = Arc::new(scan);
        inner.scan = Some(Arc::clone(&scan));
        inner.next_revision();
        Ok(scan)
    }

    /// Frees the scan before another one is read, so that not both are in memory.
    pub(crate) fn drop_scan(&self) {
        let mut inner = self.inner();
        inner.end(End::Superseded);
        inner.clear();
        inner.next_revision();
    }

    /// Replaces the objects. What was before can be undone.
    pub(crate) fn set_objects(&self, objects: Objects) {
        let mut inner = self.inner();
        if *objects.document == *inner.objects.document {
            return;
        }
        inner.end(End::Superseded);
        let before = Step { objects: inner.objects.clone(), outcome: inner.settled() };
        inner.push_undo(before);
        inner.redo.clear();
        let nothing = objects.prompts.is_empty();
        inner.objects = objects;
        inner.outcome = None;
        // The old label map stays until there is a new one, unless there will be none.
        if nothing {
            inner.next_revision();
        }
    }

    /// Goes one step back, or forward again. Whether there was one.
    pub(crate) fn step(&self, back: bool) -> bool {
        let mut inner = self.inner();
        let Some(step) = (if back { inner.undo.pop_back() } else { inner.redo.pop() }) else { return false };
        inner.end(End::Superseded);
        let now = Step { objects: inner.objects.clone(), outcome: inner.settled() };
        if back {
            inner.redo.push(now)
        } else {
            inner.push_undo(now)
        }
        inner.objects = step.objects;
        inner.outcome = step.outcome;
        inner.next_revision();
        true
    }

    /// Forgets the results of steps that can be undone, because their memory is needed: their objects are segmented again.
    pub(crate) fn forget_results(&self) {
        let mut inner = self.inner();
        let Inner { undo, redo, .. } = &mut *inner;
        undo.iter_mut().chain(redo).for_each(|step| step.outcome = None);
    }

    /// Begins a call, and ends the one that runs.
    pub(crate) fn begin(&self) -> Result<Ticket, ApiError> {
        let mut inner = self.inner();
        if inner.closed {
            return Err(gone());
        }
        let no_scan = || ApiError::conflict("no_scan", "there is no scan in this session: upload one first");
        let scan = inner.scan.clone().ok_or_else(no_scan)?;
        let prompts = Arc::clone(&inner.objects.prompts);
        if prompts.is_empty() {
            return Err(ApiError::conflict("no_objects", "there is no object to segment: send prompts first"));
        }
        inner.end(End::Superseded);
        inner.calls += 1;
        let (number, cancellation, stop) = (inner.calls, Cancellation::new(), Arc::new(tokio::sync::Notify::new()));
        inner.running =
            Some(Running { number, cancellation: cancellation.clone(), end: None, stop: Arc::clone(&stop) });
        Ok(Ticket { number, scan, prompts, cancellation, stop })
    }

    /// Ends a call, or whichever runs. Whether one did.
    pub(crate) fn end_call(&self, number: Option<u64>, end: End) -> bool {
        let mut inner = self.inner();
        let is_meant = inner.running.as_ref().is_some_and(|running| number.is_none_or(|one| one == running.number));
        is_meant && inner.end(end)
    }

    /// Takes what a call has found, unless it was ended. The revision.
    pub(crate) fn take(&self, number: u64, outcome: Arc<Outcome>) -> Result<u64, End> {
        let mut inner = self.inner();
        match &inner.running {
            Some(Running { number: running, end, .. }) if *running == number => {
                if let Some(end) = *end {
                    return Err(end);
                }
            }
            _ => return Err(End::Superseded),
        }
        inner.outcome = Some(outcome);
        inner.next_revision();
        Ok(inner.revision)
    }

    /// A call has ended. Why, if somebody ended it.
    pub(crate) fn finish(&self, number: u64) -> Option<End> {
        let mut inner = self.inner();
        match &inner.running {
            Some(running) if running.number == number => inner.running.take().and_then(|running| running.end),
            _ if inner.closed => Some(End::Closed),
            _ => Some(End::Superseded),
        }
    }

    /// Frees everything. Calls that run end.
    pub(crate) fn close(&self) {
        let mut inner = self.inner();
        inner.closed = true;
        inner.end(End::Closed);
        inner.clear();
    }

    /// Where the label map differs from that of a revision.
    pub(crate) fn changes(&self, since: Option<u64>) -> Result<Change, ApiError> {
        let (shape_xyz, revision, stage, before, now) = {
            let inner = self.inner();
            let no_scan = || ApiError::conflict("no_scan", "there is no scan in this session: upload one first");
            let shape_xyz = inner.scan.as_ref().ok_or_else(no_scan)?.study.grid().shape_xyz();
            let known = |wanted: u64| inner.recent.iter().find(|(revision, _)| *revision == wanted);
            let before = since.and_then(known).map(|(_, labels)| labels.clone());
            let now = inner.recent.back().and_then(|(_, labels)| labels.clone());
            (shape_xyz, inner.revision, inner.outcome.as_ref().map(|outcome| outcome.stage), before, now)
        };
        let whole = before.is_none();
        let bounds = region::changed(shape_xyz, before.flatten().as_deref(), now.as_deref());
        Ok(Change { revision, stage, bounds, whole, labels: now, shape_xyz })
    }
}

impl Inner {
    /// Numbers the label map of the outcome, which has changed.
    fn next_revision(&mut self) {
        self.revision += 1;
        let labels = self.outcome.as_ref().map(|outcome| Arc::clone(&outcome.labels));
        self.recent.push_back((self.revision, labels));
        while self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// Forgets the scan and everything about it.
    fn clear(&mut self) {
        if let Some(scan) = self.scan.take() {
            scan.look_ahead.request();
        }
        self.objects = Objects::none();
        self.outcome = None;
        self.recent.clear();
        self.undo.clear();
        self.redo.clear();
    }

    /// Ends the call that runs. Whether one did.
    fn end(&mut self, end: End) -> bool {
        let Some(running) = &mut self.running else { return false };
        if running.end.is_none() {
            running.end = Some(end);
            running.cancellation.request();
            running.stop.notify_one();
        }
        true
    }

    /// The result, if it is final: a coarse one is not worth keeping.
    fn settled(&self) -> Option<Arc<Outcome>> {
        self.outcome.clone().filter(|outcome| outcome.stage == Stage::Final)
    }

    fn push_undo(&mut self, step: Step) {
        self.undo.push_back(step);
        while self.undo.len() > MAX_STEPS {
            self.undo.pop_front();
        }
    }
}

/// The session is no longer there.
pub(crate) fn gone() -> ApiError {
    let message = "the session has ended: it was closed, or nothing came from its client for too long";
    ApiError::new(axum::http::StatusCode::GONE, "session_gone", segvol_base::ErrorKind::Usage, message)
}
