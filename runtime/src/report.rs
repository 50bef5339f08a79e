//! The report of a segmentation: objects, windows, times, provider, warnings.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use segvol_base::{Warning, WarningCode, atomic_file};
use segvol_onnx::manifest::Source;
use segvol_onnx::{Precision, Stage};
use segvol_postprocess::{INSIDE, Record};
use segvol_volume::{FloatType, Grid, Mask, Orientation, Truth};
use serde::Serialize;

use crate::error::Error;
use crate::measured::Measured;
use crate::model::Model;
use crate::onnxruntime::library;
use crate::provider::{LeftToCpu, PassedOver, Placement, Provider};
use crate::study::{Profile, Segmentation, Statistics, Study, VoxelCounts, WindowCounts, WindowPlan};
use segvol_prompt::Prompt;

/// The version of the report's layout.
pub const SCHEMA_VERSION: u32 = 2;

/// If an object loses a larger share of its voxels to other objects in the label map, there is a warning.
const MAX_LOST: f64 = 0.05;

/// Every report carries it: a mask may travel without the documentation.
const NOTICE: &str = "research software, not a medical device";

/// The report of one call to a study, written as JSON.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Version of this layout.
    pub schema_version: u32,
    /// The program that made the mask, with its version.
    pub tool: String,
    /// What the mask may be used for.
    pub notice: &'static str,
    /// The bundle that was used.
    pub bundle: BundleReport,
    /// The provider that ran the graphs.
    pub provider: ProviderReport,
    /// The scan.
    pub image: ImageReport,
    /// The settings that the result depends on.
    pub settings: SettingsReport,
    /// One entry per object, in the order of the prompts. The first object has label 1.
    pub objects: Vec<ObjectReport>,
    /// What the call was expected to take. The caller sets it; absent from the JSON if there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanReport>,
    /// Windows and times of the study, since it was made.
    #[serde(flatten)]
    pub statistics: Statistics,
    /// Warnings about the scan, the precision and the folder of embeddings.
    pub warnings: Vec<Warning>,
    /// Files with all objects. The caller sets them; absent from the JSON if there are none.
    #[serde(skip_serializing_if = "Files::is_empty")]
    pub files: Files,
}

/// What a call was expected to take when its zoom-out pass had ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanReport {
    /// The windows.
    #[serde(flatten)]
    pub windows: WindowPlan,
    /// Seconds from then to the last window; `None` if it was not known.
    pub expected_s: Option<f64>,
    /// By what the seconds were estimated: `stored benchmark` or `first window`.
    pub expected_from: &'static str,
    /// The most memory that the process would use, masks included, in bytes; `None` where it cannot be known (outside Linux).
    pub peak_memory_bytes: Option<u64>,
}

/// Files with all objects of a call, as they were named. [`ObjectReport::file`] has those of single objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Files {
    /// The label map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The logits of the only object, if they are in a file that was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logits: Option<String>,
    /// The probabilities of the only object, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<String>,
    /// How logits and probabilities are rounded, here and in the files of single objects; `None`, and absent from the JSON, if they
    /// are not, or if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<FloatType>,
    /// The picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlay: Option<String>,
}

impl Files {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The bundle that made the mask.
#[derive(Debug, Clone, Serialize)]
pub struct BundleReport {
    /// The bundle's folder.
    pub path: String,
    /// SHA-256 of the manifest, in hexadecimal. The manifest contains the hashes of all files of the bundle.
    pub manifest_sha256: String,
    /// The checkpoint that the bundle was made from.
    pub source: Source,
}

/// The provider that ran the graphs.
#[derive(Debug, Clone, Serialize)]
pub struct ProviderReport {
    /// The requested provider, `auto` included.
    pub asked: &'static str,
    /// The provider that the sessions were opened on, except those of stages with another provider.
    pub used: &'static str,
    /// The provider of each stage: `used`, or the one that the options set for the stage.
    pub stages: BTreeMap<Stage, Provider>,
    /// The providers that `auto` did not choose, each with the reason.
    pub passed_over: Vec<PassedOver>,
    /// What was measured on this machine, and which row of it was chosen. `None` if nothing was, or if a provider was requested
    /// by name.
    pub measured: Option<Measured>,
    /// The requested precision; `None` if it was chosen by the provider.
    pub precision_asked: Option<Precision>,
    /// The precision that the sessions were opened at.
    pub precision: Precision,
    /// The element type of the image encoder's matrix products: `float32`, `float16` or `int8`. It differs from `precision` if
    /// the provider has no arithmetic for that precision.
    pub arithmetic: &'static str,
    /// What runs at a higher precision than `precision` for the sake of the result; `None` if nothing does.
    pub precision_note: Option<&'static str>,
    /// Number of graph nodes that each provider took, per stage, as ONNX Runtime recorded it.
    pub nodes: BTreeMap<Stage, Placement>,
    /// Nodes that run on the CPU although another provider was requested, per stage: their names, by operator.
    pub left_to_cpu: BTreeMap<Stage, LeftToCpu>,
    /// Version and build of ONNX Runtime.
    pub onnxruntime: String,
}

/// The scan.
#[derive(Debug, Clone, Serialize)]
pub struct ImageReport {
    /// Voxels per axis of the file, `(i, j, k)`.
    pub shape_xyz: [usize; 3],
    /// Distance between voxel centres per axis of the file, in millimetres.
    pub spacing_mm: [f64; 3],
    /// First voxel of the crop in the oriented scan, or in the straightened one, `(d, h, w)`.
    pub crop_start_dhw: [usize; 3],
    /// Voxels per axis of the crop, `(d, h, w)`.
    pub crop_shape_dhw: [usize; 3],
    /// The rectangular volume that the model saw; `None`, and absent from the JSON, if the scan was not straightened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub straightened: Option<StraightenedReport>,
}

/// The rectangular volume that the model saw in the place of a sheared scan.
#[derive(Debug, Clone, Serialize)]
pub struct StraightenedReport {
    /// Angle between the scan's axes and perpendicular ones, in degrees.
    pub angle_degrees: f64,
    /// Voxels per axis, `(d, h, w)`.
    pub shape_dhw: [usize; 3],
    /// Distance between voxel centres per axis, `(d, h, w)`, in millimetres.
    pub spacing_dhw_mm: [f64; 3],
}

/// The settings that the result depends on.
#[derive(Debug, Clone, Serialize)]
pub struct SettingsReport {
    /// The axes that the model saw.
    pub orientation: Orientation,
    /// The axes that the model was trained with; `None` if the bundle does not say.
    pub expected_axes: Option<Orientation>,
    /// How the windows and prompts of the zoom-in pass were chosen.
    pub profile: Profile,
    /// Whether the zoom-in pass ran.
    pub zoom_in: bool,
    /// The least overlap of neighbouring windows of an object, as a fraction of the window per axis.
    pub overlap: f64,
    /// Whether each object had the windows that it would have had alone.
    pub independent: bool,
    /// The probability above which a voxel is in a mask; `None`, and absent from the JSON, if it is that of the released code, 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

/// One object.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectReport {
    /// The object's name.
    pub name: String,
    /// The object's value in the label map.
    pub label: usize,
    /// The file with the object's own mask, as it was named. The caller sets it; `None`, and absent from the JSON, if there is
    /// no such file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The file with the object's logits in a folder of them, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logits: Option<String>,
    /// The file with the object's probabilities in a folder of them, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<String>,
    /// The object's prompt, as given.
    pub prompt: Prompt,
    /// Number of voxels in the object's own mask, which may overlap with other objects' masks.
    pub voxels: VoxelCounts,
    /// Number of voxels that carry the object's label in the label map of all objects; fewer than `voxels.zoom_in` where
    /// another object has a higher logit.
    pub voxels_in_label_map: u64,
    /// Volume of the object's own mask, in millilitres.
    pub volume_ml: f64,
    /// Bounding box of the object's own mask in voxels of the file, minimum and maximum, both inclusive. `None` if the mask is
    /// empty.
    pub bounding_box_ijk: Option<[[usize; 3]; 2]>,
    /// The region of the zoom-in pass in voxels of the crop, `(d, h, w)`, minimum and maximum, both inclusive. `None` if there
    /// was no zoom-in pass, or no voxel was positive after the zoom-out pass.
    pub region_dhw: Option<[[usize; 3]; 2]>,
    /// Number of windows of the zoom-in pass.
    pub windows: WindowCounts,
    /// Dice score of the object's own mask and the ground truth, in [0, 1]. `None`, and absent from the JSON, if there is no
    /// ground truth for the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dice: Option<f64>,
    /// What was done to the object's mask after the model; `None`, and absent from the JSON, if nothing was. Voxels, volume, box and
    /// Dice are those of the mask after it; `voxels.zoom_out`, and what warnings say about the passes, are from before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postprocessing: Option<Record>,
    /// Warnings about the object.
    pub warnings: Vec<Warning>,
}

impl Report {
    /// The report of one call to `study`. `prompts` and `segmentations` are those of the call, in the same order.
    #[must_use]
    pub fn new(model: &Model, study: &Study, prompts: &[Prompt], segmentations: &[Segmentation]) -> Self {
        let (options, settings) = (model.options(), study.options());
        let stages = model.stages();
        let labelled = study.label_counts(segmentations);
        let objects = prompts.iter().zip(segmentations).zip(labelled).enumerate();
        Self {
            schema_version: SCHEMA_VERSION,
            tool: concat!("segvol ", env!("CARGO_PKG_VERSION")).to_owned(),
            notice: NOTICE,
            bundle: BundleReport {
                path: model.bundle().display().to_string(),
                manifest_sha256: model.manifest_sha256().to_owned(),
                source: model.manifest().source.clone(),
            },
            provider: ProviderReport {
                asked: options.provider.name(),
                used: stages.provider().name(),
                stages: stages.providers(),
                passed_over: model.passed_over().to_vec(),
                measured: model.measured().cloned(),
                precision_asked: options.precision,
                precision: stages.precision(),
                arithmetic: stages.arithmetic(),
                precision_note: stages.precision_note(),
                nodes: stages.placement(),
                left_to_cpu: stages.left_to_cpu(),
                onnxruntime: format!("{}, {}", library::library_version(), library::library_info()),
            },
            image: ImageReport {
                shape_xyz: study.grid().shape_xyz(),
                spacing_mm: study.grid().spacing_mm(),
                crop_start_dhw: study.crop().start_dhw,
                crop_shape_dhw: study.crop().shape_dhw(),
                straightened: study.shear().map(|shear| StraightenedReport {
                    angle_degrees: shear.angle_degrees(),
                    shape_dhw: shear.shape_dhw(),
                    spacing_dhw_mm: shear.spacing_mm(),
                }),
            },
            settings: SettingsReport {
                orientation: model.orientation(settings),
                expected_axes: model.axes(),
                profile: settings.profile,
                zoom_in: settings.zoom_in,
                overlap: settings.least_overlap(),
                independent: settings.independent,
                threshold: settings.own_threshold(),
            },
            objects: objects
                .map(|(index, ((prompt, found), labelled))| {
                    ObjectReport::new(index + 1, labelled, prompt, found, study.grid())
                })
                .collect(),
            plan: None,
            statistics: study.statistics(),
            warnings: study
                .warnings()
                .iter()
                .cloned()
                .chain(stages.precision_warning())
                .chain(study.embedding_warnings())
                .collect(),
            files: Files::default(),
        }
    }

    /// Sets [`ObjectReport::dice`] of the objects whose names the ground truth contains. `segmentations` are those that the
    /// report was made from, in the same order.
    ///
    /// # Errors
    ///
    /// As for [`Segmentation::mask`].
    pub fn compare(&mut self, truth: &Truth, segmentations: &[Segmentation]) -> Result<(), Error> {
        for (object, found) in self.objects.iter_mut().zip(segmentations) {
            object.dice = truth.dice(&object.name, &found.mask()?);
        }
        Ok(())
    }

    /// Writes the report as JSON. The write is atomic: the file appears complete or not at all.
    ///
    /// # Errors
    ///
    /// The operating system's [`io::Error`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let json = self.to_json()?;
        atomic_file::write(path, |mut file| file.write_all(json.as_bytes()))
    }

    /// The report as JSON text.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`], but never in practice: every field can be written as JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }
}

impl ObjectReport {
    fn new(label: usize, labelled: u64, prompt: &Prompt, found: &Segmentation, grid: &Grid) -> Self {
        let voxels = found.voxels();
        let mut report = Self {
            name: found.name().to_owned(),
            label,
            file: None,
            logits: None,
            probabilities: None,
            prompt: prompt.clone(),
            voxels,
            voxels_in_label_map: labelled,
            volume_ml: grid.volume_ml(voxels.zoom_in),
            bounding_box_ijk: found.bounding_box_ijk().map(|(min, max)| [min, max]),
            region_dhw: found.region_of_interest().map(|roi| [roi.region.min_dhw, roi.region.max_dhw]),
            windows: found.windows(),
            dice: None,
            postprocessing: None,
            warnings: found.warnings().to_vec(),
        };
        report.relabelled(labelled);
        report
    }

    /// Replaces what the report says about the object's mask by what holds after postprocessing: `mask` is the new mask.
    /// [`ObjectReport::relabelled`] is for the label map.
    pub fn postprocessed(&mut self, mask: &Mask, record: Record) {
        self.voxels.zoom_in = record.voxels_after;
        self.volume_ml = mask.grid().volume_ml(record.voxels_after);
        self.bounding_box_ijk = mask.bounding_box_ijk(INSIDE).map(|(min, max)| [min, max]);
        self.postprocessing = Some(record);
    }

    /// Sets the number of voxels that carry the object's label in the label map of all objects, and warns if the object loses much of
    /// its mask to others there.
    pub fn relabelled(&mut self, labelled: u64) {
        self.voxels_in_label_map = labelled;
        self.warnings.retain(|warning| warning.code != WarningCode::MaskOverlap);
        let (name, voxels) = (&self.name, self.voxels.zoom_in);
        let lost = voxels.saturating_sub(labelled);
        if lost as f64 > MAX_LOST * voxels as f64 {
            let message = format!(
                "object {name:?}: {lost} of {voxels} voxels carry another object's label in the label map; a mask per object keeps them"
            );
            self.warnings.push(Warning::new(WarningCode::MaskOverlap, message));
        }
    }
}
