//! Options of `eval` and `compare` for paired comparisons and the HTML page.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use segvol::{Warning, WarningCode};
use segvol_base::printable;
use segvol_evaluation::paired::{self, Unpaired};
use segvol_evaluation::{By, Case, Comparison, Results, WorstObject, WorstPictures};
use segvol_overlay::View;
use segvol_report::{Page, is_page_name};

use crate::exit::Usage;
use crate::outputs::Files;

/// Names of objects in a warning.
const MOST_NAMED: usize = 3;

/// What `--compare` adds.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ablation {
    /// The final masks with those of the zoom-out pass alone
    Zoom,
    /// Every kind of prompt with every other, over the objects that have all
    Prompts,
}

/// Paired comparisons and the page of `eval`.
#[derive(clap::Args)]
pub(crate) struct ReportArguments {
    /// Paired comparisons of objects: zoom-in with zoom-out alone (zoom), or kinds of prompts (prompts); a list with commas.
    /// Several orientations or profiles, and --against, are always compared
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',', help_heading = "Comparison")]
    compare: Vec<Ablation>,
    /// Page with tables, box plots, all paired comparisons and pictures of the worst objects, as one HTML file that opens offline
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    report: Option<PathBuf>,
    /// Objects with the lowest Dice that the page shows. Those that an earlier run scored are segmented again
    #[arg(long, value_name = "N", default_value_t = 8, requires = "report", help_heading = "Output")]
    worst: usize,
}

impl ReportArguments {
    /// Refuses a page whose name is not that of one.
    pub(crate) fn check(&self) -> Result<(), Usage> {
        check_page_name(self.report.as_deref())
    }

    /// The page among the files that the command writes.
    pub(crate) fn add_to(&self, files: &mut Files) {
        files.output_if("--report", self.report.as_ref());
    }

    /// Pictures of the worst objects; `None` without a page, or without label maps.
    pub(crate) fn pictures(&self, view: View, cases: &[Case]) -> Option<WorstPictures> {
        let with_truth = cases.iter().any(Case::has_truth);
        (self.report.is_some() && with_truth && self.worst > 0).then(|| WorstPictures::new(self.worst, view, cases))
    }

    /// The comparisons that are printed.
    pub(crate) fn comparisons(&self, all: &[Results]) -> Vec<Comparison> {
        paired::all(all, &kinds(&self.compare))
    }

    /// Writes the page.
    pub(crate) fn save(&self, all: &[Results], worst: &[Vec<WorstObject>]) -> anyhow::Result<()> {
        let Some(path) = &self.report else { return Ok(()) };
        let names = segvol_evaluation::labels::of(all);
        let results: Vec<(String, Results)> = names.into_iter().zip(all.iter().cloned()).collect();
        let comparisons = paired::all(all, &[By::Zoom, By::Prompts, By::Settings, By::Against]);
        save(path, &Page { results: &results, comparisons: &comparisons, worst, notes: &[] })
    }
}

/// What is compared: what was asked for, and what there are several of.
pub(crate) fn kinds(asked: &[Ablation]) -> Vec<By> {
    let is_asked = |ablation: Ablation| asked.contains(&ablation);
    let zoom = is_asked(Ablation::Zoom).then_some(By::Zoom);
    let prompts = is_asked(Ablation::Prompts).then_some(By::Prompts);
    zoom.into_iter().chain(prompts).chain([By::Settings, By::Against]).collect()
}

pub(crate) fn check_page_name(path: Option<&Path>) -> Result<(), Usage> {
    match path {
        Some(path) if !is_page_name(path) => {
            Err(Usage(format!("--report `{}`: expected a name that ends in .html", path.display())))
        }
        _ => Ok(()),
    }
}

pub(crate) fn save(path: &Path, page: &Page<'_>) -> anyhow::Result<()> {
    page.save(path).with_context(|| format!("report `{}`", path.display()))
}

/// What could not be compared, for each comparison that left something out.
pub(crate) fn warnings(comparisons: &[Comparison]) -> Vec<Warning> {
    let named = |names: &[String]| {
        let mut text = names.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join("; ");
        if names.len() > MOST_NAMED {
            text = format!("{text}; and {} more", names.len() - MOST_NAMED);
        }
        printable(&text).into_owned()
    };
    let rows = |count: usize| if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
    let of = |comparison: &Comparison| {
        let Unpaired { only_a, only_b, other_truth } = &comparison.unpaired;
        let parts = [
            (only_a, format!("only in {}", printable(&comparison.a))),
            (only_b, format!("only in {}", printable(&comparison.b))),
            (other_truth, "whose truths have different numbers of voxels".to_owned()),
        ];
        let left_out = parts.into_iter().filter(|(names, _)| !names.is_empty());
        let left_out = left_out.map(|(names, what)| format!("{} {what} ({})", rows(names.len()), named(names)));
        left_out.collect::<Vec<_>>().join(", ")
    };
    let said = comparisons.iter().map(|comparison| (comparison, of(comparison))).filter(|(_, said)| !said.is_empty());
    let warning = |(comparison, said): (&Comparison, String)| {
        let [a, b] = [&comparison.a, &comparison.b].map(|name| printable(name));
        Warning::new(WarningCode::ComparisonIncomplete, format!("{b} against {a}: not compared: {said}"))
    };
    said.map(warning).collect()
}
