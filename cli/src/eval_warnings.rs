//! Warnings of an evaluation: few lines, however many objects it has.

use std::collections::{BTreeMap, BTreeSet};

use segvol::{Warning, WarningCode};
use segvol_base::printable;
use segvol_evaluation::{CaseResult, Results};

use crate::names;
use crate::warnings::Printer;

/// Prints each warning about a scan once per case, even if several results have it. Of the warnings about objects, it prints
/// the first of each code, with the number of all.
pub(crate) fn print(results: &[Results], printer: &mut Printer) {
    let names = segvol_evaluation::labels::of(results);
    let mut seen = BTreeSet::new();
    let mut objects: BTreeMap<WarningCode, Group<'_>> = BTreeMap::new();
    for (one, name) in results.iter().zip(names) {
        let run = if results.len() > 1 { format!("{name}, ") } else { String::new() };
        for case in &one.cases {
            for warning in &case.warnings {
                if seen.insert((&case.case, warning.code, &warning.message)) {
                    printer.print(&format!("case {:?}: ", case.case), warning);
                }
            }
            for (object, warning) in of_objects(case) {
                let about = || format!("{run}case {:?}, {}: ", case.case, printable(&object));
                let group = objects.entry(warning.code).or_insert_with(|| Group::new(about(), warning));
                group.count += 1;
                group.cases.insert(&case.case);
            }
        }
    }
    for group in objects.into_values() {
        let about = match (group.count, group.cases.len()) {
            (1, _) => group.about,
            (count, 1) => format!("{count} times in one case, first in {}", group.about),
            (count, cases) => format!("{count} times in {cases} cases, first in {}", group.about),
        };
        printer.print(&about, group.first);
    }
}

/// Warnings of one code.
struct Group<'a> {
    about: String,
    first: &'a Warning,
    count: usize,
    cases: BTreeSet<&'a str>,
}

impl<'a> Group<'a> {
    fn new(about: String, first: &'a Warning) -> Self {
        Self { about, first, count: 0, cases: BTreeSet::new() }
    }
}

/// The warnings about the objects of a case, with the object.
fn of_objects(case: &CaseResult) -> impl Iterator<Item = (String, &Warning)> {
    let rows = case
        .rows
        .iter()
        .flat_map(|row| row.warnings.iter().map(|warning| (format!("{} by {}", row.structure, row.prompt), warning)));
    let sides =
        case.sides.iter().flat_map(|sides| sides.warnings.iter().map(|warning| (sides.pair.to_string(), warning)));
    let steps = case.interactive.iter().flat_map(|session| {
        let steps = session.steps.iter().enumerate();
        steps.flat_map(move |(number, step)| {
            let about = move || match number {
                0 => format!("{} by box", session.structure),
                _ => format!("{} after click {number}", session.structure),
            };
            step.warnings.iter().map(move |warning| (about(), warning))
        })
    });
    // Names are warned of before the work.
    rows.chain(sides).chain(steps).filter(|(_, warning)| !names::is_about_names(warning.code))
}
