//! Serves a model over HTTP: scans, prompts and masks in sessions that cannot mix.
//!
//! [`Server::bind`] takes an open model and [`Settings`]; [`Server::run`] answers until it is asked to stop. `docs/server.md` has the
//! interface.

#![forbid(unsafe_code)]

mod app;
mod call;
mod download;
mod error;
mod guard;
mod kserve;
mod look_ahead;
mod metrics;
pub mod nninteractive;
mod operations;
mod page;
mod routes;
mod scan;
mod serve;
mod session;
mod settings;
mod token;
mod turns;
mod upload;
mod v1;
mod warm_up;

pub use serve::{ServeError, Server};
pub use settings::{Exposed, Limits, Settings};
pub use token::{Token, TokenError};

/// The description of the interface under `/v1`, OpenAPI 3.1 as JSON.
///
/// # Errors
///
/// None in practice: all of its parts are text, numbers and lists.
pub fn openapi() -> Result<String, serde_json::Error> {
    v1::openapi().to_pretty_json()
}
