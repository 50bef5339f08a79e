//! Box plots, as SVG inside the page.

use maud::{Markup, PreEscaped, html};
use segvol_evaluation::summary::Group;
use segvol_evaluation::{Figure, Results};

use crate::text::shown;

/// Width of the plot, of the names on its left, and the space on its right, in pixels.
const WIDTH: f64 = 720.0;
const NAMES: f64 = 220.0;
const RIGHT: f64 = 20.0;
/// Height of a box's line, of the axis, and the gap between structures.
const LINE: f64 = 20.0;
const AXIS: f64 = 44.0;
const GAP: f64 = 10.0;
/// Half of a box's height.
const HALF: f64 = 6.5;
/// Characters of a structure's name that fit.
const NAME_LENGTH: usize = 22;

/// One structure by one kind of prompt.
struct Box<'a> {
    group: &'a Group,
    /// All values, sorted.
    values: Vec<f64>,
    /// Where its line is.
    y: f64,
}

/// A box for each structure and kind of prompt, one line each. Empty if no object has the figure.
pub(crate) fn plot(results: &Results, groups: &[Group], figure: Figure, id: &str) -> Markup {
    let mut y = GAP;
    let mut last: Option<Option<&str>> = None;
    let mut boxes: Vec<Box<'_>> = Vec::new();
    for group in groups {
        let of_group = results.rows().filter(|(_, row)| {
            let named = group.structure.as_deref().is_none_or(|name| row.structure == name);
            row.truth_voxels > 0 && row.prompt == group.prompt && named
        });
        let mut values: Vec<f64> = of_group.filter_map(|(_, row)| figure.of(&row.zoom_in)).collect();
        if values.is_empty() {
            continue;
        }
        values.sort_by(f64::total_cmp);
        let structure = group.structure.as_deref();
        if last.is_some_and(|last| last != structure) {
            y += GAP;
        }
        last = Some(structure);
        boxes.push(Box { group, values, y: y + LINE / 2.0 });
        y += LINE;
    }
    if boxes.is_empty() {
        return html! {};
    }
    let most = boxes.iter().flat_map(|one| one.values.last()).copied().fold(0.0, f64::max);
    let ticks = if figure == Figure::Hausdorff95 { ticks(most) } else { vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0] };
    let end = ticks.last().copied().unwrap_or(1.0);
    let x = |value: f64| NAMES + value / end * (WIDTH - NAMES - RIGHT);
    let digits = usize::from(figure != Figure::Hausdorff95 || end < 5.0);
    let (title, description) = (format!("{id}-title"), format!("{id}-description"));
    let mut svg = String::new();
    for &tick in &ticks {
        let place = x(tick);
        svg += &format!("<line class=\"grid\" x1=\"{place:.1}\" x2=\"{place:.1}\" y1=\"0\" y2=\"{y:.1}\"/>");
        svg += &format!("<text class=\"tick\" x=\"{place:.1}\" y=\"{:.1}\">{tick:.digits$}</text>", y + 16.0);
    }
    let middle = f64::midpoint(NAMES, WIDTH - RIGHT);
    svg += &format!("<text class=\"axis\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>", y + 36.0, figure.title());
    let mut named: Option<Option<&str>> = None;
    for one in &boxes {
        let structure = one.group.structure.as_deref();
        if named != Some(structure) {
            let name = structure.map_or_else(|| "all".to_owned(), |name| cut(&shown(name)));
            let class = if structure.is_none() { "name all" } else { "name" };
            svg += &html! { text class=(class) x="0" y=(format!("{:.1}", one.y + 4.0)) { (name) } }.into_string();
            named = Some(structure);
        }
        svg += &one.svg(figure, &x).into_string();
    }
    html! {
        div.scroll.plot tabindex="0" role="region" aria-label={ "Box plots of " (figure.title()) } {
            svg width=(WIDTH) height=(format!("{:.0}", y + AXIS)) viewBox=(format!("0 0 {WIDTH} {:.0}", y + AXIS))
                role="img" aria-labelledby={ (title) " " (description) } {
                title id=(title) { "Box plots of " (figure.title()) }
                desc id=(description) { "A box for each structure and kind of prompt; the table below has the numbers." }
                (PreEscaped(svg))
            }
        }
    }
}

impl Box<'_> {
    fn svg(&self, figure: Figure, x: &impl Fn(f64) -> f64) -> Markup {
        let Some(of) = self.group.zoom_in.statistics.of(figure) else { return html! {} };
        let reach = 1.5 * (of.q3 - of.q1);
        let inside = |value: &&f64| (of.q1 - reach..=of.q3 + reach).contains(*value);
        let low = self.values.iter().find(inside).copied().unwrap_or(of.q1).min(of.q1);
        let high = self.values.iter().rev().find(inside).copied().unwrap_or(of.q3).max(of.q3);
        let beyond: Vec<f64> = self.values.iter().copied().filter(|value| !inside(&value)).collect();
        let at = |value: f64| format!("{:.1}", x(value));
        let vertical = |offset: f64| format!("{:.1}", self.y + offset);
        let digits = figure.digits();
        let structure = self.group.structure.as_deref().map_or_else(|| "all".to_owned(), shown);
        let said = format!(
            "{structure} by {}: n {}, median {:.digits$}, quartiles {:.digits$} to {:.digits$}, mean {:.digits$}",
            self.group.prompt, of.n, of.median, of.q1, of.q3, of.mean
        );
        let mean = x(of.mean);
        let diamond = format!(
            "{:.1},{} {mean:.1},{} {:.1},{} {mean:.1},{}",
            mean - 4.0,
            vertical(0.0),
            vertical(-4.0),
            mean + 4.0,
            vertical(0.0),
            vertical(4.0)
        );
        html! {
            g class={ "kind-" (self.group.prompt.name().replace('+', "-")) } {
                title { (said) }
                text.kind x=(format!("{:.1}", NAMES - 10.0)) y=(vertical(4.0)) { (self.group.prompt) }
                line.whisker x1=(at(low)) x2=(at(high)) y1=(vertical(0.0)) y2=(vertical(0.0)) {}
                @for end in [low, high] {
                    line.whisker x1=(at(end)) x2=(at(end)) y1=(vertical(-HALF / 2.0)) y2=(vertical(HALF / 2.0)) {}
                }
                rect x=(at(of.q1)) y=(vertical(-HALF)) width=(format!("{:.1}", (x(of.q3) - x(of.q1)).max(1.0)))
                    height=(format!("{:.1}", 2.0 * HALF)) {}
                line.median x1=(at(of.median)) x2=(at(of.median)) y1=(vertical(-HALF)) y2=(vertical(HALF)) {}
                @for value in &beyond { circle cx=(at(*value)) cy=(vertical(0.0)) r="2.5" {} }
                polygon points=(diamond) {}
            }
        }
    }
}

/// A name that fits on the left.
fn cut(name: &str) -> String {
    if name.chars().count() <= NAME_LENGTH {
        return name.to_owned();
    }
    name.chars().take(NAME_LENGTH - 1).chain(['…']).collect()
}

/// Round numbers from 0 to at least `most`, about five.
fn ticks(most: f64) -> Vec<f64> {
    let most = if most > 0.0 && most.is_finite() { most } else { 1.0 };
    let power = 10_f64.powf((most / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| step * 5.0 >= most);
    let step = step.unwrap_or(10.0 * power);
    let count = (most / step).ceil().max(1.0) as usize;
    (0..=count).map(|index| index as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_largest_value() {
        assert_eq!(ticks(23.0), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]);
        assert_eq!(ticks(5.0), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(ticks(0.0).last(), Some(&1.0));
        for most in [0.013, 0.7, 99.0, 1234.5, 1e300] {
            let found = ticks(most);
            assert!(
                (3..=6).contains(&found.len()) && found.last().is_some_and(|end| *end >= most),
                "{most}: {found:?}"
            );
        }
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(cut("left kidney"), "left kidney");
        assert_eq!(cut(&"x".repeat(30)), "x".repeat(21) + "…");
    }
}
