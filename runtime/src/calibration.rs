//! Ranges of the inputs of the image encoder's linear layers, measured on windows of scans. int8 quantization is
//! calibrated with them.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::Array3;
use segvol_onnx::manifest::BundleError;
use segvol_onnx::{Activation, Activations, Manifest, Observation, Precision, Stage, Variant};

use segvol_volume::{Orientation, Volume};

use crate::error::Error;
use crate::onnxruntime::graph::{GraphSession, Tensor};
use crate::options::Options;
use crate::provider::Provider;
use crate::study::StudyOptions;
use segvol_scan::Scan;
use segvol_scan::resize::resize_nearest_exact;
use segvol_windows::{Region, frames_of_lattice};

/// The overlap of the lattice from which the windows are taken, unless the caller sets another one.
const LATTICE_OVERLAP: f64 = 0.5;

/// Number of windows at full resolution that are measured per scan, in addition to its zoom-out window.
const ZOOM_IN_WINDOWS: usize = 4;

/// Runs an image encoder whose graph also outputs the range of each linear layer's input, and keeps the extremes.
pub struct Calibrator {
    session: GraphSession,
    window_dhw: [usize; 3],
    orientation: Orientation,
    overlap: f64,
    activations: Activations,
    windows: usize,
}

impl Calibrator {
    /// Opens the image encoder of a bundle that was made for calibration, on the CPU.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] if an option is out of range; [`Error::Bundle`] if the bundle is damaged, or has no graph for
    /// calibration; [`Error::Library`] if ONNX Runtime cannot be loaded; [`Error::Stage`] if it rejects the graph;
    /// [`Error::Memory`] if there is not enough memory.
    pub fn open(bundle: &Path, options: &Options, study: &StudyOptions) -> Result<Self, Error> {
        options.check()?;
        study.check()?;
        let manifest = Manifest::read(bundle)?;
        let stage = Stage::ImageEncoder;
        let files = manifest.stage(bundle, Precision::Fp32, stage)?;
        let graph = files.graphs.get(&Variant::Observed);
        let missing = || BundleError::MissingStage { path: bundle.to_owned(), stage };
        let graph = bundle.join(&graph.ok_or_else(missing)?.name);
        Ok(Self {
            session: GraphSession::open_on(&graph, stage, Provider::Cpu, options, &files.inputs)?,
            window_dhw: manifest.architecture.window_dhw,
            orientation: study.orientation_for(manifest.axes),
            overlap: study.overlap.unwrap_or(LATTICE_OVERLAP),
            activations: Activations::new(),
            windows: 0,
        })
    }

    /// Prepares a scan as a study does, then measures its zoom-out window and up to 4 zoom-in windows spread over the crop.
    ///
    /// # Errors
    ///
    /// [`Error::Intensity`] if a voxel is NaN or infinite, or the scan has no contrast or too large a range of intensities;
    /// [`Error::Memory`] if there is not enough memory; [`Error::Stage`] if ONNX Runtime fails, or the graph lacks an output.
    pub fn observe(&mut self, volume: Volume) -> Result<(), Error> {
        let window = self.window_dhw;
        let (scan, image) = Scan::prepare(volume, self.orientation, true, false, window, &mut |_| ())?;
        self.observe_window(&resize_nearest_exact(image.view(), window))?;
        let shape = scan.crop.shape_dhw();
        let whole = Region { min_dhw: [0; 3], max_dhw: shape.map(|n| n.saturating_sub(1)) };
        let frames = frames_of_lattice(&whole, shape, window, self.overlap);
        let count = ZOOM_IN_WINDOWS.min(frames.len());
        for i in 0..count {
            let frame = &frames[(2 * i + 1) * frames.len() / (2 * count)];
            self.observe_window(&frame.cut(image.view(), window))?;
        }
        Ok(())
    }

    fn observe_window(&mut self, window: &Array3<f32>) -> Result<(), Error> {
        let [d, h, w] = self.window_dhw;
        let image = Tensor::float(&[1, 1, d, h, w], window.iter().copied().collect());
        let outputs: BTreeMap<String, Tensor> = self.session.run(&[("image".to_owned(), image)])?.into_iter().collect();
        for layer in outputs.keys().filter_map(|output| Observation::Min.layer(output)) {
            let floats = |observation: Observation| outputs.get(&observation.output(layer)).and_then(Tensor::floats);
            let take = |observation: Observation| {
                let reason = || format!("the graph has no float32 output `{}`", observation.output(layer));
                let missing = || Error::Stage { stage: Stage::ImageEncoder, reason: reason() };
                floats(observation).map(<[f32]>::to_vec).ok_or_else(missing)
            };
            let seen = Activation { min: take(Observation::Min)?, max: take(Observation::Max)? };
            self.activations.entry(layer.to_owned()).and_modify(|known| known.merge(&seen)).or_insert(seen);
        }
        self.windows += 1;
        Ok(())
    }

    /// The minimum and maximum of each layer's input per channel, and the number of windows that were measured.
    #[must_use]
    pub fn finish(self) -> (Activations, usize) {
        (self.activations, self.windows)
    }
}
