//! Who may ask: the token, and the checks against web pages of others.
//!
//! A page from anywhere can send requests to `http://localhost`, in the name of whoever reads it. The server refuses what a browser
//! marks as coming from another site; and where there is no token, names that are not this machine's, because the name of a page's own
//! host may be made to point here.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use segvol_base::ErrorKind;

use crate::app::Shared;
use crate::error::ApiError;
use crate::settings::is_loopback;

/// Refuses requests that another site makes in a browser.
pub(crate) async fn own_site(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let only_local_names = app.settings.token.is_none() && app.settings.is_local();
    match check_site(headers, only_local_names, is_visit(request.method(), request.uri().path(), headers)) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Refuses requests without the token.
pub(crate) async fn token(State(app): State<Shared>, request: Request, next: Next) -> Response {
    match check_token(&app, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Checks the token of a request.
pub(crate) fn check_token(app: &Shared, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(token) = &app.settings.token else { return Ok(()) };
    let mut presented = headers.get_all(AUTHORIZATION).iter();
    match (presented.next(), presented.next()) {
        (Some(one), None) if token.is_in(one.as_bytes()) => Ok(()),
        (None, _) => Err(unauthorized("expected the header `Authorization: Bearer TOKEN`, found none")),
        _ => Err(unauthorized("the token is wrong")),
    }
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", ErrorKind::Usage, message)
}

/// Whether somebody follows a link to the page. It holds nothing of anybody, and may not be framed.
fn is_visit(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let is = |name: &str, wanted: &str| headers.get(name).is_some_and(|value| value == wanted);
    method == Method::GET && path == "/" && is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document")
}

fn check_site(headers: &HeaderMap, only_local_names: bool, is_visit: bool) -> Result<(), ApiError> {
    let forbidden = |message: &str| Err(ApiError::new(StatusCode::FORBIDDEN, "other_site", ErrorKind::Usage, message));
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let host = text(HOST).unwrap_or_default();
    let is_other = |site: &HeaderValue| site == "cross-site" || site == "same-site";
    if !is_visit && headers.get("sec-fetch-site").is_some_and(is_other) {
        return forbidden("a page of another site may not use this server");
    }
    if headers.contains_key(ORIGIN) {
        let own = text(ORIGIN).and_then(|origin| origin.split_once("://")).is_some_and(|(_, origin)| origin == host);
        if !own {
            return forbidden("a page of another site may not use this server");
        }
    }
    if only_local_names && !is_local_name(host) {
        return forbidden("without a token, this server answers to `localhost` and to loopback addresses only");
    }
    Ok(())
}

/// Whether the value of a header `Host` is a name that always means this machine.
fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    // Without a name, it is HTTP/1.0 of a program, not a browser.
    name.is_empty() || name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let host = ("host", "localhost:8787");
        for right in [
            &[host][..],
            &[host, ("origin", "http://localhost:8787")],
            &[host, ("sec-fetch-site", "same-origin")],
            &[host, ("sec-fetch-site", "none")],
            &[("host", "127.0.0.1")],
            &[("host", "[::1]:8787")],
        ] {
            assert!(check_site(&headers(right), true, false).is_ok(), "{right:?}");
        }
        for wrong in [
            &[host, ("origin", "http://evil.example")][..],
            &[host, ("origin", "http://localhost:8788")],
            &[host, ("origin", "null")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
            // A name of somebody else's that points to this machine.
            &[("host", "evil.example:8787")],
            &[("host", "localhost.evil.example")],
        ] {
            assert!(check_site(&headers(wrong), true, false).is_err(), "{wrong:?}");
        }
        assert!(check_site(&headers(&[("host", "segvol.hospital.example")]), false, false).is_ok());
    }

    #[test]
    fn a_link_on_another_site_leads_to_the_page_and_nowhere_else() {
        let linked = headers(&[
            ("host", "localhost:8787"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ]);
        let visit = |method, path, headers: &HeaderMap| {
            let is_visit = is_visit(&method, path, headers);
            check_site(headers, true, is_visit).is_ok()
        };
        assert!(visit(Method::GET, "/", &linked));
        assert!(!visit(Method::POST, "/", &linked));
        assert!(!visit(Method::GET, "/v1/names", &linked));
        let mut framed = linked.clone();
        framed.insert("sec-fetch-dest", HeaderValue::from_static("iframe"));
        assert!(!visit(Method::GET, "/", &framed));
    }
}
