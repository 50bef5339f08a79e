//! `segvol convert`: a checkpoint to a bundle.

use std::io::{self, Write};
use std::path::PathBuf;

use segvol_base::{Warning, printable, printable_path};
use segvol_converter::{Conversion, ConvertError, Location, Options};
use segvol_onnx::{Manifest, Precision, Stage};

use crate::calibration::CalibrationArguments;
use crate::exit::Usage;
use crate::inspect::{listed, size};
use crate::outputs::Files;
use crate::warnings::WarningArguments;

/// The files of a tokenizer in a folder.
const TOKENIZER_FILES: [&str; 3] = ["tokenizer.json", "vocab.json", "merges.txt"];

/// The most names that a line lists.
const MAX_LISTED: usize = 6;

const EXAMPLES: &str = "\
Examples:
  segvol convert SegVol_v1.pth -o segvol-bundle
  A folder of the Hugging Face cache:
    segvol convert ~/.cache/huggingface/hub/models--BAAI--SegVol -o segvol-bundle
  Three precisions, int8 calibrated on your own scans:
    segvol convert SegVol_v1.pth -o segvol-bundle --precision fp32,fp16,int8 --calibrate scans/";

/// Convert a SegVol checkpoint to a bundle of ONNX graphs
///
/// Reads SegVol_v1.pth, pytorch_model.bin, model.safetensors and ViT_pretrain.ckpt, and checkpoints that were saved in other
/// ways: wrapped, in any dictionary, in several files. The format is recognised from the file's content. Nothing in the file is
/// executed.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Convert {
    /// Checkpoint: .pth, .bin, .ckpt or .safetensors; the index of several files (.index.json); or a folder with one checkpoint,
    /// also of the Hugging Face cache
    checkpoint: PathBuf,
    /// Folder for the bundle; it must not exist or must be empty, unless --force is given
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// fp32, fp16 or int8; for several in one bundle, a list with commas, or repeat the option
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "fp32")]
    precision: Vec<Precision>,
    #[command(flatten)]
    calibration: CalibrationArguments,
    /// File with the sizes of a model other than the released one [default: config.json beside the checkpoint, if any]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Dictionary of the checkpoint that has the model, if several have one, for example ema
    #[arg(long, value_name = "NAME")]
    weights_from: Option<String>,
    /// Leave out tensors inside the model that no part of it uses, with a warning; without this option they are an error
    #[arg(long)]
    allow_extra: bool,
    /// tokenizer.json, or vocab.json with merges.txt beside it, or their folder [default: the checkpoint's folder]
    #[arg(long, value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    /// File with the names that the model was trained with, for a model of your own: one per line, or JSON such as ["liver"],
    /// {"spine": ["vertebral column"]} with synonyms, or a label map {"liver": 1} [default: `names` in the configuration, else
    /// those of the released model if the sizes are the released ones]
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    #[command(flatten)]
    warnings: WarningArguments,
    /// Replace the bundle in DIR
    #[arg(long)]
    force: bool,
}

impl Convert {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut options = Options {
            config: self.config.clone(),
            tokenizer: self.tokenizer.clone(),
            weights_from: self.weights_from.clone(),
            allow_extra: self.allow_extra,
            precisions: self.precision.iter().copied().collect(),
            force: self.force,
            ..Options::default()
        };
        let location = Location::of(&self.checkpoint);
        let mut warnings = self.warnings.printer();
        warnings.print_all(&self.check_files(location.as_ref().ok())?);
        // A warning that is printed already.
        let in_place = segvol_converter::check_output(&self.output, self.force)?.is_some();
        if let Some(path) = &self.names {
            let (names, twice) = segvol_names::read(path)?;
            warnings.print_all(&twice);
            options.names = Some(names);
        }
        let location = location.map_err(ConvertError::from)?;
        let calibrated = self.calibration.run(&location.path, &self.output, &options, in_place, &mut warnings)?;
        options.calibrated = calibrated.as_ref().map(|outcome| outcome.calibrated.clone());
        let conversion = segvol_converter::convert(&location.path, &self.output, &options)?;
        warnings.print_all(&conversion.warnings);

        let manifest = &conversion.manifest;
        let source = &manifest.source;
        let [file, layout, container] = [&source.file, &source.layout, &source.container].map(|text| printable(text));
        writeln!(out, "{file}: {layout}, {container}, {}", size(source.bytes))?;
        self.show_checkpoint(out, &location, &conversion)?;
        show_stages(out, manifest)?;
        self.calibration.show(out, calibrated.as_ref())?;
        match &manifest.names {
            Some(names) => writeln!(out, "  {} names, from {}", names.list().len(), printable(names.source()))?,
            None if manifest.tokenizer.is_some() => {
                writeln!(
                    out,
                    "  no names: a text prompt that the model was not trained with will not be noticed (--names)"
                )?;
            }
            None => {}
        }
        writeln!(out, "wrote {}", printable_path(&self.output))?;
        Ok(warnings.finish()?)
    }

    /// What was taken from the checkpoint, and what was left.
    fn show_checkpoint(&self, out: &mut impl Write, location: &Location, conversion: &Conversion) -> io::Result<()> {
        if location.path != self.checkpoint {
            writeln!(out, "  taken from the folder: {}", printable_path(&location.path))?;
        }
        for path in &location.passed_over {
            writeln!(out, "  not taken: {}, which has the same model", printable_path(path))?;
        }
        let keys = &conversion.keys;
        if !keys.prefix.is_empty() {
            writeln!(out, "  removed from the tensors' names: {} at the start", printable(&keys.prefix))?;
        }
        if !keys.wrappers.is_empty() {
            writeln!(out, "  removed inside the tensors' names: {}", listed(&keys.wrappers, MAX_LISTED))?;
        }
        if keys.training_state > 0 {
            let names = listed(&keys.ignored, MAX_LISTED);
            writeln!(out, "  ignored: {} beside the model, in {names}", tensors(keys.training_state))?;
        }
        match conversion.manifest.not_exported.len() {
            0 => Ok(()),
            count => {
                let output = printable_path(&self.output);
                writeln!(
                    out,
                    "  not exported: {} (`segvol inspect {output}` lists them with the reasons)",
                    tensors(count)
                )
            }
        }
    }

    /// Refuses a folder whose replacement would delete what the conversion reads, before any work.
    fn check_files(&self, location: Option<&Location>) -> Result<Vec<Warning>, Usage> {
        let mut files = Files::default();
        files.input("the checkpoint", &self.checkpoint);
        let parts = location.iter().flat_map(|location| location.files.iter().chain(&location.passed_over));
        parts.for_each(|file| files.input("the checkpoint", file));
        let checkpoint = location.map_or(&self.checkpoint, |location| &location.path);
        self.calibration.inputs(&mut files);
        files.input_if("--names", self.names.as_ref());
        let beside = |name: &str| checkpoint.with_file_name(name);
        match &self.config {
            Some(config) => files.input("--config", config),
            None => files.input("the checkpoint's configuration", &beside("config.json")),
        }
        match &self.tokenizer {
            Some(tokenizer) => {
                files.input("--tokenizer", tokenizer);
                TOKENIZER_FILES.iter().for_each(|name| files.input("--tokenizer", &tokenizer.join(name)));
                files.input("--tokenizer", &tokenizer.with_file_name("merges.txt"));
            }
            None => TOKENIZER_FILES.iter().for_each(|name| files.input("the checkpoint's tokenizer", &beside(name))),
        }
        files.replaced("--output", &self.output);
        files.check()
    }
}

/// The stages of each precision, and those that the checkpoint lacks.
fn show_stages(out: &mut impl Write, manifest: &Manifest) -> io::Result<()> {
    for (precision, files) in &manifest.precisions {
        for (stage, files) in &files.stages {
            let graphs: Vec<&str> = files.graphs.keys().map(|variant| variant.name()).collect();
            let (parameters, weights) = (files.parameters, size(files.weights.bytes));
            writeln!(
                out,
                "  {:<4} {stage:<15} {parameters:>11} parameters {weights:>10}  {}",
                precision.name(),
                graphs.join(", ")
            )?;
        }
        for stage in Stage::ALL.iter().filter(|stage| !files.stages.contains_key(stage)) {
            writeln!(out, "  {:<4} {:<15} not in the checkpoint", precision.name(), stage.name())?;
        }
    }
    Ok(())
}

fn tensors(count: usize) -> String {
    if count == 1 { "1 tensor".to_owned() } else { format!("{count} tensors") }
}
