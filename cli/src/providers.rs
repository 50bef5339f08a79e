//! `segvol providers`: what this machine offers to run the graphs on.

use std::io::{self, Write};
use std::path::PathBuf;

use segvol::probe::{self, LibraryReport, Processor, ProviderState};
use segvol_base::{printable, printable_path};
use segvol_measure::probing;
use serde::Serialize;

use crate::measuring::{print_json, this_program};

/// Show the ONNX Runtime libraries of this machine, their providers and devices, and the processor
///
/// Every library is loaded in its own process, and every provider is tested with a matrix product. `segvol segment` uses
/// the first library that can be loaded. Libraries under .onnxruntime/ are used only if --library or ORT_DYLIB_PATH
/// names them.
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
}

#[derive(Serialize)]
struct Machine {
    processor: Processor,
    libraries: Vec<LibraryReport>,
}

impl Providers {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut libraries = probing::libraries(&this_program()?, self.library.as_deref());
        for library in &mut libraries {
            if library.candidate.found_by == probe::REQUESTED {
                "--library".clone_into(&mut library.candidate.found_by);
            }
        }
        let machine = Machine { processor: probe::processor(), libraries };
        if self.json {
            return print_json(out, &machine);
        }
        Ok(show(out, &machine)?)
    }
}

fn show(out: &mut impl Write, machine: &Machine) -> io::Result<()> {
    let processor = &machine.processor;
    writeln!(out, "processor  {}", processor.model.as_deref().unwrap_or("unknown"))?;
    let limit = processor.limit.as_ref().map_or_else(String::new, |limit| format!("  ({limit})"));
    writeln!(out, "  threads  {}{limit}", processor.threads)?;
    for feature in &processor.features {
        let has = if feature.present { "yes" } else { "no" };
        writeln!(out, "  {:<12} {has:<4} {}", feature.name, feature.meaning)?;
    }
    for library in &machine.libraries {
        let version = library.version.as_deref().unwrap_or("");
        writeln!(out, "library  {}  {version}", printable_path(&library.candidate.path))?;
        writeln!(out, "  found by   {}", library.candidate.found_by)?;
        if let Some(problem) = &library.problem {
            writeln!(out, "  unusable   {}", printable(problem))?;
        }
        if let Some(build) = &library.build {
            writeln!(out, "  build      {}", printable(build))?;
        }
        for device in &library.devices {
            writeln!(out, "  device     {} {} for {}", device.kind, device.vendor, device.provider)?;
        }
        let absent = |state: &&ProviderState| !state.compiled_in;
        for state in library.providers.iter().filter(|state| !absent(state)) {
            let verdict = state.reason.as_deref().map_or("usable".to_owned(), |reason| format!("no: {reason}"));
            writeln!(out, "  {:<10} {}", state.provider.name(), printable(&verdict))?;
        }
        let absent: Vec<&str> = library.providers.iter().filter(absent).map(|state| state.provider.name()).collect();
        if !absent.is_empty() {
            writeln!(out, "  without    {}", absent.join(", "))?;
        }
    }
    Ok(())
}
