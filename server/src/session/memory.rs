//! The memory that all sessions share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use segvol_base::ErrorKind;

use crate::error::ApiError;

/// Bytes that are promised to sessions.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    limit: Option<u64>,
    used: Arc<AtomicU64>,
}

/// A part of it, which is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    used: Arc<AtomicU64>,
    bytes: u64,
}

impl Memory {
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self { limit, used: Arc::default() }
    }

    /// Reserves this many bytes for something that has a name.
    ///
    /// # Errors
    ///
    /// [`Memory::full`] if so many are not left.
    pub(crate) fn reserve(&self, what: &str, bytes: u64) -> Result<Reserved, ApiError> {
        let fits =
            |used: u64| Some(used.saturating_add(bytes)).filter(|&sum| self.limit.is_none_or(|limit| sum <= limit));
        let taken = self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits);
        taken.map_err(|_| self.full(what, bytes))?;
        Ok(Reserved { used: Arc::clone(&self.used), bytes })
    }

    /// Bytes that are reserved.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::SeqCst)
    }

    /// The error of something that needs more bytes than are left.
    pub(crate) fn full(&self, what: &str, bytes: u64) -> ApiError {
        let limit = self.limit.unwrap_or(u64::MAX);
        let (needed, used, most) = (bytes >> 20, self.used() >> 20, limit >> 20);
        let message = format!("{what} needs {needed} MiB; {used} of {most} MiB for all sessions are in use");
        if bytes > limit {
            // Waiting does not help.
            return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_much_memory", ErrorKind::Memory, message);
        }
        ApiError::busy("memory_full", message)
    }
}

impl Reserved {
    /// How much it is.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back what is more than this.
    pub(crate) fn keep(&mut self, bytes: u64) {
        let more = self.bytes.saturating_sub(bytes);
        self.used.fetch_sub(more, Ordering::SeqCst);
        self.bytes -= more;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_promised_than_there_is() {
        let memory = Memory::new(Some(10));
        let first = memory.reserve("a scan", 6).expect("room");
        assert!(memory.reserve("a scan", 5).is_err());
        let mut second = memory.reserve("a scan", 4).expect("room");
        assert_eq!(memory.used(), 10);
        second.keep(5);
        assert_eq!(memory.used(), 10, "no more is kept than was reserved");
        second.keep(1);
        assert_eq!(memory.used(), 7);
        let third = memory.reserve("a scan", 3).expect("room");
        drop(first);
        assert_eq!(memory.used(), 4);
        assert!(memory.reserve("a scan", u64::MAX).is_err());
        drop((second, third));
        assert_eq!(memory.used(), 0);
        assert!(Memory::new(None).reserve("a scan", u64::MAX).is_ok());
    }
}
