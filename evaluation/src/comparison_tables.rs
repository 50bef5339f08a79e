//! Paired comparisons as Markdown.

use std::fmt::Write as _;

use segvol_base::printable;

use crate::figure::Figure;
use crate::paired::{By, Comparison, Paired, Table};
use crate::statistics::Method;
use crate::statistics_tables::interval;
use crate::table::{markdown, number};

/// How much of comparisons is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The Dice; of kinds of prompts, only over all structures.
    Dice,
    /// Every figure and every structure.
    Everything,
}

/// What all comparisons share, in a few sentences.
pub const NOTE: &str = "Difference: the second minus the first, mean over objects that have both, with its 95 % bootstrap interval over \
cases. Better, worse, equal: objects, the second against the first. p: Wilcoxon signed-rank test of the cases' mean differences, \
two-sided, exact (with ~: from the normal distribution), not corrected for the number of tests; p (Holm): corrected for all tests of the \
table.";

/// The comparisons as tables.
#[must_use]
pub fn tables(comparisons: &[Comparison], detail: Detail) -> String {
    let mut text = String::new();
    if comparisons.is_empty() {
        return text;
    }
    text.push_str("# Comparisons\n\n");
    let _ = writeln!(text, "{NOTE}\n");
    let (joint, alone): (Vec<&Comparison>, Vec<&Comparison>) =
        comparisons.iter().partition(|one| detail == Detail::Dice && one.by == By::Prompts);
    for comparison in alone {
        let _ = writeln!(text, "## {}\n", title(comparison));
        for table in
            comparison.tables.iter().filter(|table| detail == Detail::Everything || table.figure == Figure::Dice)
        {
            let _ = writeln!(text, "{}\n", table.figure.title());
            text.push_str(&markdown(&columns(comparison), lines(table)));
            text.push('\n');
        }
    }
    if !joint.is_empty() {
        text.push_str("## Kinds of prompts, Dice over all structures\n\n");
        text.push_str(&of_prompts(&joint));
        text.push('\n');
    }
    text
}

/// What is compared, in one line.
#[must_use]
pub fn title(comparison: &Comparison) -> String {
    let within = comparison.within.as_ref().map_or_else(String::new, |within| format!("{within}: "));
    printable(&format!("{within}{} against {}", comparison.b, comparison.a)).into_owned()
}

/// The names of the columns.
#[must_use]
pub fn columns(comparison: &Comparison) -> Vec<String> {
    let mut names = vec!["structure".to_owned()];
    if comparison.by != By::Prompts {
        names.push("prompt".to_owned());
    }
    names.extend(["objects", "cases"].map(str::to_owned));
    names.extend([comparison.a.clone(), comparison.b.clone()]);
    names.extend(REST.map(str::to_owned));
    names
}

const REST: [&str; 7] = ["difference", "95 % interval", "better", "worse", "equal", "p", "p (Holm)"];

/// The lines of a table.
pub fn lines(table: &Table) -> impl Iterator<Item = Vec<String>> {
    table.groups.iter().map(|group| {
        let mut line = vec![group.structure.clone().unwrap_or_else(|| "**all**".to_owned())];
        line.extend(group.prompt.map(|prompt| prompt.to_string()));
        line.extend(figures(table.figure, group));
        line
    })
}

fn figures(figure: Figure, group: &Paired) -> Vec<String> {
    let digits = figure.digits();
    let mut line = vec![group.objects.to_string(), group.cases.to_string()];
    line.extend([group.mean_a, group.mean_b].map(|mean| number(Some(mean), digits)));
    // One digit more: differences are smaller than what they are differences of.
    line.push(signed(group.mean_difference, digits + 1));
    line.push(interval(group.ci95, digits + 1));
    line.extend([group.better, group.worse, group.equal].map(|count| count.to_string()));
    line.push(group.wilcoxon.map_or_else(|| number(None, 0), |test| p_value(test.p, test.method)));
    line.push(group.p_holm.map_or_else(|| number(None, 0), |p| p_value(p, Method::Exact)));
    line
}

/// One line for each pair of kinds, over all structures.
fn of_prompts(comparisons: &[&Comparison]) -> String {
    let several = comparisons.iter().any(|one| one.within.is_some());
    let mut names: Vec<String> = several.then(|| "setting".to_owned()).into_iter().collect();
    names.extend(["first", "second", "objects", "cases", "mean of the first", "mean of the second"].map(str::to_owned));
    names.extend(REST.map(str::to_owned));
    let lines = comparisons.iter().filter_map(|one| {
        let table = one.tables.iter().find(|table| table.figure == Figure::Dice)?;
        let all = table.groups.iter().find(|group| group.structure.is_none())?;
        let mut line: Vec<String> = several.then(|| one.within.clone().unwrap_or_default()).into_iter().collect();
        line.extend([one.a.clone(), one.b.clone()]);
        line.extend(figures(table.figure, all));
        Some(line)
    });
    markdown(&names, lines)
}

/// A difference with its sign.
#[must_use]
pub fn signed(value: f64, digits: usize) -> String {
    let text = format!("{value:+.digits$}");
    // A difference that rounds to 0 has no sign.
    if text.trim_start_matches(['+', '-', '0', '.']).is_empty() {
        text.trim_start_matches(['+', '-']).to_owned()
    } else {
        text
    }
}

/// A p-value; `~` marks one from the normal distribution.
#[must_use]
pub fn p_value(p: f64, method: Method) -> String {
    let about = if method == Method::Normal { "~" } else { "" };
    if p < 0.0001 { format!("{about}<0.0001") } else { format!("{about}{p:.4}") }
}
