//! The manifest: the settings of a run, and what happened to each scan.
//!
//! One JSON object per line: first the header, then one [`Record`] per scan that is done or has failed. Of several records with one
//! id, the last counts. A line is appended at once while the private folder is locked. An incomplete last line, left by a process
//! that was killed while it wrote, is not read, and the next writer removes it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use segvol_base::json::line_problem;
use segvol_base::printable;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::CohortError;
use crate::folder::{Locked, Purpose, io};
use crate::record::Record;

/// Its name in the output folder.
pub(crate) const NAME: &str = "manifest.jsonl";
/// What the file is.
const KIND: &str = "segvol cohort";
/// The layout of the file.
const SCHEMA_VERSION: u32 = 1;
/// How each manifest begins.
const BEGINNING: &[u8] = br#"{"kind":"segvol cohort","#;
/// How often a reader that holds no lock reads again what a writer changed meanwhile.
const READS: usize = 100;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    kind: String,
    schema_version: u32,
    settings: Value,
}

/// A record, and where its line begins.
#[derive(Debug, Clone)]
struct Placed {
    record: Record,
    at: u64,
}

/// What the complete lines of a manifest say.
#[derive(Debug, Default)]
struct Lines {
    /// How many there are.
    count: usize,
    /// Where they end.
    end: u64,
    settings: Option<Value>,
    records: BTreeMap<String, Placed>,
}

impl Lines {
    /// Reads the complete lines of `bytes`, which follow those that were read before.
    fn read(&mut self, path: &Path, bytes: &[u8]) -> Result<(), CohortError> {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let Some(text) = line.strip_suffix(b"\n") else { break };
            let damaged = |reason| CohortError::Damaged { path: path.to_owned(), line: self.count + 1, reason };
            if self.settings.is_none() {
                self.settings = Some(header(text).map_err(damaged)?);
            } else if !text.trim_ascii().is_empty() {
                let record: Record = parse(text).map_err(|reason| damaged(format!("not a record: {reason}")))?;
                self.records.insert(record.id.clone(), Placed { record, at: self.end });
            }
            self.count += 1;
            self.end += line.len() as u64;
        }
        Ok(())
    }
}

/// Reads a manifest that others may write to: its settings, and the last record of each id, sorted by id. Nothing is locked or
/// changed.
///
/// # Errors
///
/// [`CohortError::List`] if there is none, [`CohortError::Unreadable`] if it cannot be read, [`CohortError::Damaged`] if a line cannot be
/// read.
pub fn read(out: &Path) -> Result<(Value, Vec<Record>), CohortError> {
    let path = out.join(NAME);
    let mut bytes = fs::read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound if out.is_dir() => {
            CohortError::List(format!("`{}`: expected the output folder of a cohort; it has no {NAME}", out.display()))
        }
        io::ErrorKind::NotFound => CohortError::Unreadable { path: out.to_owned(), source },
        _ => CohortError::Unreadable { path: path.clone(), source },
    })?;
    for _ in 0..READS {
        let parsed = parse_all(&path, &bytes);
        if parsed.is_ok() {
            return parsed;
        }
        // A writer may have removed an incomplete line and written its own, while the file was read in several steps.
        let again = fs::read(&path).map_err(io(&path))?;
        if again == bytes {
            return parsed;
        }
        bytes = again;
    }
    parse_all(&path, &bytes)
}

/// The settings and records in the bytes of a manifest.
fn parse_all(path: &Path, bytes: &[u8]) -> Result<(Value, Vec<Record>), CohortError> {
    let mut lines = Lines::default();
    lines.read(path, bytes)?;
    let missing =
        || CohortError::Damaged { path: path.to_owned(), line: 1, reason: "the file has no complete line".to_owned() };
    let settings = lines.settings.ok_or_else(missing)?;
    Ok((settings, lines.records.into_values().map(|placed| placed.record).collect()))
}

/// The manifest of a run that goes on.
#[derive(Debug)]
pub(crate) struct Manifest {
    path: PathBuf,
    lines: Lines,
    /// Where the lines began that are written since this process opened the file.
    opened_at: u64,
}

impl Manifest {
    /// Opens the manifest, or creates it. `others`: whether other processes work on this run.
    pub(crate) fn open(
        locked: &Locked<'_>,
        out: &Path,
        settings: &Value,
        resume: bool,
        others: bool,
    ) -> Result<Self, CohortError> {
        let path = out.join(NAME);
        let first = Header { kind: KIND.to_owned(), schema_version: SCHEMA_VERSION, settings: settings.clone() };
        let first = to_line(&first).map_err(io(&path))?;
        let found = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            found => Some(found.map_err(io(&path))?),
        };
        match &found {
            None => drop(locked.folder().create(&path, Purpose::Manifest, &first)?),
            // Nothing was done with the other settings.
            Some(found) if !others && *found != first && has_no_record(found) => {
                locked.folder().replace(&path, Purpose::Manifest, &first)?;
            }
            Some(_) => {}
        }
        let mut manifest = Self { path: path.clone(), lines: Lines::default(), opened_at: 0 };
        let file = manifest.read_on(locked, OpenOptions::new().read(true).append(true))?;
        let Lines { end, records, settings: Some(found), .. } = &manifest.lines else {
            let reason = "not the first line of a cohort's manifest".to_owned();
            return Err(CohortError::Damaged { path, line: 1, reason });
        };
        if let Some((field, expected, found)) =
            other_objects(settings, found).or_else(|| difference("", settings, found))
        {
            return Err(CohortError::OtherRun { path: out.to_owned(), field, expected, found });
        }
        if !resume && !others && !records.is_empty() {
            return Err(CohortError::Exists { path: out.to_owned(), scans: records.len() });
        }
        file.set_len(*end).map_err(io(&path))?;
        manifest.opened_at = *end;
        Ok(manifest)
    }

    /// Reads the lines that were written since, by any process.
    pub(crate) fn refresh(&mut self, locked: &Locked<'_>) -> Result<(), CohortError> {
        self.read_on(locked, OpenOptions::new().read(true)).map(drop)
    }

    fn read_on(&mut self, _: &Locked<'_>, options: &OpenOptions) -> Result<File, CohortError> {
        // Opened each time: then a network file system shows what other machines wrote.
        let mut file = options.open(&self.path).map_err(io(&self.path))?;
        let mut bytes = Vec::new();
        let length = file.metadata().map_err(io(&self.path))?.len();
        if length < self.lines.end {
            let reason = format!("the file has become shorter: {length} bytes, {} were read", self.lines.end);
            return Err(CohortError::Damaged { path: self.path.clone(), line: self.lines.count, reason });
        }
        file.seek(SeekFrom::Start(self.lines.end)).map_err(io(&self.path))?;
        file.read_to_end(&mut bytes).map_err(io(&self.path))?;
        self.lines.read(&self.path, &bytes)?;
        Ok(file)
    }

    /// Appends a line, and waits until it is on the disk. An error leaves the file as it was.
    pub(crate) fn append(&mut self, locked: &Locked<'_>, record: &Record) -> Result<(), CohortError> {
        let line = to_line(record).map_err(io(&self.path))?;
        // A number that JSON does not have would make the file unreadable.
        let again: Record = serde_json::from_slice(&line).map_err(|error| io(&self.path)(error.into()))?;
        let mut file = self.read_on(locked, OpenOptions::new().read(true).append(true))?;
        let at = self.lines.end;
        file.set_len(at)
            .and_then(|()| file.write_all(&line))
            .and_then(|()| file.sync_data())
            .inspect_err(|_| drop(file.set_len(at)))
            .map_err(io(&self.path))?;
        self.lines.records.insert(again.id.clone(), Placed { record: again, at });
        self.lines.end += line.len() as u64;
        self.lines.count += 1;
        Ok(())
    }

    /// The last record of an id.
    pub(crate) fn last(&self, id: &str) -> Option<&Record> {
        self.lines.records.get(id).map(|placed| &placed.record)
    }

    /// Whether the last record of an id was written after `place`.
    pub(crate) fn is_written_after(&self, id: &str, place: u64) -> bool {
        self.lines.records.get(id).is_some_and(|placed| placed.at >= place)
    }

    /// Whether the last record of an id was written since this process opened the file.
    pub(crate) fn is_of_this_run(&self, id: &str) -> bool {
        self.is_written_after(id, self.opened_at)
    }

    /// Where the next line begins.
    pub(crate) fn end(&self) -> u64 {
        self.lines.end
    }

    /// The last record of each id, sorted by id.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.lines.records.values().map(|placed| placed.record.clone()).collect()
    }
}

fn to_line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

fn parse<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| line_problem(text, &error))
}

/// The settings of the first line.
fn header(text: &[u8]) -> Result<Value, String> {
    let other = |reason: String| format!("not the first line of a cohort's manifest: {reason}");
    let header: Header = parse(text).map_err(other)?;
    if header.kind != KIND {
        return Err(other(format!("its kind is {:?}, expected {KIND:?}", header.kind)));
    }
    if header.schema_version != SCHEMA_VERSION {
        let version = header.schema_version;
        return Err(format!("schema version {version}, this program reads version {SCHEMA_VERSION}"));
    }
    Ok(header.settings)
}

/// Whether a file is a manifest, also an unfinished one, in which no scan is done yet.
fn has_no_record(bytes: &[u8]) -> bool {
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    match lines.next().map(|line| line.strip_suffix(b"\n").ok_or(line)) {
        None => true,
        Some(Err(begun)) => BEGINNING.starts_with(begun) || begun.starts_with(BEGINNING),
        Some(Ok(first)) => header(first).is_ok() && lines.all(|line| !line.ends_with(b"\n")),
    }
}

/// The names of the objects now and in the file, if they differ: other objects have other settings of their own, too.
fn other_objects(expected: &Value, found: &Value) -> Option<(String, String, String)> {
    let names = |settings: &Value| {
        let names = settings["prompts"].as_array()?.iter().map(|prompt| {
            let name = prompt["name"].as_str().or(prompt["text"].as_str()).unwrap_or("an object without a name");
            printable(name).into_owned()
        });
        Some(names.collect::<Vec<_>>().join(", "))
    };
    let (expected, found) = (names(expected)?, names(found)?);
    (expected != found).then(|| ("list of objects".to_owned(), expected, found))
}

/// The first setting that differs, in dotted form, with its values now and in the file. The order of fields is no difference.
fn difference(name: &str, expected: &Value, found: &Value) -> Option<(String, String, String)> {
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            let inside = |field: &str| if name.is_empty() { field.to_owned() } else { format!("{name}.{field}") };
            let missing = &Value::Null;
            let fields = a.keys().chain(b.keys().filter(|field| !a.contains_key(*field)));
            let of = |field: &String| {
                difference(&inside(field), a.get(field).unwrap_or(missing), b.get(field).unwrap_or(missing))
            };
            fields.filter_map(of).next()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let of = |(index, (a, b))| difference(&format!("{name}[{index}]"), a, b);
            a.iter().zip(b).enumerate().filter_map(of).next()
        }
        _ => (expected != found).then(|| (name.to_owned(), expected.to_string(), found.to_string())),
    }
}

#[cfg(test)]
pub(crate) mod tests;
