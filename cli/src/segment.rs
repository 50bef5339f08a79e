//! `segvol segment`

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use segvol::volume::Format;
use segvol::{Cancellation, FinishedMasks, Grid, Model, Prompt, Report, Study, Truth, Volume, Warning};
use segvol_base::{printable, printable_json};
use segvol_objects::Objects;
use segvol_overlay::{MAX_OBJECTS, Montage, Object};
use segvol_segments::SegmentsError;

use crate::exit::{self, Usage};
use crate::label_files::{LabelArguments, is_output_name};
use crate::maps::{MapArguments, Maps};
use crate::measured::{self, MeasuredArguments};
use crate::names;
use crate::object_files::ObjectFile;
use crate::outputs::{Files, is_standard_output, not_standard_output};
use crate::picture::ViewArguments;
use crate::plan::{self, Watch};
use crate::postprocessing::{self, PostprocessingArguments};
use crate::progress;
use crate::prompts::PromptArguments;
use crate::segment_files::{DicomArguments, DicomOutputs, is_dicom_name};
use crate::settings::Settings;
use crate::swapped;
use crate::text::parse_label;
use crate::warnings::WarningArguments;

const EXAMPLES: &str = "\
Examples:
  One organ by name:
    segvol segment -i ct.nii.gz -m bundle --text liver -o liver.nii.gz
  Two organs in one label map (1 = liver, 2 = spleen), with a report:
    segvol segment -i ct.nii.gz -m bundle --text liver --text spleen -o organs.nii.gz --report organs.json
  A lesion by name and one point, in voxels (i, j, k) counted from 0, as viewers show them:
    segvol segment -i ct.nii.gz -m bundle --text 'liver tumor' --point 211,160,47 -o tumour.nii.gz
  A box in DICOM's millimetres (called LPS in 3D Slicer):
    segvol segment -i ct.nii.gz -m bundle --space lps --box -60,-90,110,10,-20,180 -o spleen.nii.gz
  How long will it take, and how much memory?
    segvol segment -i ct.nii.gz -m bundle --text liver --plan
  A DICOM SEG of a series, for an archive or a viewer:
    segvol segment -i series/ -m bundle --text liver --text spleen -o organs.dcm
  Several objects from a file, each with its own prompts:
    segvol segment -i ct.nii.gz -m bundle --prompts objects.json --per-object masks/
  One organ today and another one tomorrow, without encoding the scan twice:
    segvol segment -i ct.nii.gz -m bundle --text liver -o liver.nii.gz --embeddings embeddings/
    segvol segment -i ct.nii.gz -m bundle --text spleen -o spleen.nii.gz --embeddings embeddings/
  Probabilities of every object instead of masks, and a mask of what has a probability above 0.3:
    segvol segment -i ct.nii.gz -m bundle --text liver --text spleen --probabilities probabilities/
    segvol segment -i ct.nii.gz -m bundle --text 'liver tumor' --point 211,160,47 --threshold 0.3 -o tumour.nii.gz
  A picture that compares the result with a known label map, with Dice:
    segvol segment -i ct.nii.gz -m bundle --text liver -o liver.nii.gz --overlay liver.png \\
      --truth labels.nii.gz --truth-label liver=1

Objects file:
  {\"schema_version\": 1, \"space\": \"voxel\", \"objects\": [
    {\"text\": \"liver\"},
    {\"name\": \"lesion\", \"text\": \"liver tumor\", \"points\": [[211, 160, 47, 1], [190, 150, 47, 0]]},
    {\"name\": \"spleen\", \"box\": [300, 220, 30, 380, 300, 60]}]}";

/// Segment objects in a CT by name, points and boxes
///
/// Research software, not a medical device: do not use it for diagnosis or treatment.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Segment {
    /// The scan: NIfTI, NRRD, MetaImage, or a DICOM series: its folder, a zip of it, or one of its files
    #[arg(short, long, value_name = "FILE|DIR")]
    input: PathBuf,
    /// The bundle that `segvol convert` made
    #[arg(short, long, value_name = "DIR")]
    model: PathBuf,

    #[command(flatten)]
    prompts: PromptArguments,
    /// Refuse, before any work, a --text that the model was not trained with; without this option it is a warning. `segvol
    /// names` lists the names
    #[arg(long, help_heading = "Prompts")]
    strict: bool,

    /// Label map on the scan's grid, .nii, .nii.gz, .nrrd or .mha: 0 background, 1 the first object, 2 the second; where objects
    /// overlap, the one with the higher logit. With names and codes, and objects that may overlap: .seg.nrrd, 3D Slicer's
    /// segmentation; of a DICOM scan also .dcm, a DICOM SEG
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Folder for one mask per object, DIR/NAME.nii.gz; these masks may overlap
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    per_object: Option<PathBuf>,
    #[command(flatten)]
    labels: LabelArguments,
    #[command(flatten)]
    maps: MapArguments,
    #[command(flatten)]
    dicom: DicomArguments,
    /// Report of the run, JSON: volumes, boxes, windows, times, provider, warnings, files. `-` prints it on standard output
    /// instead of the summary
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    report: Option<PathBuf>,
    /// The correct masks on the scan's grid: a label map with --truth-label, or a DICOM SEG, RTSTRUCT or .seg.nrrd, which has
    /// names. Adds Dice to the summary and the report, and contours to the picture
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    truth: Option<PathBuf>,
    /// An object's name and its value in --truth, or the number of its segment or ROI; can be repeated. Without it, objects are
    /// found in a DICOM SEG, RTSTRUCT or .seg.nrrd by their names
    #[arg(long, value_name = "NAME=LABEL", value_parser = parse_label, requires = "truth", help_heading = "Output")]
    truth_label: Vec<(String, u16)>,
    /// Print how many windows, seconds and MiB the command would take, and stop: after the zoom-out window if `segvol bench
    /// --save` has measured this machine, else after one window more. Nothing is written
    #[arg(long, help_heading = "Output")]
    plan: bool,
    /// No progress bar and no summary; warnings are still printed
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,

    /// Picture, PNG: slices through each object with contours and prompts
    #[arg(long, value_name = "FILE", help_heading = "Picture")]
    overlay: Option<PathBuf>,
    #[command(flatten)]
    view: ViewArguments,

    #[command(flatten)]
    postprocessing: PostprocessingArguments,

    #[command(flatten)]
    warnings: WarningArguments,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    measured: MeasuredArguments,
}

impl Segment {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let prompts = self.prompts.read()?;
        let masks = self.masks(&prompts);
        let postprocessing = self.postprocessing.of_prompts(&prompts)?;
        let mut warnings = self.warnings.printer();
        let maps = self.maps.files(&prompts)?;
        let dicom = self.dicom.outputs(self.output.as_ref())?;
        let in_place = self.check_outputs(&prompts, &masks, &maps, &dicom)?;
        warnings.print_all(&in_place);
        if self.strict {
            names::require_known(&self.model, prompts.iter().filter_map(Prompt::as_text))?;
        }
        let (options, study_options) = (self.settings.machine().options()?, self.settings.study_options_of_one_call()?);
        swapped::check(("-i", &self.input), ("-m", &self.model))?;
        prompts.iter().try_for_each(|prompt| study_options.profile.check(prompt)).map_err(segvol::Error::from)?;
        let volume = Volume::open_with(&self.input, &self.settings.read_options()).map_err(segvol::Error::from)?;
        let filled = dicom.check(volume.grid())?;
        warnings.print_all(&filled);
        let (truth, about_truth) = self.truth(&volume, &prompts)?.unzip();
        let about_truth = about_truth.unwrap_or_default();
        warnings.print_all(&about_truth);
        let options = self.measured.apply(&self.model, options, &mut warnings)?;
        let model = Model::open(&self.model, &options)?;
        warnings.print_all(&model.name_warnings(&prompts));
        let study =
            model.study_with(volume, &study_options).with_context(|| format!("scan `{}`", self.input.display()))?;
        let named = if masks.is_empty() { maps.in_folder() } else { &masks };
        let renamed: Vec<Option<Warning>> =
            named.iter().zip(&prompts).map(|(file, prompt)| file.warning(prompt)).collect();
        warnings.print_all(study.warnings());
        warnings.print_all(&model.stages().precision_warning());
        let bar = progress::of_windows(self.quiet);
        let mut watch =
            Watch::new(&bar, self.measured.expected(&model), mask_bytes(study.grid(), prompts.len(), &maps), self.plan);
        let found = study.segment_followed(&prompts, &mut watch, &Cancellation::new());
        bar.finish_and_clear();
        let plan = watch.into_plan();
        let segmentations = match (found, &plan) {
            (Ok(_) | Err(segvol::Error::Cancelled), Some(plan)) if self.plan => {
                plan::print(out, &prompts, plan)?;
                return Ok(warnings.finish()?);
            }
            (found, _) => found?,
        };
        let mut report = Report::new(&model, &study, &prompts, &segmentations);
        let finished = FinishedMasks::new(&study, &prompts, &segmentations, &postprocessing)?;
        finished.amend(&mut report)?;
        report.plan = plan;
        report.warnings.extend(in_place);
        report.warnings.extend(filled);
        report.warnings.extend(about_truth);
        let found = report.objects.iter().flat_map(|object| &object.warnings);
        warnings.print_all(found.filter(|warning| !names::is_about_names(warning.code)));
        warnings.print_all(renamed.iter().flatten());
        warnings.print_all(&study.embedding_warnings());

        let objects = Objects { masks: &finished, prompts: &prompts, bundle_sha256: model.manifest_sha256() };
        dicom.save(&objects).map_err(exit::unwrapped)?;
        if let Some(path) = self.output.as_ref().filter(|path| !is_dicom_name(path)) {
            self.labels.save(path, &objects)?;
        }
        if let Some(dir) = &self.per_object {
            segvol_base::create_folder(dir).with_context(|| format!("folder `{}`", dir.display()))?;
            for (mask, (_, found)) in masks.iter().zip(finished.each()) {
                found?.save(&mask.path).map_err(segvol::Error::from)?;
            }
        }
        maps.save(&study, &segmentations)?;
        if let Some(path) = &self.overlay {
            self.montage(&study, &prompts, &finished, truth.as_ref())?.save(path)?;
        }
        if self.report.is_some() || !self.quiet {
            if let Some(truth) = &truth {
                finished.compare(&mut report, truth)?;
            }
            self.name_files(&mut report, &masks, &renamed);
            report.files.rtstruct = dicom.rtstruct().map(|path| path.display().to_string());
            maps.name_in(&mut report);
            match &self.report {
                Some(path) if is_standard_output(path) => {
                    out.write_all(printable_json(&report.to_json()?).as_bytes())?;
                }
                Some(path) => report.save(path).with_context(|| format!("report `{}`", path.display()))?,
                None => {}
            }
            if !self.quiet && !self.report.as_deref().is_some_and(is_standard_output) {
                summarise(out, &report)?;
            }
        }
        Ok(warnings.finish()?)
    }

    /// The file of each object; none without a folder for them.
    fn masks(&self, prompts: &[Prompt]) -> Vec<ObjectFile> {
        self.per_object.as_ref().map(|dir| ObjectFile::all(dir, prompts)).unwrap_or_default()
    }

    /// Says in the report which file has what.
    fn name_files(&self, report: &mut Report, masks: &[ObjectFile], renamed: &[Option<Warning>]) {
        let name = |path: &PathBuf| path.display().to_string();
        let [output, overlay] = [&self.output, &self.overlay].map(|path| path.as_ref().map(name));
        report.files = segvol::report::Files { output, overlay, ..Default::default() };
        for (object, mask) in report.objects.iter_mut().zip(masks) {
            object.file = Some(name(&mask.path));
        }
        for (object, warning) in report.objects.iter_mut().zip(renamed) {
            object.warnings.extend(warning.clone());
        }
    }

    /// Reports what cannot work before the work starts, not after it.
    fn check_outputs(
        &self,
        prompts: &[Prompt],
        masks: &[ObjectFile],
        maps: &Maps,
        dicom: &DicomOutputs<'_>,
    ) -> anyhow::Result<Vec<Warning>> {
        let objects = prompts.len();
        if self.output.is_none()
            && self.per_object.is_none()
            && maps.are_absent()
            && dicom.rtstruct().is_none()
            && !self.plan
        {
            let message =
                "no output: give --output FILE, --per-object DIR, --probabilities, --logits, or several of them";
            return Err(Usage(message.to_owned()).into());
        }
        let named = [
            ("--output", self.output.as_ref()),
            ("--overlay", self.overlay.as_ref()),
            ("--rtstruct", dicom.rtstruct()),
        ];
        for (option, path) in named.iter().filter_map(|&(option, path)| Some((option, path?))) {
            not_standard_output(option, path)?;
        }
        if let Some(path) = self.output.as_ref().filter(|path| !is_output_name(path) && !is_dicom_name(path)) {
            let (name, names) = (path.display(), Format::NAMES);
            return Err(Usage(format!("`{name}`: expected a name that ends in .seg.nrrd, .dcm, {names}")).into());
        }
        if let Some(path) = &self.overlay {
            if !segvol_overlay::is_png_name(path) {
                return Err(Usage(format!("`{}`: expected a name that ends in .png", path.display())).into());
            }
            if objects > MAX_OBJECTS {
                return Err(Usage(format!("--overlay: expected at most {MAX_OBJECTS} objects, found {objects}")).into());
            }
            if std::fs::metadata(&self.input).is_ok_and(|metadata| !metadata.is_file()) {
                let name = self.input.display();
                return Err(
                    Usage(format!("`{name}`: expected a regular file, because --overlay reads it twice")).into()
                );
            }
        }
        let names: Vec<&str> = prompts.iter().map(Prompt::name).collect();
        if let Some((name, _)) = self.truth_label.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            return Err(Usage(format!("--truth-label: no object is named {name:?}; the objects are {names:?}")).into());
        }
        let mut files = Files::default();
        files.input("--input", &self.input);
        files.bundle("--model", &self.model);
        files.input_if("--prompts", self.prompts.file());
        files.input_if("--truth", self.truth.as_ref());
        files.input_if("--library", self.settings.machine().library());
        self.measured.check(self.settings.machine().provider(), &mut files)?;
        files.output_if("--output", self.output.as_ref());
        files.output_if("--rtstruct", dicom.rtstruct());
        self.labels.add_to(&mut files, self.output.as_ref())?;
        files.output_if("--report", self.report.as_ref().filter(|path| !is_standard_output(path)));
        files.output_if("--overlay", self.overlay.as_ref());
        if let Some(dir) = &self.per_object {
            files.folder("--per-object", dir, masks.iter().map(|mask| mask.path.clone()));
        }
        maps.add_to(&mut files);
        files.cache_if("--embeddings", self.settings.machine().embeddings());
        Ok(files.check()?)
    }

    /// The true masks, and what is unusual about their file.
    fn truth(&self, volume: &Volume, prompts: &[Prompt]) -> anyhow::Result<Option<(Truth, Vec<Warning>)>> {
        let Some(path) = &self.truth else { return Ok(None) };
        let mut labels = BTreeMap::new();
        for (name, label) in &self.truth_label {
            if labels.insert(name.clone(), *label).is_some_and(|other| other != *label) {
                return Err(Usage(format!("--truth-label: expected one label for {name:?}, found two")).into());
            }
        }
        if let Some(named) = segvol_segments::read(path, volume.grid())? {
            let index = |name: &str| match labels.get(name) {
                Some(&label) => named.with_label(label),
                None => named.find(name),
            };
            let mask = |name: &str| Ok::<_, SegmentsError>((name.to_owned(), named.mask(index(name)?)?));
            // With labels, only the objects that have one are compared.
            let wanted =
                prompts.iter().map(Prompt::name).filter(|name| labels.is_empty() || labels.contains_key(*name));
            return Ok(Some((Truth::from_masks(wanted.map(mask).collect::<Result<_, _>>()?), named.warnings.clone())));
        }
        if labels.is_empty() {
            let message = "--truth: a label map has no names: give --truth-label NAME=LABEL for each object to compare";
            return Err(Usage(message.to_owned()).into());
        }
        let truth = Truth::open(path, volume.grid(), labels).map_err(segvol::Error::from)?;
        Ok(Some((truth, Vec::new())))
    }

    fn montage(
        &self,
        study: &Study,
        prompts: &[Prompt],
        masks: &FinishedMasks<'_>,
        truth: Option<&Truth>,
    ) -> anyhow::Result<segvol_overlay::Picture> {
        let mut montage = Montage::new(study.grid(), self.view.view());
        for (prompt, (name, mask)) in prompts.iter().zip(masks.each()) {
            let (mask, marks) = (mask?, study.marks(prompt));
            let dice = truth.and_then(|truth| truth.dice(name, &mask));
            let note = dice.map_or_else(String::new, |dice| format!("Dice {dice:.3}"));
            let truth = truth.and_then(|truth| truth.of(name));
            montage.add(Object { name, mask: (&mask, 1), marks: &marks, truth, note: &note })?;
        }
        // The scan is read again: the study keeps no Hounsfield units, and a second copy would double the memory.
        let volume = Volume::open_with(&self.input, &self.settings.read_options()).map_err(segvol::Error::from)?;
        Ok(montage.draw(&volume)?)
    }
}

/// Bytes of the masks and maps that are in memory at the same time.
fn mask_bytes(grid: &Grid, objects: usize, maps: &Maps) -> u64 {
    let label = if objects > usize::from(u8::MAX) { size_of::<u16>() } else { size_of::<u8>() };
    let value = if maps.are_absent() { label } else { size_of::<f32>() };
    (grid.voxels() * label.max(value)) as u64
}

fn summarise(out: &mut impl Write, report: &Report) -> anyhow::Result<()> {
    for object in &report.objects {
        let (label, name, voxels) = (object.label, &object.name, object.voxels.zoom_in);
        let dice = object.dice.map_or_else(String::new, |dice| format!("  Dice {dice:.3}"));
        let name = printable(name);
        writeln!(out, "{label}  {name}  {voxels} voxels  {:.2} mL{dice}", object.volume_ml)?;
        if let Some(record) = &object.postprocessing {
            postprocessing::summarise(out, record)?;
        }
    }
    let statistics = &report.statistics;
    let (encoded, reused) = (statistics.windows_encoded, statistics.windows_reused);
    let loaded = match statistics.windows_loaded {
        0 => String::new(),
        loaded => format!(", {loaded} loaded"),
    };
    let (provider, precision) = (report.provider.used, report.provider.precision);
    writeln!(out, "{encoded} windows encoded{loaded}, {reused} reused, on {provider} at {precision}")?;
    measured::summarise(out, report.provider.measured.as_ref())?;
    Ok(())
}
