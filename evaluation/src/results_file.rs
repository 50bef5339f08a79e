//! Reads results again that an earlier evaluation wrote as JSON, for comparisons and reports without a model.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use segvol::metrics::Scores;
use segvol_base::{ErrorKind, OutOfMemory, memory, printable, text};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::format::SCHEMA_VERSION;
use crate::results::{CaseResult, Failure, Header, Results};

/// Bytes of memory per byte of a file, at most: the shortest row needs about as much more than its text.
const MEMORY_PER_BYTE: usize = 16;

/// Distances and volumes of no scan are larger, in millimetres and millilitres. Sums stay finite.
const LARGEST: f64 = 1e12;

/// What is expected of a file.
const EXPECTED: &str = "the results of an evaluation as JSON";

/// Why results cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultsFileError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The file has other contents.
    #[error("{path}: expected {EXPECTED}: {reason}", path = path.display())]
    Contents {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// There is not enough memory for the file.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
}

impl ResultsFileError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Contents { .. } => ErrorKind::Input,
            Self::Memory(error) => error.kind(),
        }
    }
}

/// Only what says which file it is; everything else is ignored.
#[derive(Deserialize)]
struct Head {
    schema_version: Option<serde_json::Value>,
    header: Option<HeadOfOne>,
    cases: Option<IgnoredAny>,
    structures: Option<IgnoredAny>,
    kind: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct HeadOfOne {
    tool: Option<String>,
}

#[derive(Deserialize)]
struct One {
    header: Header,
    cases: Vec<CaseResult>,
    failures: Vec<Failure>,
}

/// One result, or one of several for each orientation or setting.
#[derive(Deserialize)]
struct Contents {
    #[serde(default)]
    orientations: Option<Vec<One>>,
    #[serde(default)]
    runs: Option<Vec<One>>,
    #[serde(default)]
    header: Option<Header>,
    #[serde(default)]
    cases: Option<Vec<CaseResult>>,
    #[serde(default)]
    failures: Option<Vec<Failure>>,
}

/// Reads the results that a file has: one, or several for orientations or profiles.
///
/// # Errors
///
/// [`ResultsFileError`] if the file cannot be read, is not such a file, or contradicts itself.
pub fn read(path: &Path) -> Result<Vec<Results>, ResultsFileError> {
    let io = |source| ResultsFileError::Io { path: path.to_owned(), source };
    let contents = |reason: String| ResultsFileError::Contents { path: path.to_owned(), reason };
    let bytes = usize::try_from(std::fs::metadata(path).map_err(io)?.len()).unwrap_or(usize::MAX);
    memory::check_available_if_large::<u8>("the results of a file", bytes.saturating_mul(MEMORY_PER_BYTE))?;
    let bytes = std::fs::read(path).map_err(io)?;
    let text = text::decode(&bytes).map_err(|found| contents(format!("found {found}")))?;
    parse(text).map_err(contents)
}

/// Reads results from JSON.
pub(crate) fn parse(text: &str) -> Result<Vec<Results>, String> {
    let start = text.trim_start();
    if !start.starts_with('{') {
        let csv = ["case,", "orientation,", "profile,"].iter().any(|name| start.starts_with(name));
        return Err(match text::kind_of(text) {
            _ if csv => "found CSV; write the rows to a file that ends in .json".to_owned(),
            _ if start.starts_with("| ") => {
                "found a Markdown table; write the rows to a file that ends in .json".to_owned()
            }
            Some(kind) => format!("found {kind}"),
            None => "found no object, {...}".to_owned(),
        });
    }
    let head: Head = serde_json::from_str(text).map_err(|error| {
        // A work file has one object per line.
        let first = start.lines().next().unwrap_or_default();
        let is_work = first.contains("\"kind\":\"segvol eval\"") && serde_json::from_str::<IgnoredAny>(first).is_ok();
        if is_work { "found a work file; name the file with the rows".to_owned() } else { said(&error) }
    })?;
    match &head.schema_version {
        Some(version) if *version == SCHEMA_VERSION => {}
        Some(version) => {
            return Err(format!(
                "\"schema_version\": expected {SCHEMA_VERSION}, found {}",
                printable(&version.to_string())
            ));
        }
        None => return Err("found no \"schema_version\"".to_owned()),
    }
    if head.kind.is_some() {
        return Err("found a work file; name the file with the rows".to_owned());
    }
    let tool = head.header.as_ref().and_then(|head| head.tool.clone());
    if head.cases.is_some() && head.header.is_none() {
        let what = if head.structures.is_some() { "a case list" } else { "\"cases\" without \"header\"" };
        return Err(format!("found {what}"));
    }
    let contents: Contents = serde_json::from_str(text).map_err(|error| {
        let reason = said(&error);
        match tool.filter(|tool| tool != crate::run::TOOL) {
            Some(tool) => format!("{reason} (the file is from {}, this is {})", printable(&tool), crate::run::TOOL),
            None => reason,
        }
    })?;
    let Contents { orientations, runs, header, cases, failures } = contents;
    let mut all: Vec<Results> = match (orientations.or(runs), header, cases, failures) {
        (Some(several), ..) => {
            several.into_iter().map(|One { header, cases, failures }| Results { header, cases, failures }).collect()
        }
        (None, Some(header), Some(cases), Some(failures)) => vec![Results { header, cases, failures }],
        _ => return Err("found none of \"cases\" and \"failures\", \"orientations\", \"runs\"".to_owned()),
    };
    if all.is_empty() {
        return Err("found an empty list of results".to_owned());
    }
    for one in &mut all {
        check(one)?;
    }
    Ok(all)
}

/// A parser's message without characters that control a terminal: it quotes names of the file.
fn said(error: &serde_json::Error) -> String {
    printable(&error.to_string()).into_owned()
}

/// What the writer guarantees, and summaries and comparisons rely on.
fn check(results: &mut Results) -> Result<(), String> {
    let settings = &mut results.header.settings;
    settings.check().map_err(|error| printable(&format!("settings: {error}")).into_owned())?;
    settings.prompts.sort_unstable();
    settings.prompts.dedup();
    let mut names = BTreeSet::new();
    for case in &results.cases {
        let name = &case.case;
        if !names.insert(name) {
            return Err(format!("case {name:?} is there twice"));
        }
        let mut objects = BTreeSet::new();
        for row in &case.rows {
            let about = || format!("case {name:?}, structure {:?} by {}", row.structure, row.prompt);
            if !settings.prompts.contains(&row.prompt) {
                return Err(format!("{}: this prompt is not in the settings", about()));
            }
            if !objects.insert((&row.structure, row.prompt)) {
                return Err(format!("{} is there twice", about()));
            }
            for scores in [&row.zoom_out, &row.zoom_in] {
                check_scores(scores).map_err(|reason| format!("{}: {reason}", about()))?;
            }
            let agreement = row.against.iter().flat_map(|of| [of.zoom_out_dice, of.zoom_in_dice, of.truth_dice]);
            if let Some(dice) = agreement.into_iter().find(|dice| !is_share(*dice)) {
                return Err(format!("{}: expected a Dice from 0 to 1, found {dice}", about()));
            }
        }
    }
    Ok(())
}

fn check_scores(scores: &Scores) -> Result<(), String> {
    for (name, value) in [("dice", scores.dice), ("surface_dice", scores.surface_dice)] {
        if !is_share(value) {
            return Err(format!("{name}: expected 0 to 1, found {value}"));
        }
    }
    let figures = [
        ("hausdorff95_mm", scores.hausdorff95_mm, 0.0),
        ("volume_error_ml", Some(scores.volume_error_ml), -LARGEST),
        ("volume_error_relative", scores.volume_error_relative, -LARGEST),
    ];
    for (name, value, least) in figures {
        if let Some(value) = value.filter(|value| !(least..=LARGEST).contains(value)) {
            return Err(format!("{name}: expected {least} to {LARGEST}, found {value}"));
        }
    }
    Ok(())
}

fn is_share(value: f64) -> bool {
    (0.0..=1.0).contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Format, rows};
    use crate::summary::tests::results;

    #[test]
    fn what_is_written_is_read() {
        let one = results();
        assert_eq!(parse(&rows(std::slice::from_ref(&one), &[], Format::Json)), Ok(vec![one.clone()]));
        let mut other = one.clone();
        other.header.orientation = segvol::Orientation::Stored;
        let mut third = one.clone();
        third.header.profile = segvol::Profile::Released;
        for all in [vec![one.clone(), other.clone()], vec![one.clone(), third.clone()], vec![one, other, third]] {
            assert_eq!(parse(&rows(&all, &[], Format::Json)), Ok(all));
        }
    }

    #[test]
    fn other_files_are_said_to_be_what_they_are() {
        let json = rows(&[results()], &[], Format::Json);
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let changed = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut value = value.clone();
            change(&mut value);
            value.to_string()
        };
        let cases: Vec<(String, &str)> = vec![
            (rows(&[results()], &[], Format::Csv), "found CSV"),
            (rows(&[results()], &[], Format::Markdown), "found a Markdown table"),
            (String::new(), "an empty file"),
            ("[1]".to_owned(), "found no object"),
            ("{}".to_owned(), "found no \"schema_version\""),
            (r#"{"schema_version": 1}"#.to_owned(), "found none of"),
            (r#"{"schema_version": 1, "structures": {}, "cases": []}"#.to_owned(), "found a case list"),
            (r#"{"schema_version": 1, "kind": "segvol eval"}"#.to_owned(), "found a work file"),
            ("{\"kind\":\"segvol eval\"}\n{\"input_sha256\":\"\"}\n".to_owned(), "found a work file"),
            (r#"{"schema_version": 1, "orientations": []}"#.to_owned(), "an empty list"),
            (changed(&|value| value["schema_version"] = 2.into()), "expected 1, found 2"),
            (changed(&|value| value["schema_version"] = "\u{1b}".into()), "expected 1, found \"\\u001b\""),
            (changed(&|value| value["cases"][1] = value["cases"][0].clone()), "case \"a\" is there twice"),
            (changed(&|value| value["cases"][1]["rows"][1]["structure"] = "spleen".into()), "by text is there twice"),
            (changed(&|value| value["cases"][0]["rows"][0]["zoom_in"]["dice"] = 1.5.into()), "dice: expected 0 to 1"),
            (
                changed(&|value| value["cases"][0]["rows"][0]["zoom_in"]["hausdorff95_mm"] = (-1).into()),
                "expected 0 to 1000000000000, found -1",
            ),
            (changed(&|value| value["cases"][0]["rows"][0]["prompt"] = "box".into()), "not in the settings"),
            (changed(&|value| value["header"]["settings"]["prompts"] = serde_json::json!([])), "prompts: expected"),
            (
                changed(&|value| {
                    value["header"]["tool"] = "segvol 99".into();
                    value["cases"][0]["rows"][0]["new"] = 1.into();
                }),
                "the file is from segvol 99, this is segvol ",
            ),
            (json[..json.len() / 2].to_owned(), "EOF"),
        ];
        for (text, expected) in cases {
            let found = parse(&text).expect_err(expected);
            assert!(found.contains(expected) && !found.contains('\u{1b}'), "no {expected:?} in: {found}");
        }
    }
}
