//! `segvol segment`

use std::io::{IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use segvol::volume::Format;
use segvol::{Model, PointLabel, Prompt, Report, Segmentation, Study, Truth, Volume};
use segvol_overlay::{MAX_OBJECTS, Montage, Object};

use crate::exit::Usage;
use crate::measuring::read_prompts;
use crate::picture::{self, ViewArguments};
use crate::settings::Settings;
use crate::text::{file_stem, parse_numbers};

const EXAMPLES: &str = "\
Examples:
  One organ by name:
    segvol segment -i ct.nii.gz -m bundle --text liver -o liver.nii.gz
  Two organs in one label map (1 = liver, 2 = spleen), with a record:
    segvol segment -i ct.nii.gz -m bundle --text liver --text spleen -o organs.nii.gz --report organs.json
  A lesion by name and a click, voxel (i, j, k) as a viewer shows it, counted from 0:
    segvol segment -i ct.nii.gz -m bundle --text 'liver tumor' --point 211,160,47 -o tumour.nii.gz
  A box in DICOM's millimetres (what 3D Slicer calls LPS):
    segvol segment -i ct.nii.gz -m bundle --space lps --box -60,-90,110,10,-20,180 -o spleen.nii.gz
  Several objects, each with any mix of prompts, from a file:
    segvol segment -i ct.nii.gz -m bundle --prompts objects.json --per-object masks/
  A picture of the result beside what it should be, with Dice:
    segvol segment -i ct.nii.gz -m bundle --text liver -o liver.nii.gz --overlay liver.png \\
      --truth labels.nii.gz --truth-label liver=1

Objects file:
  {\"schema_version\": 1, \"space\": \"voxel\", \"objects\": [
    {\"text\": \"liver\"},
    {\"name\": \"lesion\", \"text\": \"liver tumor\", \"points\": [[211, 160, 47, 1], [190, 150, 47, 0]]},
    {\"name\": \"spleen\", \"box\": [300, 220, 30, 380, 300, 60]}]}";

/// Segment objects in a CT by name, points and boxes
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Segment {
    /// The scan: NIfTI, .nii or .nii.gz
    #[arg(short, long, value_name = "FILE")]
    input: PathBuf,
    /// The bundle that `segvol convert` made
    #[arg(short, long, value_name = "DIR")]
    model: PathBuf,

    /// Name of the object; give it several times for several objects
    #[arg(long, value_name = "NAME", help_heading = "Prompts")]
    text: Vec<String>,
    /// A point of the object: three coordinates, then 1 (inside, the default) or 0 (outside); may be given several times
    #[arg(long, value_name = "I,J,K[,1|0]", value_parser = parse_point, allow_hyphen_values = true, help_heading = "Prompts")]
    point: Vec<([f64; 3], PointLabel)>,
    /// A box around the object: two corners, both inclusive
    #[arg(long = "box", value_name = "I0,J0,K0,I1,J1,K1", value_parser = parse_box, allow_hyphen_values = true, help_heading = "Prompts")]
    bounding_box: Option<[f64; 6]>,
    /// A JSON file with several objects (see below)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "point", "bounding_box", "space"], help_heading = "Prompts")]
    prompts: Option<PathBuf>,
    /// What the numbers of --point and --box mean
    #[arg(long, value_enum, default_value_t = Space::Voxel, help_heading = "Prompts")]
    space: Space,

    /// Label map on the scan's grid: 0 nothing, 1 the first object, 2 the second; the higher logit where they overlap
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Folder for one mask per object, overlaps kept: DIR/NAME.nii.gz
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    per_object: Option<PathBuf>,
    /// Logits of the one object, float32, on the scan's grid; NaN outside the part that the model sees
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    logits: Option<PathBuf>,
    /// Record of the run, JSON: volumes, boxes, windows, times, provider, warnings
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    report: Option<PathBuf>,
    /// Label map on the scan's grid that says what the masks should be: the summary and the report have Dice, the picture
    /// has its contours
    #[arg(long, value_name = "FILE", requires = "truth_label", help_heading = "Output")]
    truth: Option<PathBuf>,
    /// An object's name and its value in --truth; may be given several times
    #[arg(long, value_name = "NAME=LABEL", value_parser = picture::parse_label, requires = "truth", help_heading = "Output")]
    truth_label: Vec<(String, u16)>,
    /// No progress bar and no summary
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,

    /// Picture, PNG: slices through each object with contours and prompts, the patient's right on the left
    #[arg(long, value_name = "FILE", help_heading = "Picture")]
    overlay: Option<PathBuf>,
    #[command(flatten)]
    view: ViewArguments,

    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Copy, ValueEnum)]
enum Space {
    /// Voxels of the file, (i, j, k), counted from 0
    Voxel,
    /// Millimetres to the patient's right, front and head (NIfTI, nibabel, FreeSurfer)
    Ras,
    /// Millimetres to the patient's left, back and head (DICOM, ITK, 3D Slicer's markups)
    Lps,
    /// Voxels (d, h, w) of the zoom-out window, as the released code takes them
    Window,
}

impl Segment {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let prompts = self.prompts()?;
        self.check_outputs(&prompts)?;
        let (options, study_options) = (self.settings.options()?, self.settings.study_options_of_one_call()?);
        let volume = Volume::open(&self.input).map_err(segvol::Error::from)?;
        let truth = self.truth(&volume)?;
        let model = Model::open(&self.model, &options)?;
        let study =
            model.study_with(volume, &study_options).with_context(|| format!("scan `{}`", self.input.display()))?;
        let bar = self.progress_bar();
        let segmentations = study.segment_observed(&prompts, &mut |progress| {
            bar.set_length(progress.total as u64);
            bar.set_position(progress.done as u64);
            ControlFlow::Continue(())
        })?;
        bar.finish_and_clear();

        if let Some(path) = &self.output {
            study.label_map(&segmentations)?.save(path).map_err(segvol::Error::from)?;
        }
        if let Some(dir) = &self.per_object {
            std::fs::create_dir_all(dir).with_context(|| format!("folder `{}`", dir.display()))?;
            for (path, segmentation) in per_object_paths(dir, &segmentations).iter().zip(&segmentations) {
                segmentation.mask()?.save(path).map_err(segvol::Error::from)?;
            }
        }
        if let (Some(path), [segmentation]) = (&self.logits, &segmentations[..]) {
            segvol::mask::save_logits(path, &segmentation.logit_map()?, study.grid()).map_err(segvol::Error::from)?;
        }
        if let Some(path) = &self.overlay {
            self.montage(&study, &prompts, &segmentations, truth.as_ref())?.save(path)?;
        }
        if self.report.is_some() || !self.quiet {
            let mut report = Report::new(&model, &study, &prompts, &segmentations);
            if let Some(truth) = &truth {
                report.compare(truth, &segmentations)?;
            }
            if let Some(path) = &self.report {
                report.save(path).with_context(|| format!("report `{}`", path.display()))?;
            }
            if !self.quiet {
                summarise(out, &report)?;
            }
        }
        Ok(())
    }

    fn prompts(&self) -> anyhow::Result<Vec<Prompt>> {
        if let Some(path) = &self.prompts {
            return read_prompts(path);
        }
        let spatial = !self.point.is_empty() || self.bounding_box.is_some();
        if self.text.is_empty() && !spatial {
            return Err(
                Usage("no prompt: give at least one --text, --point or --box, or --prompts FILE".to_owned()).into()
            );
        }
        if self.text.len() > 1 && spatial {
            let message = "--point and --box belong to one object, but several --text are given; put the objects into a file and pass it with --prompts";
            return Err(Usage(message.to_owned()).into());
        }
        let mut prompts: Vec<Prompt> = self.text.iter().map(Prompt::text).collect();
        if prompts.is_empty() {
            prompts.push(Prompt::new());
        }
        let place = |mut prompt: Prompt| {
            prompt = prompt.space(self.space.into());
            for &(at, label) in &self.point {
                prompt = prompt.point(at, label);
            }
            match self.bounding_box {
                Some([i0, j0, k0, i1, j1, k1]) => prompt.bounding_box([i0, j0, k0], [i1, j1, k1]),
                None => prompt,
            }
        };
        Ok(prompts.into_iter().map(place).collect())
    }

    /// What can be known to fail is said before the work, not after.
    fn check_outputs(&self, prompts: &[Prompt]) -> anyhow::Result<()> {
        let objects = prompts.len();
        if self.output.is_none() && self.per_object.is_none() {
            return Err(Usage("nowhere to write: give --output FILE, --per-object DIR, or both".to_owned()).into());
        }
        if self.logits.is_some() && objects != 1 {
            return Err(Usage(format!("--logits is for one object, found {objects}")).into());
        }
        for path in [&self.output, &self.logits].into_iter().flatten() {
            if Format::of_name(path).is_none() {
                let name = path.display();
                return Err(Usage(format!("`{name}`: expected a name that ends in .nii or .nii.gz")).into());
            }
        }
        if let Some(path) = &self.overlay {
            if !segvol_overlay::is_png_name(path) {
                return Err(Usage(format!("`{}`: expected a name that ends in .png", path.display())).into());
            }
            if objects > MAX_OBJECTS {
                return Err(Usage(format!("--overlay is for at most {MAX_OBJECTS} objects, found {objects}")).into());
            }
            if std::fs::metadata(&self.input).is_ok_and(|metadata| !metadata.is_file()) {
                let name = self.input.display();
                return Err(Usage(format!("`{name}`: expected a file, since --overlay reads it twice")).into());
            }
        }
        let names: Vec<&str> = prompts.iter().map(Prompt::name).collect();
        if let Some((name, _)) = self.truth_label.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            return Err(Usage(format!("--truth-label: no object is called {name:?}, only {names:?}")).into());
        }
        for path in [&self.output, &self.logits, &self.report, &self.overlay].into_iter().flatten() {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
                return Err(Usage(format!("`{}`: there is no folder `{}`", path.display(), parent.display())).into());
            }
        }
        Ok(())
    }

    fn truth(&self, volume: &Volume) -> anyhow::Result<Option<Truth>> {
        let Some(path) = &self.truth else { return Ok(None) };
        let labels = picture::labels(&self.truth_label)
            .map_err(|name| Usage(format!("--truth-label: expected one label for {name:?}, found two")))?;
        Ok(Some(Truth::open(path, volume.grid(), labels).map_err(segvol::Error::from)?))
    }

    fn montage(
        &self,
        study: &Study,
        prompts: &[Prompt],
        segmentations: &[Segmentation],
        truth: Option<&Truth>,
    ) -> anyhow::Result<segvol_overlay::Picture> {
        let mut montage = Montage::new(study.grid(), self.view.view());
        for (prompt, segmentation) in prompts.iter().zip(segmentations) {
            let (name, mask, marks) = (segmentation.name(), segmentation.mask()?, study.marks(prompt));
            let dice = truth.and_then(|truth| truth.dice(name, &mask));
            let note = dice.map_or_else(String::new, |dice| format!("Dice {dice:.3}"));
            let truth = truth.and_then(|truth| truth.of(name));
            montage.add(Object { name, mask: (&mask, 1), marks: &marks, truth, note: &note })?;
        }
        // Read again: the study keeps no Hounsfield units, and a second copy beside it would double the memory.
        let volume = Volume::open(&self.input).map_err(segvol::Error::from)?;
        Ok(montage.draw(&volume)?)
    }

    fn progress_bar(&self) -> ProgressBar {
        if self.quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{bar:40} window {pos} of {len}, {elapsed}, about {eta} left");
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }
}

fn summarise(out: &mut impl Write, report: &Report) -> anyhow::Result<()> {
    for object in &report.objects {
        let (label, name, voxels) = (object.label, &object.name, object.voxels.zoom_in);
        let dice = object.dice.map_or_else(String::new, |dice| format!("  Dice {dice:.3}"));
        writeln!(out, "{label}  {name}  {voxels} voxels  {:.2} mL{dice}", object.volume_ml)?;
    }
    let statistics = &report.statistics;
    let (encoded, reused) = (statistics.windows_encoded, statistics.windows_reused);
    let (provider, precision) = (report.provider.used, report.provider.precision);
    writeln!(out, "{encoded} windows encoded, {reused} reused, on {provider} at {precision}")?;
    for warning in report.warnings.iter().chain(report.objects.iter().flat_map(|object| &object.warnings)) {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(())
}

/// `DIR/NAME.nii.gz` per object, with what file systems dislike replaced, and a number where names repeat.
fn per_object_paths(dir: &Path, segmentations: &[Segmentation]) -> Vec<PathBuf> {
    let mut taken = std::collections::BTreeSet::new();
    let mut paths = Vec::new();
    for segmentation in segmentations {
        let stem = file_stem(segmentation.name());
        let numbered = (2..).map(|n| format!("{stem}_{n}"));
        let unique = std::iter::once(stem.clone()).chain(numbered).find(|stem| taken.insert(stem.to_lowercase()));
        paths.push(dir.join(format!("{}.nii.gz", unique.unwrap_or(stem))));
    }
    paths
}

fn parse_point(text: &str) -> Result<([f64; 3], PointLabel), String> {
    let expected = "expected three numbers, then maybe 1 (inside) or 0 (outside), as in 211,160,47,1";
    let values = parse_numbers(text).ok_or(expected)?;
    match values[..] {
        [i, j, k] | [i, j, k, 1.0] => Ok(([i, j, k], PointLabel::Foreground)),
        [i, j, k, 0.0] => Ok(([i, j, k], PointLabel::Background)),
        _ => Err(expected.to_owned()),
    }
}

fn parse_box(text: &str) -> Result<[f64; 6], String> {
    let values = parse_numbers(text).and_then(|values| values.try_into().ok());
    values.ok_or_else(|| "expected six numbers, two corners, as in 300,220,30,380,300,60".to_owned())
}

impl From<Space> for segvol::Space {
    fn from(space: Space) -> Self {
        match space {
            Space::Voxel => Self::Voxel,
            Space::Ras => Self::Ras,
            Space::Lps => Self::Lps,
            Space::Window => Self::Window,
        }
    }
}
