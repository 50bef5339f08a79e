//! Files for clients: made a few at a time, and counted until they are sent.

use axum::body::Bytes;
use axum::http::{HeaderName, header};

use crate::app::App;
use crate::call::on_a_thread;
use crate::error::ApiError;
use crate::session::memory::Reserved;

/// A file in memory, whose bytes are reserved until it has been sent.
struct Counted {
    bytes: Vec<u8>,
    _reserved: Reserved,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Makes a file.
pub(crate) async fn made(
    app: &App,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), ApiError> + Send + 'static,
) -> Result<Bytes, ApiError> {
    let closed = |_| ApiError::stopping();
    let _permit = app.downloads.acquire().await.map_err(closed)?;
    let bytes = on_a_thread(move || {
        let mut bytes = Vec::new();
        fill(&mut bytes)?;
        bytes.shrink_to_fit();
        Ok(bytes)
    });
    let bytes = bytes.await?;
    let needed = bytes.len() as u64;
    let reserved = app.memory.reserve("the file", needed)?;
    Ok(Bytes::from_owner(Counted { bytes, _reserved: reserved }))
}

/// The headers of a file that a browser saves and never shows.
pub(crate) fn attachment(content_type: &'static str, name: &'static str) -> [(HeaderName, String); 3] {
    [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ]
}
