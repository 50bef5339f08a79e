//! `segvol compare`

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use segvol::{Warning, WarningCode};
use segvol_base::{printable, printable_json, printable_path};
use segvol_evaluation::comparison_tables::{self, Detail};
use segvol_evaluation::{By, Comparison, Results, labels, paired, results_file};
use segvol_report::Page;
use serde_json::json;

use crate::eval_report::{self, Ablation};
use crate::exit::Usage;
use crate::outputs::Files;
use crate::warnings::WarningArguments;

const EXAMPLES: &str = "\
Examples:
  Is the second better, object by object?
    segvol compare before.json after.json
  Several with the first, as a page:
    segvol compare fp32.json fp16.json int8.json --report precisions.html
  Zoom-in with zoom-out alone, and kinds of prompts, in one file:
    segvol compare rows.json --compare zoom,prompts

The files are those of `segvol eval -o FILE.json`. Rows are paired by case, structure and prompt. Rows that only one file has are
counted and named, and so are rows whose truths have different numbers of voxels; they are not compared.";

/// Compare results of `eval`, object by object
///
/// Prints the mean difference of each structure and kind of prompt with its bootstrap interval, the p-value of the Wilcoxon
/// signed-rank test, and how many objects are better, worse and equal. No bundle is needed.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Compare {
    /// Results of `segvol eval -o FILE.json`; the first is what the others are compared with
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Paired comparisons within each file: zoom-in with zoom-out alone (zoom), or kinds of prompts (prompts); a list with commas
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    compare: Vec<Ablation>,
    /// Format on standard output
    #[arg(long, value_enum, default_value_t = Format::Md)]
    format: Format,
    /// Page with tables, box plots and the comparisons, as one HTML file that opens offline
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    warnings: WarningArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Tables
    Md,
    /// One object with all comparisons
    Json,
}

impl Compare {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        eval_report::check_page_name(self.report.as_deref())?;
        let mut files = Files::default();
        for file in &self.files {
            files.input("the results", file);
        }
        files.output_if("--report", self.report.as_ref());
        let mut warnings = self.warnings.printer();
        warnings.print_all(&files.check()?);
        let results = self.read()?;
        if results.len() < 2 && self.compare.is_empty() && self.report.is_none() {
            let message = format!(
                "`{}` has one result: expected another file to compare with, or --compare zoom or prompts",
                printable_path(&self.files[0])
            );
            return Err(Usage(message).into());
        }
        let notes = notes(&results);
        for note in &notes {
            warnings.print("", &Warning::new(WarningCode::ComparisonIncomplete, note.clone()));
        }
        let comparisons = compared(&results, &eval_report::kinds(&self.compare));
        if let Some(empty) = comparisons.iter().find(|one| one.by == By::Settings && one.is_empty()) {
            let [a, b] = [&empty.a, &empty.b].map(|name| printable(name));
            let message = format!(
                "{a} and {b} have no object in common: expected rows with the same case, structure, prompt and truth"
            );
            return Err(Usage(message).into());
        }
        match self.format {
            Format::Md => out.write_all(comparison_tables::tables(&comparisons, Detail::Everything).as_bytes())?,
            Format::Json => {
                let mut text = serde_json::to_string_pretty(&json!({"schema_version": 1, "comparisons": comparisons}))?;
                text.push('\n');
                out.write_all(printable_json(&text).as_bytes())?;
            }
        }
        warnings.print_all(&eval_report::warnings(&comparisons));
        if let Some(path) = &self.report {
            let comparisons = compared(&results, &[By::Zoom, By::Prompts, By::Settings, By::Against]);
            eval_report::save(path, &Page { results: &results, comparisons: &comparisons, worst: &[], notes: &notes })?;
        }
        Ok(warnings.finish()?)
    }

    /// The results of all files, each with the file's name, and the setting if the file has several.
    fn read(&self) -> anyhow::Result<Vec<(String, Results)>> {
        let mut all = Vec::new();
        for file in &self.files {
            let of_file = results_file::read(file)?;
            let several = of_file.len() > 1;
            for (label, results) in labels::of(&of_file).into_iter().zip(of_file) {
                let file = file.display();
                all.push((if several { format!("{file} ({label})") } else { file.to_string() }, results));
            }
        }
        Ok(all)
    }
}

/// The comparisons within each result, and of all results with the first.
fn compared(results: &[(String, Results)], kinds: &[By]) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for kind in kinds {
        if *kind == By::Settings {
            let mut named = results.iter().map(|(name, one)| (name.as_str(), one));
            if let Some(first) = named.next() {
                comparisons.extend(named.map(|other| paired::results(first, other)));
            }
            continue;
        }
        for (name, one) in results {
            let found = paired::all(std::slice::from_ref(one), &[*kind]);
            let within = (results.len() > 1).then(|| name.clone());
            comparisons.extend(found.into_iter().map(|found| Comparison { within: within.clone(), ..found }));
        }
    }
    comparisons
}

/// Differences between the settings of the first result and of another that limit what a comparison says.
fn notes(results: &[(String, Results)]) -> Vec<String> {
    let Some((first, (a, reference))) = results.first().map(|first| (&first.1.header.settings, first)) else {
        return Vec::new();
    };
    let mut notes = Vec::new();
    for (b, other) in &results[1..] {
        let settings = &other.header.settings;
        let about = format!("{} and {}", printable(a), printable(b));
        if settings.tolerance_mm != first.tolerance_mm {
            notes.push(format!(
                "{about}: surface Dice at {} mm and at {} mm: it is not compared",
                first.tolerance_mm, settings.tolerance_mm
            ));
        }
        let points = |settings: &segvol_evaluation::Settings| (settings.points, settings.seed);
        let with_points = settings.prompts.iter().any(|kind| kind.name().contains("points"));
        if with_points && points(settings) != points(first) {
            notes.push(format!("{about}: the prompts with points have other points"));
        }
        if settings.pairs.is_empty() != reference.header.settings.pairs.is_empty() {
            notes.push(format!("{about}: only one of them has known masks"));
        }
    }
    notes
}
