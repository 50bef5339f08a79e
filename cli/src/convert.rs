//! `segvol convert`: a checkpoint to a bundle.

use std::io::Write;
use std::path::{Path, PathBuf};

use segvol_base::{printable, printable_path};
use segvol_converter::{Calibrated, Options};
use segvol_onnx::{Precision, Stage};

use crate::exit::Usage;
use crate::inspect::size;
use crate::outputs::Files;
use crate::warnings::WarningArguments;

/// The files of a tokenizer in a folder.
const TOKENIZER_FILES: [&str; 3] = ["tokenizer.json", "vocab.json", "merges.txt"];

const EXAMPLES: &str = "\
Examples:
  segvol convert SegVol_v1.pth -o segvol-bundle
  Three precisions, int8 calibrated on your own scans:
    segvol convert SegVol_v1.pth -o segvol-bundle --precision fp32,fp16,int8 --calibrate scans/";

/// Convert a SegVol checkpoint to a bundle of ONNX graphs
///
/// Reads SegVol_v1.pth, pytorch_model.bin, model.safetensors and ViT_pretrain.ckpt. The format is recognised from the file's
/// content. Nothing in the file is executed.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Convert {
    /// Checkpoint: .pth, .bin, .ckpt or .safetensors
    checkpoint: PathBuf,
    /// Folder for the bundle; it must not exist, unless --force is given
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// fp32, fp16 or int8; for several in one bundle, a list with commas, or repeat the option
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "fp32")]
    precision: Vec<Precision>,
    /// int8: a NIfTI scan, or a folder of scans, to calibrate on [default: the demo's phantom]
    #[arg(long, value_name = "PATH", conflicts_with = "dynamic")]
    calibrate: Option<PathBuf>,
    /// int8: no calibration; ranges are found while the model runs, and no channel is smoothed
    #[arg(long)]
    dynamic: bool,
    /// int8: ONNX Runtime's library for the calibration, or the folder that has it [default: ORT_DYLIB_PATH, else the first
    /// that is found; `segvol providers` shows where]
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,
    /// File with the sizes of a model other than the released one [default: config.json beside the checkpoint, if any]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Dictionary of the checkpoint that has the model, if several have one, for example ema
    #[arg(long, value_name = "NAME")]
    weights_from: Option<String>,
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
            precisions: self.precision.iter().copied().collect(),
            force: self.force,
            ..Options::default()
        };
        self.check_files()?;
        segvol_converter::check_output(&self.output, self.force)?;
        let mut warnings = self.warnings.printer();
        if let Some(path) = &self.names {
            let (names, twice) = segvol_names::read(path)?;
            warnings.print_all(&twice);
            options.names = Some(names);
        }
        options.calibrated = self.calibrated(&options)?;
        let manifest = segvol_converter::convert(&self.checkpoint, &self.output, &options)?;

        let source = &manifest.source;
        let [file, layout, container] = [&source.file, &source.layout, &source.container].map(|text| printable(text));
        writeln!(out, "{file}: {layout}, {container}, {}", size(source.bytes))?;
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

    /// Refuses a folder whose replacement would delete what the conversion reads, before any work.
    fn check_files(&self) -> Result<(), Usage> {
        let mut files = Files::default();
        files.input("the checkpoint", &self.checkpoint);
        files.input_if("--calibrate", self.calibrate.as_ref());
        files.input_if("--library", self.library.as_ref());
        files.input_if("--names", self.names.as_ref());
        let beside = |name: &str| self.checkpoint.with_file_name(name);
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

    /// The calibration of int8; `None` if there is none.
    fn calibrated(&self, options: &Options) -> anyhow::Result<Option<Calibrated>> {
        if !options.precisions.contains(&Precision::Int8) {
            if self.calibrate.is_some() || self.dynamic {
                let message = "--calibrate and --dynamic are only for int8: add int8 to --precision";
                return Err(Usage(message.to_owned()).into());
            }
            return Ok(None);
        }
        if self.dynamic {
            return Ok(None);
        }
        let beside = self.output.parent().filter(|parent| parent.is_dir()).unwrap_or(Path::new("."));
        let mut run = segvol::Options::default();
        run.library = self.library.clone();
        let scans = self.calibrate.as_deref();
        Ok(Some(segvol_calibration::calibrate(&self.checkpoint, scans, beside, options, &run)?))
    }
}
