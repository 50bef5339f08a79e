//! Statistics of the final masks as tables.

use std::fmt::Write as _;

use crate::figure::Figure;
use crate::results::Results;
use crate::statistics::Statistics;
use crate::summary::{FAILED_BELOW, Group, Means};
use crate::table::{markdown, number, plain};

/// Names of the columns of a figure's statistics.
const COLUMNS: [&str; 6] = ["sd", "median", "q1", "q3", "ci95_low", "ci95_high"];

/// A line per structure and kind of prompt: the Dice of the final masks.
pub(crate) fn dice(results: &Results, groups: &[Group]) -> String {
    let mut text =
        String::from("Dice of the final masks: mean with 95 % bootstrap interval over cases, spread, failures\n\n");
    let names = ["structure", "prompt", "n", "mean", "95 % interval", "SD", "median", "quartiles"].map(str::to_owned);
    let names: Vec<String> = names.into_iter().chain([format!("Dice < {FAILED_BELOW}")]).collect();
    let lines = groups.iter().map(|group| {
        let mut line = vec![group.structure.clone().unwrap_or_else(|| "**all**".to_owned()), group.prompt.to_string()];
        line.extend(cells(Figure::Dice, group.zoom_in.statistics.dice.as_ref()));
        line.push(group.zoom_in.failed.to_string());
        line
    });
    text.push_str(&markdown(&names, lines));
    let failed =
        groups.iter().filter(|group| group.structure.is_none()).map(|group| group.zoom_in.failed).sum::<usize>();
    let objects = groups.iter().filter(|group| group.structure.is_none()).map(|group| group.objects).sum::<usize>();
    let prompts = results.header.settings.prompts.len();
    let each = if prompts > 1 { ", over all prompts" } else { "" };
    let _ = writeln!(text, "\nobjects with a Dice below {FAILED_BELOW}: {failed} of {objects}{each}\n");
    text
}

/// Number, mean, interval, standard deviation, median and quartiles, for people.
#[must_use]
pub fn cells(figure: Figure, of: Option<&Statistics>) -> [String; 6] {
    let digits = figure.digits();
    let one = |value: Option<f64>| number(value, digits);
    [
        of.map_or(0, |of| of.n).to_string(),
        one(of.map(|of| of.mean)),
        interval(of.and_then(|of| of.ci95), digits),
        one(of.and_then(|of| of.sd)),
        one(of.map(|of| of.median)),
        interval(of.map(|of| [of.q1, of.q3]), digits),
    ]
}

/// Two ends for people; a dash where there is no interval.
#[must_use]
pub fn interval(ends: Option<[f64; 2]>, digits: usize) -> String {
    ends.map_or_else(|| number(None, digits), |[low, high]| format!("{low:.digits$} to {high:.digits$}"))
}

/// The names of the columns of a pass, for programs.
pub(crate) fn names(pass: &str) -> Vec<String> {
    let figure = |figure: Figure| {
        let figure = figure.name();
        std::iter::once("n").chain(COLUMNS).map(move |column| format!("{pass}_{figure}_{column}"))
    };
    std::iter::once(format!("{pass}_failed")).chain(Figure::ALL.into_iter().flat_map(figure)).collect()
}

/// The cells of these columns.
pub(crate) fn plain_cells(means: &Means) -> Vec<String> {
    let figure = |figure: Figure| {
        let of = means.statistics.of(figure);
        let ends = of.and_then(|of| of.ci95);
        let values = [
            of.and_then(|of| of.sd),
            of.map(|of| of.median),
            of.map(|of| of.q1),
            of.map(|of| of.q3),
            ends.map(|[low, _]| low),
            ends.map(|[_, high]| high),
        ];
        std::iter::once(of.map_or(0, |of| of.n).to_string()).chain(values.map(plain))
    };
    std::iter::once(means.failed.to_string()).chain(Figure::ALL.into_iter().flat_map(figure)).collect()
}
