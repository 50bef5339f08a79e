//! `infer`: one whole segmentation, from the voxels to the label map, without a session.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use segvol::{Cancellation, Follower, Progress, Prompt, Segmentation, Study, Volume};
use segvol_base::ErrorKind;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::model::Named;
use super::request::{Request, Wanted, bad};
use super::response::{Answer, Found, JSON_LENGTH};
use super::tensor::{self, Bytes, Image};
use crate::app::{App, Shared};
use crate::call::on_a_thread;
use crate::error::ApiError;
use crate::session::memory::Reserved;
use crate::session::outcome::{self, Outcome, Work};
use crate::turns::{Place, Turn};
use crate::{scan, upload};

/// Stops a call. Whoever drops it stops it, as a client that goes away does.
#[derive(Default)]
struct Client {
    cancellation: Cancellation,
    gone: Arc<Notify>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.cancellation.request();
        self.gone.notify_one();
    }
}

/// Segments the image of a request.
pub(super) async fn infer(
    State(app): State<Shared>,
    _: Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    if app.is_stopping() {
        return Err(ApiError::stopping());
    }
    if headers.get_all(CONTENT_ENCODING).iter().any(|encoding| encoding != "identity") {
        let message = "Content-Encoding: expected a body that is not compressed";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "compressed", ErrorKind::Usage, message));
    }
    let json = json_length(&headers)?;
    // Before the upload, so that no more of them are on the disk.
    let one_shot = Arc::clone(&app.one_shots).try_acquire_owned().map_err(|_| ApiError::queue_full())?;
    let file = upload::nameless(app.settings.uploads.as_deref())?;
    let bytes = upload::to_file(&app, &headers, body, &file).await?;
    let json = json.unwrap_or(bytes);
    if json > bytes {
        return Err(bad(format!("Inference-Header-Content-Length: the body has {bytes} bytes, and not {json}")));
    }
    let received = Received { file, json, bytes, _one_shot: one_shot };
    let place = app.turns.queue()?;
    let client = Client::default();
    let job = tokio::spawn(run(app, received, place, client.cancellation.clone(), Arc::clone(&client.gone)));
    let answer = job.await.map_err(|_| ApiError::internal("the call has failed; the log has the reason"))??;
    Ok(answer.into_response())
}

/// Bytes of the JSON before the tensors; `None` if the whole body is JSON.
fn json_length(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let mut stated = headers.get_all(JSON_LENGTH).iter();
    match (stated.next(), stated.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str().ok().and_then(|text| text.parse().ok()) {
            Some(length) => Ok(Some(length)),
            None => Err(bad("Inference-Header-Content-Length: expected a number of bytes".to_owned())),
        },
        _ => Err(bad("Inference-Header-Content-Length: expected one, found several".to_owned())),
    }
}

/// A request that has arrived.
struct Received {
    file: File,
    /// Bytes of its JSON.
    json: u64,
    /// All of its bytes.
    bytes: u64,
    _one_shot: OwnedSemaphorePermit,
}

async fn run(
    app: Shared,
    received: Received,
    place: Place,
    cancellation: Cancellation,
    gone: Arc<Notify>,
) -> Result<Answer, ApiError> {
    let turn = tokio::select! {
        biased;
        () = gone.notified() => None,
        turn = place.turn() => Some(turn),
    };
    let result = match turn {
        Some(turn) => {
            let app = Arc::clone(&app);
            on_a_thread(move || segment(&app, received, turn, &cancellation)).await
        }
        None => Err(segvol::Error::Cancelled.into()),
    };
    app.metrics.call_ended(result.as_ref().err().map_or("done", |error| error.code));
    result
}

/// What a request asks for.
struct Asked {
    id: Option<String>,
    volume: Volume,
    prompts: Arc<Vec<Prompt>>,
    wanted: Vec<Wanted>,
}

fn segment(app: &App, received: Received, turn: Turn, cancellation: &Cancellation) -> Result<Answer, ApiError> {
    let Asked { id, volume, prompts, wanted } = read(app, received)?;
    check(cancellation)?;
    // No window is needed twice, so none is kept.
    let options = app.settings.study.clone().cache_bytes(0);
    let (study, reserved) = scan::study(app, volume, &options)?;
    check(cancellation)?;
    let [i, j, k] = study.grid().shape_xyz();
    let before = study.statistics();
    let held = reserved.bytes();
    let mut watch = Watch { app, study: &study, turn, cancellation, held, results: Err(None) };
    let found = study.segment_followed(&prompts, &mut watch, cancellation);
    app.metrics.worked(&before, &study.statistics());
    let results = match std::mem::replace(&mut watch.results, Err(None)) {
        Ok(results) => Arc::new(results),
        Err(Some(error)) => return Err(error),
        Err(None) => return Err(found.err().map_or_else(|| ApiError::internal("nothing was found"), ApiError::from)),
    };
    let last = Outcome::last(&app.model, &study, &prompts, found?, Work::default(), results)?;
    let Outcome { labels, report, .. } = &last;
    // The turn lasts until the masks are made: that is work, too.
    drop(watch);
    let report = serde_json::to_string(&report).map_err(|error| ApiError::internal(error.to_string()))?;
    let found = Found { labels: labels.labels(), shape: [k, j, i], report: &report };
    Answer::new(id.as_deref(), &wanted, &found, reserved)
}

/// Reads a request. Its JSON and its voxels take memory that is reserved before.
fn read(app: &App, received: Received) -> Result<Asked, ApiError> {
    let Received { mut file, json, bytes, _one_shot } = received;
    // The text, and what is copied of it.
    let of_text = scan::reserve(app, json.saturating_mul(2))?;
    let text = text(&mut file, json)?;
    let request = Request::parse(&text)?;
    let wanted = request.wanted()?;
    let id = request.id.clone();
    let inputs = request.inputs(bytes - json)?;
    let mut bytes = Bytes::new(&mut file, json);
    let image = Image::new(inputs.image)?;
    let affine = tensor::affine(inputs.affine, &mut bytes)?;
    let prompts = parse_prompts(app, &tensor::prompts(inputs.prompts, &mut bytes)?)?;
    let of_voxels = scan::reserve(app, (image.voxels() as u64).saturating_mul(size_of::<f32>() as u64))?;
    let voxels = image.read(&mut bytes)?;
    let shape_xyz = image.shape_xyz();
    drop((text, of_text));
    let volume = Volume::new(shape_xyz, voxels, affine).map_err(|error| match error.kind() {
        ErrorKind::Usage => bad(error.to_string()),
        kind => ApiError::of_kind(kind, error.to_string()),
    })?;
    drop(of_voxels);
    Ok(Asked { id, volume, prompts: Arc::new(prompts), wanted })
}

fn text(file: &mut File, bytes: u64) -> Result<String, ApiError> {
    let failed = |error: std::io::Error| ApiError::internal(format!("the upload cannot be read: {error}"));
    file.rewind().map_err(failed)?;
    let mut text = Vec::new();
    let room = text.try_reserve_exact(usize::try_from(bytes).unwrap_or(usize::MAX));
    room.map_err(|_| ApiError::busy("out_of_memory", "not enough memory for the JSON of the request"))?;
    file.take(bytes).read_to_end(&mut text).map_err(failed)?;
    String::from_utf8(text).map_err(|_| bad("request: expected JSON in UTF-8".to_owned()))
}

fn parse_prompts(app: &App, text: &str) -> Result<Vec<Prompt>, ApiError> {
    let bad = |message: String| ApiError::unprocessable("bad_prompts", format!("prompts: {message}"));
    let prompts = segvol::parse_prompts(text).map_err(|error| bad(error.0.to_string()))?;
    let most = app.settings.limits.objects;
    if prompts.len() > most {
        return Err(bad(format!("expected at most {most} objects, found {}", prompts.len())));
    }
    Ok(prompts)
}

fn check(cancellation: &Cancellation) -> Result<(), ApiError> {
    if cancellation.is_requested() { Err(segvol::Error::Cancelled.into()) } else { Ok(()) }
}

/// Makes way for others after each window, and stops without a client.
struct Watch<'a> {
    app: &'a App,
    study: &'a Study,
    turn: Turn,
    cancellation: &'a Cancellation,
    /// Bytes that the call has already.
    held: u64,
    /// The memory of what is found, or why there is none.
    results: Result<Reserved, Option<ApiError>>,
}

impl Follower for Watch<'_> {
    fn coarse(&mut self, coarse: &[Segmentation]) -> ControlFlow<()> {
        let bytes = outcome::bytes(self.study, coarse);
        // Both at once: if they never fit, waiting does not help.
        let memory = &self.app.memory;
        let full = |_| Some(memory.full("the call", self.held.saturating_add(bytes)));
        self.results = memory.reserve("the call", bytes).map_err(full);
        if self.results.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn progress(&mut self, _: Progress) -> ControlFlow<()> {
        self.turn.make_way();
        if self.cancellation.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
