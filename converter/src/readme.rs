//! `README.md` of a bundle, for people. It is not in the manifest, because no program reads it. But its text follows from the
//! manifest, so that [`ReadmeState::of`] can tell whether it is still the converter's. It does not name the checkpoint: the same
//! weights give the same README, in whatever file they were, and only the manifest names that file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use segvol_base::{Orientation, printable};
use segvol_onnx::manifest::{PrecisionFiles, StageFiles};
use segvol_onnx::{Dim, Manifest, Precision, Stage, TensorSpec, Variant, tensor_meaning};
use serde::Serialize;

/// The name of the file.
pub const README_FILE: &str = "README.md";

/// The text, with `{name}` for what depends on the bundle.
const TEMPLATE: &str = include_str!("readme.md");

/// The sections about what only a bundle with all stages has.
const WITH_PROMPTS: [&str; 2] = ["## How a prompt is prepared", "## What comes out"];

/// Whether a bundle's README is the one that was written with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadmeState {
    /// It is what this version writes for this bundle.
    AsWritten,
    /// It is another text: somebody changed it, or another version wrote it.
    Other,
    /// There is no file that can be read. Bundles of earlier versions have none.
    Missing,
}

impl ReadmeState {
    /// Compares the README in `dir` with the manifest.
    pub(crate) fn of(dir: &Path, manifest: &Manifest) -> Self {
        let (path, expected) = (dir.join(README_FILE), readme(manifest));
        // A pipe would wait for somebody to write to it.
        let is_file = fs::metadata(&path).is_ok_and(|found| found.is_file());
        let Some(file) = is_file.then(|| File::open(&path).ok()).flatten() else { return Self::Missing };
        let mut found = Vec::new();
        match file.take(expected.len() as u64 + 1).read_to_end(&mut found) {
            Ok(_) if found == expected.as_bytes() => Self::AsWritten,
            Ok(_) => Self::Other,
            Err(_) => Self::Missing,
        }
    }
}

/// The text for a bundle with this manifest: the same manifest gives the same bytes.
pub(crate) fn readme(manifest: &Manifest) -> String {
    let has_prompts = manifest.tokenizer.is_some();
    let sections = TEMPLATE.split("\n## ").enumerate().map(|(index, section)| match index {
        0 => section.to_owned(),
        _ => format!("## {section}"),
    });
    let kept = sections.filter(|section| has_prompts || !WITH_PROMPTS.iter().any(|title| section.starts_with(title)));
    filled(&kept.collect::<Vec<_>>().join("\n"), &facts(manifest))
}

/// Puts the facts at their places. What a fact contains is not looked at again.
fn filled(template: &str, facts: &BTreeMap<&'static str, String>) -> String {
    let mut text = String::with_capacity(2 * template.len());
    let mut parts = template.split('{');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        match part.split_once('}').and_then(|(name, rest)| Some((facts.get(name)?, rest))) {
            Some((fact, rest)) => text.extend([fact.as_str(), rest]),
            None => text.extend(["{", part]),
        }
    }
    text
}

fn facts(manifest: &Manifest) -> BTreeMap<&'static str, String> {
    let a = &manifest.architecture;
    let precisions: Vec<&str> = manifest.precisions.keys().map(|precision| precision.name()).collect();
    let names = manifest.names.as_ref().map_or_else(
        || "not known".to_owned(),
        |names| format!("{}, from {}; `segvol names` lists them", names.list().len(), code(names.source())),
    );
    let (axes, turned) = match manifest.axes {
        Some(Orientation::Axes(codes)) => {
            let turned = format!(
                "The scan is turned so that its axes go to {codes}: R or L (right, left), A or P (front, back), S or I (head, feet)."
            );
            (codes.to_string(), turned)
        }
        Some(Orientation::Stored) => {
            ("as stored in the file".to_owned(), "The scan's axes stay as its file stores them.".to_owned())
        }
        None => (
            "not known".to_owned(),
            "The axes that the model expects are not known; segvol turns the scan to RAS (right, front, head)."
                .to_owned(),
        ),
    };
    let mut facts = BTreeMap::from([
        ("tool", code(&manifest.tool)),
        ("precisions", precisions.join(", ")),
        ("axes", axes),
        ("turned", turned),
        ("names", names),
        ("opset", manifest.opset.to_string()),
        ("ir_version", manifest.ir_version.to_string()),
        ("files", files(manifest)),
        ("variants", variants(manifest)),
        ("precision_rows", rows(manifest.precisions.keys().map(|precision| [precision.name(), precision.purpose()]))),
        ("window", shape(a.window_dhw)),
        ("patch", shape(a.patch_dhw)),
        ("grid", shape(a.grid_dhw())),
        ("low_res", shape(a.low_res_dhw())),
        ("tensors", tensors(manifest)),
        ("license", manifest.license_note.clone()),
    ]);
    if let Some(tokenizer) = &manifest.tokenizer {
        facts.insert("template", code(&tokenizer.prompt_template));
        facts.insert("context", a.text_encoder.context_length.to_string());
        facts.insert("end_id", tokenizer.end_id.to_string());
    }
    facts
}

/// Text from a file as code, so that nothing in it becomes Markdown.
fn code(text: &str) -> String {
    format!("`{}`", printable(text).replace('`', "'").replace('|', "/"))
}

fn shape([d, h, w]: [usize; 3]) -> String {
    format!("{d}×{h}×{w}")
}

/// Rows of a table, without a line break at the end.
fn rows<T: AsRef<str>, const N: usize>(rows: impl Iterator<Item = [T; N]>) -> String {
    let row = |cells: [T; N]| format!("| {} |", cells.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(" | "));
    rows.map(row).collect::<Vec<_>>().join("\n")
}

/// Every file of the manifest once, with the precisions that use it.
fn files(manifest: &Manifest) -> String {
    let mut found: BTreeMap<&str, (String, String, Vec<&str>, u64)> = BTreeMap::new();
    for (precision, files) in &manifest.precisions {
        for (stage, files) in &files.stages {
            let graphs = files.graphs.iter().map(|(variant, entry)| (entry, format!("graph `{}`", variant.name())));
            for (entry, what) in graphs.chain([(&files.weights, "weights of these graphs".to_owned())]) {
                let file = found.entry(&entry.name).or_insert((format!("`{stage}`"), what, Vec::new(), entry.bytes));
                file.2.push(precision.name());
            }
        }
    }
    if let Some(tokenizer) = &manifest.tokenizer {
        let what = "tokenizer of Hugging Face's `tokenizers`".to_owned();
        let all = manifest.precisions.keys().map(|precision| precision.name()).collect();
        found.insert(&tokenizer.file.name, ("text".to_owned(), what, all, tokenizer.file.bytes));
    }
    rows(found.into_iter().map(|(name, (stage, what, precisions, bytes))| {
        [code(name), stage, what, precisions.join(", "), bytes.to_string()]
    }))
}

/// The variants that the bundle has.
fn variants(manifest: &Manifest) -> String {
    let stages = manifest.precisions.values().flat_map(|precision| precision.stages.values());
    let found: BTreeSet<Variant> = stages.flat_map(|files| files.graphs.keys().copied()).collect();
    let row = |variant: Variant| {
        [format!("`{}`", variant.name()), variant.purpose().to_owned(), taken_by(variant).to_owned()]
    };
    rows(found.into_iter().map(row))
}

/// The providers that take a variant if a stage has it. The runtime chooses (`Provider::variants`); a test compares.
fn taken_by(variant: Variant) -> &'static str {
    match variant {
        Variant::Fused => "cpu, cuda, rocm, webgpu (at fp16: cuda)",
        Variant::WidenedFused => "cpu, rocm, webgpu",
        Variant::Widened => "openvino, coreml, directml, migraphx, xnnpack",
        Variant::Portable => "tensorrt, openvino, coreml, directml, migraphx, xnnpack (at fp16: tensorrt)",
        Variant::Observed => "none: for calibrations only",
    }
}

/// A table of inputs and outputs for each stage.
fn tensors<'a>(manifest: &'a Manifest) -> String {
    let mut text = String::new();
    for stage in Stage::ALL {
        let at = |(precision, files): (_, &'a PrecisionFiles)| Some((precision, files.stages.get(&stage)?));
        let found: Vec<(&Precision, &StageFiles)> = manifest.precisions.iter().filter_map(at).collect();
        let Some((_, first)) = found.first() else { continue };
        let row = |(direction, index, spec): (&str, usize, &TensorSpec)| {
            let dtype_in = |files: &StageFiles| match direction {
                "input" => files.inputs[index].dtype,
                _ => files.outputs[index].dtype,
            };
            let other = found.iter().find(|(_, files)| dtype_in(files) != spec.dtype);
            let dtype = match other {
                Some((precision, files)) => format!("{}; {} at {precision}", spec.dtype.name(), dtype_in(files).name()),
                None => spec.dtype.name().to_owned(),
            };
            let meaning = tensor_meaning(&spec.name).unwrap_or_default();
            [direction.to_owned(), format!("`{}`", spec.name), dtype, dims(&spec.shape), meaning.to_owned()]
        };
        let inputs = first.inputs.iter().enumerate().map(|(index, spec)| ("input", index, spec));
        let outputs = first.outputs.iter().enumerate().map(|(index, spec)| ("output", index, spec));
        let table = rows(inputs.chain(outputs).map(row));
        let purpose = stage.purpose();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "**`{stage}`** {purpose} {} parameters.\n\n| | name | type | shape | what |\n|---|---|---|---|---|\n{table}\n\n",
            first.parameters
        );
    }
    text
}

fn dims(shape: &[Dim]) -> String {
    let dim = |dim: &Dim| match dim {
        Dim::Fixed(n) => n.to_string(),
        Dim::Named(name) => name.clone(),
    };
    format!("`[{}]`", shape.iter().map(dim).collect::<Vec<_>>().join(", "))
}
