//! `segvol convert`: a checkpoint to a bundle.

use std::io::Write;
use std::path::PathBuf;

use segvol_converter::Options;
use segvol_onnx::Stage;

use crate::inspect::size;

/// Convert a SegVol checkpoint to a bundle of ONNX graphs
///
/// Reads SegVol_v1.pth, pytorch_model.bin, model.safetensors and ViT_pretrain.ckpt; the layout is told
/// from the file. Nothing in the file is executed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  segvol convert SegVol_v1.pth -o segvol-bundle")]
pub(crate) struct Convert {
    /// Checkpoint: .pth, .bin, .ckpt or .safetensors
    checkpoint: PathBuf,
    /// Folder for the bundle; it must not exist yet
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Sizes of a model other than the released one [default: config.json beside the checkpoint, if any]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// tokenizer.json, vocab.json (with merges.txt beside it), or their folder [default: the checkpoint's folder]
    #[arg(long, value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    /// Replace the bundle that is at DIR
    #[arg(long)]
    force: bool,
}

impl Convert {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let options = Options { config: self.config, tokenizer: self.tokenizer, force: self.force };
        let manifest = segvol_converter::convert(&self.checkpoint, &self.output, &options)?;

        let source = &manifest.source;
        writeln!(out, "{}: {}, {}, {}", source.file, source.layout, source.container, size(source.bytes))?;
        for (stage, files) in &manifest.stages {
            let graphs: Vec<&str> = files.graphs.keys().map(|variant| variant.name()).collect();
            let (parameters, weights) = (files.parameters, size(files.weights.bytes));
            writeln!(out, "  {stage:<15} {parameters:>11} parameters {weights:>10}  {}", graphs.join(", "))?;
        }
        for stage in Stage::ALL.iter().filter(|stage| !manifest.stages.contains_key(stage)) {
            writeln!(out, "  {:<15} not in the checkpoint", stage.name())?;
        }
        writeln!(out, "wrote {}", self.output.display())?;
        Ok(())
    }
}
