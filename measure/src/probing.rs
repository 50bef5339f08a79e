//! The ONNX Runtime libraries of this machine, and what they offer. Each is loaded in its own worker.

use std::path::Path;

use segvol::probe::{self, Candidate, LibraryReport};

use crate::error::Error;
use crate::worker::{Reply, Request, Worker};

/// Looks at every library that is found, `asked` first.
///
/// A process can load one library, and a provider that crashes must not affect the others: `program` is started once per
/// library, and must have [`crate::worker::SUBCOMMAND`]. A library that cannot be looked at is not an error: its report
/// says why.
#[must_use]
pub fn libraries(program: &Path, asked: Option<&Path>) -> Vec<LibraryReport> {
    let look = |candidate: Candidate| match probe(program, &candidate.path) {
        Ok(report) => LibraryReport { candidate, ..report },
        Err(error) => LibraryReport {
            candidate,
            version: None,
            build: None,
            problem: Some(error.to_string()),
            providers: Vec::new(),
            devices: Vec::new(),
        },
    };
    probe::candidates(asked).into_iter().map(look).collect()
}

fn probe(program: &Path, library: &Path) -> Result<LibraryReport, Error> {
    match Worker::start_quiet(program)?.ask(&Request::Probe { library: library.to_owned() })? {
        Reply::Probed(report) => Ok(*report),
        other => Err(other.into_error("looking at the library")),
    }
}
