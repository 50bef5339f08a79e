//! One call for several objects, and the study that was called.

use std::ops::Range;
use std::sync::Arc;

use segvol::postprocess::Postprocessing;
use segvol::{FinishedMasks, Prompt, Report};

use crate::array::Axes;
use crate::errors::Failure;
use crate::process::OfProcess;
use crate::source::Source;

/// A study with its model.
pub(crate) struct Open {
    pub(crate) model: OfProcess<segvol::Model>,
    pub(crate) study: OfProcess<segvol::Study>,
    pub(crate) source: Source,
    pub(crate) axes: Axes,
}

/// The objects of one call.
pub(crate) struct Call {
    pub(crate) open: Arc<Open>,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) segmentations: OfProcess<Vec<segvol::Segmentation>>,
}

impl Call {
    /// Refuses to work in a fork of the process that has made the call.
    pub(crate) fn here(&self) -> Result<&Self, Failure> {
        self.segmentations.here().map(|_| self)
    }

    /// Masks after the postprocessing that the prompts ask for, of these objects.
    pub(crate) fn finished(&self, objects: Range<usize>) -> Result<FinishedMasks<'_>, segvol::Error> {
        let prompts = &self.prompts[objects.clone()];
        let settings: Vec<Postprocessing> =
            prompts.iter().map(|prompt| Postprocessing::default().overridden_by(&prompt.postprocess)).collect();
        FinishedMasks::new(&self.open.study, prompts, &self.segmentations[objects], &settings)
    }

    pub(crate) fn all(&self) -> Result<FinishedMasks<'_>, segvol::Error> {
        self.finished(0..self.prompts.len())
    }

    /// The report of the call as JSON.
    pub(crate) fn report(&self) -> Result<String, segvol::Error> {
        let Open { model, study, .. } = &*self.open;
        let mut report = Report::new(model, study, &self.prompts, &self.segmentations);
        self.all()?.amend(&mut report)?;
        serde_json::to_string(&report).map_err(|error| segvol::Error::Setting {
            name: "report",
            expected: "numbers that JSON has",
            found: error.to_string(),
        })
    }
}
