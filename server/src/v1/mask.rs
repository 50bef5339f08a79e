//! The masks of a session.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use segvol::Report;
use segvol::mask::Labels;
use segvol::volume::Format;
use segvol_objects::{DicomFiles, FileFormat};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::path::Named;
use super::query::Query;
use super::schema::Binary;
use crate::app::Shared;
use crate::call::on_a_thread;
use crate::download::{self, attachment};
use crate::error::{ApiError, ErrorBody};
use crate::session::Session;
use crate::session::outcome::{Outcome, Stage};
use crate::session::region;

/// A format of masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
pub(super) enum MaskFormat {
    #[default]
    #[serde(rename = "nii.gz")]
    NiftiGzip,
    #[serde(rename = "nii")]
    Nifti,
    #[serde(rename = "nrrd")]
    Nrrd,
    #[serde(rename = "mha")]
    MetaImage,
    /// A segmentation of 3D Slicer, with names.
    #[serde(rename = "seg.nrrd")]
    SegNrrd,
    /// A DICOM SEG, of a DICOM scan.
    #[cfg(feature = "dicom")]
    #[serde(rename = "dcm")]
    DicomSeg,
    /// An RT Structure Set, of a DICOM scan.
    #[cfg(feature = "dicom")]
    #[serde(rename = "rtstruct")]
    Rtstruct,
}

/// The formats of masks, by their names.
pub(super) fn formats() -> Vec<&'static str> {
    let mut formats = vec!["nii.gz", "nii", "nrrd", "mha", "seg.nrrd"];
    if cfg!(feature = "dicom") {
        formats.extend(["dcm", "rtstruct"]);
    }
    formats
}

impl MaskFormat {
    /// The format of a label map; `None` if it is another one.
    fn of_label_map(self) -> Option<Format> {
        match self {
            Self::NiftiGzip => Some(Format::NiftiGzip),
            Self::Nifti => Some(Format::Nifti),
            Self::Nrrd => Some(Format::Nrrd),
            Self::MetaImage => Some(Format::MetaImage),
            Self::SegNrrd => None,
            #[cfg(feature = "dicom")]
            Self::DicomSeg | Self::Rtstruct => None,
        }
    }

    /// The type and the name of a file.
    fn file(self) -> (&'static str, &'static str) {
        match self {
            Self::NiftiGzip => ("application/gzip", "mask.nii.gz"),
            Self::Nifti => ("application/octet-stream", "mask.nii"),
            Self::Nrrd => ("application/octet-stream", "mask.nrrd"),
            Self::MetaImage => ("application/octet-stream", "mask.mha"),
            Self::SegNrrd => ("application/octet-stream", "mask.seg.nrrd"),
            #[cfg(feature = "dicom")]
            Self::DicomSeg => ("application/dicom", "mask.dcm"),
            #[cfg(feature = "dicom")]
            Self::Rtstruct => ("application/dicom", "rtstruct.dcm"),
        }
    }
}

/// Which mask.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FileParameters {
    /// The format; `nii.gz` if there is none.
    #[serde(default)]
    #[param(inline)]
    format: MaskFormat,
    /// The label of one object, for its own mask of 0 and 1; without it, all objects.
    #[param(minimum = 1, maximum = 65535)]
    object: Option<usize>,
}

/// The final masks as a file: the same bytes as `segvol segment` writes.
#[utoipa::path(get, operation_id = "download_mask", path = "/v1/sessions/{id}/mask", tag = "segmentation",
    params(("id" = String, Path, description = "The session"), FileParameters), responses(
        (status = 200, description = "The file", body = inline(Binary), content_type = "application/octet-stream"),
        (status = 404, description = "There is no such session or object", body = ErrorBody),
        (status = 409, description = "There is no final result", body = ErrorBody),
        (status = 410, description = "The session has ended", body = ErrorBody),
        (status = 422, description = "The scan does not allow this format", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn file(
    State(app): State<Shared>,
    Named(session): Named,
    Query(FileParameters { format, object }): Query<FileParameters>,
) -> Result<Response, ApiError> {
    let outcome = final_result(&session)?;
    let no_scan = || ApiError::conflict("no_scan", "there is no scan in this session");
    let scan = session.view().scan.ok_or_else(no_scan)?;
    if let Some(label) = object
        && !(1..=outcome.objects.len()).contains(&label)
    {
        let message = format!("object: expected 1 to {}, found {label}", outcome.objects.len());
        return Err(ApiError::new(StatusCode::NOT_FOUND, "no_such_object", segvol_base::ErrorKind::Usage, message));
    }
    if object.is_some() && format.of_label_map().is_none() {
        let message = "object: one object alone is written as nii.gz, nii, nrrd or mha";
        return Err(ApiError::bad_request("bad_parameter", message));
    }
    let bundle_sha256 = app.model.manifest_sha256().to_owned();
    #[cfg(feature = "dicom")]
    if matches!(format, MaskFormat::DicomSeg | MaskFormat::Rtstruct) && !scan.is_dicom {
        let message = "format: a DICOM object refers to the images of a series, and this scan is none";
        return Err(ApiError::unprocessable("not_dicom", message));
    }
    let file = download::made(&app, move |bytes| {
        let written = outcome.with_masks(&scan.study, &bundle_sha256, |objects| {
            let dicom = DicomFiles::default();
            match (object, format.of_label_map()) {
                (Some(label), Some(format)) => {
                    let mask = objects.masks.mask(label - 1)?;
                    let failed = |source| segvol::volume::MaskError::Io { path: Default::default(), source };
                    mask.write(bytes, format).map_err(failed)?;
                }
                (_, Some(label_map)) => objects.write(bytes, FileFormat::LabelMap, label_map, &dicom)?,
                _ => match format {
                    #[cfg(feature = "dicom")]
                    MaskFormat::DicomSeg => {
                        objects.write(bytes, FileFormat::DicomSeg, Format::NiftiGzip, &dicom)?;
                    }
                    #[cfg(feature = "dicom")]
                    MaskFormat::Rtstruct => objects.write_rtstruct(bytes, &dicom)?,
                    _ => objects.write(bytes, FileFormat::SegNrrd, Format::NiftiGzip, &dicom)?,
                },
            }
            Ok(())
        });
        written.map_err(ApiError::from)
    });
    let (content_type, name) = format.file();
    Ok((attachment(content_type, name), file.await?).into_response())
}

fn final_result(session: &Session) -> Result<Arc<Outcome>, ApiError> {
    let outcome = session.view().outcome.filter(|outcome| outcome.stage == Stage::Final);
    outcome.ok_or_else(|| {
        ApiError::conflict("no_result", "there is no final result for these objects: segment them first")
    })
}

/// Since when.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RegionParameters {
    /// The revision that the client has; without it, everything.
    #[param(maximum = 9007199254740991_u64)]
    since: Option<u64>,
}

/// The label map as it is now, coarse or final: raw labels, i fastest, then j, k of the file's axes, in the box that differs from what
/// the client has.
#[utoipa::path(get, operation_id = "read_mask_region", path = "/v1/sessions/{id}/mask/region", tag = "segmentation",
    params(("id" = String, Path, description = "The session"), RegionParameters), responses(
        (status = 200, description = "The labels in the box", body = inline(Binary), content_type = "application/octet-stream", headers(
            ("X-Segvol-Revision" = u64, description = "The number of this label map"),
            ("X-Segvol-Stage" = String, description = "`coarse`, `final`, or `none` if there is no result"),
            ("X-Segvol-Dtype" = String, description = "`uint8`, or `uint16`, little-endian"),
            ("X-Segvol-Box" = String, description = "i0,j0,k0,i1,j1,k1; both corners are inside"),
            ("X-Segvol-Whole" = bool, description = "Whether all voxels outside of the box are 0; otherwise they are as before"))),
        (status = 204, description = "Nothing differs", headers(
            ("X-Segvol-Revision" = u64, description = "The number of this label map"),
            ("X-Segvol-Stage" = String, description = "As above"),
            ("X-Segvol-Whole" = bool, description = "Whether all voxels are 0"))),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 409, description = "There is no scan", body = ErrorBody),
        (status = 410, description = "The session has ended", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn region(
    Named(session): Named,
    Query(RegionParameters { since }): Query<RegionParameters>,
) -> Result<Response, ApiError> {
    let named = Arc::clone(&session);
    let change = on_a_thread(move || named.changes(since)).await?;
    let stage = change.stage.map_or("none", Stage::name);
    let text = |value: String| HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static(""));
    let mut headers = vec![
        (HeaderName::from_static("x-segvol-revision"), HeaderValue::from(change.revision)),
        (HeaderName::from_static("x-segvol-stage"), HeaderValue::from_static(stage)),
        (HeaderName::from_static("x-segvol-whole"), text(change.whole.to_string())),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let Some(bounds) = change.bounds else {
        return Ok((StatusCode::NO_CONTENT, axum::response::AppendHeaders(headers)).into_response());
    };
    let is_wide = change.labels.as_ref().is_some_and(|mask| matches!(mask.labels(), Labels::U16(_)));
    let dtype = if is_wide { "uint16" } else { "uint8" };
    let [[i0, j0, k0], [i1, j1, k1]] = [bounds.min_ijk, bounds.max_ijk];
    headers.extend([
        (HeaderName::from_static("x-segvol-dtype"), HeaderValue::from_static(dtype)),
        (HeaderName::from_static("x-segvol-box"), text(format!("{i0},{j0},{k0},{i1},{j1},{k1}"))),
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
    ]);
    let labels = region::cut(change.shape_xyz, change.labels.as_deref(), bounds);
    Ok((headers.into_iter().collect::<axum::http::HeaderMap>(), labels).into_response())
}

/// The report of the final result, as `segvol segment --report` writes it.
#[utoipa::path(get, operation_id = "read_report", path = "/v1/sessions/{id}/report", tag = "segmentation",
    params(("id" = String, Path, description = "The session")), responses(
        (status = 200, description = "The report", body = serde_json::Value),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 409, description = "There is no final result", body = ErrorBody),
        (status = 410, description = "The session has ended", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn report(Named(session): Named) -> Result<Json<Report>, ApiError> {
    let outcome = final_result(&session)?;
    let report = outcome.report.clone();
    report.map(Json).ok_or_else(|| ApiError::internal("the result has no report"))
}
