//! An interactive evaluation as tables: figures after the box and after each click.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use segvol::metrics::Scores;
use segvol_base::printable;
use serde::Serialize;

use crate::interactive::{Click, ClickLabel, Session};
use crate::results::Results;
use crate::table::{self, Lines, number, plain};

/// What a line of means is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Over {
    /// The objects of one structure.
    Structure,
    /// All objects.
    Objects,
    /// The means of the cases, each over its objects.
    Cases,
}

/// Means over objects or cases, step by step: the box, then the clicks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Curve {
    over: Over,
    /// The structure; `None` for all.
    structure: Option<String>,
    /// How many objects or cases there are.
    n: usize,
    dice: Vec<f64>,
    surface_dice: Vec<f64>,
    dice_auc: Option<f64>,
    surface_dice_auc: Option<f64>,
    /// Seconds of each step, of the objects that needed it; for cases, the sum of all objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seconds: Vec<Option<f64>>,
    /// Seconds of all steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_in_all: Option<f64>,
}

/// One session with its times, or the mean of some.
#[derive(Clone)]
struct Figures {
    dice: Vec<f64>,
    surface_dice: Vec<f64>,
    seconds: Vec<Option<f64>>,
}

impl Figures {
    fn of(session: &Session, seconds: Option<&Vec<Option<f64>>>) -> Self {
        let of = |figure: fn(&Scores) -> f64| session.steps.iter().map(|step| figure(&step.scores)).collect();
        let seconds = seconds.cloned().unwrap_or_default();
        Self { dice: of(|scores| scores.dice), surface_dice: of(|scores| scores.surface_dice), seconds }
    }

    /// The mean of the objects of a case, and the sum of their times.
    fn of_case(all: &[Self]) -> Self {
        let steps = all.iter().map(|figures| figures.seconds.len()).max().unwrap_or(0);
        let sum = |step: usize| all.iter().filter_map(|figures| *figures.seconds.get(step)?).reduce(|a, b| a + b);
        Self {
            dice: mean_of_each(all.iter().map(|figures| &figures.dice)),
            surface_dice: mean_of_each(all.iter().map(|figures| &figures.surface_dice)),
            seconds: (0..steps).map(sum).collect(),
        }
    }
}

impl Curve {
    fn of(over: Over, structure: Option<&str>, all: &[Figures]) -> Self {
        let dice = mean_of_each(all.iter().map(|figures| &figures.dice));
        let surface_dice = mean_of_each(all.iter().map(|figures| &figures.surface_dice));
        let area = |figures: &[f64]| crate::interactive::area_over_clicks(figures.get(1..).unwrap_or_default());
        let steps = all.iter().map(|figures| figures.seconds.len()).max().unwrap_or(0);
        let of_step = |step: usize| mean(all.iter().filter_map(|figures| *figures.seconds.get(step)?));
        let timed = all.iter().filter(|figures| !figures.seconds.is_empty());
        let in_all = mean(timed.map(|figures| figures.seconds.iter().flatten().sum()));
        Self {
            over,
            structure: structure.map(str::to_owned),
            n: all.len(),
            // The area is linear, so that of the means is the mean of the areas.
            dice_auc: area(&dice),
            surface_dice_auc: area(&surface_dice),
            dice,
            surface_dice,
            seconds: (0..steps).map(of_step).collect(),
            seconds_in_all: in_all,
        }
    }

    fn title(&self) -> String {
        match self.over {
            Over::Structure => self.structure.clone().unwrap_or_default(),
            Over::Objects => "**all**".to_owned(),
            Over::Cases => "**cases**".to_owned(),
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u64, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / count as f64)
}

/// The mean at each step; nothing of nothing.
fn mean_of_each<'a>(all: impl Iterator<Item = &'a Vec<f64>> + Clone) -> Vec<f64> {
    let steps = all.clone().map(Vec::len).max().unwrap_or(0);
    (0..steps).filter_map(|step| mean(all.clone().filter_map(|figures| figures.get(step).copied()))).collect()
}

/// A line per structure, one for all objects and one for the cases.
pub(crate) fn curves(results: &Results) -> Vec<Curve> {
    let mut of_structures: BTreeMap<(u16, &str), Vec<Figures>> = BTreeMap::new();
    let (mut all, mut of_cases) = (Vec::new(), Vec::new());
    for case in &results.cases {
        let mut here = Vec::new();
        for session in &case.interactive {
            let figures = Figures::of(session, case.seconds.get(&session.structure));
            here.push(figures.clone());
            of_structures.entry((session.value, &session.structure)).or_default().push(figures);
        }
        if !here.is_empty() {
            of_cases.push(Figures::of_case(&here));
        }
        all.extend(here);
    }
    // A structure may have other values in other cases: it has one line, at the least of them.
    let mut merged: Vec<(&str, Vec<Figures>)> = Vec::new();
    for ((_, name), figures) in of_structures {
        match merged.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.extend(figures),
            None => merged.push((name, figures)),
        }
    }
    let mut curves: Vec<Curve> =
        merged.iter().map(|(name, figures)| Curve::of(Over::Structure, Some(name), figures)).collect();
    if !all.is_empty() {
        curves.push(Curve::of(Over::Objects, None, &all));
        curves.push(Curve::of(Over::Cases, None, &of_cases));
    }
    curves
}

/// Clicks that were asked for.
fn clicks(results: &Results) -> usize {
    results.header.settings.interactive.unwrap_or_default()
}

/// A table for each figure, without the failed cases.
pub(crate) fn markdown(results: &Results) -> String {
    let (curves, clicks) = (curves(results), clicks(results));
    let mut names: Vec<String> = ["structure", "n", "box"].map(str::to_owned).to_vec();
    names.extend((1..=clicks).map(|click| format!("click {click}")));
    let mut text = String::new();
    let mut table = |title: &str, last: &str, cells: &dyn Fn(&Curve) -> Vec<String>| {
        let names: Vec<String> = names.iter().cloned().chain([last.to_owned()]).collect();
        let lines = curves.iter().map(|curve| {
            let mut line = vec![curve.title(), curve.n.to_string()];
            line.extend(cells(curve));
            line.resize(names.len(), number(None, 0));
            line
        });
        let _ = writeln!(text, "{title}\n");
        text.push_str(&table::markdown(&names, lines));
        text.push('\n');
    };
    let with_area = |figures: &[f64], area: Option<f64>| {
        let mut cells: Vec<String> = figures.iter().map(|&figure| number(Some(figure), 3)).collect();
        cells.push(number(area, 3));
        cells
    };
    let tolerance = results.header.settings.tolerance_mm;
    let most = clicks.saturating_sub(1);
    let area = format!("area (of {most})");
    table("Dice after the box and after each click", &area, &|curve| with_area(&curve.dice, curve.dice_auc));
    table(&format!("Surface Dice at {tolerance} mm"), &area, &|curve| {
        with_area(&curve.surface_dice, curve.surface_dice_auc)
    });
    if curves.iter().any(|curve| !curve.seconds.is_empty()) {
        table("Seconds of each step, where it was needed; of cases, for all objects", "in all", &|curve| {
            let mut cells: Vec<String> = curve.seconds.iter().map(|&seconds| number(seconds, 2)).collect();
            cells.push(number(curve.seconds_in_all, 2));
            cells
        });
    }
    for (case, name) in results.cases.iter().flat_map(|case| case.too_small.iter().map(|name| (&case.case, name))) {
        let (name, least) = (printable(name), results.header.settings.min_voxels);
        let _ = writeln!(text, "left out: case {case:?}, {name}: fewer than {least} voxels");
    }
    let objects: usize = results.cases.iter().map(|case| case.interactive.len()).sum();
    let (scored, all) = (results.cases.len(), results.cases.len() + results.failures.len());
    for failure in &results.failures {
        let _ = writeln!(text, "failed: case {:?}: {}", failure.case, printable(&failure.reason));
    }
    let _ = writeln!(text, "{scored} of {all} cases scored, {objects} objects");
    text
}

/// The names of the columns of figures.
fn figure_names(clicks: usize) -> Vec<String> {
    let mut names = Vec::new();
    for figure in ["dice", "surface_dice"] {
        names.extend((0..=clicks).map(|step| format!("{figure}_{step}")));
        names.extend([format!("{figure}_auc"), format!("{figure}_final")]);
    }
    names
}

fn figure_cells(clicks: usize, figures: [(&[f64], Option<f64>); 2]) -> Vec<String> {
    let mut cells = Vec::new();
    for (figures, area) in figures {
        cells.extend((0..=clicks).map(|step| plain(figures.get(step).copied())));
        cells.extend([plain(area), plain(figures.last().copied())]);
    }
    cells
}

/// One line per structure, one for all objects and one for the cases, with times.
pub(crate) fn summary(results: &Results) -> Lines {
    let clicks = clicks(results);
    let mut names: Vec<String> = ["over", "structure", "n"].map(str::to_owned).to_vec();
    names.extend(figure_names(clicks));
    names.extend((0..=clicks).map(|step| format!("seconds_{step}")).chain(["seconds_in_all".to_owned()]));
    let line = |curve: Curve| {
        let over = match curve.over {
            Over::Structure => "structure",
            Over::Objects => "objects",
            Over::Cases => "cases",
        };
        let mut line = vec![over.to_owned(), curve.structure.unwrap_or_default(), curve.n.to_string()];
        let figures = [(&curve.dice[..], curve.dice_auc), (&curve.surface_dice[..], curve.surface_dice_auc)];
        line.extend(figure_cells(clicks, figures));
        line.extend((0..=clicks).map(|step| plain(curve.seconds.get(step).copied().flatten())));
        line.push(plain(curve.seconds_in_all));
        line
    };
    (names, curves(results).into_iter().map(line).collect())
}

/// One line per case and structure, without times.
pub(crate) fn rows(results: &Results) -> Lines {
    let clicks = clicks(results);
    let mut names: Vec<String> = ["case", "structure", "value", "truth_voxels"].map(str::to_owned).to_vec();
    names.extend(figure_names(clicks));
    names.extend((1..=clicks).map(|click| format!("click_{click}")));
    let line = |case: &str, session: &Session| {
        let mut line = vec![case.to_owned(), session.structure.clone(), session.value.to_string()];
        line.push(session.truth_voxels.to_string());
        let Figures { dice, surface_dice, .. } = Figures::of(session, None);
        let figures = [(&dice[..], session.dice_auc), (&surface_dice[..], session.surface_dice_auc)];
        line.extend(figure_cells(clicks, figures));
        line.extend(
            (1..=clicks)
                .map(|step| session.steps.get(step).and_then(|step| step.click).map_or_else(String::new, click)),
        );
        line
    };
    let lines = results.cases.iter().flat_map(|case| case.interactive.iter().map(|session| line(&case.case, session)));
    (names, lines.collect())
}

/// `foreground 12 34 5`: what the voxel is, and its place in the file.
fn click(Click { voxel_ijk: [i, j, k], label, .. }: Click) -> String {
    let label = match label {
        ClickLabel::Foreground => "foreground",
        ClickLabel::Background => "background",
    };
    format!("{label} {i} {j} {k}")
}

/// One line per case, structure and step, with its seconds; nothing for a step that was not needed.
pub(crate) fn times(results: &Results) -> Lines {
    let names = ["case", "structure", "step", "seconds"].map(str::to_owned).to_vec();
    let lines = results.cases.iter().flat_map(|case| {
        case.interactive.iter().filter_map(|session| Some((session, case.seconds.get(&session.structure)?))).flat_map(
            |(session, seconds)| {
                let line = |(step, seconds): (usize, &Option<f64>)| {
                    vec![case.case.clone(), session.structure.clone(), step.to_string(), plain(*seconds)]
                };
                seconds.iter().enumerate().map(line)
            },
        )
    });
    (names, lines.collect())
}

/// The results without the times of their steps.
pub(crate) fn without_times(results: &Results) -> Results {
    let mut results = results.clone();
    results.cases.iter_mut().for_each(|case| case.seconds.clear());
    results
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::Structure;
    use crate::interactive::Step;
    use crate::results::CaseResult;

    fn session(structure: &str, dice: [f64; 3]) -> Session {
        let step = |(number, dice): (usize, f64)| Step {
            click: (number > 0).then_some(Click {
                voxel_ijk: [1, 2, number],
                label: ClickLabel::Background,
                error_voxels: 3,
            }),
            scores: Scores {
                voxels: 5,
                dice,
                surface_dice: dice / 2.0,
                hausdorff95_mm: None,
                hausdorff_mm: None,
                volume_error_ml: 0.0,
                volume_error_relative: None,
            },
            warnings: Vec::new(),
            mask: None,
            probabilities: None,
        };
        let steps = dice.into_iter().enumerate().map(step).collect();
        Session::new(&Structure::in_label_map(structure, vec![2], false), 7, steps)
    }

    fn results() -> Results {
        let mut results = crate::summary::tests::results();
        results.header.settings.interactive = Some(2);
        let case = |name: &str, sessions: Vec<Session>, seconds: Vec<Option<f64>>| {
            let seconds = sessions.iter().map(|session| (session.structure.clone(), seconds.clone())).collect();
            CaseResult { interactive: sessions, seconds, ..CaseResult::new(name, Vec::new()) }
        };
        let (long, short) = (vec![Some(3.0), Some(1.0), Some(1.0)], vec![Some(1.0), None, None]);
        results.cases = vec![
            case("a", vec![session("liver", [0.0, 0.5, 1.0]), session("lung", [0.5, 0.5, 0.5])], long),
            case("b", vec![session("liver", [1.0, 1.0, 1.0])], short),
        ];
        results
    }

    #[test]
    fn means_are_over_structures_objects_and_cases() {
        let curves = curves(&results());
        let named: Vec<(Over, Option<&str>, usize)> =
            curves.iter().map(|curve| (curve.over, curve.structure.as_deref(), curve.n)).collect();
        assert_eq!(
            named,
            [
                (Over::Structure, Some("liver"), 2),
                (Over::Structure, Some("lung"), 1),
                (Over::Objects, None, 3),
                (Over::Cases, None, 2)
            ]
        );
        assert_eq!((curves[0].dice.as_slice(), curves[0].dice_auc), (&[0.5, 0.75, 1.0][..], Some(0.875)));
        assert_eq!(curves[2].dice, [0.5, 2.0 / 3.0, 2.5 / 3.0]);
        // Case a has the means 0.25, 0.5 and 0.75, case b has 1.
        assert_eq!(curves[3].dice, [0.625, 0.75, 0.875]);
        assert_eq!(curves[3].surface_dice_auc, Some((0.375 + 0.4375) / 2.0));
        // Seconds are of the objects that needed the step; a case has those of all its objects.
        assert_eq!(curves[0].seconds, [Some(2.0), Some(1.0), Some(1.0)]);
        assert_eq!((curves[0].seconds_in_all, curves[3].seconds_in_all), (Some(3.0), Some(5.5)));
    }

    #[test]
    fn tables_have_a_column_for_each_step() {
        let text = markdown(&results());
        for part in [
            "| structure | n | box   | click 1 | click 2 | area (of 1) |",
            "| liver     | 2 | 0.500 | 0.750   | 1.000   | 0.875       |",
            "| **cases** | 2 | 0.625 | 0.750   | 0.875   | 0.812       |",
            "| liver     | 2 | 2.00 | 1.00    | 1.00    | 3.00   |",
            "2 of 3 cases scored, 3 objects\n",
        ] {
            assert!(text.contains(part), "no {part:?} in: {text}");
        }
        let (names, lines) = rows(&results());
        assert!(lines.iter().all(|line| line.len() == names.len()));
        assert_eq!(
            lines[0].join(","),
            "a,liver,2,7,0,0.5,1,0.75,1,0,0.25,0.5,0.375,0.5,background 1 2 1,background 1 2 2"
        );
        let (names, lines) = summary(&results());
        assert!(lines.iter().all(|line| line.len() == names.len()));
        let (_, lines) = times(&results());
        assert_eq!(lines.len(), 9);
        assert_eq!((lines[0].join(","), lines[8].join(",")), ("a,liver,0,3".to_owned(), "b,liver,2,".to_owned()));
        assert!(without_times(&results()).cases.iter().all(|case| case.seconds.is_empty()));
    }
}
