//! Box plots of a figure of an evaluation.

use maud::Markup;
use segvol_evaluation::summary::Group;
use segvol_evaluation::{Figure, Results};

use crate::box_plot::{Box, Line, Plot, Scale};
use crate::text::shown;

/// A box for each structure and kind of prompt, one line each. Empty if no object has the figure.
pub(crate) fn plot(results: &Results, groups: &[Group], figure: Figure, id: &str) -> Markup {
    let lines: Vec<Line> = groups.iter().filter_map(|group| line(results, group, figure)).collect();
    let highest = |line: &Line| line.of.beyond.iter().copied().fold(line.of.high, f64::max);
    let most = lines.iter().map(highest).fold(0.0, f64::max);
    let scale = if figure == Figure::Hausdorff95 { Scale::to(most) } else { Scale::shares() };
    Plot {
        id,
        title: &format!("Box plots of {}", figure.title()),
        description: "A box for each structure and kind of prompt; the table below has the numbers.",
        axis: figure.title(),
        scale,
    }
    .draw(&lines)
}

fn line(results: &Results, group: &Group, figure: Figure) -> Option<Line> {
    let of_group = results.rows().filter(|(_, row)| {
        let named = group.structure.as_deref().is_none_or(|name| row.structure == name);
        row.truth_voxels > 0 && row.prompt == group.prompt && named
    });
    let mut values: Vec<f64> = of_group.filter_map(|(_, row)| figure.of(&row.zoom_in)).collect();
    values.sort_by(f64::total_cmp);
    let of = group.zoom_in.statistics.of(figure).filter(|_| !values.is_empty())?;
    let reach = 1.5 * (of.q3 - of.q1);
    let inside = |value: &&f64| (of.q1 - reach..=of.q3 + reach).contains(*value);
    let low = values.iter().find(inside).copied().unwrap_or(of.q1).min(of.q1);
    let high = values.iter().rev().find(inside).copied().unwrap_or(of.q3).max(of.q3);
    let beyond: Vec<f64> = values.iter().copied().filter(|value| !inside(&value)).collect();
    let digits = figure.digits();
    let structure = group.structure.as_deref().map_or_else(|| "all".to_owned(), shown);
    let said = format!(
        "{structure} by {}: n {}, median {:.digits$}, quartiles {:.digits$} to {:.digits$}, mean {:.digits$}",
        group.prompt, of.n, of.median, of.q1, of.q3, of.mean
    );
    Some(Line {
        name: structure,
        is_all: group.structure.is_none(),
        kind: Some(group.prompt.to_string()),
        class: format!("kind-{}", group.prompt.name().replace('+', "-")),
        said,
        of: Box { low, q1: of.q1, median: of.median, q3: of.q3, high, mean: Some(of.mean), beyond },
    })
}
