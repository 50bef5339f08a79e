//! The scan of a session.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use segvol::volume::Format;
use segvol::{AffineChoice, ReadOptions};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::path::Named;
use super::query::Query;
use super::schema::{Binary, SessionState};
use crate::app::Shared;
use crate::download::{self, attachment};
use crate::error::{ApiError, ErrorBody};
use crate::{scan, upload};

/// How a scan is read, as by `segvol segment`.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadParameters {
    /// The DICOM series if there are several: its Series Instance UID, or its Series Number.
    series: Option<String>,
    /// The affine where a NIfTI header states two that differ.
    #[param(inline)]
    affine: Option<Form>,
    /// Whether missing slices of a DICOM series are interpolated.
    #[serde(default)]
    fill_gaps: bool,
}

/// One of the two affines of a NIfTI header.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Form {
    Sform,
    Qform,
}

impl ReadParameters {
    fn options(self) -> ReadOptions {
        let affine = self.affine.map(|form| match form {
            Form::Sform => AffineChoice::Sform,
            Form::Qform => AffineChoice::Qform,
        });
        ReadOptions::default().affine(affine).series(self.series).fill_gaps(self.fill_gaps)
    }
}

/// Uploads the scan of a session: NIfTI, NRRD or MetaImage with its voxels behind the header, or a zip of a DICOM series. Objects and
/// results of a scan before are gone.
#[utoipa::path(put, operation_id = "upload_scan", path = "/v1/sessions/{id}/scan", tag = "sessions",
    params(("id" = String, Path, description = "The session"), ReadParameters),
    request_body(content_type = "application/octet-stream", description = "The file", content = inline(Binary)), responses(
        (status = 200, description = "The session", body = SessionState),
        (status = 409, description = "Another upload of this session is under way", body = ErrorBody),
        (status = 413, description = "Too many bytes, or more voxels than fit into memory", body = ErrorBody),
        (status = 422, description = "Not a scan, or one that cannot be read", body = ErrorBody),
        (status = 503, description = "The memory is in use by other sessions", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn upload(
    State(app): State<Shared>,
    Named(session): Named,
    Query(parameters): Query<ReadParameters>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SessionState>, ApiError> {
    let options = parameters.options();
    let busy = |_| ApiError::conflict("upload_running", "an upload of this session is under way");
    let _one_upload = Arc::clone(&session.one_upload).try_lock_owned().map_err(busy)?;
    let file = upload::nameless(app.settings.uploads.as_deref())?;
    upload::to_file(&app, &headers, body, &file).await?;
    let opened = scan::replace(&app, &session, move |app| scan::open(app, file, &options)).await?;
    let (named, voxels) = (session.id.short(), opened.volume.voxels().len());
    tracing::info!(session = named, voxels, dicom = opened.is_dicom, "scan opened");
    Ok(Json(SessionState::of(&session)))
}

/// The scan as NIfTI: the same voxels in Hounsfield units, for viewers that cannot read what was uploaded.
#[utoipa::path(get, operation_id = "download_scan", path = "/v1/sessions/{id}/scan", tag = "sessions",
    params(("id" = String, Path, description = "The session")), responses(
        (status = 200, description = "The scan", content_type = "application/gzip", body = inline(Binary)),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 409, description = "There is no scan", body = ErrorBody),
        (status = 410, description = "The session has ended", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn read(State(app): State<Shared>, Named(session): Named) -> Result<impl IntoResponse, ApiError> {
    let scan = session.view().scan.ok_or_else(|| ApiError::conflict("no_scan", "there is no scan in this session"))?;
    let file = download::made(&app, move |bytes| {
        let written = scan.volume.write(bytes, Format::NiftiGzip);
        written.map_err(|error| ApiError::internal(format!("the scan cannot be written: {error}")))
    });
    Ok((attachment("application/gzip", "scan.nii.gz"), file.await?))
}
