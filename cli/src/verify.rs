//! `segvol verify`

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use segvol::{Options, Provider};
use segvol_measure::library::NamedLibrary;
use segvol_measure::scans::Scans;
use segvol_measure::{Libraries, Record, Verification, table};
use segvol_onnx::Precision;

use crate::exit::{Child, NotEqual, Usage};
use crate::measuring::{here, read_prompts, this_program};

const EXAMPLES: &str = "\
Examples:
  OpenVINO against the CPU provider, stage by stage:
    segvol verify bundle --provider openvino
  The same, and masks of a scan from end to end:
    segvol verify bundle --provider openvino -i ct.nii.gz --prompts objects.json
  Two bundles of one checkpoint:
    segvol verify new-bundle --against old-bundle
  Against what the released code gave (see scripts/verify_against_torch.py):
    segvol verify bundle --goldens torch.safetensors

Each stage is fed with the reference's own inputs, so that it answers for itself alone. The tolerances, and why they
are what they are, are printed with --reasons; docs/verify.md has them too. Exit code 3: not equal.";

/// Show that a bundle on a provider gives the same numbers as a reference
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    /// The bundle that `segvol convert` made
    bundle: PathBuf,
    /// Where the graphs run; several, separated by commas, are compared one after the other
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "cpu",
        value_name = "PROVIDER",
        help_heading = "What is verified"
    )]
    provider: Vec<Provider>,
    /// Scan that is segmented from end to end; may be given several times
    #[arg(short, long, value_name = "FILE", help_heading = "What is verified")]
    input: Vec<PathBuf>,
    /// Objects to segment in the scans, as for `segvol segment` [default: a liver by name, the scan's middle by box]
    #[arg(long, value_name = "FILE", requires = "input", help_heading = "What is verified")]
    prompts: Option<PathBuf>,

    /// Stage outputs of a reference, safetensors
    #[arg(long, value_name = "FILE", conflicts_with_all = ["against", "against_provider"], help_heading = "What it is compared with")]
    goldens: Option<PathBuf>,
    /// Another bundle of the same model [default: the same bundle]
    #[arg(long, value_name = "DIR", help_heading = "What it is compared with")]
    against: Option<PathBuf>,
    /// The provider of the reference [default: cpu]
    #[arg(long, value_name = "PROVIDER", help_heading = "What it is compared with")]
    against_provider: Option<Provider>,
    /// The precision to verify, which the bundle must hold
    #[arg(long, value_name = "PRECISION", default_value_t = Precision::Fp32)]
    precision: Precision,
    /// The reference's precision
    #[arg(long, value_name = "PRECISION", default_value_t = Precision::Fp32)]
    against_precision: Precision,

    /// Write the stage outputs of the bundle instead of comparing them; another run takes them as --goldens
    #[arg(long, value_name = "FILE", conflicts_with_all = ["goldens", "against", "against_provider", "json"])]
    dump: Option<PathBuf>,
    /// Print every output that was compared, as JSON
    #[arg(long)]
    json: bool,
    /// Say why each tolerance is what it is
    #[arg(long, conflicts_with = "json")]
    reasons: bool,

    /// Threads per graph; as many as there are cores if not given
    #[arg(long, value_name = "N", help_heading = "Machine")]
    threads: Option<usize>,
    /// ONNX Runtime's library, for all providers or for one; may be given several times
    /// [default: .onnxruntime/FLAVOUR/ for a provider that has a library of its own, else as `segvol segment`]
    #[arg(long, value_name = "[PROVIDER=]FILE", help_heading = "Machine")]
    library: Vec<NamedLibrary>,
}

impl Verify {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let prompts = self.prompts.as_deref().map(read_prompts).transpose()?;
        let scans = Scans { files: self.input.clone(), prompts: prompts.unwrap_or_default() };
        if let Some(path) = &self.dump {
            let [provider] = self.provider[..] else {
                return Err(Usage("--dump is for one --provider".to_owned()).into());
            };
            let record = segvol_measure::verify::dump(&self.bundle, &self.options(provider), &scans)?;
            record.write(path)?;
            let count = record.tensors.len() + record.masks.len();
            writeln!(out, "wrote {}: {count} arrays", path.display())?;
            return Ok(());
        }

        let folder = segvol_base::TemporaryFolder::new().context("a temporary folder")?;
        let reference = match &self.goldens {
            Some(path) => path.clone(),
            None => self.make_reference(folder.path())?,
        };
        let mut found = Vec::new();
        if let [provider] = self.provider[..] {
            let record = Record::read(&reference)?;
            found.push(segvol_measure::verify(&self.bundle, &self.options(provider), &scans, &record)?);
        } else {
            for &provider in &self.provider {
                found.push(self.verify_elsewhere(provider, &reference)?);
            }
        }
        if self.json {
            match &found[..] {
                [one] => serde_json::to_writer_pretty(&mut *out, one)?,
                several => serde_json::to_writer_pretty(&mut *out, several)?,
            }
            writeln!(out)?;
        } else {
            for found in &found {
                self.show(out, found)?;
            }
        }
        out.flush()?;
        let failed: Vec<String> = found.iter().filter(|found| !found.passed()).map(explain).collect();
        if failed.is_empty() { Ok(()) } else { Err(NotEqual(failed.join("; ")).into()) }
    }

    fn options(&self, provider: Provider) -> Options {
        let mut options = Options::default().provider(provider);
        options.precision = Some(self.precision);
        options.threads = self.threads;
        options.library = Libraries::new(self.library.clone()).of(provider, &here());
        options
    }

    /// The reference's stage outputs, made by a process of its own: it may need another library.
    fn make_reference(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let provider = self.against_provider.unwrap_or(Provider::Cpu);
        let same = self.provider == [provider] && self.precision == self.against_precision;
        if self.against.is_none() && same {
            let message = "nothing to compare with: give another --provider or --precision, --against, --against-provider or --goldens";
            return Err(Usage(message.to_owned()).into());
        }
        let path = folder.join("reference.safetensors");
        let mut command =
            self.command(self.against.as_deref().unwrap_or(&self.bundle), provider, self.against_precision)?;
        command.arg("--dump").arg(&path).stdout(Stdio::null());
        let status = command.status().context("the process that makes the reference")?;
        if status.success() {
            return Ok(path);
        }
        let message = format!("the reference, on provider `{provider}`, could not be made (see above)");
        Err(Child { message, code: status.code() }.into())
    }

    fn verify_elsewhere(&self, provider: Provider, reference: &Path) -> anyhow::Result<Verification> {
        let mut command = self.command(&self.bundle, provider, self.precision)?;
        command.arg("--goldens").arg(reference).arg("--json").stdout(Stdio::piped());
        let output = command.stderr(Stdio::inherit()).output().context("the process of a provider")?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let message = format!("provider `{provider}` could not be verified (see above)");
            Child { message, code: output.status.code() }.into()
        })
    }

    fn command(&self, bundle: &Path, provider: Provider, precision: Precision) -> anyhow::Result<Command> {
        let mut command = Command::new(this_program()?);
        command.arg("verify").arg(bundle).args(["--provider", provider.name(), "--precision", precision.name()]);
        if let Some(threads) = self.threads {
            command.args(["--threads", &threads.to_string()]);
        }
        if let Some(library) = Libraries::new(self.library.clone()).of(provider, &here()) {
            command.arg("--library").arg(library);
        }
        for input in &self.input {
            command.arg("--input").arg(input);
        }
        if let Some(prompts) = &self.prompts {
            command.arg("--prompts").arg(prompts);
        }
        Ok(command)
    }

    fn show(&self, out: &mut impl Write, found: &Verification) -> anyhow::Result<()> {
        let tell = |side: &std::collections::BTreeMap<String, String>| {
            let parts = ["bundle", "provider", "precision"].map(|key| side.get(key).map_or("?", String::as_str));
            parts.join(", ")
        };
        writeln!(out, "verified   {}", tell(&found.subject))?;
        writeln!(out, "reference  {}", tell(&found.reference))?;
        write!(out, "{}", table::of_verification(found).to_text())?;
        if self.reasons {
            for check in found.worst() {
                writeln!(out, "{}: {}", check.stage, check.reason)?;
            }
        }
        for name in &found.not_compared {
            writeln!(out, "not compared: {name}")?;
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
