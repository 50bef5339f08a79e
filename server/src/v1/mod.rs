//! The server's own interface, under `/v1`.

mod events;
mod mask;
pub(crate) mod objects;
mod path;
mod query;
mod scan;
mod schema;
mod segment;
mod server;
mod sessions;

use axum::Json;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Shared;

/// What the document says about the whole interface.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "segvol",
        description = "Segments CT scans with SegVol: upload a scan, send prompts (names, points, boxes), get masks. Research \
                       software, not a medical device.\n\nA session has one scan and its objects. Whoever knows its id may use it. \
                       It ends when it is deleted, or when nothing has come from its client for some time.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    modifiers(&Security),
    security(("token" = [])),
    tags(
        (name = "server", description = "What the server is and what it allows"),
        (name = "sessions", description = "One scan with its objects and results"),
        (name = "segmentation", description = "From prompts to masks")
    )
)]
struct Document;

/// The token, as OpenAPI describes it.
struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

fn documented() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(server::server))
        .routes(routes!(server::names))
        .routes(routes!(sessions::create))
        .routes(routes!(sessions::read, sessions::delete))
        .routes(routes!(sessions::heartbeat))
        .routes(routes!(scan::read, scan::upload))
        .routes(routes!(objects::replace))
        .routes(routes!(objects::undo))
        .routes(routes!(objects::redo))
        .routes(routes!(segment::segment))
        .routes(routes!(segment::cancel))
        .routes(routes!(mask::file))
        .routes(routes!(mask::region))
        .routes(routes!(mask::report))
}

/// The description of the interface.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = documented().split_for_parts().1;
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document
}

/// All routes.
pub(crate) fn router() -> axum::Router<Shared> {
    let document = openapi();
    documented().split_for_parts().0.route("/v1/openapi.json", get(move || std::future::ready(Json(document.clone()))))
}
