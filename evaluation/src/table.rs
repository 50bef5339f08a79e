//! Tables as Markdown and CSV.

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use segvol_base::printable;

/// Names of columns, and lines.
pub(crate) type Lines = (Vec<String>, Vec<Vec<String>>);

/// A number for people; a dash where there is none.
pub(crate) fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

/// A number for programs, to six places; nothing where there is none.
pub(crate) fn plain(value: Option<f64>) -> String {
    // Adding 0 turns -0 into 0.
    value.map_or_else(String::new, |value| format!("{}", (value * 1e6).round() / 1e6 + 0.0))
}

/// A Markdown table whose columns are as wide as their widest cell, so that it also reads well on a terminal.
pub(crate) fn markdown(names: &[String], lines: impl Iterator<Item = Vec<String>>) -> String {
    // A `|` or a line break inside a cell would end it, and names may hold characters that control a terminal.
    let escape = |cell: &String| printable(&cell.replace(['\n', '\r'], " ")).replace('|', "\\|");
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(names.iter().map(escape));
    table.add_rows(lines.map(|line| line.iter().map(escape).collect::<Vec<_>>()));
    format!("{table}\n")
}

pub(crate) fn csv(names: &[String], lines: impl Iterator<Item = Vec<String>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in std::iter::once(names.to_vec()).chain(lines) {
        // A name in the table must not control the terminal on which it is printed.
        let line = line.iter().map(|cell| printable(cell).into_owned());
        writer.write_record(line).expect("writing to memory does not fail, and all lines have equally many cells");
    }
    let bytes = writer.into_inner().expect("writing to memory does not fail");
    String::from_utf8(bytes).expect("the cells are UTF-8")
}
