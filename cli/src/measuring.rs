//! What `verify`, `bench`, `providers` and `inspect` share.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use segvol_base::printable_json;
use segvol_measure::Libraries;
use segvol_measure::library::NamedLibrary;
use serde::Serialize;

/// The bundle of `verify` and `bench`.
#[derive(Debug, clap::Args)]
#[group(id = "bundle", multiple = false)]
pub(crate) struct BundleArgument {
    /// The bundle that `segvol convert` wrote
    #[arg(short, long, value_name = "BUNDLE")]
    model: Option<PathBuf>,
    /// The same without `--model`: the spelling of earlier versions.
    #[arg(value_name = "BUNDLE", hide = true)]
    positional: Option<PathBuf>,
}

impl BundleArgument {
    pub(crate) fn path(&self) -> Option<&Path> {
        self.model.as_deref().or(self.positional.as_deref())
    }
}

/// The path of this program, which starts itself in other processes.
pub(crate) fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("the path of this program")
}

/// The libraries that were named, and those that are found.
pub(crate) fn libraries(named: &[NamedLibrary]) -> Libraries {
    Libraries::new(named.to_vec())
}

/// Prints JSON whose names cannot control a terminal.
pub(crate) fn print_json(out: &mut impl Write, found: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(found)?;
    Ok(writeln!(out, "{}", printable_json(&text))?)
}
