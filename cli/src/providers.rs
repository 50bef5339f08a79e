//! `segvol providers`: what this machine offers to run the graphs on.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use segvol::probe::{self, Candidate, LibraryReport, Processor};
use serde::Serialize;

/// Show the ONNX Runtime libraries of this machine, their providers, devices, and the processor
///
/// Every library is loaded in a process of its own, and every provider runs a product of matrices. The first library
/// that can be loaded is the one that `segvol segment` takes; those under .onnxruntime/ only if --library or
/// ORT_DYLIB_PATH names them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  segvol providers\n  segvol providers --library /opt/onnxruntime/lib/libonnxruntime.so --json"
)]
pub(crate) struct Providers {
    /// A library to look at first
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Look at this library in this process, and print JSON
    #[arg(long, hide = true, value_name = "FILE")]
    probe: Option<PathBuf>,
}

#[derive(Serialize)]
struct Machine {
    processor: Processor,
    libraries: Vec<LibraryReport>,
}

impl Providers {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        if let Some(path) = self.probe {
            let report = probe::probe(Candidate { path, found_by: String::new() });
            serde_json::to_writer(&mut *out, &report)?;
            return Ok(writeln!(out)?);
        }
        let mut candidates = probe::candidates(self.library.as_deref());
        if let (Some(_), Some(requested)) = (&self.library, candidates.first_mut()) {
            requested.found_by = "--library".to_owned();
        }
        let libraries = candidates.into_iter().map(in_own_process).collect();
        let machine = Machine { processor: probe::processor(), libraries };
        if self.json {
            serde_json::to_writer_pretty(&mut *out, &machine)?;
            writeln!(out)?;
        } else {
            show(out, &machine)?;
        }
        Ok(())
    }
}

/// One process can load one library, and a provider that crashes must not take the others along.
fn in_own_process(candidate: Candidate) -> LibraryReport {
    match probed(&candidate.path) {
        Ok(report) => LibraryReport { candidate, ..report },
        Err(problem) => LibraryReport {
            candidate,
            version: None,
            build: None,
            problem: Some(problem),
            providers: Vec::new(),
            devices: Vec::new(),
        },
    }
}

fn probed(library: &Path) -> Result<LibraryReport, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program).args(["providers", "--probe"]).arg(library).output();
    let output = output.map_err(|error| error.to_string())?;
    // A provider's own library may print before our line.
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().last().unwrap_or("it said nothing");
        format!("the process that loaded it ended with {}: {said}", output.status)
    })
}

fn show(out: &mut impl Write, machine: &Machine) -> io::Result<()> {
    let processor = &machine.processor;
    writeln!(out, "processor  {}", processor.model.as_deref().unwrap_or("unknown"))?;
    writeln!(out, "  threads  {}", processor.threads)?;
    for feature in &processor.features {
        let has = if feature.present { "yes" } else { "no" };
        writeln!(out, "  {:<12} {has:<4} {}", feature.name, feature.meaning)?;
    }
    for library in &machine.libraries {
        let version = library.version.as_deref().unwrap_or("");
        writeln!(out, "library  {}  {version}", library.candidate.path.display())?;
        writeln!(out, "  found by   {}", library.candidate.found_by)?;
        if let Some(problem) = &library.problem {
            writeln!(out, "  unusable   {problem}")?;
        }
        if let Some(build) = &library.build {
            writeln!(out, "  build      {build}")?;
        }
        for device in &library.devices {
            writeln!(out, "  device     {} {} for {}", device.kind, device.vendor, device.provider)?;
        }
        let absent = |state: &&segvol::probe::ProviderState| !state.compiled_in;
        for state in library.providers.iter().filter(|state| !absent(state)) {
            let verdict = state.reason.as_deref().map_or("usable".to_owned(), |reason| format!("no: {reason}"));
            writeln!(out, "  {:<10} {verdict}", state.provider.name())?;
        }
        let absent: Vec<&str> = library.providers.iter().filter(absent).map(|state| state.provider.name()).collect();
        if !absent.is_empty() {
            writeln!(out, "  without    {}", absent.join(", "))?;
        }
    }
    Ok(())
}
