//! Box plots of the volumes of a cohort.

use maud::Markup;
use segvol_cohort::summary_table::millilitres;
use segvol_cohort::{ObjectSummary, Summary};

use crate::box_plot::{Box, Line, Plot, Scale};
use crate::text::shown;

/// Outliers of an object that are drawn, at either end.
const MOST_OUTLIERS: usize = 50;

/// A box for each object that was found. Empty if none was.
pub(crate) fn plot(summary: &Summary) -> Markup {
    let lines: Vec<Line> = summary.objects.iter().filter_map(|object| line(summary, object)).collect();
    let all = || lines.iter().flat_map(|line| line.of.beyond.iter().copied().chain([line.of.low, line.of.high]));
    let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    Plot {
        id: "volumes",
        title: "Box plots of volumes",
        description: "A box for each object, on a logarithmic scale; the table below has the numbers.",
        axis: "Volume, mL",
        scale: Scale::powers(least, most),
    }
    .draw(&lines)
}

fn line(summary: &Summary, object: &ObjectSummary) -> Option<Line> {
    let of = object.volume_ml?;
    let outliers = summary.outliers.iter().filter(|outlier| outlier.object == object.object);
    let volumes: Vec<f64> = outliers.map(|outlier| outlier.volume_ml).collect();
    // They are sorted: the first are the smallest.
    let is_drawn = |index: usize| index < MOST_OUTLIERS || index + MOST_OUTLIERS >= volumes.len();
    let beyond = volumes.iter().copied().enumerate().filter(|(index, _)| is_drawn(*index)).map(|(_, volume)| volume);
    let name = shown(&object.object);
    let [median, q1, q3] = [of.median, of.q1, of.q3].map(millilitres);
    Some(Line {
        said: format!("{name}: n {}, median {median} mL, quartiles {q1} to {q3} mL", of.n),
        name,
        is_all: false,
        kind: None,
        class: "volumes".to_owned(),
        of: Box {
            low: of.p5,
            q1: of.q1,
            median: of.median,
            q3: of.q3,
            high: of.p95,
            mean: None,
            beyond: beyond.collect(),
        },
    })
}
