//! A table as CSV.

use std::borrow::Cow;
use std::io::{self, BufWriter};
use std::path::Path;

use csv::Writer;
use segvol_base::atomic_file;

use super::columns::{COLUMNS, Cell, rows};
use crate::record::Record;

/// What makes a spreadsheet take a text for a formula, also in wide forms.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

pub(super) fn save(records: &[Record], path: &Path) -> io::Result<()> {
    atomic_file::write(path, |file| {
        let mut writer = Writer::from_writer(BufWriter::new(file));
        writer.write_record(COLUMNS.iter().map(|column| column.name))?;
        for row in rows(records) {
            for column in &COLUMNS {
                writer.write_field(&*written((column.cell)(&row)))?;
            }
            // Ends the line.
            writer.write_record(None::<&[u8]>)?;
        }
        writer.flush()
    })
}

fn written(cell: Cell<'_>) -> Cow<'_, str> {
    match cell {
        Cell::Empty => "".into(),
        Cell::Text(text) if text.trim_start_matches('\'').starts_with(FORMULA) => format!("'{text}").into(),
        Cell::Text(text) => text,
        Cell::Whole(number) => number.to_string().into(),
        // The shortest form that is read back as the same number.
        Cell::Real(number) => number.to_string().into(),
    }
}
