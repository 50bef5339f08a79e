//! Tables of statistics and comparisons.

use maud::{Markup, html};
use segvol_evaluation::comparison_tables::{self, NOTE};
use segvol_evaluation::paired::Unpaired;
use segvol_evaluation::statistics_tables::cells;
use segvol_evaluation::summary::{self, FAILED_BELOW, Group};
use segvol_evaluation::{By, Comparison, Figure, Results};

use crate::text::shown;

/// The most names of objects that are listed.
const MOST_NAMED: usize = 20;

/// A table that scrolls by itself where the window is narrow.
pub(crate) fn scrolled(label: &str, table: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { table { (table) } } }
}

/// A line per structure and kind of prompt.
pub(crate) fn statistics(figure: Figure, groups: &[Group]) -> Markup {
    let failed = figure == Figure::Dice;
    scrolled(
        figure.title(),
        &html! {
            thead { tr {
                th scope="col" { "structure" } th scope="col" { "prompt" }
                @for name in ["n", "mean", "95 % interval", "SD", "median", "quartiles"] { th.number scope="col" { (name) } }
                th.number scope="col" { "mean of zoom-out alone" }
                @if failed { th.number scope="col" { "Dice < " (FAILED_BELOW) } }
            } }
            tbody { @for (index, group) in groups.iter().enumerate() {
                tr.first[index > 0 && groups[index - 1].structure != group.structure] {
                    th scope="row" { (structure(group.structure.as_deref())) }
                    td { (group.prompt) }
                    @for cell in cells(figure, group.zoom_in.statistics.of(figure).as_ref()) { td.number { (cell) } }
                    td.number { (cells(figure, group.zoom_out.statistics.of(figure).as_ref())[1]) }
                    @if failed { td.number.bad[group.zoom_in.failed > 0] { (group.zoom_in.failed) } }
                }
            } }
        },
    )
}

fn structure(name: Option<&str>) -> Markup {
    match name {
        Some(name) => html! { (shown(name)) },
        None => html! { strong { "all" } },
    }
}

/// All comparisons, with a table for each figure.
pub(crate) fn comparisons(comparisons: &[Comparison]) -> Markup {
    html! {
        p { (NOTE) }
        @for comparison in comparisons {
            details open[comparison.by != By::Prompts] {
                summary { h3 { (comparison_tables::title(comparison)) } }
                (unpaired(comparison))
                @for table in comparison.tables.iter().filter(|table| !table.groups.is_empty()) {
                    h4 { (table.figure.title()) }
                    (scrolled(&format!("{}: {}", comparison_tables::title(comparison), table.figure.title()), &html! {
                        thead { tr { @for (index, name) in comparison_tables::columns(comparison).iter().enumerate() {
                            th.number[index >= names_of(comparison)] scope="col" { (shown(name)) }
                        } } }
                        tbody { @for (group, line) in table.groups.iter().zip(comparison_tables::lines(table)) { tr {
                            th scope="row" { (structure(group.structure.as_deref())) }
                            @for (index, cell) in line.iter().enumerate().skip(1) {
                                td.number[index >= names_of(comparison)] { (cell) }
                            }
                        } } }
                    }))
                }
            }
        }
    }
}

/// The first columns, which are no numbers.
fn names_of(comparison: &Comparison) -> usize {
    if comparison.by == By::Prompts { 1 } else { 2 }
}

fn unpaired(comparison: &Comparison) -> Markup {
    let Unpaired { only_a, only_b, other_truth } = &comparison.unpaired;
    let lists = [
        (format!("only in {}", comparison.a), only_a),
        (format!("only in {}", comparison.b), only_b),
        ("with another number of voxels in the truth".to_owned(), other_truth),
    ];
    html! {
        @for (what, names) in lists.iter().filter(|(_, names)| !names.is_empty()) {
            p.left-out { "Not compared: " (names.len()) " " (shown(what)) ": "
                (shown(&names.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join("; ")))
                @if names.len() > MOST_NAMED { "; and " (names.len() - MOST_NAMED) " more" } }
        }
    }
}

/// Verdicts on the sides of organs.
pub(crate) fn sides(results: &Results) -> Markup {
    html! {
        h3 { "Left organs to the left of right ones" }
        (scrolled("Sides of organs", &html! {
            thead { tr {
                th scope="col" { "pair" }
                @for name in ["n", "ok", "swapped", "unclear", "empty", "mean distance, mm"] { th.number scope="col" { (name) } }
            } }
            tbody { @for counts in summary::counts(results) { tr {
                th scope="row" { (structure(counts.pair.as_ref().map(ToString::to_string).as_deref())) }
                @for count in [counts.total(), counts.ok, counts.swapped, counts.unclear, counts.empty] { td.number { (count) } }
                td.number { (counts.mean_to_the_left_mm.map_or_else(|| "–".to_owned(), |mm| format!("{mm:.0}"))) }
            } } }
        }))
    }
}
