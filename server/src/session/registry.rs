//! All sessions of a server.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use segvol_base::ErrorKind;

use super::id::SessionId;
use super::session::{InUse, Session, gone};
use crate::error::ApiError;

/// How many names of sessions that have ended are remembered, to tell `gone` from `never there`.
const REMEMBERED: usize = 1024;

/// All sessions of a server.
pub(crate) struct Sessions {
    most: usize,
    liveness: Duration,
    idle: Duration,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    open: HashMap<String, Arc<Session>>,
    ended: VecDeque<String>,
}

impl Sessions {
    pub(crate) fn new(most: usize, liveness: Duration, idle: Duration) -> Self {
        Self { most, liveness, idle, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new session.
    pub(crate) fn create(&self) -> Result<InUse, ApiError> {
        self.sweep();
        let mut inner = self.inner();
        if inner.open.len() >= self.most {
            let message = format!("all {} sessions of this server are in use: try again later", self.most);
            return Err(ApiError::busy("sessions_full", message));
        }
        let id = SessionId::random().ok_or_else(|| ApiError::internal("the operating system has no random numbers"))?;
        let session = Arc::new(Session::new(id));
        inner.open.insert(session.id.as_str().to_owned(), Arc::clone(&session));
        Ok(session.in_use(false))
    }

    /// The session of this name, for a request.
    pub(crate) fn find(&self, id: &str, is_heartbeat: bool) -> Result<InUse, ApiError> {
        let inner = self.inner();
        if let Some(session) = inner.open.get(id) {
            return Ok(session.in_use(is_heartbeat));
        }
        if inner.ended.iter().any(|ended| ended == id) {
            return Err(gone());
        }
        Err(no_such_session())
    }

    /// Ends a session and frees what it has. Whether it was there.
    pub(crate) fn remove(&self, id: &str) -> bool {
        let removed = {
            let mut inner = self.inner();
            let removed = inner.open.remove(id);
            if removed.is_some() {
                inner.remember(id);
            }
            removed
        };
        removed.is_some_and(|session| {
            session.close();
            true
        })
    }

    /// Ends the sessions from which nothing has come for too long. How many.
    pub(crate) fn sweep(&self) -> usize {
        let expired: Vec<Arc<Session>> = {
            let mut inner = self.inner();
            let is_expired = |session: &Arc<Session>| session.is_expired(self.liveness, self.idle);
            let expired: Vec<_> = inner.open.values().filter(|session| is_expired(session)).cloned().collect();
            for session in &expired {
                inner.open.remove(session.id.as_str());
                inner.remember(session.id.as_str());
            }
            expired
        };
        for session in &expired {
            session.close();
            tracing::info!(session = session.id.short(), "session expired");
        }
        expired.len()
    }

    /// Ends all sessions.
    pub(crate) fn close_all(&self) {
        let open: Vec<_> = self.inner().open.drain().map(|(_, session)| session).collect();
        open.iter().for_each(|session| session.close());
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.inner().open.len()
    }
}

/// No session has this name.
pub(crate) fn no_such_session() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "no_such_session", ErrorKind::Usage, "there is no such session")
}

impl Inner {
    fn remember(&mut self, id: &str) {
        self.ended.push_back(id.to_owned());
        while self.ended.len() > REMEMBERED {
            self.ended.pop_front();
        }
    }
}
