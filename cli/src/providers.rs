//! `segvol providers`: what this machine offers to run the graphs on.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use segvol::probe::{self, LibraryReport, Place, Processor, ProviderState};
use segvol_base::{printable, printable_path};
use segvol_measure::probing;
use serde::Serialize;

use crate::measuring::{print_json, this_program};

/// Show the ONNX Runtime libraries of this machine, their providers and devices, and the processor
///
/// The search order is the same for every command: a library that --library or ORT_DYLIB_PATH names is used, otherwise the first
/// that is found. Every library is loaded in its own process, and every provider is tested with a matrix product.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  segvol providers\n  segvol providers --library /opt/onnxruntime/lib/libonnxruntime.so --json"
)]
pub(crate) struct Providers {
    /// A library, or a folder that has one, to look at first
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Machine {
    processor: Processor,
    /// The places where a library is looked for, in order.
    search: Vec<Searched>,
    libraries: Vec<LibraryReport>,
}

#[derive(Serialize)]
struct Searched {
    #[serde(flatten)]
    place: Place,
    /// Whether this place has the library that is used.
    used: bool,
}

/// The places in their order, with the library that is used if no provider is requested.
fn search(library: Option<&Path>) -> Vec<Searched> {
    let places = probe::places(library, &[]);
    let used = probe::chosen(&places).clone();
    let mut found = Vec::new();
    for mut place in places {
        let used = place == used;
        rename(&mut place.name);
        found.push(Searched { place, used });
    }
    found
}

/// The library has no options; the command calls what it was asked for by the option's name.
fn rename(name: &mut String) {
    if name == probe::REQUESTED {
        "--library".clone_into(name);
    }
}

impl Providers {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut libraries = probing::libraries(&this_program()?, self.library.as_deref());
        for library in &mut libraries {
            rename(&mut library.candidate.found_by);
        }
        let machine = Machine { processor: probe::processor(), search: search(self.library.as_deref()), libraries };
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
    writeln!(out, "search order of the library")?;
    for Searched { place, used } in &machine.search {
        let name = &place.name;
        let mark = if *used { "->" } else { "  " };
        let missing = if place.path.is_none() { "not given" } else { "no library" };
        let found = place.library.as_ref().or(place.path.as_ref()).map(|path| printable_path(path).to_string());
        let found = found.unwrap_or_default();
        let said = match (&place.library, &place.problem) {
            (Some(_), _) => found,
            (None, Some(problem)) => format!("{found}: {}", printable(problem)),
            (None, None) if found.is_empty() => missing.to_owned(),
            (None, None) => format!("{found}: {missing}"),
        };
        writeln!(out, "{mark} {name:<30} {said}")?;
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
