//! The routes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::{self, Refusal};
use super::capabilities::capabilities;
use super::container::Element;
use super::given::{self, Given};
use super::lease::{Leased, Leases, Shown, State as LeaseState, Step};
use super::request::{self, AddBox, AddPoint, AddStroke, SetImage, SetTargetBuffer, Upload};
use super::{image, strokes};
use crate::app::{App, Shared};
use crate::error::ApiError;
use crate::session::{Objects, OpenScan, Session};
use crate::{call, guard, scan};

type AllLeases = Extension<Arc<Leases>>;

/// All routes of the protocol.
pub(crate) fn router(app: &Shared) -> Router<Shared> {
    let arrays = Router::new()
        .route("/set_image", post(set_image))
        .route("/add_scribble_interaction", post(add_stroke))
        .route("/add_lasso_interaction", post(add_stroke))
        .route("/add_initial_seg_interaction", post(add_initial_segmentation));
    let small = Router::new()
        .route("/capabilities", get(capable))
        .route("/lease_status", get(lease_status))
        .route("/claim", post(claim))
        .route("/release", post(release))
        .route("/heartbeat", post(heartbeat))
        .route("/set_target_buffer", post(set_target_buffer))
        .route("/set_do_autozoom", post(set_do_autozoom))
        .route("/reset_interactions", post(reset_interactions))
        .route("/undo", post(undo))
        .route("/predict", post(predict))
        .route("/add_point_interaction", post(add_point))
        .route("/add_bbox_interaction", post(add_box))
        .layer(from_fn_with_state(Shared::clone(app), request::whole_body));
    arrays
        .merge(small)
        .layer(from_fn_with_state(Shared::clone(app), token))
        // The only route without a token.
        .route("/healthz", get(async || Json(json!({ "ok": true }))))
        .layer(Extension(Arc::<Leases>::default()))
}

/// Refuses requests without the token, in the protocol's words.
async fn token(State(app): State<Shared>, request: Request, next: Next) -> Response {
    match guard::check_token(&app, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => Refusal::from(error).into_response(),
    }
}

async fn capable(State(app): State<Shared>) -> Json<Value> {
    Json(capabilities(app.settings.array_axes, &app.model.manifest().license_note))
}

async fn claim(State(app): State<Shared>, leases: AllLeases) -> Result<Json<Value>, Refusal> {
    if app.is_stopping() {
        return Err(ApiError::stopping().into());
    }
    let session = app.sessions.create()?;
    leases.add(&session);
    tracing::info!(session = session.id.short(), "lease claimed");
    let limits = &app.settings.limits;
    Ok(Json(json!({
        "lease_token": session.id.as_str(),
        "idle_timeout_seconds": limits.idle.as_secs_f64(),
        "liveness_timeout_seconds": limits.liveness.as_secs_f64(),
        "max_sessions": limits.sessions,
    })))
}

async fn release(State(app): State<Shared>, leases: AllLeases, headers: HeaderMap) -> Json<Value> {
    leases.remove(&app, &headers);
    Json(json!({ "released": true }))
}

/// Seconds until a session ends if its user does nothing.
fn remaining_seconds(app: &Shared, session: &Session) -> f64 {
    session.expires_in(Duration::MAX, app.settings.limits.idle).as_secs_f64()
}

async fn heartbeat(State(app): State<Shared>, leases: AllLeases, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    let (session, _) = leases.find(&app, &headers, true)?;
    Ok(Json(json!({ "remaining_seconds": remaining_seconds(&app, &session) })))
}

async fn lease_status(
    State(app): State<Shared>,
    leases: AllLeases,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let session = leases.peek(&headers)?;
    let idle = app.settings.limits.idle.as_secs_f64();
    Ok(Json(json!({ "remaining_seconds": remaining_seconds(&app, &session), "idle_timeout_seconds": idle })))
}

/// A lease and what a request says beside its array. If they are wrong, the client gets an answer only after it has sent the array.
async fn begin<T: DeserializeOwned>(
    app: &Shared,
    leases: &Leases,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Leased, T, Body), Refusal> {
    let found =
        leases.find(app, headers, false).and_then(|(session, lease)| Ok((session, lease, request::meta(headers)?)));
    match found {
        Ok((session, lease, meta)) => Ok((Leased(session, lease.lock_owned().await), meta, body)),
        Err(refusal) => {
            request::discard(app, body).await;
            Err(refusal)
        }
    }
}

async fn set_image(
    State(app): State<Shared>,
    leases: AllLeases,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let (Leased(session, mut lease), meta, body) = begin::<SetImage>(&app, &leases, &headers, body).await?;
    let upload = Upload::receive(&app, &headers, body).await?;
    let spacing_mm = meta.image_properties.unwrap_or_default().spacing_mm()?;
    image::shape(upload.packed()?.shape())?;
    lease.clear();
    let opened = scan::replace(&app, &session, move |app| open(app, upload, spacing_mm)).await?;
    let [i, j, k] = opened.volume.shape_xyz();
    tracing::info!(session = session.id.short(), voxels = opened.volume.voxels().len(), "array opened");
    Ok(Json(json!({ "original_image_shape": [1, k, j, i] })))
}

/// Decodes an image and prepares it for prompts.
fn open(app: &App, upload: Upload, spacing_mm: [f64; 3]) -> Result<OpenScan, Refusal> {
    let packed = upload.packed()?;
    // The array as it was sent, and in `f32`.
    let bytes = packed.decoded_len() as u64;
    let reserved = scan::reserve(app, bytes + 4 * (bytes / u64::from(packed.element().size())))?;
    let array = packed.decode().map_err(request::refused)?;
    drop(upload);
    let volume = image::volume(&array, spacing_mm, app.settings.array_axes)?;
    drop((array, reserved));
    Ok(scan::prepare(app, volume, false, None)?)
}

async fn set_target_buffer(Leased(session, mut lease): Leased, body: Bytes) -> Result<Json<Value>, Refusal> {
    let SetTargetBuffer { shape, dtype } = request::json(&body)?;
    let image = array_shape(&session)?.map(|length| length as u64);
    if shape != image {
        let message = format!("expected a target buffer of the image's shape {image:?}, found {shape:?}");
        return Err(Refusal::new(message));
    }
    if Element::named(&dtype).is_none_or(Element::is_float) {
        return Err(Refusal::new(format!("expected a target buffer of bool or integers, found {dtype:?}")));
    }
    lease.shown = Shown::Nothing;
    Ok(Json(json!({})))
}

/// SegVol always looks at the whole body first, and then at the part with the object: there is nothing to set.
async fn set_do_autozoom(_: Leased) -> Json<Value> {
    Json(json!({}))
}

async fn reset_interactions(Leased(session, mut lease): Leased) -> Json<Value> {
    lease.clear();
    session.set_objects(Objects::none());
    Json(json!({}))
}

async fn undo(State(app): State<Shared>, Leased(session, mut lease): Leased) -> Result<Response, Refusal> {
    if !lease.take_back(&app, &session)? {
        return Ok(answer::nothing());
    }
    // The mask of the interactions that are left; it is made again only if it was not kept.
    if session.view().outcome.is_none() && lease.steps.iter().any(|step| step.used) {
        return segment(&app, &session, &mut lease).await;
    }
    changes(&session, &mut lease).await
}

async fn predict(State(app): State<Shared>, Leased(session, mut lease): Leased) -> Result<Response, Refusal> {
    if lease.steps.iter().all(|step| step.used) {
        return Ok(answer::nothing());
    }
    segment(&app, &session, &mut lease).await
}

async fn add_point(
    State(app): State<Shared>,
    Leased(session, mut lease): Leased,
    body: Bytes,
) -> Result<Response, Refusal> {
    let AddPoint { coordinates, flags } = request::json(&body)?;
    let shape = array_shape(&session)?;
    let at = coordinates.map(f64::round_ties_even);
    if (0..3).any(|axis| !(0.0..shape[axis] as f64).contains(&at[axis])) {
        return Err(Refusal::new(format!(
            "the point {coordinates:?} is outside of the image, whose shape is {shape:?}"
        )));
    }
    let given = Given::Points { at: vec![at.map(|index| index as usize)], inside: flags.include_interaction };
    add(&app, &session, &mut lease, given, flags.run_prediction).await
}

async fn add_box(
    State(app): State<Shared>,
    Leased(session, mut lease): Leased,
    body: Bytes,
) -> Result<Response, Refusal> {
    let AddBox { bbox_coords, flags } = request::json(&body)?;
    let shape = array_shape(&session)?;
    if !flags.include_interaction {
        let message =
            "SegVol cannot use a box around what is not the object: add negative points, a scribble or a lasso";
        return Err(Refusal::new(message));
    }
    let (mut low, mut high) = ([0; 3], [0; 3]);
    for axis in 0..3 {
        let [begin, end] = bbox_coords[axis].map(f64::round_ties_even);
        let (begin, end) = (begin.max(0.0), end.min(shape[axis] as f64));
        if begin >= end {
            let message = format!("the box {bbox_coords:?} has no voxel of the image, whose shape is {shape:?}");
            return Err(Refusal::new(message));
        }
        (low[axis], high[axis]) = (begin as usize, end as usize - 1);
    }
    let size = [0, 1, 2].map(|axis| high[axis] - low[axis] + 1);
    let given = if size.contains(&1) {
        // Drawn on one slice: it says nothing about the other direction. SegVol takes it for a very thin object.
        let spacing_mm = spacing_mm(&session)?;
        let shared = Arc::clone(&app);
        let points = call::on_a_thread(move || {
            let voxels = size.iter().product();
            let _reserved = scan::reserve(&shared, strokes::BYTES_PER_VOXEL * voxels as u64)?;
            Ok(strokes::points(&vec![true; voxels], size, spacing_mm))
        });
        Given::Points { at: moved(points.await?, low), inside: true }
    } else {
        Given::Box { low, high }
    };
    add(&app, &session, &mut lease, given, flags.run_prediction).await
}

async fn add_stroke(
    State(app): State<Shared>,
    leases: AllLeases,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (Leased(session, mut lease), meta, body) = begin::<AddStroke>(&app, &leases, &headers, body).await?;
    let AddStroke { interaction_bbox, flags } = meta;
    let upload = Upload::receive(&app, &headers, body).await?;
    let shape = array_shape(&session)?;
    let place = interaction_bbox.unwrap_or_else(|| shape.map(|length| [0, length as u64]));
    let is_inside = |axis: usize| place[axis][0] < place[axis][1] && place[axis][1] <= shape[axis] as u64;
    if !(0..3).all(is_inside) {
        return Err(Refusal::new(format!("the box {place:?} is not in the image, whose shape is {shape:?}")));
    }
    let size = place.map(|[low, high]| (high - low) as usize);
    if upload.packed()?.shape() != size {
        let found = upload.packed()?.shape().to_vec();
        return Err(Refusal::new(format!("expected an array of the shape {size:?}, found {found:?}")));
    }
    let spacing_mm = spacing_mm(&session)?;
    let shared = Arc::clone(&app);
    let points = call::on_a_thread(move || Ok(stroke(&shared, &upload, size, spacing_mm))).await??;
    let low = place.map(|[low, _]| low as usize);
    let given = Given::Points { at: moved(points, low), inside: flags.include_interaction };
    add(&app, &session, &mut lease, given, flags.run_prediction).await
}

/// The points of a stroke.
fn stroke(app: &Shared, upload: &Upload, size: [usize; 3], spacing_mm: [f64; 3]) -> Result<Vec<[usize; 3]>, Refusal> {
    let packed = upload.packed()?;
    // The array as it was sent and as `bool`, and the work.
    let voxels = size.iter().product::<usize>() as u64;
    let _reserved = scan::reserve(app, packed.decoded_len() as u64 + (1 + strokes::BYTES_PER_VOXEL) * voxels)?;
    let painted = packed.decode().map_err(request::refused)?.positive();
    let nothing = || Refusal::new("nothing is painted: all voxels of the array are 0");
    let (painted, size, low) = strokes::cropped(&painted, size).ok_or_else(nothing)?;
    let points = strokes::points(&painted, size, spacing_mm);
    Ok(moved(points, low))
}

/// The points of a part of an array as points of the array.
fn moved(points: Vec<[usize; 3]>, low: [usize; 3]) -> Vec<[usize; 3]> {
    points.into_iter().map(|point| [0, 1, 2].map(|axis| point[axis] + low[axis])).collect()
}

/// SegVol has no input for a mask. The client has put the mask into its buffer already, so what that has is unknown.
async fn add_initial_segmentation(
    State(app): State<Shared>,
    leases: AllLeases,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (Leased(_session, mut lease), _, body) = begin::<Value>(&app, &leases, &headers, body).await?;
    lease.shown = Shown::Unknown;
    request::discard(&app, body).await;
    Err(Refusal::new("SegVol cannot begin with a mask: add points, a box, a scribble or a lasso"))
}

fn scan_of(session: &Session) -> Result<Arc<OpenScan>, Refusal> {
    session.view().scan.ok_or_else(|| Refusal::new("there is no image: set one first"))
}

/// Voxels along the axes of the client's array.
fn array_shape(session: &Session) -> Result<[usize; 3], Refusal> {
    let [i, j, k] = scan_of(session)?.volume.shape_xyz();
    Ok([k, j, i])
}

/// Millimetres between voxels along the axes of the client's array.
fn spacing_mm(session: &Session) -> Result<[f64; 3], Refusal> {
    let [i, j, k] = scan_of(session)?.volume.grid().spacing_mm();
    Ok([k, j, i])
}

/// Adds an interaction, and segments if that is wanted. If it fails, the interaction is gone.
async fn add(
    app: &Shared,
    session: &Arc<Session>,
    lease: &mut LeaseState,
    given: Given,
    run: bool,
) -> Result<Response, Refusal> {
    lease.steps.push(Step { given, used: false });
    let checked = if !given::says_where(lease.given()) {
        Err(Refusal::new("nothing says yet where the object is: begin with a point, a box or a stroke inside"))
    } else if given::points(lease.given()) > given::MAX_POINTS {
        Err(Refusal::new(format!("expected at most {} points for an object", given::MAX_POINTS)))
    } else {
        lease.apply(app, session).map_err(Refusal::from)
    };
    if let Err(refusal) = checked {
        lease.steps.pop();
        return Err(refusal);
    }
    if !run {
        return Ok(answer::nothing());
    }
    let answered = segment(app, session, lease).await;
    if answered.is_err() {
        lease.take_back(app, session)?;
    }
    answered
}

/// Segments the object of all interactions.
async fn segment(app: &Shared, session: &Arc<Session>, lease: &mut LeaseState) -> Result<Response, Refusal> {
    call::begin(app, session)?.result().await?;
    lease.steps.iter_mut().for_each(|step| step.used = true);
    changes(session, lease).await
}

/// What the client's buffer does not have yet.
async fn changes(session: &Arc<Session>, lease: &mut LeaseState) -> Result<Response, Refusal> {
    let (shown, session) = (lease.shown, Arc::clone(session));
    // Large masks take a while to compare and to pack.
    let compare = move || {
        let since = if let Shown::Revision(revision) = shown { Some(revision) } else { None };
        let change = session.changes(since)?;
        // Without the mask that the client has, all that is known is the new one.
        let all = shown == Shown::Unknown || (since.is_some() && change.whole);
        Ok((change.revision, answer::changed(&change, all)))
    };
    let (revision, answer) = call::on_a_thread(compare).await?;
    lease.shown = Shown::Revision(revision);
    Ok(answer)
}
