//! Finished rows, stored as they are computed, so that a stopped evaluation can continue.
//!
//! One JSON object per line: first the header, then one record per case. An incomplete last line, left by a program that was
//! killed while it wrote, is dropped. Records of cases whose files or names have changed since are ignored.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use segvol_base::json::line_problem;
use segvol_onnx::manifest::{hex, sha256_file};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::cases::{Case, Structure};
use crate::error::EvaluationError;
use crate::results::{CaseResult, Header};

/// The work file that belongs to an output file if no other is named: `OUTPUT.work.jsonl`.
#[must_use]
pub fn work_file_beside(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".work.jsonl");
    name.into()
}

/// The layout of a work file.
const SCHEMA_VERSION: u32 = 1;

/// A finished case, and the hash of its input.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    input_sha256: String,
    result: CaseResult,
}

/// A work file, locked for this run.
pub(crate) struct WorkFile {
    path: PathBuf,
    file: Mutex<File>,
    done: BTreeMap<String, CaseResult>,
}

impl WorkFile {
    /// Opens the work file of an evaluation, or creates it.
    pub(crate) fn open(path: &Path, header: &Header) -> Result<Self, EvaluationError> {
        let io = |source| EvaluationError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(EvaluationError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(io)?;
            bytes.truncate(whole);
        }
        let damaged = |index: usize, error: &dyn std::fmt::Display| EvaluationError::Damaged {
            path: path.to_owned(),
            line: index + 1,
            reason: error.to_string(),
        };
        let expected = header_value(header).map_err(|error| damaged(0, &error))?;
        let mut lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).enumerate();
        match lines.next() {
            None => append(&mut file, &expected).map_err(io)?,
            Some((index, line)) => {
                let found: Value =
                    serde_json::from_slice(line).map_err(|error| damaged(index, &line_problem(line, &error)))?;
                if let Some((field, expected, found)) = difference("", &expected, &found) {
                    return Err(EvaluationError::OtherRun { path: path.to_owned(), field, expected, found });
                }
            }
        }
        let mut done = BTreeMap::new();
        for (index, line) in lines {
            let record: Record =
                serde_json::from_slice(line).map_err(|error| damaged(index, &line_problem(line, &error)))?;
            done.insert(record.input_sha256, record.result);
        }
        file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), done })
    }

    /// The result of an earlier run for exactly this input.
    pub(crate) fn done(&self, input_sha256: &str) -> Option<&CaseResult> {
        self.done.get(input_sha256)
    }

    /// Stores the result of a case.
    pub(crate) fn keep(&self, input_sha256: String, result: &CaseResult) -> Result<(), EvaluationError> {
        let record = Record { input_sha256, result: result.clone() };
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        append(&mut file, &record).map_err(|source| EvaluationError::Io { path: self.path.clone(), source })
    }
}

/// The results that an evaluation with this header would take from a work file, by the hash of their input. For tests with
/// hostile files.
///
/// # Errors
///
/// Every [`EvaluationError`] of a work file.
#[doc(hidden)]
pub fn kept_in_work_file(path: &Path, header: &Header) -> Result<BTreeMap<String, CaseResult>, EvaluationError> {
    Ok(WorkFile::open(path, header)?.done)
}

/// What a case's rows depend on besides the header: its name, its files' contents, its structures.
pub(crate) fn input_sha256(case: &Case) -> io::Result<String> {
    let mut files = vec![sha256_file(&case.image)?];
    files.extend(case.labels.as_deref().map(sha256_file).transpose()?);
    // The files of each structure that has its own.
    let own =
        |structure: &Structure| structure.files.iter().map(|path| sha256_file(path)).collect::<io::Result<Vec<_>>>();
    let own = case.structures.iter().map(own).collect::<io::Result<Vec<_>>>()?;
    let input = if own.iter().all(Vec::is_empty) {
        serde_json::to_vec(&(&case.name, files, &*case.structures))?
    } else {
        serde_json::to_vec(&(&case.name, files, &*case.structures, own))?
    };
    Ok(hex(&Sha256::digest(input)))
}

/// Writes one line at once, and waits until it is on the disk.
fn append(file: &mut File, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    file.write_all(&line)?;
    file.sync_data()
}

fn header_value(header: &Header) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(header)?;
    value["kind"] = "segvol eval".into();
    value["schema_version"] = SCHEMA_VERSION.into();
    Ok(value)
}

/// The first field in which two headers differ, with both values.
fn difference(name: &str, expected: &Value, found: &Value) -> Option<(String, String, String)> {
    let (Value::Object(a), Value::Object(b)) = (expected, found) else {
        return (expected != found).then(|| (name.to_owned(), expected.to_string(), found.to_string()));
    };
    let inside = |field: &str| if name.is_empty() { field.to_owned() } else { format!("{name}.{field}") };
    let missing = &Value::Null;
    let fields = a.keys().chain(b.keys().filter(|field| !a.contains_key(*field)));
    fields
        .filter_map(|field| {
            difference(&inside(field), a.get(field).unwrap_or(missing), b.get(field).unwrap_or(missing))
        })
        .next()
}
