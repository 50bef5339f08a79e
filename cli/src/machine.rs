//! Options that say where and with what the graphs run. None of them is about what is computed.

use std::path::PathBuf;

use segvol::{Options, Precision, Provider, StudyOptions};
use segvol_onnx::Stage;

/// Where and with what the graphs run.
#[derive(Debug, clap::Args)]
pub(crate) struct MachineArguments {
    /// Where the graphs run: auto, cpu, cuda, tensorrt, openvino, coreml, directml, rocm, migraphx, xnnpack or webgpu. `auto`
    /// chooses; any other provider that is not available is an error. `segvol providers` shows which are available
    #[arg(long, default_value_t = Provider::Auto, help_heading = "Machine")]
    provider: Provider,
    /// Another provider for one stage, for example mask_decoder=cpu; can be repeated, or a list with commas
    #[arg(long, value_name = "STAGE=PROVIDER", value_delimiter = ',', value_parser = parse_stage_provider, help_heading = "Machine")]
    stage_provider: Vec<(Stage, Provider)>,
    /// An option of the provider, for example precision=bf16, or of a named one, for example cuda.device=1; can be
    /// repeated. The error for an unknown key lists the known ones
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Machine")]
    provider_option: Vec<String>,
    /// Which of the bundle's precisions to run: fp32, fp16 or int8 [default: fp16 on CUDA and TensorRT, else fp32; another
    /// if the bundle does not have it]
    #[arg(long, value_name = "PRECISION", help_heading = "Machine")]
    precision: Option<Precision>,
    /// Threads per graph [default: the cores that this process may use, by affinity, cpuset and quota]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    threads: Option<usize>,
    /// Memory for image embeddings, in MiB. With less memory some windows are encoded again; the result is the same
    /// [default: 2048; 512 for each session of `serve`; 0 in `segment` and `cohort`, which need no window twice]
    #[arg(long, alias = "cache-mb", value_name = "MIB", help_heading = "Machine")]
    cache_mib: Option<usize>,
    /// Folder for image embeddings: the next run with the same scan and bundle reads them, and encodes no window twice. It is made
    /// if it does not exist, can be deleted at any time, and is as private as the scan
    #[arg(long, value_name = "DIR", help_heading = "Machine")]
    embeddings: Option<PathBuf>,
    /// Size of this folder at most, in MiB: the least recently used embeddings are deleted first [default: 20480]
    #[arg(long, value_name = "MIB", requires = "embeddings", help_heading = "Machine")]
    embeddings_mib: Option<u64>,
    /// ONNX Runtime's library, or the folder that has it [default: ORT_DYLIB_PATH, else the first that is found; `segvol
    /// providers` shows where]
    #[arg(long, value_name = "PATH", help_heading = "Machine")]
    library: Option<PathBuf>,
}

impl MachineArguments {
    /// ONNX Runtime's library, if it is named.
    pub(crate) fn library(&self) -> Option<&PathBuf> {
        self.library.as_ref()
    }

    /// The requested provider.
    pub(crate) fn provider(&self) -> Provider {
        self.provider
    }

    /// The folder for image embeddings, if there is one.
    pub(crate) fn embeddings(&self) -> Option<&PathBuf> {
        self.embeddings.as_ref()
    }

    /// Whether the user asks for a cache of embeddings.
    pub(crate) fn has_cache(&self) -> bool {
        self.cache_mib.is_some()
    }

    /// How the bundle is opened.
    pub(crate) fn options(&self) -> anyhow::Result<Options> {
        self.changed(Options::default())
    }

    /// How the model is opened where other work always waits for a core: idle threads of the graphs leave it, unless an option says
    /// otherwise.
    pub(crate) fn options_beside_other_work(&self) -> anyhow::Result<Options> {
        let mut options = Options::default();
        options.provider_options.cpu.spin = false;
        self.changed(options)
    }

    fn changed(&self, options: Options) -> anyhow::Result<Options> {
        let mut options = options.provider(self.provider);
        options.precision = self.precision;
        options.threads = self.threads;
        options.library = self.library.clone();
        options.stage_providers = self.stage_provider.iter().copied().collect();
        for text in &self.provider_option {
            options.provider_options.set(self.provider, text)?;
        }
        Ok(options)
    }

    /// Adds where embeddings are kept.
    pub(crate) fn apply(&self, mut options: StudyOptions) -> StudyOptions {
        if let Some(mebibytes) = self.cache_mib {
            options.cache_bytes = mebibytes.saturating_mul(1 << 20);
        }
        options.embeddings = self.embeddings.clone();
        if let Some(mebibytes) = self.embeddings_mib {
            options.embeddings_bytes = mebibytes.saturating_mul(1 << 20);
        }
        options
    }
}

fn parse_stage_provider(text: &str) -> Result<(Stage, Provider), String> {
    let (stage, provider) = text.split_once('=').unwrap_or((text, ""));
    let named = |error: String| format!("expected STAGE=PROVIDER; {error}");
    Ok((stage.parse().map_err(named)?, provider.parse().map_err(named)?))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        machine: MachineArguments,
    }

    fn machine(arguments: &str) -> Result<MachineArguments, clap::Error> {
        let line = std::iter::once("segvol").chain(arguments.split_whitespace());
        Line::try_parse_from(line).map(|line| line.machine)
    }

    #[test]
    fn threads_leave_the_core_to_other_work_unless_they_are_told_to_spin() {
        let spin = |arguments: &str| {
            let machine = machine(arguments).expect("arguments");
            let both = [machine.options(), machine.options_beside_other_work()];
            both.map(|options| options.expect("options").provider_options.cpu.spin)
        };
        assert_eq!(spin(""), [true, false]);
        assert_eq!(spin("--provider-option cpu.spin=on"), [true, true]);
        assert_eq!(spin("--provider-option cpu.spin=off"), [false, false]);
    }

    #[test]
    fn stages_take_both_spellings_in_lists_and_repeats() {
        let line = "--stage-provider image-encoder=cpu,mask_decoder=cuda --stage-provider text_encoder=openvino";
        let options = machine(line).expect("valid").options().expect("valid");
        let expected = [
            (Stage::ImageEncoder, Provider::Cpu),
            (Stage::TextEncoder, Provider::OpenVino),
            (Stage::MaskDecoder, Provider::Cuda),
        ];
        assert_eq!(options.stage_providers, expected.into_iter().collect());
        for wrong in ["decoder=cpu", "image_encoder=gpu", "image_encoder"] {
            assert!(machine(&format!("--stage-provider {wrong}")).is_err(), "{wrong}");
        }
    }
}
