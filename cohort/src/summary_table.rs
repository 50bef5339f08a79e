//! A summary for a terminal.

use std::fmt::Write as _;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use segvol_base::printable;

use crate::distribution::Distribution;
use crate::summary::Summary;

/// Lines of a list that are shown; the rest is counted.
const MOST: usize = 20;

impl Summary {
    /// The summary in tables, which are Markdown too. Long lists are cut and say how long they are.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.headline());
        if !self.objects.is_empty() {
            let names = ["object", "scans", "empty", "median, mL", "quartiles", "5 % to 95 %", "range", "outliers"];
            let lines = self.objects.iter().map(|of| {
                let [scans, empty, outliers] = [of.scans, of.empty, of.outliers].map(|count| count.to_string());
                let [median, quartiles, most, range] = cells(of.volume_ml.as_ref());
                [of.object.clone(), scans, empty, median, quartiles, most, range, outliers]
            });
            let _ = write!(text, "\nVolumes of the masks that are not empty, in mL\n\n{}", table(&names, lines));
        }
        if !self.outliers.is_empty() {
            let lines = self.outliers.iter().take(MOST);
            let lines = lines.map(|of| [of.object.clone(), of.id.clone(), millilitres(of.volume_ml), of.reason()]);
            let _ = write!(text, "\nOutliers\n\n{}", table(&["object", "scan", "mL", "why"], lines));
            text.push_str(&more(self.outliers.len()));
        }
        if !self.empty.is_empty() {
            let lines = self.empty.iter().take(MOST).map(|of| [of.object.clone(), of.id.clone()]);
            let _ = write!(text, "\nEmpty masks\n\n{}", table(&["object", "scan"], lines));
            text.push_str(&more(self.empty.len()));
        }
        if !self.failures.is_empty() {
            let lines = self.failures.iter().map(|of| {
                let (id, error) =
                    of.errors.first().map(|scan| (scan.id.clone(), scan.error.clone())).unwrap_or_default();
                [of.kind.name().to_owned(), of.scans.to_string(), id, error]
            });
            let _ = write!(text, "\nFailures\n\n{}", table(&["kind", "scans", "first scan", "its error"], lines));
        }
        if !self.warnings.is_empty() {
            let lines = self.warnings.iter().map(|of| {
                let [warnings, scans] = [of.warnings, of.scans].map(|count| count.to_string());
                [of.code.name().to_owned(), warnings, scans, of.first.clone()]
            });
            let _ = write!(text, "\nWarnings\n\n{}", table(&["code", "warnings", "scans", "first scan"], lines));
        }
        text
    }

    /// Counts and time in one line.
    #[must_use]
    pub fn headline(&self) -> String {
        let mut text = format!("{} of {} scans done", self.done, self.scans);
        if self.failed > 0 {
            let _ = write!(text, ", {} failed", self.failed);
        }
        if let Some(of) = &self.seconds_of_scan {
            let _ = write!(
                text,
                "; {} in total, and half of the scans took at most {}",
                time(self.seconds),
                time(of.median)
            );
        }
        text
    }
}

/// Median, quartiles, the middle 90 % and the range of volumes in millilitres, for people; dashes if there are none.
#[must_use]
pub fn cells(of: Option<&Distribution>) -> [String; 4] {
    let ends = |low: f64, high: f64| format!("{} to {}", millilitres(low), millilitres(high));
    match of {
        Some(of) => [millilitres(of.median), ends(of.q1, of.q3), ends(of.p5, of.p95), ends(of.min, of.max)],
        None => std::array::from_fn(|_| "–".to_owned()),
    }
}

/// A volume in millilitres for people, without the unit: about three digits, and not more than two after the point.
#[must_use]
pub fn millilitres(volume: f64) -> String {
    let digits = match volume {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{volume:.digits$}")
}

/// A time for people.
#[must_use]
pub fn time(seconds: f64) -> String {
    match seconds {
        ..99.5 => format!("{seconds:.1} s"),
        ..5970.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

fn more(all: usize) -> String {
    if all > MOST { format!("\nand {} more\n", all - MOST) } else { String::new() }
}

/// A Markdown table whose columns are as wide as their widest cell.
fn table<const N: usize>(names: &[&str; N], lines: impl Iterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(names);
    // A `|` would end its cell, and names may have characters that control a terminal.
    table.add_rows(lines.map(|line| line.map(|cell| printable(&cell).replace('|', "\\|"))));
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::testing::{done, failed, livers, object};

    #[test]
    fn the_tables_line_up() {
        let mut records = vec![
            done("a", vec![object("liver", 1, 5, 1500.0), object("spleen", 2, 0, 0.0)]),
            done("b|\u{1b}[2J", vec![object("liver", 1, 5, 1700.0)]),
            failed("c"),
        ];
        crate::testing::warn_of_scan(&mut records[0], segvol::WarningCode::AffineMissing);
        let limits = Limits::parse("{\"liver\": [0, 1600]}", &["liver"]).expect("limits");
        let text = Summary::new(&records, &limits).to_text();
        let expected = "\
2 of 3 scans done, 1 failed; 36.8 s in total, and half of the scans took at most 12.2 s

Volumes of the masks that are not empty, in mL

| object | scans | empty | median, mL | quartiles    | 5 % to 95 %  | range        | outliers |
|--------|-------|-------|------------|--------------|--------------|--------------|----------|
| liver  | 2     | 0     | 1600       | 1550 to 1650 | 1510 to 1690 | 1500 to 1700 | 1        |
| spleen | 1     | 1     | –          | –            | –            | –            | 0        |

Outliers

| object | scan         | mL   | why           |
|--------|--------------|------|---------------|
| liver  | b\\|\\u{1b}[2J | 1700 | above 1600 mL |

Empty masks

| object | scan |
|--------|------|
| spleen | a    |

Failures

| kind  | scans | first scan | its error            |
|-------|-------|------------|----------------------|
| input | 1     | c          | scan \"c\": not a scan |

Warnings

| code           | warnings | scans | first scan |
|----------------|----------|-------|------------|
| affine_missing | 1        | 1     | a          |
";
        assert_eq!(text, expected);
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        let text = Summary::new(&livers(&[0.0; 25]), &Limits::default()).to_text();
        assert_eq!(text.matches("| liver  | s").count(), 20, "{text}");
        assert!(text.contains("\nand 5 more\n"), "{text}");
        assert!(!text.contains("Outliers") && !text.contains("Failures") && !text.contains("Warnings"), "{text}");
    }

    #[test]
    fn numbers_have_about_three_digits() {
        let volumes = [0.0, 0.123, 9.994, 9.996, 99.94, 99.96, 1523.4];
        assert_eq!(volumes.map(millilitres), ["0.00", "0.12", "9.99", "10.0", "99.9", "100", "1523"]);
        let times = [12.25, 99.4, 100.0, 3600.0, 5969.0, 6000.0, 360_000.0];
        assert_eq!(times.map(time), ["12.2 s", "99.4 s", "2 min", "60 min", "99 min", "1.7 h", "100.0 h"]);
    }
}
