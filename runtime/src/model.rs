//! A bundle, opened: sessions made once, shared by every study.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol_onnx::Manifest;
use segvol_onnx::manifest::{MANIFEST_FILE, sha256_file};

use crate::error::Error;
use crate::orientation::Orientation;
use crate::provider::Provider;
use crate::session;
use crate::stages::Stages;
use crate::study::Study;
use crate::volume::Volume;
use crate::zoom_in::Profile;

/// How a bundle is opened and scans are segmented.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Where the graphs run.
    pub provider: Provider,
    /// Threads per graph; as many as there are cores if none.
    pub threads: Option<usize>,
    /// ONNX Runtime's library file; found by itself if none.
    pub library: Option<PathBuf>,
    /// Which axes the model sees.
    pub orientation: Orientation,
    /// How windows and prompts of the zoom-in pass are chosen.
    pub profile: Profile,
    /// Whether the zoom-in pass runs.
    pub zoom_in: bool,
    /// Share of a window that the next one covers too, per axis: 0 up to, not including, 1.
    pub overlap: f64,
    /// Bytes of image embeddings that a study keeps.
    pub cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            provider: Provider::default(),
            threads: None,
            library: None,
            orientation: Orientation::default(),
            profile: Profile::default(),
            zoom_in: true,
            overlap: 0.5,
            cache_bytes: 2 << 30,
        }
    }
}

impl Options {
    /// Runs the graphs on `provider`.
    #[must_use]
    pub fn provider(mut self, provider: Provider) -> Self {
        self.provider = provider;
        self
    }

    /// Gives every graph `threads` threads.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Loads ONNX Runtime from this file.
    #[must_use]
    pub fn library(mut self, library: impl Into<PathBuf>) -> Self {
        self.library = Some(library.into());
        self
    }

    /// Shows the model these axes.
    #[must_use]
    pub fn orientation(mut self, orientation: Orientation) -> Self {
        self.orientation = orientation;
        self
    }

    /// Chooses windows and prompts so.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Turns the zoom-in pass on or off.
    #[must_use]
    pub fn zoom_in(mut self, zoom_in: bool) -> Self {
        self.zoom_in = zoom_in;
        self
    }

    /// Lets neighbouring windows share this much of an axis.
    #[must_use]
    pub fn overlap(mut self, overlap: f64) -> Self {
        self.overlap = overlap;
        self
    }

    /// Keeps at most this many bytes of image embeddings per study.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    fn check(&self) -> Result<(), Error> {
        if !(0.0..1.0).contains(&self.overlap) {
            let (expected, found) = ("at least 0 and less than 1", self.overlap.to_string());
            return Err(Error::Setting { name: "overlap", expected, found });
        }
        if self.threads == Some(0) {
            return Err(Error::Setting { name: "threads", expected: "at least 1", found: "0".to_owned() });
        }
        Ok(())
    }
}

/// A bundle, opened on a provider. Cheap to clone; clones share the sessions.
///
/// # Example
///
/// ```no_run
/// use segvol::{Model, Options, PointLabel, Prompt, Provider, Volume};
///
/// let model = Model::open("bundle/", &Options::default().provider(Provider::Cpu))?;
/// let study = model.study(Volume::open("ct.nii.gz")?)?;
/// let liver = study.segment(&Prompt::text("liver"))?;
/// let tumour = Prompt::text("liver tumor").point([211.0, 160.0, 47.0], PointLabel::Foreground);
/// let tumour = study.segment(&tumour)?; // no window is encoded twice
/// liver.mask().save("liver.nii.gz")?; // the scan's grid and affine
/// # Ok::<(), segvol::Error>(())
/// ```
#[derive(Clone)]
pub struct Model {
    inner: Arc<ModelInner>,
    options: Options,
}

pub(crate) struct ModelInner {
    pub(crate) stages: Stages,
    pub(crate) manifest: Manifest,
    pub(crate) bundle: PathBuf,
    pub(crate) manifest_sha256: String,
}

impl Model {
    /// Opens a bundle: checks the hash of every file, then makes one session per stage.
    ///
    /// # Errors
    ///
    /// [`Error::Bundle`] if the bundle is damaged, incomplete or not one; [`Error::Library`] if ONNX Runtime cannot be
    /// loaded; [`Error::ProviderMissing`] and [`Error::ProviderFailed`] if the provider cannot be had;
    /// [`Error::Setting`] if an option is out of range.
    pub fn open(bundle: impl AsRef<Path>, options: &Options) -> Result<Self, Error> {
        options.check()?;
        let bundle = bundle.as_ref();
        let manifest = Manifest::read(bundle)?;
        for stage in segvol_onnx::Stage::ALL {
            manifest.stage(bundle, stage)?;
        }
        manifest.verify(bundle)?;
        let manifest_path = bundle.join(MANIFEST_FILE);
        let manifest_sha256 = sha256_file(&manifest_path)
            .map_err(|source| segvol_onnx::BundleError::Io { path: manifest_path, source })?;
        let environment = session::environment(options.library.as_deref())?;
        let open = |provider| Stages::open(&environment, bundle, &manifest, provider, options.threads);
        let stages = match options.provider {
            Provider::Auto if Provider::Cuda.is_compiled_in() => match open(Provider::Cuda) {
                Ok(stages) => stages,
                Err(error) => {
                    tracing::info!(%error, "CUDA cannot be used; going on with the CPU");
                    open(Provider::Cpu)?
                }
            },
            Provider::Auto => open(Provider::Cpu)?,
            asked => open(asked)?,
        };
        let inner = ModelInner { stages, manifest, bundle: bundle.to_owned(), manifest_sha256 };
        Ok(Self { inner: Arc::new(inner), options: options.clone() })
    }

    /// Prepares a scan: orients, normalises and crops it.
    ///
    /// # Errors
    ///
    /// [`Error::Intensity`] if a voxel is not finite or all are equal.
    pub fn study(&self, volume: Volume) -> Result<Study, Error> {
        self.study_with(volume, &self.options)
    }

    /// As [`Model::study`], with other settings for this scan; provider, threads and library stay the model's.
    ///
    /// # Errors
    ///
    /// As for [`Model::study`], and [`Error::Setting`] if an option is out of range.
    pub fn study_with(&self, volume: Volume, options: &Options) -> Result<Study, Error> {
        options.check()?;
        Study::new(Arc::clone(&self.inner), options.clone(), volume)
    }

    /// The stages, to be called one by one.
    #[must_use]
    pub fn stages(&self) -> &Stages {
        &self.inner.stages
    }

    /// What the bundle holds.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.inner.manifest
    }

    /// SHA-256 of the bundle's manifest, which holds the hashes of all its files.
    #[must_use]
    pub fn manifest_sha256(&self) -> &str {
        &self.inner.manifest_sha256
    }

    /// The bundle's folder.
    #[must_use]
    pub fn bundle(&self) -> &Path {
        &self.inner.bundle
    }
}
