//! The page for people: `/` and what it loads from `/assets/`.
//!
//! All of it is inside the program. It needs no token, because it holds nothing of anybody; what it then asks under `/v1` does.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use segvol_base::ErrorKind;

use crate::app::Shared;
use crate::error::ApiError;

/// What the page may load and do: files of this server, and nothing written into the page itself. `data:` is for the pictures that
/// NiiVue carries along.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// A file of the page.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// Whether the bytes are compressed with gzip, which every browser takes.
    gzip: bool,
    /// Changes with the bytes, so that a browser asks again and gets nothing new until then.
    etag: HeaderValue,
}

macro_rules! assets {
    ($($name:literal, $content_type:expr;)*) => {
        [$(Asset::new($name, $content_type, include_bytes!(concat!("../page/", $name)), false)),*]
    };
}

static INDEX: LazyLock<Asset> = LazyLock::new(|| Asset::new("", HTML, include_bytes!("../page/index.html"), false));

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let mut assets = Vec::from(assets![
        "client.js", SCRIPT;
        "combobox.js", SCRIPT;
        "dom.js", SCRIPT;
        "downloads.js", SCRIPT;
        "favicon.svg", "image/svg+xml";
        "gestures.js", SCRIPT;
        "grid.js", SCRIPT;
        "list.js", SCRIPT;
        "main.js", SCRIPT;
        "marks.js", SCRIPT;
        "mask.js", SCRIPT;
        "niivue.LICENSE", TEXT;
        "objects.js", SCRIPT;
        "planes.js", SCRIPT;
        "report.js", SCRIPT;
        "session.js", SCRIPT;
        "study.js", SCRIPT;
        "style.css", STYLE;
        "token.js", SCRIPT;
        "viewer.js", SCRIPT;
        "zip.js", SCRIPT;
    ]);
    assets.push(Asset::new("niivue.umd.js", SCRIPT, include_bytes!("../page/niivue.umd.js.gz"), true));
    assets
});

impl Asset {
    fn new(name: &'static str, content_type: &'static str, bytes: &'static [u8], gzip: bool) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        let etag = format!("\"{:016x}\"", hasher.finish());
        // Sixteen hexadecimal digits in quotes are a valid value.
        let etag = HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { name, content_type, bytes, gzip, etag }
    }

    fn response(&self, request: &HeaderMap) -> Response {
        let known = request.get(header::IF_NONE_MATCH).is_some_and(|etags| {
            let etags = etags.as_bytes();
            etags.windows(self.etag.len()).any(|etag| etag == self.etag.as_bytes())
        });
        let mut response =
            if known { StatusCode::NOT_MODIFIED.into_response() } else { Body::from(self.bytes).into_response() };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
        if self.gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// The page and its files.
pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/", get(index))
        .route("/assets/phantom.nii.gz", get(demo_scan))
        .route("/assets/{name}", get(asset))
}

async fn index(headers: HeaderMap) -> Response {
    INDEX.response(&headers)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    let no_such =
        || ApiError::new(StatusCode::NOT_FOUND, "no_such_path", ErrorKind::Usage, "there is nothing at this path");
    Ok(found.ok_or_else(no_such)?.response(&headers))
}

/// The scan that the page offers for a first try. No content if the server has none: a browser writes other refusals into its console.
async fn demo_scan(State(app): State<Shared>) -> Result<Response, ApiError> {
    let Some(path) = &app.settings.demo_scan else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let bytes = tokio::fs::read(path).await.map_err(|error| {
        tracing::error!(%error, path = %path.display(), "the demo scan cannot be read");
        ApiError::internal("the demo scan cannot be read; the log has the reason")
    })?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/page");

    #[test]
    fn every_file_of_the_page_is_served() {
        let files = fs::read_dir(PAGE).expect("the folder").map(|entry| entry.expect("a file").file_name());
        let files: BTreeSet<String> =
            files.map(|name| name.into_string().expect("a name").replace(".js.gz", ".js")).collect();
        let served = ASSETS.iter().map(|asset| asset.name.to_owned()).chain(["index.html".to_owned()]);
        assert_eq!(served.collect::<BTreeSet<_>>(), files);
    }

    #[test]
    fn the_page_names_only_files_that_are_served() {
        let mut named = 0;
        for asset in ASSETS.iter().chain([&*INDEX]).filter(|asset| !asset.gzip) {
            let text = str::from_utf8(asset.bytes).expect("text");
            let imports = text.split("from './").skip(1).map(|rest| rest.split('\'').next().unwrap_or_default());
            let links = text.split("\"/assets/").skip(1).map(|rest| rest.split('"').next().unwrap_or_default());
            for name in imports.chain(links) {
                assert!(ASSETS.iter().any(|asset| asset.name == name), "{} names {name}", asset.name);
                named += 1;
            }
        }
        assert!(named > 30, "{named} names found");
    }

    /// What the policy would refuse.
    #[test]
    fn no_script_and_no_style_is_written_into_the_page() {
        let text = str::from_utf8(INDEX.bytes).expect("text");
        assert_eq!(text.matches("<script").count(), text.matches("<script src=\"/assets/").count());
        assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains("javascript:"));
        for event in ["onclick", "onload", "onerror", "onchange", "onsubmit"] {
            assert!(!text.contains(event), "{event}");
        }
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let asset = &ASSETS[0];
        let with = |etag: HeaderValue| HeaderMap::from_iter([(header::IF_NONE_MATCH, etag)]);
        assert_eq!(asset.response(&HeaderMap::new()).status(), StatusCode::OK);
        assert_eq!(asset.response(&with(asset.etag.clone())).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(asset.response(&with(HeaderValue::from_static("\"0\""))).status(), StatusCode::OK);
    }
}
