//! Leases: sessions of clients of nnInteractive, with what the protocol adds to a session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use super::answer::Refusal;
use super::given::{self, Given};
use crate::app::{self, App};
use crate::error::ApiError;
use crate::session::{InUse, Session};
use crate::v1;

/// The header with the token of a lease.
const LEASE: &str = "x-lease-token";

/// What the client's buffer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// All zeros.
    Nothing,
    /// The mask of a revision.
    Revision(u64),
    /// Anything.
    Unknown,
}

/// An interaction of a lease.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) given: Given,
    /// Whether a mask was made with it.
    pub(super) used: bool,
}

/// What a lease has in addition to its session.
#[derive(Debug)]
pub(super) struct State {
    pub(super) shown: Shown,
    pub(super) steps: Vec<Step>,
}

impl State {
    fn new() -> Self {
        Self { shown: Shown::Nothing, steps: Vec::new() }
    }

    /// Forgets all interactions. The client's buffer is zero from now on.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// The interactions.
    pub(super) fn given(&self) -> impl Iterator<Item = &Given> {
        self.steps.iter().map(|step| &step.given)
    }

    /// The interactions as a document with prompts.
    pub(super) fn document(&self) -> Value {
        given::document(self.given())
    }

    /// Gives the session the interactions that there are now.
    pub(super) fn apply(&self, app: &App, session: &Session) -> Result<(), ApiError> {
        session.set_objects(v1::objects::parse(app, &self.document().to_string())?);
        Ok(())
    }

    /// Takes the last interaction back, and what it has changed. Whether there was one.
    pub(super) fn take_back(&mut self, app: &App, session: &Session) -> Result<bool, ApiError> {
        if self.steps.pop().is_none() {
            return Ok(false);
        }
        let before = self.document();
        let is_now = || *session.view().objects.document == before;
        // An interaction that said nothing new is no step of the session. Very old steps are forgotten there.
        if !(is_now() || session.step(true) && is_now()) {
            self.apply(app, session)?;
        }
        Ok(true)
    }
}

type Shared = Arc<tokio::sync::Mutex<State>>;

/// The lease of a request: its session, which is in use until the request is answered, and its state. Requests of a lease follow each
/// other.
pub(super) struct Leased(pub(super) InUse, pub(super) OwnedMutexGuard<State>);

impl FromRequestParts<app::Shared> for Leased {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &app::Shared) -> Result<Self, Refusal> {
        let leases = parts.extensions.get::<Arc<Leases>>();
        let leases = leases.ok_or_else(|| ApiError::internal("this route has no leases"))?;
        let (session, state) = leases.find(app, &parts.headers, false)?;
        Ok(Self(session, state.lock_owned().await))
    }
}

/// All leases.
#[derive(Default)]
pub(super) struct Leases(Mutex<HashMap<String, (Weak<Session>, Shared)>>);

impl Leases {
    fn all(&self) -> MutexGuard<'_, HashMap<String, (Weak<Session>, Shared)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a lease of a session.
    pub(super) fn add(&self, session: &Arc<Session>) {
        let mut all = self.all();
        all.retain(|_, (session, _)| session.strong_count() > 0);
        let state = Arc::new(tokio::sync::Mutex::new(State::new()));
        all.insert(session.id.as_str().to_owned(), (Arc::downgrade(session), state));
    }

    /// The lease of a request, which is noted as a sign of life, or as use.
    pub(super) fn find(&self, app: &App, headers: &HeaderMap, is_heartbeat: bool) -> Result<(InUse, Shared), Refusal> {
        let token = token(headers)?;
        let state = self.all().get(token).map(|(_, state)| Arc::clone(state)).ok_or_else(unknown)?;
        Ok((app.sessions.find(token, is_heartbeat)?, state))
    }

    /// The session of a lease, without noting anything.
    pub(super) fn peek(&self, headers: &HeaderMap) -> Result<Arc<Session>, Refusal> {
        self.all().get(token(headers)?).and_then(|(session, _)| session.upgrade()).ok_or_else(unknown)
    }

    /// Ends a lease, if there is one.
    pub(super) fn remove(&self, app: &App, headers: &HeaderMap) {
        if let Ok(token) = token(headers)
            && self.all().remove(token).is_some()
        {
            app.sessions.remove(token);
        }
    }
}

fn token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let token = headers.get(LEASE).and_then(|token| token.to_str().ok()).filter(|token| !token.is_empty());
    token.ok_or_else(|| Refusal::gone("expected the header `X-Lease-Token`, found none"))
}

fn unknown() -> Refusal {
    Refusal::gone("the lease has ended, or it never was one")
}
