//! Options of every command that runs a bundle on scans.

use std::path::PathBuf;

use clap::ValueEnum;
use segvol::{Options, Precision, Provider, StudyOptions};
use segvol_onnx::Stage;

/// How scans are segmented, and on what.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// Stop after the zoom-out pass: fast and coarse
    #[arg(long, help_heading = "Method")]
    no_zoom: bool,
    /// Share of a window that the next one covers too, per axis: 0 to 0.95
    #[arg(long, default_value_t = 0.5, help_heading = "Method")]
    overlap: f64,
    /// Axes that the model sees: the patient's, or as the file stores them
    #[arg(long, value_enum, default_value_t = Orientation::Ras, help_heading = "Method")]
    orientation: Orientation,
    /// Windows and prompts of the zoom-in pass: `default` shares windows between objects, `released` is the released
    /// code to the letter
    #[arg(long, value_enum, default_value_t = Profile::Default, help_heading = "Method")]
    profile: Profile,

    /// Where the graphs run: auto, cpu, cuda, tensorrt, openvino, coreml, directml, rocm, migraphx, xnnpack, webgpu; one
    /// that is missing is an error, `auto` may choose. `segvol providers` shows what is there
    #[arg(long, default_value_t = Provider::Auto, help_heading = "Machine")]
    provider: Provider,
    /// Where one stage runs, if elsewhere, as in mask_decoder=cpu; may be given several times
    #[arg(long, value_name = "STAGE=PROVIDER", value_parser = parse_stage_provider, help_heading = "Machine")]
    stage_provider: Vec<(Stage, Provider)>,
    /// An option of the provider, as in precision=bf16, or of any, as in cuda.device=1; may be given several times. A
    /// wrong key lists the right ones
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Machine")]
    provider_option: Vec<String>,
    /// Which of the bundle's precisions is run: fp32, fp16 or int8; if not given, fp16 on CUDA and TensorRT, fp32
    /// elsewhere, and another only where the bundle lacks it
    #[arg(long, value_name = "PRECISION", help_heading = "Machine")]
    precision: Option<Precision>,
    /// Threads per graph; as many as there are cores if not given
    #[arg(long, value_name = "N", help_heading = "Machine")]
    threads: Option<usize>,
    /// Memory for image embeddings, in MiB; with too little, windows are encoded again, with the same result. 2048 if
    /// not given, and 0 in `segment`, which meets no window twice
    #[arg(long, value_name = "MIB", help_heading = "Machine")]
    cache_mb: Option<usize>,
    /// ONNX Runtime's library; else ORT_DYLIB_PATH, else beside this program, else the system's
    #[arg(long, value_name = "FILE", help_heading = "Machine")]
    library: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Orientation {
    /// The nearest of the patient's axes: one patient gives one mask, however the file stores it
    Ras,
    /// As the file stores them: what the released demo does
    Stored,
}

#[derive(Clone, Copy, ValueEnum)]
enum Profile {
    Default,
    Released,
}

impl Settings {
    /// How the bundle is opened.
    pub(crate) fn options(&self) -> anyhow::Result<Options> {
        let mut options = Options::default().provider(self.provider);
        options.precision = self.precision;
        options.threads = self.threads;
        options.library = self.library.clone();
        options.stage_providers = self.stage_provider.iter().copied().collect();
        for text in &self.provider_option {
            options.provider_options.set(self.provider, text)?;
        }
        Ok(options)
    }

    /// How scans are segmented.
    pub(crate) fn study_options(&self) -> anyhow::Result<StudyOptions> {
        let mut options = StudyOptions::default()
            .orientation(self.orientation.into())
            .profile(self.profile.into())
            .zoom_in(!self.no_zoom)
            .overlap(self.overlap);
        if let Some(mebibytes) = self.cache_mb {
            options.cache_bytes = mebibytes.saturating_mul(1 << 20);
        }
        options.check()?;
        Ok(options)
    }

    /// As [`Settings::study_options`], for a study of one call: it keeps no embeddings unless the user asks for a cache.
    pub(crate) fn study_options_of_one_call(&self) -> anyhow::Result<StudyOptions> {
        let options = self.study_options()?;
        Ok(if self.cache_mb.is_some() { options } else { options.cache_bytes(0) })
    }
}

fn parse_stage_provider(text: &str) -> Result<(Stage, Provider), String> {
    let stages =
        || format!("expected STAGE=PROVIDER, where STAGE is one of {}", Stage::ALL.map(Stage::name).join(", "));
    let (stage, provider) = text.split_once('=').ok_or_else(stages)?;
    let stage = Stage::ALL.into_iter().find(|known| known.name() == stage).ok_or_else(stages)?;
    Ok((stage, provider.parse()?))
}

impl From<Orientation> for segvol::Orientation {
    fn from(orientation: Orientation) -> Self {
        match orientation {
            Orientation::Ras => Self::Ras,
            Orientation::Stored => Self::Stored,
        }
    }
}

impl From<Profile> for segvol::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Default => Self::Default,
            Profile::Released => Self::Released,
        }
    }
}
