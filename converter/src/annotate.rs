//! Writes into a graph what it is: for whoever opens it without its bundle, in a viewer or in another program.

use segvol_base::Orientation;
use segvol_names::Names;
use segvol_onnx::proto::{ModelProto, StringStringEntryProto};
use segvol_onnx::{Precision, Stage, Variant, tensor_meaning};

/// The facts of a bundle that every graph in it repeats. The checkpoint is not among them: the same weights give the same graphs,
/// in whatever file they were, and only the manifest names that file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    /// The program that writes the bundle, with its version.
    pub tool: &'a str,
    /// The axes that the model was trained with.
    pub axes: Option<Orientation>,
    /// The names that the model was trained with.
    pub names: Option<&'a Names>,
    /// The terms under which the weights may be used.
    pub license_note: &'a str,
}

/// Adds descriptions to a graph, its inputs and its outputs, and the facts to the model's metadata. Nothing that is computed
/// changes.
pub(crate) fn annotate(
    model: &mut ModelProto,
    (precision, stage, variant): (Precision, Stage, Variant),
    about: &About<'_>,
) {
    let description = format!(
        "SegVol, {stage}. {} This graph is `{variant}` at precision {precision}. {} {} The other stages, the weights and the \
         preparation of scans and prompts are described in README.md of the bundle that this file belongs to.",
        stage.purpose(),
        variant.purpose(),
        precision.purpose(),
        variant = variant.name(),
    );
    if let Some(graph) = &mut model.graph {
        for value in graph.input.iter_mut().chain(&mut graph.output) {
            value.doc_string = tensor_meaning(&value.name).unwrap_or_default().to_owned();
        }
        graph.doc_string.clone_from(&description);
    }
    model.doc_string = description;
    let names = about.names.map_or_else(
        || NOT_STATED.to_owned(),
        |names| format!("{} names, from {}", names.list().len(), names.source()),
    );
    let facts = [
        ("segvol.tool", about.tool.to_owned()),
        ("segvol.stage", stage.name().to_owned()),
        ("segvol.variant", variant.name().to_owned()),
        ("segvol.precision", precision.name().to_owned()),
        ("segvol.axes", axes_text(about.axes)),
        ("segvol.names", names),
        ("segvol.license", about.license_note.to_owned()),
    ];
    let entry = |(key, value): (&str, String)| StringStringEntryProto { key: key.to_owned(), value };
    model.metadata_props = facts.map(entry).into();
}

const NOT_STATED: &str = "not stated";

/// The axes of a model in upper case, as in other programs.
fn axes_text(axes: Option<Orientation>) -> String {
    match axes {
        Some(Orientation::Axes(codes)) => codes.to_string(),
        Some(Orientation::Stored) => "stored".to_owned(),
        None => NOT_STATED.to_owned(),
    }
}
