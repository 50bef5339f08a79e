//! Verdicts on the sides of organs as tables.

use crate::results::Results;
use crate::sides::{Pair, Sides, Verdict};
use crate::summary::{self, Counts};
use crate::table::{self, Lines, number, plain};

/// A line per pair, then one for all.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::from("Left organs to the left of right ones, by the centres of their masks\n\n");
    let (_, lines) = counts(results);
    let names = ["pair", "n", "ok", "swapped", "unclear", "empty", "mean distance, mm"].map(str::to_owned);
    let with_total = summary::counts(results).into_iter().zip(lines).map(|(counts, mut line)| {
        line[0] = counts.pair.as_ref().map_or_else(|| "**all**".to_owned(), ToString::to_string);
        line[1] = counts.total().to_string();
        line[6] = number(counts.mean_to_the_left_mm, 0);
        line
    });
    text.push_str(&table::markdown(&names, with_total));
    text.push('\n');
    text
}

/// Verdicts per pair, then for all.
pub(crate) fn counts(results: &Results) -> Lines {
    let names = ["left", "right", "ok", "swapped", "unclear", "empty", "mean_to_the_left_mm"].map(str::to_owned);
    let line = |counts: Counts| {
        let mut line = match &counts.pair {
            Some(Pair { left, right }) => vec![left.clone(), right.clone()],
            None => vec!["all".to_owned(), String::new()],
        };
        line.extend(Verdict::ALL.map(|verdict| counts.of_verdict(verdict).to_string()));
        line.push(plain(counts.mean_to_the_left_mm));
        line
    };
    (names.to_vec(), summary::counts(results).into_iter().map(line).collect())
}

/// One line per case and pair.
pub(crate) fn rows(results: &Results) -> Lines {
    let names = [
        "case",
        "left",
        "right",
        "verdict",
        "to_the_left_mm",
        "left_voxels",
        "left_x_mm",
        "right_voxels",
        "right_x_mm",
    ];
    let line = |case: &str, sides: &Sides| {
        let mut line = vec![case.to_owned(), sides.pair.left.clone(), sides.pair.right.clone()];
        line.extend([sides.verdict.name().to_owned(), plain(sides.to_the_left_mm)]);
        for side in [&sides.left, &sides.right] {
            line.extend([side.voxels.to_string(), plain(side.centre_ras_mm.map(|[x, ..]| x))]);
        }
        line
    };
    let lines = results.cases.iter().flat_map(|case| case.sides.iter().map(|sides| line(&case.case, sides)));
    (names.map(str::to_owned).to_vec(), lines.collect())
}
