//! Receives the body of a request: bounded in bytes and in time, into memory or into a file without a name.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt as _;
use segvol_base::ErrorKind;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::app::App;
use crate::error::ApiError;

/// A file without a name: it is gone when it is closed, however the process ends.
///
/// # Errors
///
/// If the folder cannot be used.
pub(crate) fn nameless(folder: Option<&Path>) -> Result<File, ApiError> {
    let made = match folder {
        Some(folder) => tempfile::tempfile_in(folder),
        None => tempfile::tempfile(),
    };
    made.map_err(|error| ApiError::internal(format!("no file for the upload can be made: {error}")))
}

/// Receives a body into memory.
pub(crate) async fn to_memory(app: &App, headers: &HeaderMap, body: Body, most: u64) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    let mut chunks = Chunks::new(app, headers, body, most)?;
    while let Some(chunk) = chunks.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Receives a body into a file. The number of bytes.
pub(crate) async fn to_file(app: &App, headers: &HeaderMap, body: Body, file: &File) -> Result<u64, ApiError> {
    let failed = |error: std::io::Error| {
        ApiError::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "disk",
            ErrorKind::Runtime,
            format!("the upload cannot be stored: {error}"),
        )
    };
    let mut out = tokio::fs::File::from_std(file.try_clone().map_err(failed)?);
    let mut chunks = Chunks::new(app, headers, body, app.settings.limits.upload_bytes)?;
    let mut count = 0;
    while let Some(chunk) = chunks.next().await? {
        count += chunk.len() as u64;
        out.write_all(&chunk).await.map_err(failed)?;
    }
    out.flush().await.map_err(failed)?;
    Ok(count)
}

/// The parts of a body as they arrive.
struct Chunks {
    stream: axum::body::BodyDataStream,
    left: u64,
    most: u64,
    pause: Duration,
    end: Instant,
    stopping: watch::Receiver<bool>,
}

impl Chunks {
    fn new(app: &App, headers: &HeaderMap, body: Body, most: u64) -> Result<Self, ApiError> {
        // What says that it is too large is not received at all.
        let stated = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if stated.is_some_and(|stated| stated > most) {
            return Err(ApiError::too_large(most));
        }
        let limits = &app.settings.limits;
        let end = Instant::now() + limits.body;
        Ok(Self {
            stream: body.into_data_stream(),
            left: most,
            most,
            pause: limits.pause,
            end,
            stopping: app.stopping(),
        })
    }

    async fn next(&mut self) -> Result<Option<axum::body::Bytes>, ApiError> {
        let slow = |_| {
            let message = "the body of the request arrives too slowly";
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "too_slow", ErrorKind::Usage, message)
        };
        let next = timeout_at(self.end, timeout(self.pause, self.stream.next()));
        let next = tokio::select! {
            next = next => next,
            _ = self.stopping.wait_for(|&stopping| stopping) => return Err(ApiError::stopping()),
        };
        let Some(chunk) = next.map_err(slow)?.map_err(slow)? else { return Ok(None) };
        let chunk =
            chunk.map_err(|_| ApiError::bad_request("body_ended", "the body of the request has ended too early"))?;
        self.left = self.left.checked_sub(chunk.len() as u64).ok_or_else(|| ApiError::too_large(self.most))?;
        Ok(Some(chunk))
    }
}
