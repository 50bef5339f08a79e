//! `segvol segfm`

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use segvol::{Model, StudyOptions};
use segvol_base::{is_leftover, printable, printable_path};
use segvol_segfm::{Case, SegfmError, Segmented, segment};
use serde_json::json;

use crate::exit::{BadInput, Usage};
use crate::log::{self, Level};
use crate::machine::MachineArguments;
use crate::measured::MeasuredArguments;
use crate::outputs::Files;
use crate::swapped;
use crate::warnings::{Printer, WarningArguments};

const EXAMPLES: &str = "\
Examples:
  One case:
    segvol segfm -i case.npz -m bundle -o outputs/
  All cases of the folder inputs/, as the challenge mounts it, to the folder outputs/:
    segvol segfm -m bundle

A case file has the scan `imgs`, [D, H, W], and the pickled dictionaries `boxes`, which are read and never run. The label map `segs` has
the shape and the type of `imgs`: 0, or the place of a box in the file; a later box overwrites an earlier one. If a case fails, the
reason is printed, the other cases continue, and the exit code is 1.";

/// Segment case files of the CVPR 2025 challenge (SegFM), as its entry of SegVol does
///
/// The masks are those of SegVol-for-SegFM, with --profile segfm: one box for each object. Research software, not a medical device.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Segfm {
    /// A case file, .npz, or a folder of them
    #[arg(short, long, value_name = "FILE|DIR", default_value = "inputs")]
    input: PathBuf,
    /// The bundle that `segvol convert` made
    #[arg(short, long, value_name = "DIR")]
    model: PathBuf,
    /// Folder for one label map per case, with the name of the case file; it is made if it does not exist
    #[arg(short, long, value_name = "DIR", default_value = "outputs", help_heading = "Output")]
    output: PathBuf,
    /// No summary; warnings are still printed
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,
    #[command(flatten)]
    warnings: WarningArguments,
    #[command(flatten)]
    machine: MachineArguments,
    #[command(flatten)]
    measured: MeasuredArguments,
}

impl Segfm {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        swapped::check(("-i", &self.input), ("-m", &self.model))?;
        let cases = self.cases()?;
        let mut warnings = self.warnings.printer();
        warnings.print_all(&self.check_files(&cases)?);
        let options = self.measured.apply(&self.model, self.machine.options()?, &mut warnings)?;
        let study_options = self.machine.apply(StudyOptions::default());
        let model = Model::open(&self.model, &options)?;
        segvol_base::create_folder(&self.output).with_context(|| format!("folder `{}`", self.output.display()))?;
        let mut failed = 0;
        for (input, output) in &cases {
            match self.case(&model, input, output, &study_options) {
                Ok(done) => self.report(out, input, &done, &mut warnings)?,
                // A single case fails the command with the exit code of its own error.
                Err(error) if cases.len() == 1 => return Err(error),
                Err(error) => {
                    failed += 1;
                    let (name, reason) = (printable_path(input), format!("{error:#}"));
                    log::say(Level::Error, &printable(&reason), &reason, json!({"case": &*name}));
                }
            }
        }
        if failed > 0 {
            anyhow::bail!("{failed} of {} cases failed", cases.len());
        }
        Ok(warnings.finish()?)
    }

    fn case(&self, model: &Model, input: &Path, output: &Path, options: &StudyOptions) -> anyhow::Result<Segmented> {
        let case = Case::read(input)?;
        let done = segment(model, case, options).map_err(|error| match error {
            SegfmError::Run(error) => anyhow::Error::from(error).context(format!("case `{}`", input.display())),
            other => other.into(),
        })?;
        done.label_map.save(output).with_context(|| format!("label map `{}`", output.display()))?;
        Ok(done)
    }

    fn report(
        &self,
        out: &mut impl Write,
        input: &Path,
        done: &Segmented,
        warnings: &mut Printer,
    ) -> anyhow::Result<()> {
        let name = printable_path(input);
        done.warnings.iter().for_each(|warning| warnings.print(&format!("case `{name}`: "), warning));
        if !self.quiet {
            let boxes = done.boxes;
            let (boxes_word, windows_word) =
                (if boxes == 1 { "box" } else { "boxes" }, if done.windows == 1 { "window" } else { "windows" });
            let seconds = done.time.as_secs_f64();
            writeln!(out, "{name}: {boxes} {boxes_word}, {} {windows_word} encoded, {seconds:.1} s", done.windows)?;
        }
        Ok(())
    }

    /// The case files with the files of their label maps, sorted by name.
    fn cases(&self) -> anyhow::Result<BTreeMap<PathBuf, PathBuf>> {
        let bad = |reason: String| BadInput { path: self.input.display().to_string(), reason };
        let is_case = |path: &Path| {
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz")) && !is_leftover(path)
        };
        let files: Vec<PathBuf> = if self.input.is_dir() {
            let entries = std::fs::read_dir(&self.input).map_err(|error| bad(error.to_string()))?;
            let paths = entries.map(|entry| entry.map(|entry| entry.path()));
            let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(|error| bad(error.to_string()))?;
            paths.retain(|path| is_case(path));
            paths
        } else if self.input.symlink_metadata().is_ok() {
            vec![self.input.clone()]
        } else {
            return Err(bad("there is no such file or folder".to_owned()).into());
        };
        if files.is_empty() {
            return Err(bad("expected at least one case file (.npz) in this folder, found none".to_owned()).into());
        }
        let named = |input: PathBuf| {
            let name = input.file_name().map(ToOwned::to_owned);
            let name = name.ok_or_else(|| Usage(format!("`{}`: expected the name of a file", input.display())))?;
            Ok((input, self.output.join(name)))
        };
        files.into_iter().map(named).collect()
    }

    /// Reports what would replace an input, or cannot be written, before the work starts.
    fn check_files(&self, cases: &BTreeMap<PathBuf, PathBuf>) -> anyhow::Result<Vec<segvol::Warning>> {
        let mut files = Files::default();
        cases.keys().for_each(|input| files.input("--input", input));
        files.bundle("--model", &self.model);
        files.input_if("--library", self.machine.library());
        self.measured.check(self.machine.provider(), &mut files)?;
        files.folder("--output", &self.output, cases.values().cloned());
        files.cache_if("--embeddings", self.machine.embeddings());
        Ok(files.check()?)
    }
}
