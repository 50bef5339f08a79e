//! `segvol copy`

use std::io::Write;
use std::path::PathBuf;

use segvol::Volume;
use segvol::volume::Format;
use segvol_base::printable_path;

use crate::exit::Usage;
use crate::outputs::{Files, not_standard_output};
use crate::settings::ReadArguments;
use crate::warnings::WarningArguments;

const EXAMPLES: &str = "\
Examples:
  A DICOM series as NIfTI:
    segvol copy -i study/ -o ct.nii.gz
  One of several series, by its number or its UID; `segvol inspect study/` lists them:
    segvol copy -i study/ --series 4 -o ct.nrrd
  A file whose sform and qform differ, with the sform alone:
    segvol copy -i ct.nii.gz --affine sform -o repaired.nii.gz

Nothing about the patient is copied. What is smoothed, resampled or cut in other programs stays as it is here: the voxels of the copy
are those of the scan, at the same places.";

/// Write a scan in another format: Hounsfield units, same voxels, exact geometry
///
/// Voxels are int16 or int32 if all are whole numbers, else float32. Axes keep their order. A tilted gantry stays as shear. NIfTI
/// stores positions as float32; NRRD and MetaImage store them exactly.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Copy {
    /// The scan: any file or folder that the other commands read
    #[arg(short, long, value_name = "PATH")]
    input: PathBuf,
    /// The copy: .nii, .nii.gz, .nrrd or .mha
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// No summary; warnings are still printed
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    read: ReadArguments,
    #[command(flatten)]
    warnings: WarningArguments,
}

impl Copy {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let name = printable_path(&self.output);
        not_standard_output("--output", &self.output)?;
        if Format::of_name(&self.output).is_none() {
            return Err(Usage(format!("--output `{name}`: expected a name that ends in {}", Format::NAMES)).into());
        }
        let mut files = Files::default();
        files.input("--input", &self.input);
        files.output("--output", &self.output);
        let mut warnings = self.warnings.printer();
        warnings.print_all(&files.check()?);
        let volume = Volume::open_with(&self.input, &self.read.options()).map_err(segvol::Error::from)?;
        warnings.print_all(volume.warnings());
        volume.save(&self.output).map_err(segvol::Error::from)?;
        if !self.quiet {
            let ([ni, nj, nk], [x, y, z]) = (volume.shape_xyz(), volume.grid().spacing_mm());
            writeln!(out, "{name}  {ni} x {nj} x {nk} voxels  {x:.3} x {y:.3} x {z:.3} mm")?;
        }
        Ok(warnings.finish()?)
    }
}
