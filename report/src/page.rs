//! The page: head, contents, sections.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use maud::{Markup, html};
use segvol_base::WarningCode;
use segvol_evaluation::statistics_tables::cells;
use segvol_evaluation::summary::{self, FAILED_BELOW, Group};
use segvol_evaluation::{CaseResult, Comparison, Figure, Kind, Results, WorstObject};

use crate::text::shown;
use crate::{evaluated, figure_plot, frame, tables, worst};

/// What a page shows.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The results, each with a name that distinguishes it; the name of a single one is not shown.
    pub results: &'a [(String, Results)],
    /// Paired comparisons.
    pub comparisons: &'a [Comparison],
    /// The worst objects of each result, in the order of the results; may be shorter than these.
    pub worst: &'a [Vec<WorstObject>],
    /// What readers must know about the whole, one sentence each: results that could not be compared, for example.
    pub notes: &'a [String],
}

impl Page<'_> {
    /// The page as HTML.
    #[must_use]
    pub fn html(&self) -> String {
        page(self).into_string()
    }

    /// Writes the page to a file, whole or not at all.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        frame::save(&self.html(), path)
    }
}

fn page(page: &Page<'_>) -> Markup {
    let several = page.results.len() > 1;
    let sections: Vec<(String, String, Markup)> = page
        .results
        .iter()
        .enumerate()
        .map(|(index, (name, results))| {
            let title = if several { shown(name) } else { "Results".to_owned() };
            (format!("results-{}", index + 1), title, of_results(results, page.worst.get(index), index + 1))
        })
        .collect();
    let body = html! {
        header {
            h1 { "SegVol evaluation" }
            @for (name, results) in page.results {
                p.lead { @if several { strong { (shown(name)) } ": " } (verdict(results)) }
            }
            @if !page.notes.is_empty() {
                ul.notes { @for note in page.notes { li { (shown(note)) } } }
            }
            nav aria-label="Contents" {
                a href="#evaluated" { "What was evaluated" }
                @for (id, title, _) in &sections { a href={ "#" (id) } { (title) } }
                @if !page.comparisons.is_empty() { a href="#comparisons" { "Comparisons" } }
                a href="#definitions" { "Definitions" }
            }
        }
        main {
            (overview(page.results))
            section #evaluated { h2 { "What was evaluated" } (evaluated::table(page.results)) }
            @for (id, title, contents) in &sections {
                section id=(id) { h2 { (title) } (contents) }
            }
            @if !page.comparisons.is_empty() {
                section #comparisons { h2 { "Comparisons" } (tables::comparisons(page.comparisons)) }
            }
            section #definitions { h2 { "Definitions" } (definitions(page.results)) }
        }
    };
    frame::document("SegVol evaluation", &body)
}

/// The outcome in one sentence.
fn verdict(results: &Results) -> String {
    let (scored, all) = (results.cases.len(), results.cases.len() + results.failures.len());
    if !results.header.settings.pairs.is_empty() {
        return format!("{scored} of {all} cases compared, without known masks");
    }
    let kind = results.header.settings.prompts.first();
    let objects = results.rows().filter(|(_, row)| row.truth_voxels > 0 && Some(&row.prompt) == kind).count();
    format!("{scored} of {all} cases scored, {objects} objects.")
}

/// The Dice over all structures: a line for each result and kind of prompt.
fn overview(all: &[(String, Results)]) -> Markup {
    let several = all.len() > 1;
    let lines: Vec<(&str, Group)> = all
        .iter()
        .flat_map(|(name, results)| summary::groups(results).into_iter().map(move |group| (name.as_str(), group)))
        .filter(|(_, group)| group.structure.is_none() && group.objects > 0)
        .collect();
    html! {
        @if !lines.is_empty() {
            (tables::scrolled("Dice over all structures", &html! {
                caption { "Dice of the final masks over all structures" }
                thead { tr {
                    @if several { th scope="col" { "result" } }
                    th scope="col" { "prompt" }
                    @for name in ["objects", "mean", "95 % interval", "median", "quartiles"] { th.number scope="col" { (name) } }
                    th.number scope="col" { "below " (FAILED_BELOW) }
                } }
                tbody { @for (index, (name, group)) in lines.iter().enumerate() {
                    tr.first[index > 0 && lines[index - 1].0 != *name] {
                        @if several { th scope="row" { (shown(name)) } }
                        th scope="row" { (group.prompt) }
                        @let cells = cells(Figure::Dice, group.zoom_in.statistics.dice.as_ref());
                        @for place in [0, 1, 2, 4, 5] { td.number { (cells[place]) } }
                        td.number.bad[group.zoom_in.failed > 0] { (group.zoom_in.failed) }
                    }
                } }
            }))
        }
    }
}

fn of_results(results: &Results, pictures: Option<&Vec<segvol_evaluation::WorstObject>>, number: usize) -> Markup {
    if !results.header.settings.pairs.is_empty() {
        return html! { (tables::sides(results)) (failures(results)) (warnings(results)) };
    }
    let groups = summary::groups(results);
    html! {
        @for figure in Figure::ALL {
            details open[figure == Figure::Dice] {
                summary { h3 { (title(figure, results)) } }
                @if Figure::COMPARED.contains(&figure) {
                    (figure_plot::plot(results, &groups, figure, &format!("plot-{number}-{}", figure.name())))
                }
                (tables::statistics(figure, &groups))
            }
        }
        (counts(results, &groups))
        @if let Some(objects) = pictures.filter(|objects| !objects.is_empty()) { (worst::gallery(objects)) }
        (failures(results))
        (warnings(results))
    }
}

/// A figure's title; the surface Dice has a tolerance.
fn title(figure: Figure, results: &Results) -> String {
    match figure {
        Figure::SurfaceDice => format!("{} at {} mm", figure.title(), results.header.settings.tolerance_mm),
        _ => figure.title().to_owned(),
    }
}

/// Empty masks and absent structures.
fn counts(results: &Results, groups: &[Group]) -> Markup {
    let odd: Vec<&Group> = groups
        .iter()
        .filter(|group| group.structure.is_some() && group.zoom_in.empty + group.zoom_out.empty + group.absent > 0)
        .collect();
    let too_small: Vec<(&str, &String)> =
        results.cases.iter().flat_map(|case| case.too_small.iter().map(|name| (case.case.as_str(), name))).collect();
    html! {
        @if !odd.is_empty() {
            h3 { "Empty masks and absent structures" }
            (tables::scrolled("Empty masks and absent structures", &html! {
                thead { tr {
                    th scope="col" { "structure" } th scope="col" { "prompt" }
                    @for name in ["objects", "nothing found", "of these after zoom-out", "absent", "found though absent"] {
                        th.number scope="col" { (name) }
                    }
                } }
                tbody { @for group in odd { tr {
                    th scope="row" { (shown(group.structure.as_deref().unwrap_or_default())) }
                    td { (group.prompt) }
                    @for count in [group.objects, group.zoom_in.empty, group.zoom_out.empty, group.absent, group.found_though_absent] {
                        td.number { (count) }
                    }
                } } }
            }))
        }
        @if !too_small.is_empty() {
            p { "Left out, because they have fewer than " (results.header.settings.min_voxels) " voxels: "
                (too_small.iter().map(|(case, name)| format!("{} in {}", shown(name), shown(case))).collect::<Vec<_>>().join("; ")) "." }
        }
    }
}

fn failures(results: &Results) -> Markup {
    html! {
        @if !results.failures.is_empty() {
            h3 { "Cases without scores" }
            ul.failures { @for failure in &results.failures {
                li { strong { (shown(&failure.case)) } ": " (shown(&failure.reason)) }
            } }
        }
    }
}

/// The warnings, each code once with the number of places and the first of them.
fn warnings(results: &Results) -> Markup {
    let mut of_code: BTreeMap<WarningCode, (usize, String)> = BTreeMap::new();
    let mut add = |code: WarningCode, place: &dyn Fn() -> String, message: &str| {
        let entry = of_code.entry(code).or_insert_with(|| (0, format!("{}: {message}", place())));
        entry.0 += 1;
    };
    for case in &results.cases {
        for warning in &case.warnings {
            add(warning.code, &|| case.case.clone(), &warning.message);
        }
        for (about, warning) in of_objects(case) {
            add(warning.code, &|| format!("{}, {about}", case.case), &warning.message);
        }
    }
    html! {
        @if !of_code.is_empty() {
            h3 { "Warnings" }
            ul.warnings { @for (code, (count, first)) in &of_code {
                li { code { (code.name()) } @if *count > 1 { " " (count) " times, first: " } @else { " " } (shown(first)) }
            } }
        }
    }
}

fn of_objects(case: &CaseResult) -> impl Iterator<Item = (String, &segvol_base::Warning)> {
    let rows = case.rows.iter().flat_map(|row| {
        row.warnings.iter().map(move |warning| (format!("{} by {}", row.structure, row.prompt), warning))
    });
    let sides =
        case.sides.iter().flat_map(|sides| sides.warnings.iter().map(|warning| (sides.pair.to_string(), warning)));
    rows.chain(sides)
}

fn definitions(results: &[(String, Results)]) -> Markup {
    let tolerance = results.first().map_or(0.0, |(_, results)| results.header.settings.tolerance_mm);
    let kinds: Vec<Kind> = results.iter().flat_map(|(_, results)| results.header.settings.prompts.clone()).collect();
    html! {
        dl.definitions {
            dt { "Object" } dd { "A structure of a case that contains it, asked for with one kind of prompt. Absent structures are counted, and are in no mean." }
            dt { "Dice" } dd { "Twice the shared voxels, divided by the voxels of both masks." }
            dt { "Surface Dice" } dd { "The share of both masks' surface voxels that are at most " (tolerance) " mm from the other surface." }
            dt { "95 % Hausdorff distance" } dd { "The 95th percentile of the distances from each surface to the other, the larger of both, over the objects that were found." }
            dt { "n, mean, SD, median, quartiles" } dd { "Over objects. SD: sample standard deviation, with the divisor n − 1. Quartiles: linear between ranks." }
            dt { "95 % interval" } dd { "Percentile bootstrap of the mean: whole cases are drawn with replacement, "
                (segvol_evaluation::statistics::RESAMPLES) " times, because objects of one case are not independent. With few cases it is too narrow." }
            dt { "Failures" } dd { "Objects whose Dice is below " (FAILED_BELOW) "; those with an empty mask are among them." }
            dt { "Box plots" } dd { "Box: quartiles and median. Whiskers: the farthest object within 1.5 times the box's length. Circles: objects beyond. Diamond: mean." }
            @if kinds.iter().any(|kind| *kind != Kind::Text) {
                dt { "Prompts" } dd { "Boxes and points are taken from the known masks, as a user who knows the truth would give them." }
            }
        }
    }
}
