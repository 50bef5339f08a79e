//! The events of a call, as a browser receives them.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use serde::Serialize;

use super::schema::{ResultState, SessionState};
use crate::call::{Call, Event};
use crate::session::InUse;

/// How often an empty line keeps proxies from closing a stream in which nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Queued {
    position: usize,
}

#[derive(Serialize)]
struct Coarse {
    result: ResultState,
}

#[derive(Serialize)]
struct Progress {
    done: usize,
    total: usize,
}

#[derive(Serialize)]
struct Done {
    state: SessionState,
}

/// Sends the events of a call. When the client goes away, the call ends.
pub(super) fn stream(session: InUse, call: Call) -> Response {
    let events = unfold((session, call), |(session, mut call)| async move {
        let event = sent(call.next().await?, &session);
        Some((Ok::<_, Infallible>(event), (session, call)))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

fn sent(event: Event, session: &InUse) -> Sent {
    match event {
        Event::Queued(position) => named("queued", &Queued { position }),
        Event::Coarse(outcome, revision) => named("coarse", &Coarse { result: ResultState::of(&outcome, revision) }),
        Event::Progress(segvol::Progress { done, total }) => named("progress", &Progress { done, total }),
        Event::Done(..) => named("done", &Done { state: SessionState::of(session) }),
        Event::Failed(error) => named("error", &error.body()),
    }
}

fn named(name: &'static str, data: &impl Serialize) -> Sent {
    let event = Sent::default().event(name);
    // JSON has no line breaks, which would end the data.
    event.json_data(data).unwrap_or_else(|_| Sent::default().event("error"))
}
