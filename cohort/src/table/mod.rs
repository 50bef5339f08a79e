//! Tables: a row for each scan and object, as CSV or Parquet.
//!
//! Both have the same columns, types and order; rows are sorted by id, then by label. A scan that failed has one row without an
//! object. Texts have no control characters in them: these are escaped, as everywhere that names from files are shown.

mod columns;
mod csv;
#[cfg(feature = "parquet")]
mod parquet;

use std::io;
use std::path::Path;

use crate::record::Record;

pub use columns::{COLUMNS, Column, Kind};

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with one line of names, quoted as RFC 4180 has it. An empty cell is no value.
    ///
    /// A spreadsheet takes a text that begins with `=`, `+`, `-` or `@` for a formula and runs it. Such a text, also in the wide
    /// forms of East Asian writing, has a `'` before it. So that every cell can be read back, a text that has such a sign
    /// after one or more `'` has one `'` more, too.
    ///
    /// # Source
    /// OWASP, "CSV Injection".
    Csv,
    /// Apache Parquet, compressed with gzip; texts are as they are.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Format {
    /// The format that a file's name asks for: `.csv` or `.parquet`, in upper or lower case.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            #[cfg(feature = "parquet")]
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// Writes the table of a cohort to a file, whole or not at all. The same records give the same bytes.
///
/// # Errors
///
/// What the operating system says.
pub fn save(records: &[Record], format: Format, path: &Path) -> io::Result<()> {
    match format {
        Format::Csv => csv::save(records, path),
        #[cfg(feature = "parquet")]
        Format::Parquet => parquet::save(records, path),
    }
}

#[cfg(test)]
mod tests;
