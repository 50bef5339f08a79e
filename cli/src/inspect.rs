//! `segvol inspect`: what a checkpoint, a bundle, or a folder of scans holds.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use indicatif::DecimalBytes;
use segvol::{Orientation, Provider};
use segvol_base::{printable, printable_path};
use segvol_converter::{BundleInspection, CheckpointInspection, Inspection, Options, README_FILE, ReadmeState};
use segvol_names::Names;
use segvol_onnx::manifest::{FileEntry, NotExported, PrecisionFiles};
use segvol_onnx::{Architecture, Dim, Precision, TensorSpec, Variant};

use crate::exit::Usage;
use crate::inspect_scans;
use crate::measuring::print_json;
use crate::warnings;

/// How many names of a longer list are shown.
const SHOWN: usize = 6;

/// Show what a checkpoint, a bundle, a scan, or a folder of DICOM holds
///
/// Of DICOM, every series is listed, with why it is no scan if it is none; patients are shown as the start of a hash only.
/// For a bundle, the files are compared with the hashes in the manifest. For a checkpoint, the names, shapes and element types
/// are compared with those of the model; the numbers are not read. The command fails if something does not match.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  segvol inspect SegVol_v1.pth\n  segvol inspect segvol-bundle --json\n  \
        segvol inspect folder-from-the-scanner")]
pub(crate) struct Inspect {
    /// Checkpoint (a file, an index of several files, or a folder with one), a bundle's folder, a scan, or a folder or zip of DICOM
    #[arg(required_unless_present = "model")]
    path: Option<PathBuf>,
    /// A bundle's folder, as in the other commands
    #[arg(short, long, value_name = "DIR", conflicts_with = "path")]
    model: Option<PathBuf>,
    /// File with the sizes of a model other than the released one [default: config.json beside the checkpoint, if any]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Dictionary of the checkpoint that has the model, if several have one, for example ema
    #[arg(long, value_name = "NAME")]
    weights_from: Option<String>,
    /// Accept tensors inside the model that no part of it uses; `segvol convert` has the same option
    #[arg(long)]
    allow_extra: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let path = self.path.as_ref().or(self.model.as_ref());
        let path = path.ok_or_else(|| Usage("nothing to inspect: name a checkpoint or a bundle".to_owned()))?;
        let is_checkpoint = self.config.is_some() || self.weights_from.is_some() || self.allow_extra;
        if self.model.is_none() && !is_checkpoint && inspect_scans::show(out, path, self.json)? {
            return Ok(());
        }
        let options = Options {
            config: self.config.clone(),
            weights_from: self.weights_from.clone(),
            allow_extra: self.allow_extra,
            ..Options::default()
        };
        let inspection = segvol_converter::inspect(path, &options)?;
        if let Inspection::Checkpoint(checkpoint) = &inspection {
            checkpoint.warnings.iter().for_each(|warning| warnings::say("", warning));
        }
        if self.json {
            print_json(out, &inspection)?;
        } else {
            match &inspection {
                Inspection::Checkpoint(checkpoint) => show_checkpoint(out, checkpoint)?,
                Inspection::Bundle(bundle) => show_bundle(out, path, bundle)?,
            }
        }
        let problem = match inspection {
            Inspection::Checkpoint(checkpoint) => checkpoint.problem,
            Inspection::Bundle(bundle) => bundle.problem,
        };
        problem.map_or(Ok(()), |problem| Err(problem.into()))
    }
}

fn show_checkpoint(out: &mut impl Write, checkpoint: &CheckpointInspection) -> io::Result<()> {
    writeln!(out, "checkpoint {}", printable_path(&checkpoint.path))?;
    if !checkpoint.passed_over.is_empty() {
        writeln!(out, "  not taken   {} (the same model)", listed(&checkpoint.passed_over, usize::MAX))?;
    }
    writeln!(out, "  container   {}, {}", printable(&checkpoint.container), size(checkpoint.bytes))?;
    if checkpoint.files.len() > 1 {
        writeln!(out, "  files       {}", listed(&checkpoint.files, usize::MAX))?;
    }
    writeln!(out, "  layout      {}", printable(&checkpoint.layout))?;
    writeln!(out, "  tensors     {}", printable(&dtypes(&checkpoint.dtypes)))?;
    if checkpoint.training_state > 0 {
        let names = listed(&checkpoint.ignored, usize::MAX);
        writeln!(out, "  ignored     {} tensors next to the model: {names}", checkpoint.training_state)?;
    }
    if let Some(architecture) = &checkpoint.architecture {
        show_architecture(out, architecture)?;
        show_axes(out, checkpoint.axes)?;
    }
    writeln!(out, "modules")?;
    for (name, module) in &checkpoint.modules {
        let name = printable(name);
        writeln!(out, "  {name:<15} {:>11} parameters in {} tensors", module.parameters, module.tensors)?;
    }
    for stage in &checkpoint.missing_stages {
        writeln!(out, "  {:<15} not in the checkpoint", stage.name())?;
    }
    show_not_exported(out, &checkpoint.not_exported)
}

fn show_bundle(out: &mut impl Write, path: &Path, bundle: &BundleInspection) -> io::Result<()> {
    let manifest = &bundle.manifest;
    let source = &manifest.source;
    writeln!(out, "bundle {}", printable_path(path))?;
    let [file, layout, container] = [&source.file, &source.layout, &source.container].map(|text| printable(text));
    writeln!(out, "  made from   {file} ({layout}, {container})")?;
    writeln!(out, "              {}, sha256 {}", size(source.bytes), printable(&source.sha256))?;
    writeln!(out, "  made by     {}", printable(&manifest.tool))?;
    writeln!(out, "  graphs      ONNX opset {}, IR version {}", manifest.opset, manifest.ir_version)?;
    show_architecture(out, &manifest.architecture)?;
    show_axes(out, manifest.axes)?;
    show_names(out, manifest.names.as_ref())?;
    let precisions: Vec<&str> = manifest.precisions.keys().map(|precision| precision.name()).collect();
    writeln!(out, "  precisions  {}", precisions.join(", "))?;
    for (precision, files) in &manifest.precisions {
        show_precision(out, *precision, files)?;
    }
    if let Some(tokenizer) = &manifest.tokenizer {
        writeln!(out, "tokenizer: {:?}, end token {}", tokenizer.prompt_template, tokenizer.end_id)?;
        writeln!(out, "  {:<40} {:>10}", printable(&tokenizer.file.name), size(tokenizer.file.bytes))?;
    }
    show_not_exported(out, &manifest.not_exported)?;
    match bundle.readme {
        ReadmeState::AsWritten => writeln!(out, "{README_FILE}: as it was written with the bundle")?,
        ReadmeState::Other => {
            writeln!(out, "{README_FILE}: not what this version writes for the bundle; no program reads it")?;
        }
        ReadmeState::Missing => writeln!(out, "{README_FILE}: none")?,
    }
    if !bundle.unlisted.is_empty() {
        let names: Vec<_> = bundle.unlisted.iter().take(SHOWN).map(|name| printable(name)).collect();
        let more = if bundle.unlisted.len() > SHOWN { ", …" } else { "" };
        writeln!(out, "not part of the bundle, and never read: {}{more}", names.join(", "))?;
    }
    let verdict = if bundle.problem.is_none() { "all match the manifest" } else { "do NOT match the manifest" };
    writeln!(out, "files: {verdict}")
}

fn show_precision(out: &mut impl Write, precision: Precision, precision_files: &PrecisionFiles) -> io::Result<()> {
    let files = precision_files.stages.values().flat_map(|files| files.graphs.values().chain([&files.weights]));
    writeln!(out, "precision {precision}: {}", size(files.map(|file| file.bytes).sum()))?;
    if let Some(calibration) = &precision_files.calibration {
        writeln!(
            out,
            "  calibrated on {} windows of {}",
            calibration.windows,
            printable(&calibration.scans.join(", "))
        )?;
    }
    for (stage, files) in &precision_files.stages {
        writeln!(out, "  {stage}: {} parameters", files.parameters)?;
        for (word, specs) in [("input ", &files.inputs), ("output", &files.outputs)] {
            for spec in specs {
                writeln!(out, "    {word}  {}", printable(&tensor(spec)))?;
            }
        }
        for (variant, file) in &files.graphs {
            let providers = providers_of(*variant, precision, &files.graphs);
            writeln!(out, "    {:<44} {:>10}  {providers}", printable(&file.name), size(file.bytes))?;
        }
        writeln!(out, "    {:<44} {:>10}", printable(&files.weights.name), size(files.weights.bytes))?;
    }
    if !precision_files.kept_in_float32.is_empty() {
        writeln!(out, "  kept in float32")?;
    }
    for kept in &precision_files.kept_in_float32 {
        writeln!(out, "    {}: {}", printable(&kept.part), printable(&kept.reason))?;
    }
    Ok(())
}

/// The providers that run a variant of the graphs that a stage has.
fn providers_of(variant: Variant, precision: Precision, graphs: &BTreeMap<Variant, FileEntry>) -> String {
    let taken = |provider: &Provider| {
        let best = provider.variants(precision).iter().find(|variant| graphs.contains_key(variant));
        *provider != Provider::Auto && best == Some(&variant)
    };
    let names: Vec<&str> = Provider::ALL.into_iter().filter(taken).map(Provider::name).collect();
    match names.len() {
        0 => "for no provider".to_owned(),
        all if all + 1 == Provider::ALL.len() => "for every provider".to_owned(),
        _ => format!("for {}", names.join(", ")),
    }
}

fn show_architecture(out: &mut impl Write, a: &Architecture) -> io::Result<()> {
    let grid = a.grid_dhw();
    writeln!(out, "  window      {:?} voxels in patches of {:?}: {grid:?} tokens", a.window_dhw, a.patch_dhw)?;
    let (image, text, mask) = (&a.image_encoder, &a.text_encoder, &a.mask_decoder);
    writeln!(out, "  width       {}, text {}", a.channels, text.width)?;
    writeln!(out, "  layers      image {}, text {}, decoder {}", image.layers, text.layers, mask.layers)?;
    writeln!(out, "  heads       image {}, text {}, decoder {}", image.heads, text.heads, mask.heads)
}

fn show_axes(out: &mut impl Write, axes: Option<Orientation>) -> io::Result<()> {
    match axes {
        Some(Orientation::Axes(codes)) => writeln!(out, "  axes        {codes}"),
        Some(Orientation::Stored) => writeln!(out, "  axes        as stored in the file"),
        None => writeln!(out, "  axes        not stated; scans are shown to the model in RAS"),
    }
}

/// How many names and where from, and the first of them.
fn show_names(out: &mut impl Write, names: Option<&Names>) -> io::Result<()> {
    let Some(names) = names else { return writeln!(out, "  names       not stated") };
    let first: Vec<_> = names.list().iter().take(SHOWN).map(|name| printable(&name.name)).collect();
    let more = if names.list().len() > SHOWN { ", …" } else { "" };
    writeln!(out, "  names       {}, from {}", names.list().len(), printable(names.source()))?;
    writeln!(out, "              {}{more}", first.join(", "))
}

/// Tensors with the same reason on one line.
fn show_not_exported(out: &mut impl Write, tensors: &[NotExported]) -> io::Result<()> {
    if tensors.is_empty() {
        return Ok(());
    }
    writeln!(out, "not exported: {} tensors", tensors.len())?;
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for tensor in tensors {
        reasons.entry(&tensor.reason).or_default().push(&tensor.name);
    }
    for (reason, names) in reasons {
        writeln!(out, "  {}:", printable(reason))?;
        for name in names {
            writeln!(out, "    {}", printable(name))?;
        }
    }
    Ok(())
}

fn tensor(spec: &TensorSpec) -> String {
    let dim = |dim: &Dim| match dim {
        Dim::Fixed(n) => n.to_string(),
        Dim::Named(name) => name.clone(),
    };
    let shape: Vec<String> = spec.shape.iter().map(dim).collect();
    format!("{} [{}] {}", spec.name, shape.join(", "), spec.dtype.name())
}

fn dtypes(dtypes: &BTreeMap<String, usize>) -> String {
    let counts: Vec<String> = dtypes.iter().map(|(dtype, count)| format!("{count} {dtype}")).collect();
    counts.join(", ")
}

/// Names from a file, at most `most` of them.
pub(crate) fn listed(names: &[String], most: usize) -> String {
    let shown: Vec<_> = names.iter().take(most).map(|name| printable(name)).collect();
    let more = names.len() - shown.len();
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// A number of bytes in decimal units.
pub(crate) fn size(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}
