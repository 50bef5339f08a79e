//! A bundle, opened: sessions made once, shared by every study.

use std::borrow::Borrow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol_base::memory;
use segvol_onnx::Manifest;
use segvol_onnx::manifest::{MANIFEST_FILE, sha256_file};
use segvol_volume::Volume;

use crate::bundle_files::BundleFiles;
use crate::error::Error;
use crate::onnxruntime::library;
use crate::onnxruntime::provider::open_first;
use crate::options::Options;
use crate::provider::{PassedOver, Provider};
use crate::stages::Stages;
use crate::study::{Study, StudyOptions};

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
/// liver.mask()?.save("liver.nii.gz")?; // the scan's grid and affine
/// # Ok::<(), segvol::Error>(())
/// ```
#[derive(Clone)]
pub struct Model {
    stages: Arc<Stages>,
    files: Arc<BundleFiles>,
    manifest: Arc<Manifest>,
    bundle: PathBuf,
    manifest_sha256: String,
    passed_over: Arc<[PassedOver]>,
    options: Options,
}

impl Model {
    /// Opens a bundle: checks the hash of every file, then makes one session per stage.
    ///
    /// # Errors
    ///
    /// [`Error::Bundle`] if the bundle is damaged, incomplete, not one, or without the precision that was asked for;
    /// [`Error::Library`] if ONNX Runtime cannot be loaded; [`Error::ProviderMissing`] and [`Error::ProviderFailed`] if
    /// the provider is not available; [`Error::Setting`] if an option is out of range; [`Error::Memory`] if there is not
    /// enough memory.
    pub fn open(bundle: impl AsRef<Path>, options: &Options) -> Result<Self, Error> {
        options.check()?;
        memory::check_available::<u8>("opening a bundle", 1 << 20)?;
        let bundle = bundle.as_ref();
        let manifest = Manifest::read(bundle)?;
        if let Some(asked) = options.precision {
            manifest.precision(bundle, asked)?;
        }
        for &precision in manifest.precisions.keys() {
            for stage in segvol_onnx::Stage::ALL {
                manifest.stage(bundle, precision, stage)?;
            }
        }
        let files = Arc::new(BundleFiles::open(bundle, &manifest)?);
        manifest.verify(bundle)?;
        let manifest_path = bundle.join(MANIFEST_FILE);
        let manifest_sha256 = sha256_file(&manifest_path)
            .map_err(|source| segvol_onnx::BundleError::Io { path: manifest_path, source })?;
        let environment = library::environment(options.library.as_deref())?;
        let open = |provider| Stages::open(&environment, bundle, &manifest, &manifest_sha256, provider, options);
        let (stages, passed_over) = match options.provider {
            Provider::Auto => open_first(open)?,
            asked => (open(asked)?, Vec::new()),
        };
        Ok(Self {
            stages: Arc::new(stages),
            files,
            manifest: Arc::new(manifest),
            bundle: bundle.to_owned(),
            manifest_sha256,
            passed_over: passed_over.into(),
            options: options.clone(),
        })
    }

    /// Prepares a scan: orients, normalises and crops it. A volume may be given (`Volume`), so that its memory is free as soon
    /// as it can be, or lent (`&Volume`), so that other studies can be made of it.
    ///
    /// # Errors
    ///
    /// [`Error::Intensity`] if a voxel is not finite or all are equal; [`Error::Memory`] if there is not enough memory.
    pub fn study(&self, volume: impl Borrow<Volume>) -> Result<Study, Error> {
        self.study_with(volume, &StudyOptions::default())
    }

    /// As [`Model::study`], with settings for this scan.
    ///
    /// # Errors
    ///
    /// As for [`Model::study`], and [`Error::Setting`] if an option is out of range.
    pub fn study_with(&self, volume: impl Borrow<Volume>, options: &StudyOptions) -> Result<Study, Error> {
        Study::new(Arc::clone(&self.stages), Arc::clone(&self.files), options.clone(), volume)
    }

    /// The options that the bundle was opened with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
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

    /// The providers that [`Provider::Auto`] did not take, each with the reason; empty if another was asked for.
    #[must_use]
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }

    /// The bundle's folder.
    #[must_use]
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }
}
