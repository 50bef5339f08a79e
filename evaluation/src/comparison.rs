//! The means of several results of one evaluation, side by side: one for each orientation or profile.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::labels;
use crate::results::Results;
use crate::sides::Verdict;
use crate::summary::{self, Counts, Group};
use crate::table::{self, number};

/// Compares several results: the figure that decides between them.
pub(crate) fn markdown(all: &[Results]) -> String {
    let title = match labels::differing(all) {
        [false, _] => "Orientations",
        [true, false] => "Profiles",
        [true, true] => "Settings",
    };
    let mut text = format!("# {title}\n\n");
    let column = |name: &str| std::iter::once(name.to_owned()).chain(labels::of(all)).collect::<Vec<_>>();
    let Some(settings) = all.first().map(|one| &one.header.settings) else { return text };
    if !settings.pairs.is_empty() {
        let counts: Vec<Counts> = all.iter().filter_map(|one| summary::counts(one).pop()).collect();
        let lines = Verdict::ALL.into_iter().map(|verdict| {
            let cells = counts.iter().map(|counts| counts.of_verdict(verdict).to_string());
            std::iter::once(verdict.name().to_owned()).chain(cells).collect()
        });
        text.push_str(&table::markdown(&column("pairs"), lines));
        let best = best(all, counts.iter().map(|counts| Some(counts.ok as f64)));
        let _ = writeln!(text, "\nleft and right are right most often: {best}");
        return text;
    }
    let groups: Vec<Vec<Group>> = all.iter().map(summary::groups).collect();
    let dice = |groups: &[Group], structure: Option<&str>, kind| {
        let group = groups.iter().find(|group| group.structure.as_deref() == structure && group.prompt == kind);
        group.and_then(|group| group.zoom_in.dice)
    };
    let line = |name: &str, structure: Option<&str>, kind| {
        let cells = groups.iter().map(|groups| number(dice(groups, structure, kind), 3));
        std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
    };
    text.push_str("Dice of all objects, mean\n\n");
    text.push_str(&table::markdown(
        &column("prompt"),
        settings.prompts.iter().map(|&kind| line(kind.name(), None, kind)),
    ));
    let Some(&kind) = settings.prompts.first() else { return text };
    let _ = writeln!(text, "\nDice of each structure by {kind}, mean\n");
    let names: BTreeSet<&str> = groups.iter().flatten().filter_map(|group| group.structure.as_deref()).collect();
    let order = groups.first().into_iter().flatten().filter(|group| group.prompt == kind);
    let ordered: Vec<&str> = order.filter_map(|group| group.structure.as_deref()).collect();
    let others = names.into_iter().filter(|name| !ordered.contains(name));
    let lines = ordered.iter().copied().chain(others).map(|name| line(name, Some(name), kind));
    text.push_str(&table::markdown(&column("structure"), lines));
    let best = best(all, groups.iter().map(|groups| dice(groups, None, kind)));
    let _ = writeln!(text, "\nhighest mean Dice by {kind}: {best}");
    text
}

/// The results with the greatest figure above 0, all of them if several have it.
fn best(all: &[Results], figures: impl Iterator<Item = Option<f64>> + Clone) -> String {
    let most = figures.clone().flatten().fold(0.0, f64::max);
    if most == 0.0 {
        return "none".to_owned();
    }
    let named = labels::of(all).into_iter().zip(figures).filter(|(_, figure)| *figure == Some(most));
    named.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}
