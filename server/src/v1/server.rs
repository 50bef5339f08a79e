//! What the server is.

use axum::Json;
use axum::extract::State;
use segvol::Names;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Shared;
use crate::error::ErrorBody;

/// The server and its model.
#[derive(Serialize, ToSchema)]
pub(super) struct ServerState {
    #[schema(example = "segvol")]
    name: &'static str,
    version: &'static str,
    /// The version of this interface.
    protocol: u32,
    /// What a mask may be used for.
    notice: &'static str,
    bundle: BundleState,
    /// The provider that runs the graphs.
    provider: String,
    precision: String,
    limits: LimitsState,
    /// Formats of masks.
    formats: Vec<&'static str>,
}

/// The model.
#[derive(Serialize, ToSchema)]
struct BundleState {
    /// SHA-256 of the manifest, which has the hashes of all files.
    manifest_sha256: String,
    /// The axes that the model was trained with; `null` if the bundle does not say.
    axes: Option<String>,
}

/// What clients may take.
#[derive(Serialize, ToSchema)]
struct LimitsState {
    sessions: usize,
    upload_bytes: u64,
    objects: usize,
    /// Seconds until a session ends from which nothing has come.
    liveness_s: u64,
    /// Seconds until a session ends from which only heartbeats have come.
    idle_s: u64,
}

/// What the server is and what it allows.
#[utoipa::path(get, operation_id = "read_server", path = "/v1/server", tag = "server", responses(
    (status = 200, description = "The server", body = ServerState),
    (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn server(State(app): State<Shared>) -> Json<ServerState> {
    let (limits, stages) = (&app.settings.limits, app.model.stages());
    Json(ServerState {
        name: "segvol",
        version: env!("CARGO_PKG_VERSION"),
        protocol: 1,
        notice: "research software, not a medical device",
        bundle: BundleState {
            manifest_sha256: app.model.manifest_sha256().to_owned(),
            axes: app.model.axes().map(|axes| axes.to_string()),
        },
        provider: stages.provider().name().to_owned(),
        precision: stages.precision().to_string(),
        limits: LimitsState {
            sessions: limits.sessions,
            upload_bytes: limits.upload_bytes,
            objects: limits.objects,
            liveness_s: limits.liveness.as_secs(),
            idle_s: limits.idle.as_secs(),
        },
        formats: super::mask::formats(),
    })
}

/// Names that the model was trained with.
#[derive(Serialize, ToSchema)]
pub(super) struct NamesState {
    /// Empty if the bundle has no list.
    names: Vec<NameState>,
}

/// A name.
#[derive(Serialize, ToSchema)]
struct NameState {
    #[schema(example = "liver")]
    name: String,
    /// Other names of the same structure that the model knows too.
    synonyms: Vec<String>,
}

/// The names that the model was trained with. Other texts give a mask, too, with a warning.
#[utoipa::path(get, operation_id = "list_names", path = "/v1/names", tag = "server", responses(
    (status = 200, description = "The names", body = NamesState),
    (status = "default", description = "An error", body = ErrorBody)))]
pub(super) async fn names(State(app): State<Shared>) -> Json<NamesState> {
    let list = app.model.names().map(Names::list).unwrap_or_default();
    let names = list.iter().map(|name| NameState { name: name.name.clone(), synonyms: name.synonyms.clone() });
    Json(NamesState { names: names.collect() })
}
