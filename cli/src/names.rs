//! `segvol names`: the names that a bundle's model was trained with; and the checks of names in other commands.

use std::io::Write;
use std::path::{Path, PathBuf};

use segvol::{NameAdvice, WarningCode};
use segvol_names::Name;
use segvol_onnx::Manifest;
use serde::Serialize;

use crate::exit::Usage;

const EXAMPLES: &str = "\
Examples:
  All names:
    segvol names bundle
  Those with a word, in any spelling; if there are none, the nearest:
    segvol names bundle kidney
    segvol names bundle left oesophagus
  For a program:
    segvol names bundle --json";

/// List or search the names that a model was trained with
///
/// One name per line, with its synonyms in brackets. A text prompt with another name, or in another spelling, gives a mask too, but
/// the model has not learnt it. Upper case makes no difference.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Names {
    /// A bundle's folder
    #[arg(value_name = "BUNDLE", required_unless_present = "model")]
    bundle: Option<PathBuf>,
    /// Only names that contain these words
    #[arg(value_name = "SEARCH")]
    search: Vec<String>,
    /// A bundle's folder, as in the other commands
    #[arg(short, long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Listed<'a> {
    schema_version: u32,
    /// Where the list comes from; `null` if the bundle has none.
    source: Option<&'a str>,
    /// How many names the model knows.
    known: usize,
    /// Whether `names` contain what was looked for; otherwise they are only the nearest.
    contained: bool,
    /// The names that were found; `null` if the bundle has no list.
    names: Option<Vec<Entry<'a>>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    synonyms: &'a [String],
}

impl<'a> Entry<'a> {
    fn of(Name { name, synonyms }: &'a Name) -> Self {
        Self { name, synonyms }
    }
}

impl Names {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        // With -m, all words are looked for.
        let (bundle, first) = match (self.model, self.bundle) {
            (Some(model), word) => (model, word.map(|word| word.to_string_lossy().into_owned())),
            (None, Some(bundle)) => (bundle, None),
            (None, None) => return Err(Usage("no bundle: name its folder".to_owned()).into()),
        };
        let search = first.into_iter().chain(self.search).collect::<Vec<_>>().join(" ");
        let manifest = Manifest::read(&bundle)?;
        let names = manifest.names.as_ref();
        let found = names.map(|names| names.search(&search));
        if self.json {
            let listed = Listed {
                schema_version: 1,
                source: names.map(segvol::Names::source),
                known: names.map_or(0, |names| names.list().len()),
                contained: found.as_ref().is_some_and(|found| found.contained),
                names: found.as_ref().map(|found| found.names.iter().map(|&name| Entry::of(name)).collect()),
            };
            serde_json::to_writer_pretty(&mut *out, &listed)?;
            writeln!(out)?;
            return Ok(());
        }
        let Some(found) = found else {
            note(&format!("{}; `segvol convert --names FILE` adds them", no_names(&bundle)));
            return Ok(());
        };
        if !found.contained {
            note(&format!("no name contains {search:?}; these are the nearest"));
        }
        for name in found.names {
            let Name { name, synonyms } = name;
            if synonyms.is_empty() {
                writeln!(out, "{name}")?;
            } else {
                writeln!(out, "{name} ({})", synonyms.join(", "))?;
            }
        }
        Ok(())
    }
}

/// Says something about the output that does not belong into it.
fn note(text: &str) {
    // If standard error is closed, there is nowhere to say it.
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

fn no_names(bundle: &Path) -> String {
    format!("bundle `{}` does not say which names its model was trained with", bundle.display())
}

/// Whether a warning is about names. `segment` prints these before the work.
pub(crate) fn is_about_names(code: WarningCode) -> bool {
    matches!(code, WarningCode::NameUnknown | WarningCode::NameDuplicate)
}

/// `--strict`: refuses texts that the model in the bundle was not trained with. Only the manifest is read.
pub(crate) fn require_known<'a>(bundle: &Path, texts: impl IntoIterator<Item = &'a str>) -> anyhow::Result<()> {
    let mut texts = texts.into_iter().peekable();
    if texts.peek().is_none() {
        return Ok(());
    }
    let manifest = Manifest::read(bundle)?;
    let Some(names) = &manifest.names else {
        let reason = no_names(bundle);
        return Err(Usage(format!("--strict: {reason}; convert again with `segvol convert --names FILE`")).into());
    };
    let mut unknown: Vec<NameAdvice> = texts.filter_map(|text| names.advice(text)).collect();
    unknown.dedup();
    if unknown.is_empty() {
        return Ok(());
    }
    let unknown: Vec<String> = unknown.iter().map(ToString::to_string).collect();
    let next = format!("`segvol names {}` lists the names", bundle.display());
    Err(Usage(format!("--strict: {} ({next})", unknown.join("; "))).into())
}
