//! Results as Markdown, CSV or JSON.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use segvol::metrics::Scores;
use segvol_base::{atomic_file, printable};
use serde::Serialize;

use crate::comparison;
use crate::comparison_tables::{self, Detail};
use crate::interactive_tables::{self, Curve};
use crate::labels;
use crate::paired::Comparison;
use crate::prompts::Kind;
use crate::results::{Results, Row};
use crate::sides_tables;
use crate::statistics_tables;
use crate::summary::{self, Counts, Group, Means};
use crate::table::{Lines, csv, markdown, number, plain};

/// The layout of the JSON.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Tables for people.
    Markdown,
    /// Comma-separated values with one line of names, quoted as RFC 4180 has it; empty where there is no number.
    Csv,
    /// Settings, means, rows and failures in one object.
    Json,
}

impl Format {
    /// The format that a file's name asks for: `.md`, `.csv` or `.json`, in upper or lower case.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "md" => Some(Self::Markdown),
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Writes one line per case, structure and kind of prompt to a file, whole or not at all. With several results, one for each
/// orientation or profile, lines begin with these. Only JSON has the comparisons.
///
/// # Errors
///
/// What the operating system says.
pub fn save_rows(results: &[Results], comparisons: &[Comparison], format: Format, path: &Path) -> io::Result<()> {
    let text = rows(results, comparisons, format);
    atomic_file::write(path, |mut file| file.write_all(text.as_bytes()))
}

/// The means, with the cases that failed: tables of one figure each in Markdown, one line per structure and kind of prompt in
/// CSV. JSON holds everything. With several results, one for each orientation or profile, there is a table for each, and one
/// that compares them. Paired comparisons come at the end.
#[must_use]
pub fn summary(results: &[Results], comparisons: &[Comparison], format: Format) -> String {
    match (format, results) {
        (Format::Markdown, all) => {
            let mut text = match all {
                [one] => summary_markdown(one),
                all => {
                    let title = |one: &Results| match &labels::parts(&one.header, labels::differing(all))[..] {
                        [(name, value)] => format!("{} {value}", labels::capital(name)),
                        several => several.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", "),
                    };
                    let section = |one: &Results| format!("# {}\n\n{}\n", title(one), summary_markdown(one));
                    let comparison =
                        if all.iter().any(is_interactive) { String::new() } else { comparison::markdown(all) };
                    all.iter().map(section).collect::<String>() + &comparison
                }
            };
            if !comparisons.is_empty() {
                let _ = write!(text, "\n{}", comparison_tables::tables(comparisons, Detail::Dice));
            }
            text
        }
        (Format::Csv, all) => {
            let (names, lines) = joined(all, summary_table);
            csv(&names, lines.into_iter())
        }
        (Format::Json, all) => json(all, comparisons),
    }
}

/// One line per case, structure and kind of prompt; without known masks, per case and pair. JSON holds everything.
#[must_use]
pub fn rows(results: &[Results], comparisons: &[Comparison], format: Format) -> String {
    let (names, lines) = joined(results, row_table);
    match format {
        Format::Markdown => markdown(&names, lines.into_iter()),
        Format::Csv => csv(&names, lines.into_iter()),
        Format::Json => json(&results.iter().map(interactive_tables::without_times).collect::<Vec<_>>(), comparisons),
    }
}

/// The seconds of each step of an interactive evaluation, as CSV: one line per case, structure and step.
#[must_use]
pub fn times(results: &[Results]) -> String {
    let (names, lines) = joined(results, interactive_tables::times);
    csv(&names, lines.into_iter())
}

/// Writes [`times`] to a file, whole or not at all.
///
/// # Errors
///
/// What the operating system says.
pub fn save_times(results: &[Results], path: &Path) -> io::Result<()> {
    let text = times(results);
    atomic_file::write(path, |mut file| file.write_all(text.as_bytes()))
}

/// The tables of several results in one, with columns for the settings that differ; a single one stays as it is.
fn joined(results: &[Results], table: fn(&Results) -> Lines) -> Lines {
    if let [one] = results {
        return table(one);
    }
    let mut all: Lines = (Vec::new(), Vec::new());
    let differing = labels::differing(results);
    for one in results {
        let (names, lines) = table(one);
        let parts = labels::parts(&one.header, differing);
        all.0 = parts.iter().map(|(name, _)| (*name).to_owned()).chain(names).collect();
        let values = || parts.iter().map(|(_, value)| value.clone());
        all.1.extend(lines.into_iter().map(|line| values().chain(line).collect()));
    }
    all
}

fn json(results: &[Results], comparisons: &[Comparison]) -> String {
    #[derive(Serialize)]
    struct One<'a> {
        #[serde(flatten)]
        results: &'a Results,
        summary: Vec<Group>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        sides: Vec<Counts>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        curves: Vec<Curve>,
    }
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Contents<'a> {
        One(Box<One<'a>>),
        Orientations { orientations: Vec<One<'a>> },
        Runs { runs: Vec<One<'a>> },
    }
    #[derive(Serialize)]
    struct Document<'a> {
        schema_version: u32,
        #[serde(flatten)]
        contents: Contents<'a>,
        #[serde(skip_serializing_if = "<[Comparison]>::is_empty")]
        comparisons: &'a [Comparison],
    }
    fn one(results: &Results) -> One<'_> {
        let summary = if is_interactive(results) { Vec::new() } else { summary::groups(results) };
        let (sides, curves) = (summary::counts(results), interactive_tables::curves(results));
        One { results, summary, sides, curves }
    }
    let contents = match results {
        [results] => Contents::One(Box::new(one(results))),
        all if labels::differing(all) == [false, true] => {
            Contents::Orientations { orientations: all.iter().map(one).collect() }
        }
        all => Contents::Runs { runs: all.iter().map(one).collect() },
    };
    let document = Document { schema_version: SCHEMA_VERSION, contents, comparisons };
    let mut text = serde_json::to_string_pretty(&document).expect("every field has a JSON form");
    text.push('\n');
    text
}

fn is_interactive(results: &Results) -> bool {
    results.header.settings.interactive.is_some()
}

fn summary_markdown(results: &Results) -> String {
    if is_interactive(results) {
        return interactive_tables::markdown(results);
    }
    let with_truth = results.header.settings.pairs.is_empty();
    let mut text = if with_truth { scores_markdown(results) } else { sides_tables::markdown(results) };
    for failure in &results.failures {
        let _ = writeln!(text, "failed: case {:?}: {}", failure.case, printable(&failure.reason));
    }
    let (scored, all) = (results.cases.len(), results.cases.len() + results.failures.len());
    if with_truth {
        let kind = results.header.settings.prompts.first();
        let objects = results.rows().filter(|(_, row)| row.truth_voxels > 0 && Some(&row.prompt) == kind).count();
        let _ = writeln!(text, "{scored} of {all} cases scored, {objects} objects");
        let windows = |kind: &Kind| results.cases.iter().filter_map(|case| case.windows.get(kind)).sum::<usize>();
        let windows = results.header.settings.prompts.iter().map(|kind| format!("{kind} {}", windows(kind)));
        let _ = writeln!(text, "windows needed: {}", windows.collect::<Vec<_>>().join(", "));
    } else {
        let _ = writeln!(text, "{scored} of {all} cases compared, without known masks");
    }
    let postprocessing = &results.header.settings.postprocessing;
    if !postprocessing.is_off() {
        let _ = writeln!(text, "masks after postprocessing: {postprocessing}");
    }
    text
}

fn scores_markdown(results: &Results) -> String {
    let groups = summary::groups(results);
    let tolerance = results.header.settings.tolerance_mm;
    let mut text = String::new();
    type Figure = fn(&Means) -> Option<f64>;
    let figures: [(String, Figure, usize); 4] = [
        ("Dice".to_owned(), |means| means.dice, 3),
        (format!("Surface Dice at {tolerance} mm"), |means| means.surface_dice, 3),
        ("95 % Hausdorff distance, mm, of objects that were found".to_owned(), |means| means.hausdorff95_mm, 1),
        ("Volume error, % of the truth".to_owned(), |means| means.volume_error_relative.map(|share| 100.0 * share), 1),
    ];
    for (title, figure, digits) in figures {
        let cell = |group: &Group| {
            format!("{} ({})", number(figure(&group.zoom_in), digits), number(figure(&group.zoom_out), digits))
        };
        let _ = writeln!(text, "{title}; zoom-out alone in brackets\n");
        text.push_str(&matrix(results, &groups, cell));
        text.push('\n');
    }
    text.push_str(&statistics_tables::dice(results, &groups));
    if results.header.against.is_some() {
        text.push_str("Dice between both bundles' masks, mean; the least in brackets\n\n");
        let cell = |group: &Group| {
            let against = group.against;
            let [mean, least] = [against.map(|a| a.mean_dice), against.map(|a| a.min_dice)];
            format!("{} ({})", number(mean, 4), number(least, 4))
        };
        text.push_str(&matrix(results, &groups, cell));
        if let Some((case, row, dice)) = results.worst_agreement() {
            let structure = printable(&row.structure);
            let _ = writeln!(text, "\nleast: {dice:.4}, case {case:?}, {structure}, by {}", row.prompt);
        }
        text.push('\n');
    }
    let odd =
        |group: &&Group| group.structure.is_some() && (group.zoom_in.empty + group.zoom_out.empty + group.absent > 0);
    let odd: Vec<&Group> = groups.iter().filter(odd).collect();
    if !odd.is_empty() {
        text.push_str(
            "Empty masks (zoom-out alone in brackets), and structures that are in no label map of a case\n\n",
        );
        let names =
            ["structure", "prompt", "objects", "nothing found", "absent", "found though absent"].map(str::to_owned);
        let lines = odd.into_iter().map(|group| {
            let empty = format!("{} ({})", group.zoom_in.empty, group.zoom_out.empty);
            let counts = [group.objects, group.absent, group.found_though_absent].map(|count| count.to_string());
            let [objects, absent, found] = counts;
            vec![group.structure.clone().unwrap_or_default(), group.prompt.to_string(), objects, empty, absent, found]
        });
        text.push_str(&markdown(&names, lines));
        text.push('\n');
    }
    let too_small = results.cases.iter().flat_map(|case| case.too_small.iter().map(|name| (&case.case, name)));
    for (case, name) in too_small {
        let (name, least) = (printable(name), results.header.settings.min_voxels);
        let _ = writeln!(text, "left out: case {case:?}, {name}: fewer than {least} voxels");
    }
    text
}

/// Structures down, kinds of prompt across.
fn matrix(results: &Results, groups: &[Group], cell: impl Fn(&Group) -> String) -> String {
    let kinds = &results.header.settings.prompts;
    let mut names = vec!["structure".to_owned(), "n".to_owned()];
    names.extend(kinds.iter().map(ToString::to_string));
    let lines = groups.chunks(kinds.len()).map(|groups| {
        let objects = groups.iter().map(|group| group.objects).max().unwrap_or(0);
        let mut line = vec![groups[0].structure.clone().unwrap_or_else(|| "**all**".to_owned()), objects.to_string()];
        line.extend(groups.iter().map(&cell));
        line
    });
    markdown(&names, lines)
}

fn summary_table(results: &Results) -> Lines {
    if is_interactive(results) {
        return interactive_tables::summary(results);
    }
    if !results.header.settings.pairs.is_empty() {
        return sides_tables::counts(results);
    }
    let against = results.header.against.is_some();
    let mut names: Vec<String> =
        ["structure", "prompt", "objects", "absent", "found_though_absent"].map(str::to_owned).to_vec();
    for pass in ["zoom_out", "zoom_in"] {
        let figures = ["empty", "dice", "surface_dice", "hausdorff95_mm", "volume_error_ml", "volume_error_relative"];
        names.extend(figures.map(|figure| format!("{pass}_{figure}")));
    }
    if against {
        names.extend(["against_mean_dice", "against_min_dice", "against_truth_dice"].map(str::to_owned));
    }
    names.extend(["zoom_out", "zoom_in"].into_iter().flat_map(statistics_tables::names));
    let groups = summary::groups(results);
    let lines = groups.iter().map(|group| {
        let mut line = vec![group.structure.clone().unwrap_or_else(|| "all".to_owned()), group.prompt.to_string()];
        line.extend([group.objects, group.absent, group.found_though_absent].map(|count| count.to_string()));
        for means in [&group.zoom_out, &group.zoom_in] {
            let Means { empty, dice, surface_dice, hausdorff95_mm, volume_error_ml, volume_error_relative, .. } =
                *means;
            line.push(empty.to_string());
            line.extend([dice, surface_dice, hausdorff95_mm, volume_error_ml, volume_error_relative].map(plain));
        }
        if against {
            let of = group.against;
            line.extend([of.map(|a| a.mean_dice), of.map(|a| a.min_dice), of.and_then(|a| a.truth_dice)].map(plain));
        }
        line.extend([&group.zoom_out, &group.zoom_in].into_iter().flat_map(statistics_tables::plain_cells));
        line
    });
    let lines = lines.collect();
    (names, lines)
}

fn row_table(results: &Results) -> Lines {
    if is_interactive(results) {
        return interactive_tables::rows(results);
    }
    if !results.header.settings.pairs.is_empty() {
        return sides_tables::rows(results);
    }
    let against = results.header.against.is_some();
    (row_names(against), results.rows().map(|(case, row)| row_cells(case, row, against)).collect())
}

fn row_names(against: bool) -> Vec<String> {
    let mut names: Vec<String> = ["case", "structure", "value", "prompt", "truth_voxels"].map(str::to_owned).to_vec();
    for pass in ["zoom_out", "zoom_in"] {
        let figures = [
            "voxels",
            "dice",
            "surface_dice",
            "hausdorff95_mm",
            "hausdorff_mm",
            "volume_error_ml",
            "volume_error_relative",
        ];
        names.extend(figures.map(|figure| format!("{pass}_{figure}")));
    }
    if against {
        names.extend(["against_zoom_out_dice", "against_zoom_in_dice", "against_truth_dice"].map(str::to_owned));
    }
    names
}

fn row_cells(case: &str, row: &Row, against: bool) -> Vec<String> {
    let mut line = vec![case.to_owned(), row.structure.clone(), row.value.to_string(), row.prompt.to_string()];
    line.push(row.truth_voxels.to_string());
    for scores in [&row.zoom_out, &row.zoom_in] {
        let Scores { voxels, dice, surface_dice, hausdorff95_mm, hausdorff_mm, volume_error_ml, volume_error_relative } =
            *scores;
        line.push(voxels.to_string());
        line.extend([Some(dice), Some(surface_dice), hausdorff95_mm, hausdorff_mm].map(plain));
        line.extend([Some(volume_error_ml), volume_error_relative].map(plain));
    }
    if against {
        let of = row.against;
        line.extend([of.map(|a| a.zoom_out_dice), of.map(|a| a.zoom_in_dice), of.map(|a| a.truth_dice)].map(plain));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::results;

    #[test]
    fn markdown_lines_up_and_says_what_has_no_number() {
        let text = summary(&[results()], &[], Format::Markdown);
        let start = "\
Dice; zoom-out alone in brackets

| structure | n | text          |
|-----------|---|---------------|
| spleen    | 0 | – (–)         |
| liver     | 2 | 0.250 (0.250) |
| **all**   | 2 | 0.250 (0.250) |
";
        assert!(text.starts_with(start), "{text}");
        for part in [
            "| liver     | 2 | 6.0 (4.0) |",
            "| liver     | text   | 2       | 1 (0)         | 0      | 0                   |",
            "| spleen    | text   | 0       | 0 (0)         | 1      | 1                   |",
            "failed: case \"c\": c.nii: no | such file\n",
            "2 of 3 cases scored, 2 objects\n",
            "windows needed: text 9\n",
        ] {
            assert!(text.contains(part), "no {part:?} in: {text}");
        }
        assert!(!text.contains("NaN"));
    }

    #[test]
    fn csv_quotes_and_leaves_empty_what_has_no_number() {
        let text = rows(&[results()], &[], Format::Csv);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("case,structure,value,prompt,truth_voxels,zoom_out_voxels,zoom_out_dice,"));
        assert_eq!(lines[1], "a,liver,2,text,10,3,0.25,0.125,4,8,-1.5,-0.75,9,0.5,0.25,6,12,-1.5,-0.5");
        assert_eq!(lines[2], "\"b, \"\"late\"\"\",spleen,1,text,0,3,0.25,0.125,4,8,-1.5,-0.75,7,0,0,,,-1.5,");
        assert_eq!(lines.len(), 4);
        let text = summary(&[results()], &[], Format::Csv);
        assert_eq!(
            text.lines().nth(1),
            Some(
                "spleen,text,0,1,1,0,,,,,,0,,,,,,0,0,,,,,,,0,,,,,,,0,,,,,,,0,,,,,,,0,,,,,,,0,0,,,,,,,0,,,,,,,0,,,,,,,0,,,,,,,0,,,,,,"
            ),
            "{text}"
        );
        assert!(text.lines().last().is_some_and(|line| line.starts_with("all,text,2,1,1,0,0.25,")), "{text}");
    }

    #[test]
    fn json_holds_everything() {
        for text in [rows(&[results()], &[], Format::Json), summary(&[results()], &[], Format::Json)] {
            let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(found["schema_version"], 1);
            assert_eq!(found["header"]["settings"]["prompts"][0], "text");
            assert_eq!(found["cases"][1]["rows"][1]["zoom_in"]["hausdorff95_mm"], serde_json::Value::Null);
            assert_eq!(found["failures"][0]["case"], "c");
            assert_eq!(found["summary"][2]["zoom_in"]["dice"], 0.25);
        }
    }

    #[test]
    fn several_orientations_have_a_column_and_a_comparison() {
        let mut other = results();
        other.header.orientation = "las".parse().expect("a code");
        other.cases[0].rows[0].zoom_in.dice = 0.75;
        let all = [results(), other];
        let text = summary(&all, &[], Format::Markdown);
        for part in [
            "# Orientation ras\n\nDice; ",
            "# Orientation las\n\nDice; ",
            "| prompt | ras   | las   |\n|--------|-------|-------|\n| text   | 0.250 | 0.375 |\n",
            "| spleen    | –     | –     |\n| liver     | 0.250 | 0.375 |\n",
            "highest mean Dice by text: las\n",
        ] {
            assert!(text.contains(part), "no {part:?} in: {text}");
        }
        let csv = rows(&all, &[], Format::Csv);
        assert!(csv.starts_with("orientation,case,structure,") && csv.contains("\nlas,a,liver,"), "{csv}");
        assert!(summary(&all, &[], Format::Csv).starts_with("orientation,structure,"));
        let json: serde_json::Value = serde_json::from_str(&rows(&all, &[], Format::Json)).expect("JSON");
        assert_eq!(json["orientations"][1]["header"]["orientation"], "las");
        assert_eq!((&json["schema_version"], json.get("cases")), (&1.into(), None));
    }

    #[test]
    fn sides_are_counted_for_every_pair_and_orientation() {
        use crate::sides::{Pair, Side, Sides, Verdict};
        let sides = |verdict, to_the_left_mm| Sides {
            pair: Pair::kidneys(),
            verdict,
            to_the_left_mm,
            left: Side { voxels: 5, centre_ras_mm: to_the_left_mm.map(|mm| [-mm, 0.0, 0.0]) },
            right: Side { voxels: 7, centre_ras_mm: Some([0.0; 3]) },
            warnings: Vec::new(),
        };
        let mut first = results();
        first.header.settings.pairs = vec![Pair::kidneys()];
        for case in &mut first.cases {
            case.rows.clear();
        }
        let mut other = first.clone();
        other.header.orientation = segvol::Orientation::Stored;
        first.cases[0].sides = vec![sides(Verdict::Ok, Some(120.0))];
        first.cases[1].sides = vec![sides(Verdict::Empty, None)];
        other.cases[0].sides = vec![sides(Verdict::Swapped, Some(-120.0))];
        let text = summary(std::slice::from_ref(&first), &[], Format::Markdown);
        let row = "| left kidney / right kidney | 2 | 1  | 0       | 0       | 1     | 120               |\n";
        assert!(text.contains(row) && text.contains("2 of 3 cases compared, without known masks\n"), "{text}");
        let csv = rows(std::slice::from_ref(&first), &[], Format::Csv);
        assert_eq!(csv.lines().nth(1), Some("a,left kidney,right kidney,ok,120,5,-120,7,0"), "{csv}");
        let all = [first, other];
        let text = summary(&all, &[], Format::Markdown);
        let table = "| pairs   | ras | stored |\n|---------|-----|--------|\n| ok      | 1   | 0      |\n| swapped | 0   | 1      |\n";
        assert!(text.contains(table) && text.ends_with("left and right are right most often: ras\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&summary(&all, &[], Format::Json)).expect("JSON");
        assert_eq!(json["orientations"][1]["sides"][1]["swapped"], 1);
        assert_eq!(json["orientations"][0]["cases"][0]["sides"][0]["verdict"], "ok");
    }
}
