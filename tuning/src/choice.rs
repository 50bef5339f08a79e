//! Which of the stored rows `auto` may choose.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use segvol::probe::{self, LIBRARY_VARIABLE, REQUESTED};
use segvol::{BundleError, Measured, MeasuredRow, Options, Provider, ProviderOptions, Warning, WarningCode};
use segvol_base::machine;
use segvol_onnx::manifest::{MANIFEST_FILE, sha256_file};

use crate::machine::Machine;
use crate::stored::{Library, MIN_DICE, Row, Stored, Unusable, file, file_prefix};

/// A row that needs a gate is chosen only if it takes at most this share of the time of the fastest row that needs none: a less exact
/// mask should buy something.
pub const MAX_SHARE: f64 = 0.9;

/// The result of [`look_up`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// What to open the bundle with; `None` if nothing is stored.
    pub measured: Option<Measured>,
    /// A stored benchmark that cannot be read.
    pub warnings: Vec<Warning>,
}

impl Found {
    /// The options with what was found. If no library was requested, they request the one that the best row was measured with: a
    /// process can load only one.
    #[must_use]
    pub fn apply(&self, options: Options) -> Options {
        let Some(measured) = &self.measured else { return options };
        let mut options = options.measured(measured.clone());
        if let (None, Some((path, _))) = (&options.library, &measured.library)
            && path.is_absolute()
        {
            options.library = Some(path.clone());
        }
        options
    }
}

/// Looks up what is stored in `folder` for a bundle on this machine, and which rows `auto` may choose with these options.
///
/// What cannot be used is no error: the reason is in [`Measured::reason`] or in the row's, or it is a warning. Nothing is found for what
/// is no bundle: opening it says what is wrong.
///
/// # Errors
///
/// [`BundleError::Io`] if the bundle's manifest cannot be read.
pub fn look_up(folder: &Path, bundle: &Path, options: &Options) -> Result<Found, BundleError> {
    let path = bundle.join(MANIFEST_FILE);
    if options.provider != Provider::Auto || !path.is_file() {
        return Ok(Found::default());
    }
    let manifest_sha256 = sha256_file(&path).map_err(|source| BundleError::Io { path, source })?;
    let machine = Machine::this();
    let path = file(folder, &manifest_sha256, &machine);
    match Stored::read(&path) {
        Ok(Some(stored)) if stored.manifest_sha256 != manifest_sha256 => {
            Ok(unused(&path, "measured with another bundle".to_owned()))
        }
        Ok(Some(stored)) if stored.machine != machine => Ok(unused(&path, other_machine(&stored.machine, &machine))),
        Ok(Some(stored)) => {
            let libraries = Libraries::of(options);
            Ok(Found { measured: Some(choose(&stored, &path, options, &libraries)), warnings: Vec::new() })
        }
        Ok(None) => Ok(elsewhere(folder, &manifest_sha256, &machine)),
        Err(unusable) => Ok(damaged(&unusable)),
    }
}

fn unused(path: &Path, reason: String) -> Found {
    Found { measured: Some(Measured::unused(path, reason)), warnings: Vec::new() }
}

fn damaged(unusable: &Unusable) -> Found {
    let warning = Warning::new(WarningCode::BenchUnusable, format!("{unusable}; not used"));
    Found { measured: Some(Measured::unused(&unusable.path, unusable.reason.clone())), warnings: vec![warning] }
}

fn other_machine(found: &Machine, this: &Machine) -> String {
    format!("measured on another machine: {}; this is {}", found.describe(), this.describe())
}

/// Says if other machines have a stored benchmark of the bundle, or if there are only those of other bundles.
fn elsewhere(folder: &Path, manifest_sha256: &str, machine: &Machine) -> Found {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let prefix = file_prefix(manifest_sha256);
    let of_bundle =
        files.iter().find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)));
    match (of_bundle, files.first()) {
        (Some(path), _) => match Stored::read(path) {
            Ok(Some(stored)) => unused(path, other_machine(&stored.machine, machine)),
            Ok(None) => Found::default(),
            // It is not this machine's.
            Err(unusable) => unused(path, unusable.reason),
        },
        (None, Some(path)) => unused(path, "measured with another bundle".to_owned()),
        (None, None) => Found::default(),
    }
}

/// The libraries that the process may load.
pub(crate) struct Libraries {
    files: Vec<PathBuf>,
    /// Whether the user or a variable names the library, so that no other one may be used.
    named: bool,
}

impl Libraries {
    /// The libraries that the search finds for these options. A stored benchmark never leads to any other: loading a library runs
    /// its code.
    fn of(options: &Options) -> Self {
        let places =
            probe::places(options.library.as_deref(), &options.stage_providers.values().copied().collect::<Vec<_>>());
        let chosen = probe::chosen(&places);
        let named = chosen.path.is_some() && (chosen.name == REQUESTED || chosen.name == LIBRARY_VARIABLE);
        let files = if named {
            chosen.library.clone().into_iter().collect()
        } else {
            places.iter().filter_map(|place| place.library.clone()).collect()
        };
        Self { files, named }
    }

    /// Why a library cannot be used now; `None` if it can.
    fn problem(&self, library: &Library, hashes: &mut BTreeMap<PathBuf, Option<String>>) -> Option<String> {
        let same = |path: &PathBuf| path.canonicalize().ok().unwrap_or_else(|| path.clone());
        let (path, shown) = (same(&library.path), library.path.display());
        if !self.files.iter().any(|file| same(file) == path) {
            return Some(if self.named {
                format!("measured with the library `{shown}`, and another one was requested")
            } else {
                format!("measured with the library `{shown}`, which is not found any more")
            });
        }
        let hash = hashes.entry(path).or_insert_with_key(|path| sha256_file(path).ok());
        (*hash != library.sha256).then(|| format!("measured with another version of the library `{shown}`"))
    }
}

/// The rows that may be chosen, the fastest first, and the others with the reasons.
pub(crate) fn choose(stored: &Stored, path: &Path, options: &Options, libraries: &Libraries) -> Measured {
    let mut found = Measured { reason: None, ..Measured::unused(path, "") };
    found.manifest_sha256.clone_from(&stored.manifest_sha256);
    if !options.stage_providers.is_empty() || options.provider_options != ProviderOptions::default() {
        found.reason = Some("providers of stages or provider options were requested".to_owned());
        return found;
    }
    let mut hashes = BTreeMap::new();
    let rows = stored.rows.iter().map(|row| (row, problem(row, options, libraries, &mut hashes)));
    let mut rows: Vec<(&Row, Option<String>)> = rows.collect();
    rows.sort_by(|(a, _), (b, _)| a.encode_ms.median.total_cmp(&b.encode_ms.median));
    if options.precision.is_none() {
        prefer_exact(&mut rows);
    }
    let best = rows.iter().find(|(_, problem)| problem.is_none()).map(|(row, _)| row.library.clone());
    for (row, problem) in &mut rows {
        if problem.is_none() && best.as_ref().is_some_and(|best| *best != row.library) {
            *problem = Some(format!("slower: {:.1} ms a window", row.encode_ms.median));
        }
    }
    found.library = best.map(|library| (library.path, library.version));
    // Those that may be chosen come first; each part keeps its order.
    rows.sort_by_key(|(_, problem)| problem.is_some());
    found.rows = rows.into_iter().map(|(row, problem)| measured(row, problem)).collect();
    if found.library.is_none() {
        found.reason = Some("no measured way to open the bundle can be used".to_owned());
    }
    found
}

fn measured(row: &Row, reason: Option<String>) -> MeasuredRow {
    MeasuredRow {
        provider: row.provider,
        precision: row.precision,
        provider_options: row.provider_options.clone(),
        encode_ms: row.encode_ms.median,
        dice: row.gate.map(|gate| gate.dice),
        reason,
    }
}

/// Why `auto` may not choose a row, whatever its time; `None` if it may.
fn problem(
    row: &Row,
    options: &Options,
    libraries: &Libraries,
    hashes: &mut BTreeMap<PathBuf, Option<String>>,
) -> Option<String> {
    if options.precision.is_some_and(|asked| asked != row.precision) {
        return Some("another precision was requested".to_owned());
    }
    let threads = options.threads.unwrap_or_else(machine::usable_cores);
    if row.threads != threads {
        return Some(format!("measured with {} threads, not with {threads}", row.threads));
    }
    if !row.failed.is_empty() {
        return Some(format!("its outputs are not equal: {}", row.failed.join(", ")));
    }
    match row.gate {
        None if row.needs_gate() => return Some("its masks were not compared with those of float32".to_owned()),
        Some(gate) if gate.dice < MIN_DICE || gate.scans == 0 || gate.masks == 0 => {
            return Some(format!(
                "the Dice of its masks with those of float32 is {:.4}, and at least {MIN_DICE} is needed",
                gate.dice
            ));
        }
        _ => {}
    }
    libraries.problem(&row.library, hashes)
}

/// Leaves out less exact rows that are hardly faster than the fastest exact one, or that were not measured beside one. `rows` are in
/// the order of their times.
fn prefer_exact(rows: &mut [(&Row, Option<String>)]) {
    let exact = rows.iter().find(|(row, problem)| problem.is_none() && !row.needs_gate());
    let exact = exact.map(|(row, _)| row.encode_ms.median);
    for (row, problem) in rows.iter_mut().filter(|(row, problem)| problem.is_none() && row.needs_gate()) {
        let ms = row.encode_ms.median;
        *problem = match exact {
            Some(exact) if ms <= MAX_SHARE * exact => None,
            Some(exact) => Some(format!("less exact, and hardly faster: {ms:.1} ms a window, against {exact:.1}")),
            None => Some("less exact, and no exact row to compare its time with".to_owned()),
        };
    }
}

#[cfg(test)]
mod tests;
