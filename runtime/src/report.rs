//! What was done, for a record: objects, windows, times, provider, warnings.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use segvol_base::atomic_file;
use segvol_onnx::manifest::Source;
use segvol_onnx::{Precision, Stage};
use segvol_volume::{Grid, Orientation, Truth};
use serde::Serialize;

use crate::error::Error;
use crate::model::Model;
use crate::onnxruntime::library;
use crate::prompt::Prompt;
use crate::provider::{LeftToCpu, PassedOver, Placement, Provider};
use crate::study::{Profile, Segmentation, Statistics, Study, VoxelCounts, WindowCounts};

/// The layout of a report.
const SCHEMA_VERSION: u32 = 1;

/// What a segmentation did.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Version of this layout.
    pub schema_version: u32,
    /// The program that made the mask, with its version.
    pub tool: String,
    /// The bundle.
    pub bundle: BundleReport,
    /// Where the graphs ran.
    pub provider: ProviderReport,
    /// The scan.
    pub image: ImageReport,
    /// The settings that the result depends on.
    pub settings: SettingsReport,
    /// One entry per object, in the prompts' order; the label of the first is 1.
    pub objects: Vec<ObjectReport>,
    /// Windows and times of the whole call.
    #[serde(flatten)]
    pub statistics: Statistics,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Which bundle made the mask.
#[derive(Debug, Clone, Serialize)]
pub struct BundleReport {
    /// The bundle's folder.
    pub path: String,
    /// SHA-256 of its manifest, which holds the hashes of all its files.
    pub manifest_sha256: String,
    /// The checkpoint that it was made from.
    pub source: Source,
}

/// Where the graphs ran.
#[derive(Debug, Clone, Serialize)]
pub struct ProviderReport {
    /// The provider that was asked for.
    pub asked: &'static str,
    /// The provider that the sessions were opened on.
    pub used: &'static str,
    /// The provider of every stage: `used`, but where the stage was put elsewhere.
    pub stages: BTreeMap<Stage, Provider>,
    /// The providers that `auto` did not take, each with the reason.
    pub passed_over: Vec<PassedOver>,
    /// The bundle's precision that was asked for; none if it was left to the provider.
    pub precision_asked: Option<Precision>,
    /// The precision that the sessions were opened at.
    pub precision: Precision,
    /// The element type of the image encoder's matrix products: a provider may have none for the precision.
    pub arithmetic: &'static str,
    /// Nodes of every stage's graph per provider, as ONNX Runtime placed them.
    pub nodes: BTreeMap<Stage, Placement>,
    /// Nodes that were left to the CPU in stages that another provider was asked for: names by operator.
    pub left_to_cpu: BTreeMap<Stage, LeftToCpu>,
    /// Version and build of ONNX Runtime.
    pub onnxruntime: String,
}

/// The scan.
#[derive(Debug, Clone, Serialize)]
pub struct ImageReport {
    /// Voxels per axis of the file.
    pub shape_xyz: [usize; 3],
    /// Distance between voxels, in millimetres.
    pub spacing_mm: [f64; 3],
    /// First voxel of the crop in the oriented scan, `(d, h, w)`.
    pub crop_start_dhw: [usize; 3],
    /// Voxels of the crop.
    pub crop_shape_dhw: [usize; 3],
}

/// The settings that a result depends on.
#[derive(Debug, Clone, Serialize)]
pub struct SettingsReport {
    /// Which axes the model saw.
    pub orientation: Orientation,
    /// How windows and prompts of the zoom-in pass were chosen.
    pub profile: Profile,
    /// Whether the zoom-in pass ran.
    pub zoom_in: bool,
    /// Share of a window that the next one covers too.
    pub overlap: f64,
}

/// One object.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectReport {
    /// The object's name.
    pub name: String,
    /// Its value in the label map.
    pub label: usize,
    /// Its prompt, as given.
    pub prompt: Prompt,
    /// Voxels of its own mask, before overlaps are settled.
    pub voxels: VoxelCounts,
    /// Volume of its own mask, in millilitres.
    pub volume_ml: f64,
    /// Bounding box of its own mask in voxels of the file, least and greatest (inclusive); none if it is empty.
    pub bounding_box_ijk: Option<[[usize; 3]; 2]>,
    /// Where the zoom-in pass looked, in voxels of the crop, `(d, h, w)`, least and greatest (inclusive).
    pub region_dhw: Option<[[usize; 3]; 2]>,
    /// What became of its zoom-in windows.
    pub windows: WindowCounts,
    /// How much its own mask and the truth share; absent where there is no truth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dice: Option<f64>,
    /// What the user should know of it.
    pub warnings: Vec<String>,
}

impl Report {
    /// The record of one call to a study.
    #[must_use]
    pub fn new(model: &Model, study: &Study, prompts: &[Prompt], segmentations: &[Segmentation]) -> Self {
        let (options, settings) = (model.options(), study.options());
        let stages = model.stages();
        let objects = prompts.iter().zip(segmentations).enumerate();
        Self {
            schema_version: SCHEMA_VERSION,
            tool: concat!("segvol ", env!("CARGO_PKG_VERSION")).to_owned(),
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
                precision_asked: options.precision,
                precision: stages.precision(),
                arithmetic: stages.arithmetic(),
                nodes: stages.placement(),
                left_to_cpu: stages.left_to_cpu(),
                onnxruntime: format!("{}, {}", library::library_version(), library::library_info()),
            },
            image: ImageReport {
                shape_xyz: study.grid().shape_xyz(),
                spacing_mm: study.grid().spacing_mm(),
                crop_start_dhw: study.crop().start_dhw,
                crop_shape_dhw: study.crop().shape_dhw(),
            },
            settings: SettingsReport {
                orientation: settings.orientation,
                profile: settings.profile,
                zoom_in: settings.zoom_in,
                overlap: settings.overlap,
            },
            objects: objects
                .map(|(index, (prompt, found))| ObjectReport::new(index + 1, prompt, found, study.grid()))
                .collect(),
            statistics: study.statistics(),
            warnings: study.warnings().iter().cloned().chain(stages.precision_note()).collect(),
        }
    }

    /// Scores the objects that the truth knows by name.
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

    /// Writes the report as JSON. The file appears whole or not at all.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let json = self.to_json()?;
        atomic_file::write(path, |mut file| file.write_all(json.as_bytes()))
    }

    /// The report as JSON text.
    ///
    /// # Errors
    ///
    /// Never in practice: every field has a JSON form.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }
}

impl ObjectReport {
    fn new(label: usize, prompt: &Prompt, found: &Segmentation, grid: &Grid) -> Self {
        let voxels = found.voxels();
        let mut warnings = found.warnings().to_vec();
        if voxels.zoom_in == 0 {
            let pass = if voxels.zoom_out == 0 {
                "the zoom-out pass found no foreground"
            } else {
                "no foreground is left after zoom-in"
            };
            warnings.push(format!("object {:?}: the mask is empty: {pass}", found.name()));
        }
        Self {
            name: found.name().to_owned(),
            label,
            prompt: prompt.clone(),
            voxels,
            volume_ml: grid.volume_ml(voxels.zoom_in),
            bounding_box_ijk: found.bounding_box_ijk().map(|(min, max)| [min, max]),
            region_dhw: found.region_of_interest().map(|roi| [roi.region.min_dhw, roi.region.max_dhw]),
            windows: found.windows(),
            dice: None,
            warnings,
        }
    }
}
