//! The calibration of int8, before `segvol convert` writes the bundle.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use segvol_base::{printable, printable_path};
use segvol_calibration::Outcome;
use segvol_converter::Options;
use segvol_onnx::Precision;
use segvol_onnx::manifest::Calibration;

use crate::exit::Usage;
use crate::outputs::Files;
use crate::settings::ReadArguments;
use crate::warnings::Printer;

/// How int8 is calibrated.
#[derive(clap::Args)]
pub(crate) struct CalibrationArguments {
    /// int8: a NIfTI scan, or a folder of scans, to calibrate on; label maps in a folder are left out [default: the demo's
    /// phantom]
    #[arg(long, value_name = "PATH", conflicts_with = "dynamic")]
    calibrate: Option<PathBuf>,
    /// int8: no calibration; ranges are found while the model runs, and no channel is smoothed
    #[arg(long)]
    dynamic: bool,
    #[command(flatten)]
    read: ReadArguments,
    /// int8: ONNX Runtime's library for the calibration, or the folder that has it [default: ORT_DYLIB_PATH, else the first
    /// that is found; `segvol providers` shows where]
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,
}

impl CalibrationArguments {
    /// The files that the calibration reads.
    pub(crate) fn inputs(&self, files: &mut Files) {
        files.input_if("--calibrate", self.calibrate.as_ref());
        files.input_if("--library", self.library.as_ref());
    }

    /// Calibrates, if the bundle has int8, and prints warnings about the scans. The temporary folder is where that of the bundle
    /// will be: beside `output`, or inside it if that is written in place.
    pub(crate) fn run(
        &self,
        checkpoint: &Path,
        output: &Path,
        options: &Options,
        in_place: bool,
        warnings: &mut Printer,
    ) -> anyhow::Result<Option<Outcome>> {
        if !options.precisions.contains(&Precision::Int8) {
            let unused = [
                ("--calibrate", self.calibrate.is_some()),
                ("--dynamic", self.dynamic),
                ("--affine", self.read.affine().is_some()),
                ("--series", self.read.has_series()),
                ("--fill-gaps", self.read.fills_gaps()),
            ];
            return match unused.iter().find(|(_, given)| *given) {
                Some((option, _)) => Err(Usage(format!("{option} is only for int8: add int8 to --precision")).into()),
                None => Ok(None),
            };
        }
        if self.dynamic {
            return Ok(None);
        }
        let beside = match output.parent().filter(|parent| parent.is_dir()) {
            _ if in_place => output,
            Some(parent) => parent,
            None => Path::new("."),
        };
        let mut run = segvol::Options::default();
        run.library = self.library.clone();
        let (scans, read) = (self.calibrate.as_deref(), self.read.options());
        let outcome = segvol_calibration::calibrate(checkpoint, scans, &read, beside, options, &run)?;
        for (path, warning) in &outcome.warnings {
            warnings.print(&format!("calibration scan {}: ", path.display()), warning);
        }
        Ok(Some(outcome))
    }

    /// Prints what was done for int8: the scans, the number of windows, and the files that were left out.
    pub(crate) fn show(&self, out: &mut impl Write, outcome: Option<&Outcome>) -> io::Result<()> {
        let Some(outcome) = outcome else {
            return match self.dynamic {
                true => writeln!(out, "  int8 was not calibrated: ranges are found while the model runs"),
                false => Ok(()),
            };
        };
        let Calibration { scans, windows } = &outcome.calibrated.record;
        let names: Vec<_> = scans.iter().map(|name| printable(name)).collect();
        let scans = if scans.len() == 1 { "1 scan".to_owned() } else { format!("{} scans", scans.len()) };
        writeln!(out, "  int8 was calibrated on {windows} windows of {scans}: {}", names.join(", "))?;
        if self.calibrate.is_none() {
            writeln!(out, "    a phantom is not a patient: --calibrate names scans of your own")?;
        }
        for skipped in &outcome.skipped {
            let name = skipped.path.file_name().unwrap_or(skipped.path.as_os_str());
            writeln!(out, "    left out {}: {}", printable_path(Path::new(name)), skipped.reason)?;
        }
        Ok(())
    }
}
