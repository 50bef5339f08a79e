//! What was evaluated: bundles, where they ran, and all settings; a column for each result.

use maud::{Markup, html};
use segvol_evaluation::{ModelHeader, Results, labels};

use crate::tables::scrolled;
use crate::text::shown;

pub(crate) fn table(results: &[(String, Results)]) -> Markup {
    let columns: Vec<Vec<(&str, String)>> = results.iter().map(|(_, results)| of_one(results)).collect();
    let names: Vec<&str> = columns.iter().flatten().map(|(name, _)| *name).fold(Vec::new(), |mut names, name| {
        if !names.contains(&name) {
            names.push(name);
        }
        names
    });
    let cell = |column: &[(&str, String)], name: &str| {
        column.iter().find(|(of, _)| *of == name).map_or_else(|| "–".to_owned(), |(_, value)| value.clone())
    };
    scrolled(
        "What was evaluated",
        &html! {
            @if results.len() > 1 {
                thead { tr { td; @for (name, _) in results { th scope="col" { (shown(name)) } } } }
            }
            tbody { @for name in names { tr {
                th scope="row" { (name) }
                @for column in &columns { td.setting { (shown(&cell(column, name))) } }
            } } }
        },
    )
}

fn of_one(results: &Results) -> Vec<(&'static str, String)> {
    let (header, settings) = (&results.header, &results.header.settings);
    let mut lines = vec![
        ("Program", header.tool.clone()),
        ("Bundle (SHA-256 of its manifest)", header.model.manifest_sha256.clone()),
        ("Provider, precision", ran(&header.model)),
    ];
    if let Some(other) = &header.against {
        lines.push(("Other bundle (SHA-256)", other.manifest_sha256.clone()));
        lines.push(("Other provider, precision", ran(other)));
    }
    lines.extend([
        ("Profile", labels::profile_name(header)),
        ("Orientation", header.orientation.to_string()),
        ("Zoom-in pass", if header.zoom_in { "yes".to_owned() } else { "no".to_owned() }),
        ("Overlap of windows, at least", header.overlap.to_string()),
    ]);
    if let Some(affine) = header.affine {
        lines.push(("Affine", affine.to_string()));
    }
    lines
        .push(("Cases scored", format!("{} of {}", results.cases.len(), results.cases.len() + results.failures.len())));
    if settings.pairs.is_empty() {
        let prompts = settings.prompts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        lines.extend([
            ("Prompts", prompts),
            ("Points per structure, seed", format!("{}, {}", settings.points, settings.seed)),
            ("Tolerance of the surface Dice", format!("{} mm", settings.tolerance_mm)),
            ("Least voxels of a structure", settings.min_voxels.to_string()),
            ("Structures of a case in one call", if settings.together { "yes".to_owned() } else { "no".to_owned() }),
        ]);
    } else {
        lines.push(("Pairs", settings.pairs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
    }
    lines
}

fn ran(model: &ModelHeader) -> String {
    format!("{}, {}", model.provider, model.precision)
}
