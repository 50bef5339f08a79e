//! `segvol verify`

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use segvol::Provider;
use segvol_base::{Warning, printable, printable_path};
use segvol_measure::library::NamedLibrary;
use segvol_measure::{Comparison, Reference, Verification, table};
use segvol_onnx::Precision;

use crate::exit::{NotEqual, Usage};
use crate::measuring::{BundleArgument, libraries, print_json, this_program};
use crate::outputs::Files;
use crate::prompts::prompts_text;
use crate::settings::ReadArguments;
use crate::{swapped, warnings};

const EXAMPLES: &str = "\
Examples:
  Compare OpenVINO with the CPU provider, stage by stage:
    segvol verify -m bundle --provider openvino
  The same, and also compare masks of a scan:
    segvol verify -m bundle --provider openvino -i ct.nii.gz --prompts objects.json
  Compare two bundles made from the same checkpoint:
    segvol verify -m new-bundle --against old-bundle
  Compare with the output of the released code (see scripts/verify_against_torch.py):
    segvol verify -m bundle --goldens torch.safetensors

Each stage gets the reference's outputs of the stages before it, so an error in one stage does not show up in the next.
--reasons prints why each tolerance has its value.
Exit code 3: not equal.";

/// Show that a bundle on a provider gives the same numbers as a reference
#[derive(Debug, clap::Args)]
#[command(override_usage = "segvol verify [OPTIONS] --model <BUNDLE>", after_help = EXAMPLES)]
pub(crate) struct Verify {
    #[command(flatten)]
    bundle: BundleArgument,
    /// Providers to compare, one after the other, separated by commas; may be given several times
    #[arg(long, value_delimiter = ',', default_value = "cpu", value_name = "LIST", help_heading = "What is compared")]
    provider: Vec<Provider>,
    /// The precision to compare; the bundle must contain it
    #[arg(long, value_name = "PRECISION", default_value_t = Precision::Fp32, help_heading = "What is compared")]
    precision: Precision,
    /// A scan to segment from file to mask; may be given several times
    #[arg(short, long, value_name = "FILE", help_heading = "What is compared")]
    input: Vec<PathBuf>,
    /// What to segment in the scans, as for `segvol segment` [default: "liver" by text, and the middle of the scan by box]
    #[arg(long, value_name = "FILE", requires = "input", help_heading = "What is compared")]
    prompts: Option<PathBuf>,
    #[command(flatten)]
    read: ReadArguments,

    /// Stage outputs of another program or machine: a safetensors file (docs/stage-outputs.md)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["against", "against_provider"], help_heading = "The reference")]
    goldens: Option<PathBuf>,
    /// Another bundle of the same model [default: the same bundle]
    #[arg(long, value_name = "BUNDLE", help_heading = "The reference")]
    against: Option<PathBuf>,
    /// The provider of the reference [default: cpu]
    #[arg(long, value_name = "PROVIDER", help_heading = "The reference")]
    against_provider: Option<Provider>,
    /// The precision of the reference
    #[arg(long, value_name = "PRECISION", default_value_t = Precision::Fp32, help_heading = "The reference")]
    against_precision: Precision,

    /// Write the stage outputs of the bundle to a file instead of comparing them, for --goldens of another run
    #[arg(long, value_name = "FILE", conflicts_with_all = ["goldens", "against", "against_provider", "json"])]
    dump: Option<PathBuf>,
    /// Print every compared output as JSON
    #[arg(long)]
    json: bool,
    /// Print why each tolerance has its value
    #[arg(long, conflicts_with = "json")]
    reasons: bool,

    /// Threads per graph [default: the cores that this process may use]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    threads: Option<usize>,
    /// ONNX Runtime's library or the folder that has it, for all providers or for one; may be given several times
    /// [default: for openvino, cuda and tensorrt, the flavour that `segvol setup` or scripts/get-onnxruntime fetched for them;
    /// otherwise as for `segvol segment`]
    #[arg(long, value_name = "[PROVIDER=]PATH", help_heading = "Machine")]
    library: Vec<NamedLibrary>,
}

impl Verify {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let comparison = self.comparison()?;
        self.check_files(&comparison.bundle)?.iter().for_each(|warning| warnings::say("", warning));
        if let Some(path) = &self.dump {
            return self.write_outputs(out, &comparison, path);
        }
        if comparison.is_with_itself() {
            let message = "nothing to compare with: give another --provider or --precision, --against, --against-provider or --goldens";
            return Err(Usage(message.to_owned()).into());
        }
        let found = comparison.run()?;
        if self.json {
            match &found[..] {
                [one] => print_json(out, one)?,
                several => print_json(out, &several)?,
            }
        } else {
            for found in &found {
                self.show(out, found)?;
            }
        }
        out.flush()?;
        let failed: Vec<String> = found.iter().filter(|found| !found.passed()).map(explain).collect();
        if failed.is_empty() { Ok(()) } else { Err(NotEqual(failed.join("; ")).into()) }
    }

    fn comparison(&self) -> anyhow::Result<Comparison> {
        let bundle = self.bundle.path().ok_or_else(|| Usage("no bundle: give --model BUNDLE".to_owned()))?;
        for scan in &self.input {
            swapped::check(("-i", scan), ("-m", bundle))?;
        }
        let reference = match &self.goldens {
            Some(path) => Reference::File(path.clone()),
            None => Reference::Run {
                bundle: self.against.clone(),
                provider: self.against_provider.unwrap_or(Provider::Cpu),
                precision: self.against_precision,
            },
        };
        Ok(Comparison {
            bundle: bundle.to_owned(),
            providers: self.provider.clone(),
            precision: self.precision,
            reference,
            scans: self.input.clone(),
            prompts: self.prompts.as_deref().map(prompts_text).transpose()?,
            read: self.read.options(),
            threads: self.threads,
            libraries: libraries(&self.library),
            program: this_program()?,
        })
    }

    fn write_outputs(&self, out: &mut impl Write, comparison: &Comparison, path: &Path) -> anyhow::Result<()> {
        let [provider] = self.provider[..] else {
            return Err(Usage("--dump needs exactly one --provider".to_owned()).into());
        };
        let record = comparison.side(provider).dump()?;
        record.write(path).map_err(segvol_measure::Error::from)?;
        let count = record.tensors.len() + record.masks.len();
        writeln!(out, "wrote {}: {count} arrays", printable_path(path))?;
        Ok(())
    }

    /// Reports what would replace an input, or cannot be written, before the work starts.
    fn check_files(&self, bundle: &Path) -> Result<Vec<Warning>, Usage> {
        let mut files = Files::default();
        files.bundle("--model", bundle);
        if let Some(other) = &self.against {
            files.bundle("--against", other);
        }
        self.input.iter().for_each(|scan| files.input("--input", scan));
        files.input_if("--prompts", self.prompts.as_ref());
        files.input_if("--goldens", self.goldens.as_ref());
        self.library.iter().for_each(|library| files.input("--library", library.file()));
        files.output_if("--dump", self.dump.as_ref());
        files.check()
    }

    fn show(&self, out: &mut impl Write, found: &Verification) -> anyhow::Result<()> {
        let describe = |side: &BTreeMap<String, String>| {
            let parts = ["bundle", "provider", "precision"].map(|key| side.get(key).map_or("?", String::as_str));
            printable(&parts.join(", ")).into_owned()
        };
        writeln!(out, "verified   {}", describe(&found.subject))?;
        writeln!(out, "reference  {}", describe(&found.reference))?;
        write!(out, "{}", table::of_verification(found).to_text())?;
        if self.reasons {
            for check in found.worst() {
                writeln!(out, "{}: {}", check.stage, check.reason)?;
            }
        }
        for name in &found.not_compared {
            writeln!(out, "not compared: {}", printable(name))?;
        }
        Ok(())
    }
}

fn explain(found: &Verification) -> String {
    let provider = found.subject.get("provider").map_or("?", String::as_str);
    match &found.failed()[..] {
        [] => format!("provider `{provider}`: nothing could be compared"),
        stages => format!("provider `{provider}`: not equal in {}", stages.join(", ")),
    }
}
