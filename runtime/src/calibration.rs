//! What the image encoder's linear layers take, seen on windows of scans: what int8 is calibrated with.

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
use crate::scan::Scan;
use crate::scan::resize::resize_nearest_exact;
use crate::study::plan::frames_of_lattice;
use crate::study::{Region, StudyOptions};

/// Windows at full resolution that are looked at per scan, beside its zoom-out window.
const ZOOM_IN_WINDOWS: usize = 4;

/// Runs an image encoder that tells what its linear layers take, and keeps the extremes.
pub struct Calibrator {
    session: GraphSession,
    window_dhw: [usize; 3],
    orientation: Orientation,
    overlap: f64,
    activations: Activations,
    windows: usize,
}

impl Calibrator {
    /// Opens the image encoder of a bundle that was made for a calibration, on the CPU.
    ///
    /// # Errors
    ///
    /// [`Error::Bundle`] if the bundle is damaged, or has no graph for a calibration; [`Error::Library`] if ONNX Runtime
    /// cannot be loaded; [`Error::Setting`] if an option is out of range.
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
            orientation: study.orientation,
            overlap: study.overlap,
            activations: Activations::new(),
            windows: 0,
        })
    }

    /// Looks at a scan as a study does: at its zoom-out window, and at a few zoom-in windows spread over the crop.
    ///
    /// # Errors
    ///
    /// [`Error::Intensity`] if a voxel is not finite or all are equal, [`Error::Stage`] if ONNX Runtime fails.
    pub fn observe(&mut self, volume: Volume) -> Result<(), Error> {
        let window = self.window_dhw;
        let (scan, image) = Scan::prepare(volume, self.orientation, window, &mut |_| ())?;
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
            let take = |observation| floats(observation).unwrap_or_default().to_vec();
            let seen = Activation { min: take(Observation::Min), max: take(Observation::Max) };
            self.activations.entry(layer.to_owned()).and_modify(|known| known.merge(&seen)).or_insert(seen);
        }
        self.windows += 1;
        Ok(())
    }

    /// What was seen, and on how many windows.
    #[must_use]
    pub fn finish(self) -> (Activations, usize) {
        (self.activations, self.windows)
    }
}
