//! The page of a cohort: volumes, outliers, the strangest scans, failures, settings.

use std::io;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use maud::{Markup, html};
use segvol_cohort::summary_table::{cells, millilitres, time};
use segvol_cohort::{LEAST_MASKS, OUTLYING, Summary};
use serde_json::Value;

use crate::tables::scrolled;
use crate::text::shown;
use crate::{frame, settings, volume_plot};

/// Lines of a list that are shown; the rest is counted.
const MOST: usize = 200;

/// What a page about a cohort shows.
#[derive(Debug, Clone, Copy)]
pub struct CohortPage<'a> {
    /// The settings, as the manifest has them.
    pub settings: &'a Value,
    /// All numbers.
    pub summary: &'a Summary,
    /// The strangest scans, in this order.
    pub pictures: &'a [CohortPicture],
    /// What readers must know about the whole, one sentence each.
    pub notes: &'a [String],
}

/// A scan with its picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CohortPicture {
    /// The scan.
    pub id: String,
    /// Why it is shown; can be empty.
    pub caption: String,
    /// A PNG with slices through its masks; or why there is none.
    pub picture: Result<Vec<u8>, String>,
}

impl CohortPage<'_> {
    /// The page as HTML. The same input gives the same bytes.
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

fn page(page: &CohortPage<'_>) -> Markup {
    let summary = page.summary;
    let all = [
        ("volumes-of-objects", "Volumes", !summary.objects.is_empty(), volumes(summary)),
        ("outliers", "Outliers", !summary.outliers.is_empty(), outliers(summary)),
        ("empty", "Empty masks", !summary.empty.is_empty(), empty(summary)),
        ("strangest", "Strangest scans", !page.pictures.is_empty(), gallery(page.pictures)),
        ("failures", "Failures", !summary.failures.is_empty(), failures(summary)),
        ("warnings", "Warnings", !summary.warnings.is_empty(), warnings(summary)),
        ("settings", "Settings", true, settings::table(page.settings)),
        ("definitions", "Definitions", true, definitions()),
    ];
    let sections: Vec<_> = all.into_iter().filter(|(.., is_shown, _)| *is_shown).collect();
    let body = html! {
        header {
            h1 { "SegVol cohort" }
            p.lead { (summary.headline()) "." }
            @if !page.notes.is_empty() {
                ul.notes { @for note in page.notes { li { (shown(note)) } } }
            }
            nav aria-label="Contents" {
                @for (id, title, ..) in &sections { a href={ "#" (id) } { (title) } }
            }
        }
        main {
            (overview(summary))
            @for (id, title, _, contents) in &sections {
                section id=(id) { h2 { (title) } (contents) }
            }
        }
    };
    frame::document("SegVol cohort", &body)
}

/// The counts.
fn overview(summary: &Summary) -> Markup {
    let masks: usize = summary.objects.iter().map(|object| object.scans).sum();
    let warnings: usize = summary.warnings.iter().map(|count| count.warnings).sum();
    let counts = [
        ("scans done", summary.done, false),
        ("scans failed", summary.failed, summary.failed > 0),
        ("masks", masks, false),
        ("empty masks", summary.empty.len(), !summary.empty.is_empty()),
        ("outliers", summary.outliers.len(), !summary.outliers.is_empty()),
        ("warnings", warnings, false),
    ];
    scrolled(
        "Counts",
        &html! {
            thead { tr {
                @for (name, ..) in counts { th.number scope="col" { (name) } }
                @for name in ["time of all scans", "median of a scan", "longest scan"] { th.number scope="col" { (name) } }
            } }
            tbody { tr {
                @for (_, count, is_bad) in counts { td.number.bad[is_bad] { (count) } }
                td.number { (time(summary.seconds)) }
                @for seconds in [summary.seconds_of_scan.map(|of| of.median), summary.seconds_of_scan.map(|of| of.max)] {
                    td.number { (seconds.map_or_else(|| "–".to_owned(), time)) }
                }
            } }
        },
    )
}

fn volumes(summary: &Summary) -> Markup {
    html! {
        (volume_plot::plot(summary))
        (scrolled("Volumes", &html! {
            thead { tr {
                th scope="col" { "object" }
                @for name in ["scans", "empty", "median, mL", "quartiles", "5 % to 95 %", "range", "outliers"] {
                    th.number scope="col" { (name) }
                }
            } }
            tbody { @for object in &summary.objects { tr {
                th scope="row" { (shown(&object.object)) }
                td.number { (object.scans) }
                td.number.bad[object.empty > 0] { (object.empty) }
                @for cell in cells(object.volume_ml.as_ref()) { td.number { (cell) } }
                td.number.bad[object.outliers > 0] { (object.outliers) }
            } } }
        }))
    }
}

fn outliers(summary: &Summary) -> Markup {
    let all = &summary.outliers;
    html! {
        (scrolled("Outliers", &html! {
            thead { tr {
                th scope="col" { "object" } th scope="col" { "scan" } th.number scope="col" { "volume, mL" } th scope="col" { "why" }
            } }
            tbody { @for (index, outlier) in all.iter().take(MOST).enumerate() {
                tr.first[index > 0 && all[index - 1].object != outlier.object] {
                    th scope="row" { (shown(&outlier.object)) }
                    td.setting { (shown(&outlier.id)) }
                    td.number { (millilitres(outlier.volume_ml)) }
                    td.setting { (outlier.reason()) }
                }
            } }
        }))
        (more(all.len()))
    }
}

/// The scans of each object's empty masks.
fn empty(summary: &Summary) -> Markup {
    html! {
        ul.warnings { @for of_object in summary.empty.chunk_by(|a, b| a.object == b.object) {
            li {
                strong { (shown(&of_object[0].object)) } " in " (of_object.len()) @if of_object.len() == 1 { " scan: " } @else { " scans: " }
                (of_object.iter().take(MOST).map(|mask| shown(&mask.id)).collect::<Vec<_>>().join(", "))
                @if of_object.len() > MOST { ", and " (of_object.len() - MOST) " more" }
            }
        } }
    }
}

fn gallery(pictures: &[CohortPicture]) -> Markup {
    html! {
        p { "The scans with the most warnings, then those with the strangest volumes. Outlines: the masks that were written." }
        div.gallery { @for one in pictures { figure {
            figcaption { strong { (shown(&one.id)) } @if !one.caption.is_empty() { br; (shown(&one.caption)) } }
            @match &one.picture {
                Ok(png) => img alt={ "Slices through " (shown(&one.id)) } src={ "data:image/png;base64," (BASE64_STANDARD.encode(png)) };,
                Err(reason) => p.no-picture { "No picture: " (shown(reason)) },
            }
        } } }
    }
}

fn failures(summary: &Summary) -> Markup {
    html! { @for of_kind in &summary.failures {
        h3 { (of_kind.kind.name()) ": " (of_kind.scans) @if of_kind.scans == 1 { " scan" } @else { " scans" } }
        ul.failures { @for failed in of_kind.errors.iter().take(MOST) {
            li { strong { (shown(&failed.id)) } ": " (shown(&failed.error)) }
        } }
        (more(of_kind.errors.len()))
    } }
}

fn warnings(summary: &Summary) -> Markup {
    scrolled(
        "Warnings",
        &html! {
            thead { tr {
                th scope="col" { "code" } th.number scope="col" { "warnings" } th.number scope="col" { "scans" }
                th scope="col" { "first scan" } th scope="col" { "meaning" }
            } }
            tbody { @for count in &summary.warnings { tr {
                th scope="row" { code { (count.code.name()) } }
                td.number { (count.warnings) }
                td.number { (count.scans) }
                td.setting { (shown(&count.first)) }
                td.setting { (count.code.meaning().replace('`', "")) }
            } } }
        },
    )
}

/// What a list has beyond the lines that are shown.
fn more(all: usize) -> Markup {
    html! { @if all > MOST { p { "and " (all - MOST) " more, which the table of all scans has" } } }
}

fn definitions() -> Markup {
    html! {
        dl.definitions {
            dt { "Volume" } dd { "Of an object's own mask, also where the label map gives voxels to another object. Empty masks are counted, and are in no quantile." }
            dt { "Quantiles" } dd { "Linear between ranks, as NumPy's." }
            dt { "Box plots" } dd { "Box: quartiles and median. Whiskers: 5th and 95th percentile. Circles: outliers." }
            dt { "Outliers" } dd { "Volumes outside of limits that were given, and volumes whose logarithm is more than " (OUTLYING)
                " robust standard deviations (1.4826 times the median absolute deviation) from the object's median, if at least " (LEAST_MASKS)
                " masks are not empty. An outlier may be a wrong mask, an unusual patient, or a scan that shows a part of the object." }
            dt { "Time of all scans" } dd { "Added up over scans: more than the time that passed if several ran at once." }
        }
    }
}

#[cfg(test)]
mod tests;
