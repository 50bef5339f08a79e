//! Sessions, which cannot mix: each has its own scan, prompts, results and embeddings.

pub(crate) mod id;
pub(crate) mod memory;
pub(crate) mod outcome;
pub(crate) mod region;
mod registry;
#[expect(clippy::module_inception, reason = "the noun of the folder")]
mod session;

pub(crate) use registry::{Sessions, no_such_session};
pub(crate) use session::{Change, End, InUse, Objects, OpenScan, Session, Ticket, View, gone};
