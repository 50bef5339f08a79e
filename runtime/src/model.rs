//! A bundle, opened: sessions made once, shared by every study.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol_onnx::Manifest;
use segvol_onnx::manifest::{MANIFEST_FILE, sha256_file};

use crate::error::Error;
use crate::options::Options;
use crate::provider::Provider;
use crate::session;
use crate::stages::Stages;
use crate::study::Study;
use crate::volume::Volume;

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
    stages: Arc<Stages>,
    manifest: Arc<Manifest>,
    bundle: PathBuf,
    manifest_sha256: String,
    options: Options,
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
        Ok(Self {
            stages: Arc::new(stages),
            manifest: Arc::new(manifest),
            bundle: bundle.to_owned(),
            manifest_sha256,
            options: options.clone(),
        })
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
        let options = Options {
            provider: self.options.provider,
            threads: self.options.threads,
            library: self.options.library.clone(),
            ..options.clone()
        };
        Study::new(Arc::clone(&self.stages), options, volume)
    }

    /// The stages, to be called one by one.
    #[must_use]
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    /// What the bundle holds.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the bundle's manifest, which holds the hashes of all its files.
    #[must_use]
    pub fn manifest_sha256(&self) -> &str {
        &self.manifest_sha256
    }

    /// The bundle's folder.
    #[must_use]
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }
}
