//! Runs a call of a session: waits for its turn, segments, and hands out what is found on the way.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use segvol::{Follower, Progress, Segmentation, Statistics, Study, WindowPlan};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::app::Shared;
use crate::error::ApiError;
use crate::session::memory::Reserved;
use crate::session::outcome::{self, Outcome, Work};
use crate::session::{End, Session, Ticket, gone};
use crate::turns::{Place, Turn};

/// What happens in a call.
pub(crate) enum Event {
    /// It waits; so many calls are before it.
    Queued(usize),
    /// The zoom-out pass has ended.
    Coarse(Arc<Outcome>, u64),
    /// Windows are done.
    Progress(Progress),
    /// The result; the last event.
    Done(Arc<Outcome>, u64),
    /// There is none; the last event.
    Failed(ApiError),
}

/// A call that runs. Whoever drops it ends the call.
pub(crate) struct Call {
    session: Arc<Session>,
    number: u64,
    events: UnboundedReceiver<Event>,
}

impl Call {
    /// The next event; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The result.
    pub(crate) async fn result(mut self) -> Result<(Arc<Outcome>, u64), ApiError> {
        while let Some(event) = self.next().await {
            match event {
                Event::Done(outcome, revision) => return Ok((outcome, revision)),
                Event::Failed(error) => return Err(error),
                Event::Queued(_) | Event::Coarse(..) | Event::Progress(_) => {}
            }
        }
        Err(ApiError::internal("the call has ended without a result"))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.session.end_call(Some(self.number), End::Cancelled);
    }
}

/// Begins a call with the objects of the session, and ends the one that runs there.
pub(crate) fn begin(app: &Shared, session: &Arc<Session>) -> Result<Call, ApiError> {
    if app.is_stopping() {
        return Err(ApiError::stopping());
    }
    let place = app.turns.queue()?;
    let ticket = session.begin()?;
    let (sender, events) = unbounded_channel();
    let call = Call { session: Arc::clone(session), number: ticket.number, events };
    tokio::spawn(run(Arc::clone(app), Arc::clone(session), ticket, place, sender));
    Ok(call)
}

async fn run(app: Shared, session: Arc<Session>, ticket: Ticket, place: Place, events: UnboundedSender<Event>) {
    let number = ticket.number;
    let waited = wait(&session, &ticket, place, &events).await;
    let result = match waited {
        Some((turn, one_call)) => {
            let (app, session, events) = (Arc::clone(&app), Arc::clone(&session), events.clone());
            on_a_thread(move || {
                let _one_call = one_call;
                segment(&app, &session, &ticket, turn, &events)
            })
            .await
        }
        None => Err(segvol::Error::Cancelled.into()),
    };
    let end = session.finish(number);
    app.metrics.call_ended(result.as_ref().err().map_or("done", |error| error.code));
    // A client that went away has no use for the event.
    let _ = events.send(match (result, end) {
        (Ok((outcome, revision)), None) => Event::Done(outcome, revision),
        (_, Some(end)) => Event::Failed(of_end(end)),
        (Err(error), None) => Event::Failed(error),
    });
}

/// Waits for the calls before; `None` if the call was ended meanwhile.
async fn wait(
    session: &Session,
    ticket: &Ticket,
    place: Place,
    events: &UnboundedSender<Event>,
) -> Option<(Turn, tokio::sync::OwnedMutexGuard<()>)> {
    let _ = events.send(Event::Queued(place.position));
    let turn = async {
        // The session's last call has been ended, and makes room soon.
        let one_call = Arc::clone(&session.one_call).lock_owned().await;
        (place.turn().await, one_call)
    };
    tokio::select! {
        biased;
        () = ticket.stop.notified() => None,
        waited = turn => Some(waited),
    }
}

/// Does work on a thread of its own: what an allocator keeps for a thread goes to the next one when it ends.
pub(crate) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let named = thread::Builder::new().name("call".to_owned());
    let started = named.spawn(move || {
        let _ = sender.send(work());
    });
    match started {
        Ok(_) => {
            receiver.await.unwrap_or_else(|_| Err(ApiError::internal("the work has failed; the log has the reason")))
        }
        Err(error) => Err(segvol::Error::Thread(error).into()),
    }
}

fn segment(
    app: &Shared,
    session: &Session,
    ticket: &Ticket,
    turn: Turn,
    events: &UnboundedSender<Event>,
) -> Result<(Arc<Outcome>, u64), ApiError> {
    let (study, prompts) = (&ticket.scan.study, &ticket.prompts);
    let before = study.statistics();
    let start = Instant::now();
    let mut watch =
        Watch { app, session, ticket, study, before: &before, events, turn, start, failed: None, reserved: None };
    let found = study.segment_followed(prompts, &mut watch, &ticket.cancellation);
    app.metrics.worked(&before, &study.statistics());
    if let Some(error) = watch.failed.take() {
        return Err(error);
    }
    let work = work(start, &before, study);
    let reserved = watch.reserved.take().ok_or_else(|| ApiError::internal("the call has found nothing"));
    let outcome = Arc::new(Outcome::last(&app.model, study, prompts, found?, work, reserved?)?);
    // The turn lasts until the masks are made: that is work, too.
    drop(watch);
    let revision = session.take(ticket.number, Arc::clone(&outcome)).map_err(of_end)?;
    Ok((outcome, revision))
}

fn work(start: Instant, before: &Statistics, study: &Study) -> Work {
    let now = study.statistics();
    Work {
        seconds: start.elapsed().as_secs_f64(),
        windows_encoded: now.windows_encoded - before.windows_encoded,
        windows_reused: now.windows_reused - before.windows_reused,
    }
}

/// Hands out what a call finds, and makes way for others.
struct Watch<'a> {
    app: &'a Shared,
    session: &'a Session,
    ticket: &'a Ticket,
    study: &'a Study,
    /// Its figures before the call.
    before: &'a Statistics,
    events: &'a UnboundedSender<Event>,
    turn: Turn,
    start: Instant,
    failed: Option<ApiError>,
    /// The memory of what the call finds.
    reserved: Option<Arc<Reserved>>,
}

impl Watch<'_> {
    /// Shows what the zoom-out pass has found.
    fn show(&mut self, coarse: &[Segmentation]) -> Result<(), ApiError> {
        let bytes = outcome::bytes(self.study, coarse);
        let reserve = || self.app.memory.reserve("the call", bytes);
        let reserved = Arc::new(reserve().or_else(|_| {
            self.session.forget_results();
            reserve()
        })?);
        self.reserved = Some(Arc::clone(&reserved));
        let work = work(self.start, self.before, self.study);
        let outcome = Arc::new(Outcome::coarse(self.study, &self.ticket.prompts, coarse, work, reserved)?);
        let revision = self.session.take(self.ticket.number, Arc::clone(&outcome)).map_err(of_end)?;
        let _ = self.events.send(Event::Coarse(outcome, revision));
        Ok(())
    }
}

impl Follower for Watch<'_> {
    fn coarse(&mut self, coarse: &[Segmentation]) -> ControlFlow<()> {
        match self.show(coarse) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn planned(&mut self, _: &WindowPlan) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn progress(&mut self, progress: Progress) -> ControlFlow<()> {
        let _ = self.events.send(Event::Progress(progress));
        self.turn.make_way();
        if self.ticket.cancellation.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The error of a call that somebody has ended.
fn of_end(end: End) -> ApiError {
    match end {
        End::Cancelled => ApiError::conflict("cancelled", "the call was cancelled"),
        End::Superseded => {
            ApiError::conflict("superseded", "the session has changed meanwhile: a later request counts")
        }
        End::Closed => gone(),
    }
}
