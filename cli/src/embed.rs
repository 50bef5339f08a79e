//! `segvol embed`

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use segvol::{Cancellation, FloatType, Model, Prompt, Study, StudyOptions, Volume, Warning, WindowKey};
use segvol_base::printable_path;
use segvol_embed::{Choice, Format, sidecar};

use crate::exit::Usage;
use crate::measured::{self, MeasuredArguments};
use crate::names;
use crate::outputs::{Files, not_standard_output};
use crate::progress;
use crate::prompts::PromptArguments;
use crate::settings::Settings;
use crate::swapped;
use crate::warnings::{Printer, WarningArguments};

/// Memory for embeddings while windows are planned: the zoom-out window is encoded for the plan, and written afterwards.
const PLAN_CACHE_BYTES: usize = 64 << 20;

const EXAMPLES: &str = "\
Examples:
  One vector for a scan: the mean over the tokens of the whole body in one window:
    segvol embed -i ct.nii.gz -m bundle -o ct.safetensors
  A vector for each window of a lattice over the body, without overlap, for retrieval:
    segvol embed -i ct.nii.gz -m bundle -o ct.safetensors --windows grid --effort fast
  Every token of the windows that a segmentation of the liver looks at, in float16:
    segvol embed -i ct.nii.gz -m bundle -o liver.safetensors --windows plan --text liver --pool none --dtype float16
  For NumPy alone, with the geometry in ct.json:
    segvol embed -i ct.nii.gz -m bundle -o ct.npy

In Python:
  from safetensors.numpy import load_file
  found = load_file('ct.safetensors')
  found['embeddings']   # [windows, channels], or [windows, D, H, W, channels] with --pool none
  found['affine'][0] @ [d, h, w, 1]   # where token (d, h, w) of the first window is, in millimetres (x, y, z, 1)
docs/embeddings.md describes all tensors.";

/// Write the image encoder's output for a scan, with the place of every token, for classifiers and retrieval
///
/// Embeddings allow conclusions about the scan: they are as private as the scan.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Embed {
    /// The scan: NIfTI, NRRD, MetaImage, or a DICOM series
    #[arg(short, long, value_name = "FILE")]
    input: PathBuf,
    /// The bundle that `segvol convert` made
    #[arg(short, long, value_name = "DIR")]
    model: PathBuf,

    /// Embeddings: .safetensors with their geometry and a record, or .npy with these in a .json file beside it
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: PathBuf,
    /// Which windows are encoded
    #[arg(long, value_enum, default_value_t = Windows::ZoomOut, help_heading = "Output")]
    windows: Windows,
    /// What is kept of a window's tokens
    #[arg(long, value_enum, default_value_t = Pool::Mean, help_heading = "Output")]
    pool: Pool,
    /// Type of the numbers: float32 or float16
    #[arg(long, value_name = "TYPE", default_value_t = FloatType::Float32, help_heading = "Output")]
    dtype: FloatType,
    /// No progress bar and no summary; warnings are still printed
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,

    #[command(flatten)]
    prompts: PromptArguments,
    #[command(flatten)]
    warnings: WarningArguments,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    measured: MeasuredArguments,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Windows {
    /// One window: the whole body, resized
    ZoomOut,
    /// That window, and those in which a segmentation of the objects looks; with --text, --point, --box or --prompts
    Plan,
    /// Windows at full resolution over the whole body, which overlap as --effort or --overlap says
    Grid,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pool {
    /// Their mean: one vector for each window
    Mean,
    /// All tokens, in their grid
    None,
}

impl Embed {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let prompts = self.read_prompts()?;
        let mut warnings = self.warnings.printer();
        warnings.print_all(&self.check_outputs()?);
        let (options, study_options) = (self.settings.machine().options()?, self.study_options()?);
        swapped::check(("-i", &self.input), ("-m", &self.model))?;
        let volume = Volume::open_with(&self.input, &self.settings.read_options()).map_err(segvol::Error::from)?;
        let options = self.measured.apply(&self.model, options, &mut warnings)?;
        let model = Model::open(&self.model, &options)?;
        warnings.print_all(&model.name_warnings(&prompts));
        let study =
            model.study_with(volume, &study_options).with_context(|| format!("scan `{}`", self.input.display()))?;
        warnings.print_all(study.warnings());
        warnings.print_all(&model.stages().precision_warning());

        let windows = self.windows_of(&study, model.stages().architecture().window_dhw, &prompts, &mut warnings)?;
        let bar = progress::of_windows(self.quiet);
        bar.set_length(windows.len() as u64);
        let settings = segvol_embed::Settings { choice: self.choice(), pool: self.pool.into(), dtype: self.dtype };
        let shape = segvol_embed::save(&self.output, &model, &study, &windows, &settings, &mut |done| {
            bar.set_position(done as u64);
            ControlFlow::Continue(())
        });
        bar.finish_and_clear();
        let shape = shape?;
        warnings.print_all(&study.embedding_warnings());
        if !self.quiet {
            let statistics = study.statistics();
            writeln!(out, "{}: {shape:?} {}", printable_path(&self.output), self.dtype)?;
            let (encoded, loaded) = (statistics.windows_encoded, statistics.windows_loaded);
            let stages = model.stages();
            let provider = stages.providers()[&segvol::Stage::ImageEncoder];
            let precision = stages.precision();
            writeln!(out, "{encoded} windows encoded, {loaded} loaded, on {provider} at {precision}")?;
            measured::summarise(out, model.measured())?;
        }
        Ok(warnings.finish()?)
    }

    /// The objects whose windows are wanted; none unless windows are planned.
    fn read_prompts(&self) -> anyhow::Result<Vec<Prompt>> {
        if self.windows == Windows::Plan {
            return self.prompts.read();
        }
        match self.prompts.first_given() {
            None => Ok(Vec::new()),
            Some(option) => {
                let message = format!("{option}: only the windows of --windows plan depend on objects");
                Err(Usage(message).into())
            }
        }
    }

    /// The windows, in their order.
    fn windows_of(
        &self,
        study: &Study,
        window: [usize; 3],
        prompts: &[Prompt],
        warnings: &mut Printer,
    ) -> anyhow::Result<Vec<WindowKey>> {
        Ok(match self.windows {
            Windows::ZoomOut => vec![WindowKey::ZoomOut],
            Windows::Grid => segvol_embed::lattice_windows(study, window),
            Windows::Plan => {
                let (windows, found) = segvol_embed::planned_windows(study, prompts, &Cancellation::new())?;
                warnings.print_all(found.iter().filter(|warning| !names::is_about_names(warning.code)));
                windows
            }
        })
    }

    fn choice(&self) -> Choice {
        match self.windows {
            Windows::ZoomOut => Choice::ZoomOut,
            Windows::Plan => Choice::Plan,
            Windows::Grid => Choice::Grid,
        }
    }

    /// How the scan is prepared. Options that change nothing here are refused.
    fn study_options(&self) -> anyhow::Result<StudyOptions> {
        let given = self.settings.given();
        let useful: &[&str] = match self.windows {
            Windows::ZoomOut => &[],
            Windows::Grid => &["--effort", "--overlap"],
            Windows::Plan => &["--effort", "--overlap", "--independent"],
        };
        if let Some(option) = given.into_iter().find(|option| !useful.contains(option)) {
            let windows = self.windows.to_possible_value();
            let windows = windows.as_ref().map_or("", |value| value.get_name());
            return Err(Usage(format!("{option}: changes nothing with --windows {windows}")).into());
        }
        let options = self.settings.study_options_of_one_call()?;
        let needs_cache = self.windows == Windows::Plan && options.cache_bytes == 0;
        Ok(if needs_cache { options.cache_bytes(PLAN_CACHE_BYTES) } else { options })
    }

    /// Reports what cannot work before the work starts.
    fn check_outputs(&self) -> anyhow::Result<Vec<Warning>> {
        not_standard_output("--output", &self.output)?;
        Format::of_name(&self.output)?;
        let mut files = Files::default();
        files.input("--input", &self.input);
        files.bundle("--model", &self.model);
        files.input_if("--prompts", self.prompts.file());
        files.input_if("--library", self.settings.machine().library());
        self.measured.check(self.settings.machine().provider(), &mut files)?;
        files.output("--output", &self.output);
        if let Some(beside) = sidecar(&self.output) {
            files.output("--output (its geometry)", &beside);
        }
        files.cache_if("--embeddings", self.settings.machine().embeddings());
        Ok(files.check()?)
    }
}

impl From<Pool> for segvol_embed::Pool {
    fn from(pool: Pool) -> Self {
        match pool {
            Pool::Mean => Self::Mean,
            Pool::None => Self::None,
        }
    }
}
