//! Results as tables: aligned columns, Markdown, or CSV.

use std::collections::BTreeMap;
use std::io::{self, Write};

use comfy_table::presets;
use segvol::Placement;
use segvol_base::printable;

use crate::bench::Benchmark;
use crate::job::JobRun;
use crate::row::{Outcome, Row};
use crate::statistics::Summary;
use crate::verify::Verification;

/// Rows of equal length below a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|&name| name.to_owned()).collect(), rows: vec![] }
    }

    /// Appends a row. Missing cells become empty, extra cells are dropped. Control characters are escaped: a cell may contain
    /// a name from a file.
    pub fn push(&mut self, mut row: Vec<String>) {
        row.resize(self.header.len(), String::new());
        self.rows.push(row.iter().map(|cell| printable(cell).into_owned()).collect());
    }

    /// Columns aligned with spaces.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::NOTHING).set_header(&self.header).add_rows(&self.rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.trim_fmt() + "\n"
    }

    /// A Markdown table.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let escape = |row: &Vec<String>| row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        let rows: Vec<Vec<String>> = self.rows.iter().map(escape).collect();
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::ASCII_MARKDOWN).set_header(escape(&self.header)).add_rows(rows);
        format!("{table}\n")
    }

    /// Writes comma-separated values.
    ///
    /// # Errors
    ///
    /// Errors of writing.
    pub fn write_csv(&self, out: impl Write) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(&self.header)?;
        for row in &self.rows {
            csv.write_record(row)?;
        }
        csv.flush()
    }
}

/// The rows of a benchmark.
#[must_use]
pub fn of_benchmark(benchmark: &Benchmark) -> Table {
    let mut table = Table::new(&[
        "stage",
        "provider",
        "used",
        "precision",
        "threads",
        "batch",
        "nodes",
        "session ms",
        "first ms",
        "min",
        "median",
        "p90",
        "p99",
        "max",
        "deviation",
        "per second",
        "GFLOP/s",
        "% of peak",
        "MB",
        "GPU MB",
        "error",
        "note",
    ]);
    for row in &benchmark.rows {
        table.push(cells(row));
    }
    table
}

fn cells(row: &Row) -> Vec<String> {
    let variant = &row.variant;
    let threads = variant.threads.map_or_else(|| "all".to_owned(), |threads| threads.to_string());
    let (provider, precision) = (variant.provider.name(), variant.precision.name());
    let asked = |used: &str| {
        [variant.stage.name(), provider, used, precision, &threads, &variant.batch.to_string()]
            .map(str::to_owned)
            .to_vec()
    };
    let blanks = |count| vec![String::new(); count];
    match &row.outcome {
        Outcome::Measured(measured) => {
            let Summary { min, median, p90, p99, max, deviation, .. } = measured.summary_ms;
            let mut cells = asked(measured.used.name());
            cells.push(nodes(&measured.nodes));
            cells.extend(
                [measured.session_ms, measured.first_run_ms, min, median, p90, p99, max, deviation].map(significant),
            );
            cells.push(significant(measured.per_second));
            cells.push(format!("{:.0}", measured.gflops));
            cells.push(measured.peak_share.map_or_else(String::new, |share| format!("{:.0}", 100.0 * share)));
            for memory in [measured.peak_resident_bytes, measured.device_bytes] {
                cells.push(memory.map_or_else(String::new, |bytes| format!("{:.0}", bytes as f64 / 1e6)));
            }
            cells.push(format!("{:.1e}", measured.difference.relative_l2));
            cells
        }
        Outcome::Wrong { used, difference, allowed } => {
            let mut cells = asked(used.name());
            cells.extend(blanks(14));
            cells.push(format!("{:.1e}", difference.relative_l2));
            cells.push(format!("wrong, not timed: {allowed:.0e} allowed"));
            cells
        }
        Outcome::Failed { reason, .. } => {
            let mut cells = asked("none");
            cells.extend(blanks(15));
            cells.push(reason.lines().next().unwrap_or_default().to_owned());
            cells
        }
    }
}

/// The shares of a job.
#[must_use]
pub fn of_job(provider: &str, job: &JobRun) -> Table {
    let mut table = Table::new(&["provider", "used", "share", "median ms", "min ms", "max ms", "%"]);
    let total = job.total();
    let mut push = |name: &str, samples: &[f64]| {
        if let Some(summary) = Summary::of(samples) {
            let percent = format!("{:.1}", 100.0 * summary.median / total);
            let times = [summary.median, summary.min, summary.max].map(significant);
            let [median, min, max] = times;
            table.push(vec![
                provider.to_owned(),
                job.used.name().to_owned(),
                name.to_owned(),
                median,
                min,
                max,
                percent,
            ]);
        }
    };
    for share in &job.shares {
        push(&share.name, &share.samples_ms);
    }
    push("total", &job.total_ms);
    let outside = job.outside_onnxruntime();
    table.push(vec![
        provider.to_owned(),
        job.used.name().to_owned(),
        "not ONNX Runtime".to_owned(),
        significant(outside * total),
        String::new(),
        String::new(),
        format!("{:.1}", 100.0 * outside),
    ]);
    if let Some(coarse) = Summary::of(&job.first_coarse_ms) {
        let windows = coarse.median / job.encode_per_window();
        let mut row =
            vec![provider.to_owned(), job.used.name().to_owned(), format!("first coarse mask: {windows:.2} windows")];
        row.extend([coarse.median, coarse.min, coarse.max].map(significant));
        row.push(String::new());
        table.push(row);
    }
    table
}

/// A comparison: per stage, the output that comes closest to its limit.
#[must_use]
pub fn of_verification(found: &Verification) -> Table {
    let mut table = Table::new(&[
        "stage",
        "outputs",
        "worst",
        "relative L2",
        "max abs",
        "cosine",
        "Dice",
        "allowed",
        "ms",
        "reference ms",
        "verdict",
    ]);
    for check in found.worst() {
        let outputs = found.checks.iter().filter(|other| other.stage == check.stage).count();
        let difference = &check.difference;
        let key = format!("ms.{}", check.stage);
        let ms = |side: &BTreeMap<String, String>| {
            side.get(&key).and_then(|text| text.parse().ok()).map_or_else(String::new, significant)
        };
        let is_mask = check.stage == crate::verify::MASKS;
        table.push(vec![
            check.stage.clone(),
            outputs.to_string(),
            check.output.clone(),
            format!("{:.1e}", difference.relative_l2),
            format!("{:.1e}", difference.max_abs),
            format!("{:.7}", difference.cosine),
            difference.dice.map_or_else(String::new, |dice| format!("{dice:.5}")),
            if is_mask { format!("Dice {}", check.allowed) } else { format!("L2 {:.0e}", check.allowed) },
            ms(&found.subject),
            ms(&found.reference),
            if check.passed { "equal" } else { "NOT EQUAL" }.to_owned(),
        ]);
    }
    table
}

fn nodes(placement: &Placement) -> String {
    let short = |name: &str| name.trim_end_matches("ExecutionProvider").to_owned();
    let counts: Vec<String> = placement.iter().map(|(name, count)| format!("{} {count}", short(name))).collect();
    counts.join(" + ")
}

/// A number with three significant digits, but with all digits before the decimal point.
fn significant(value: f64) -> String {
    let digits = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else if value.abs() >= 1.0 {
        2
    } else {
        3
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["a", "bc"]);
        table.push(vec!["1,5".to_owned(), "say \"x\" | y".to_owned()]);
        table.push(vec!["long cell".to_owned()]);
        table
    }

    #[test]
    fn each_format_keeps_the_cells() {
        assert_eq!(table().to_text(), "a          bc\n1,5        say \"x\" | y\nlong cell\n");
        let markdown = "| a         | bc           |\n\
                        |-----------|--------------|\n\
                        | 1,5       | say \"x\" \\| y |\n\
                        | long cell |              |\n";
        assert_eq!(table().to_markdown(), markdown);
        let mut csv = Vec::new();
        table().write_csv(&mut csv).expect("written");
        assert_eq!(String::from_utf8(csv).expect("UTF-8"), "a,bc\n\"1,5\",\"say \"\"x\"\" | y\"\nlong cell,\n");
    }

    #[test]
    fn a_cell_cannot_control_a_terminal() {
        let mut table = Table::new(&["a"]);
        table.push(vec!["x\u{1b}[2J\ny".to_owned()]);
        let mut csv = Vec::new();
        table.write_csv(&mut csv).expect("written");
        for text in [table.to_text(), table.to_markdown(), String::from_utf8(csv).expect("UTF-8")] {
            assert!(text.contains("x\\u{1b}[2J\\ny") && !text.contains('\u{1b}'), "{text}");
        }
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([2716.4, 27.164, 2.7164, 0.027].map(significant), ["2716", "27.2", "2.72", "0.027"]);
    }
}
