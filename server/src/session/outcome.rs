//! What a call has found: the masks of all objects, coarse or final.

use std::sync::Arc;

use segvol::postprocess::Postprocessing;
use segvol::{FinishedMasks, Mask, Model, Prompt, Report, Segmentation, Study, Warning};
use segvol_objects::{Objects, SaveError};

use super::memory::Reserved;

/// How far a result has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// The zoom-out pass only: one window that shows the whole body.
    Coarse,
    /// Both passes.
    Final,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Coarse => "coarse",
            Self::Final => "final",
        }
    }
}

/// One object of a result.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) voxels: u64,
    pub(crate) volume_ml: f64,
    /// The smallest and the largest voxel, both inclusive; `None` if the mask is empty.
    pub(crate) bounds_ijk: Option<[[usize; 3]; 2]>,
    pub(crate) warnings: Vec<Warning>,
}

/// Work that a result took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    pub(crate) seconds: f64,
    pub(crate) windows_encoded: usize,
    pub(crate) windows_reused: usize,
}

/// What a call has found.
pub(crate) struct Outcome {
    pub(crate) stage: Stage,
    prompts: Arc<Vec<Prompt>>,
    segmentations: Vec<Segmentation>,
    /// One label per voxel; where objects overlap, the one with the higher logit.
    pub(crate) labels: Arc<Mask>,
    pub(crate) objects: Vec<Found>,
    pub(crate) work: Work,
    /// The report of a final result.
    pub(crate) report: Option<Report>,
    /// The memory of logits and labels, which a coarse and a final result of one call share.
    _reserved: Arc<Reserved>,
}

impl Outcome {
    /// What the zoom-out pass has found, as it is: postprocessing is for final masks.
    pub(crate) fn coarse(
        study: &Study,
        prompts: &Arc<Vec<Prompt>>,
        segmentations: &[Segmentation],
        work: Work,
        reserved: Arc<Reserved>,
    ) -> Result<Self, segvol::Error> {
        let labels = Arc::new(study.label_map(segmentations)?);
        let found = |segmentation: &Segmentation| Found {
            name: segmentation.name().to_owned(),
            voxels: segmentation.voxels().zoom_out,
            volume_ml: study.grid().volume_ml(segmentation.voxels().zoom_out),
            bounds_ijk: segmentation.bounding_box_ijk().map(|(min, max)| [min, max]),
            warnings: segmentation.warnings().to_vec(),
        };
        let objects = segmentations.iter().map(found).collect();
        let (prompts, segmentations) = (Arc::clone(prompts), segmentations.to_vec());
        Ok(Self {
            stage: Stage::Coarse,
            prompts,
            segmentations,
            labels,
            objects,
            work,
            report: None,
            _reserved: reserved,
        })
    }

    /// The result of a call.
    pub(crate) fn last(
        model: &Model,
        study: &Study,
        prompts: &Arc<Vec<Prompt>>,
        segmentations: Vec<Segmentation>,
        work: Work,
        reserved: Arc<Reserved>,
    ) -> Result<Self, segvol::Error> {
        let mut report = Report::new(model, study, prompts, &segmentations);
        let finished = finished(study, prompts, &segmentations)?;
        finished.amend(&mut report)?;
        // Where the bundle lies is nothing that clients need to know.
        report.bundle.path = model.bundle().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let labels = Arc::new(finished.label_map()?.into_owned());
        let found = |object: &segvol::ObjectReport| Found {
            name: object.name.clone(),
            voxels: object.voxels.zoom_in,
            volume_ml: object.volume_ml,
            bounds_ijk: object.bounding_box_ijk,
            warnings: object.warnings.clone(),
        };
        let objects = report.objects.iter().map(found).collect();
        drop(finished);
        let (prompts, report) = (Arc::clone(prompts), Some(report));
        Ok(Self { stage: Stage::Final, prompts, segmentations, labels, objects, work, report, _reserved: reserved })
    }

    /// The masks of all objects, each with its own voxels, as they are written to files.
    pub(crate) fn with_masks<T>(
        &self,
        study: &Study,
        bundle_sha256: &str,
        use_masks: impl FnOnce(&Objects<'_>) -> Result<T, SaveError>,
    ) -> Result<T, SaveError> {
        let masks = finished(study, &self.prompts, &self.segmentations)?;
        use_masks(&Objects { masks: &masks, prompts: &self.prompts, bundle_sha256 })
    }
}

/// Bytes of the results of a call whose zoom-out pass has found this: logits of both passes with the weights of their means, and labels.
pub(crate) fn bytes(study: &Study, coarse: &[Segmentation]) -> u64 {
    let region = |found: &Segmentation| {
        let roi = found.region_of_interest();
        roi.map_or(0, |roi| roi.region.shape_dhw().iter().map(|&n| n as u64).product::<u64>())
    };
    let logits =
        |found: &Segmentation| (found.zoom_out_logits().len() as u64 + 2 * region(found)) * size_of::<f32>() as u64;
    let label = if coarse.len() > usize::from(u8::MAX) { size_of::<u16>() } else { size_of::<u8>() };
    coarse.iter().map(logits).sum::<u64>() + (study.grid().voxels() * label) as u64
}

/// The masks after the postprocessing that the prompts ask for.
fn finished<'a>(
    study: &'a Study,
    prompts: &[Prompt],
    segmentations: &'a [Segmentation],
) -> Result<FinishedMasks<'a>, segvol::Error> {
    let own = |prompt: &Prompt| Postprocessing::default().overridden_by(&prompt.postprocess);
    let settings: Vec<Postprocessing> = prompts.iter().map(own).collect();
    FinishedMasks::new(study, prompts, segmentations, &settings)
}
