//! An open bundle: its sessions are made once and shared by all studies.

use std::borrow::Borrow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol_base::{Warning, memory};
use segvol_names::{NameAdvice, Names};
use segvol_onnx::manifest::{MANIFEST_FILE, sha256_file};
use segvol_onnx::{BundleFiles, Manifest};
use segvol_volume::{Orientation, Volume};

use crate::error::Error;
use crate::measured::Measured;
use crate::onnxruntime::library;
use crate::onnxruntime::provider::open_first;
use crate::options::Options;
use crate::provider::{PassedOver, Provider};
use crate::stages::Stages;
use crate::study::{Study, StudyOptions};
use segvol_prompt::{Prompt, name_warnings};

/// An open bundle. It is cheap to clone, and clones share the sessions.
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
    measured: Option<Arc<Measured>>,
    options: Options,
}

impl Model {
    /// Opens a bundle: checks the hash of every file, and opens every stage in ONNX Runtime.
    ///
    /// The hashes of the weights are computed while the stages are opened, unless a provider keeps what it compiles for later
    /// runs. If one is wrong, the stages are dropped, and that is the error, whatever ONNX Runtime made of the bytes.
    ///
    /// # Errors
    ///
    /// - [`Error::Setting`] if an option is out of range.
    /// - [`Error::Bundle`] if the folder is not a bundle, or the bundle is damaged, incomplete or lacks the requested
    ///   precision.
    /// - [`Error::Tokenizer`] if the bundle's tokenizer cannot be used.
    /// - [`Error::Library`] if ONNX Runtime cannot be loaded.
    /// - [`Error::ProviderMissing`] if the loaded library lacks the provider.
    /// - [`Error::ProviderFailed`] if the provider cannot be started, or takes no node of a stage.
    /// - [`Error::Stage`] if ONNX Runtime rejects a graph.
    /// - [`Error::Memory`] if there is not enough memory.
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
        files.verify_graphs()?;
        let manifest_path = bundle.join(MANIFEST_FILE);
        let manifest_sha256 = sha256_file(&manifest_path)
            .map_err(|source| segvol_onnx::BundleError::Io { path: manifest_path, source })?;
        let mut measured = options.measured.clone().filter(|_| options.provider == Provider::Auto);
        let keep_compiled =
            options.keep_compiled() || measured.iter().any(|measured| options.rows_keep_compiled(measured));
        let mut open = || {
            let environment = library::environment(options.library.as_deref(), &options.providers())?;
            let open = |provider, options: &Options| {
                Stages::open(&environment, bundle, &manifest, &manifest_sha256, provider, options)
            };
            let by_measurement = measured.as_mut().and_then(|measured| {
                measured.open(&manifest_sha256, options.precision, |row| open(row.provider, &options.of_row(row)?))
            });
            match (by_measurement, &measured, options.provider) {
                (Some(stages), Some(measured), _) => {
                    let passed_over = measured.passed_over(stages.provider());
                    Ok((stages, passed_over))
                }
                (_, _, Provider::Auto) => open_first(|provider| open(provider, options)),
                (_, _, asked) => Ok((open(asked, options)?, Vec::new())),
            }
        };
        let (hashes, opened) = if keep_compiled {
            files.verify_weights()?;
            (Ok(()), open())
        } else {
            beside(|| files.verify_weights(), open)
        };
        hashes?;
        files.check_opened()?;
        let (stages, passed_over) = opened?;
        Ok(Self {
            stages: Arc::new(stages),
            files,
            manifest: Arc::new(manifest),
            bundle: bundle.to_owned(),
            manifest_sha256,
            passed_over: passed_over.into(),
            measured: measured.map(Arc::new),
            options: options.clone(),
        })
    }

    /// Prepares a scan: orients, normalises and crops it.
    ///
    /// A volume that is passed by value (`Volume`) is freed as soon as it has been oriented. A volume that is passed by
    /// reference (`&Volume`) can be used for other studies too.
    ///
    /// # Errors
    ///
    /// [`Error::Intensity`] if a voxel is NaN or infinite, or the scan has no contrast or too large a range of intensities;
    /// [`Error::Memory`] if there is not enough memory.
    pub fn study(&self, volume: impl Borrow<Volume>) -> Result<Study, Error> {
        self.study_with(volume, &StudyOptions::default())
    }

    /// As [`Model::study`], with options for this scan.
    ///
    /// # Errors
    ///
    /// As for [`Model::study`], and [`Error::Setting`] if an option is out of range.
    pub fn study_with(&self, volume: impl Borrow<Volume>, options: &StudyOptions) -> Result<Study, Error> {
        let manifest = Arc::clone(&self.manifest);
        Study::new(Arc::clone(&self.stages), Arc::clone(&self.files), manifest, options.clone(), volume)
    }

    /// The axes that the model was trained with; `None` if the bundle does not say.
    #[must_use]
    pub fn axes(&self) -> Option<Orientation> {
        self.manifest.axes
    }

    /// The axes in which a study with these options shows a scan to the model.
    #[must_use]
    pub fn orientation(&self, options: &StudyOptions) -> Orientation {
        options.orientation_for(self.axes())
    }

    /// The options that the bundle was opened with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The stages, for callers that run them one by one.
    #[must_use]
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    /// The bundle's manifest, which describes its contents.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The names that the model was trained with; `None` if the bundle has no list of them.
    #[must_use]
    pub fn names(&self) -> Option<&Names> {
        self.manifest.names.as_ref()
    }

    /// What to say about a text prompt that the model was not trained with; `None` if it was, or if the bundle has no list.
    #[must_use]
    pub fn check_name(&self, text: &str) -> Option<NameAdvice> {
        self.names()?.advice(text)
    }

    /// The warnings about names that a call with these prompts will give, for a caller who wants them before the work.
    #[must_use]
    pub fn name_warnings(&self, prompts: &[Prompt]) -> Vec<Warning> {
        name_warnings(self.names(), prompts).concat()
    }

    /// SHA-256 of the bundle's manifest, in hexadecimal. The manifest contains the hashes of all files of the bundle.
    #[must_use]
    pub fn manifest_sha256(&self) -> &str {
        &self.manifest_sha256
    }

    /// The providers that [`Provider::Auto`] did not choose, each with the reason. Empty if a provider was requested by name.
    #[must_use]
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }

    /// What was measured on this machine, and which row of it the bundle was opened with. `None` if
    /// [`Options::measured`](Options::measured) was not set, or if a provider was requested by name.
    #[must_use]
    pub fn measured(&self) -> Option<&Measured> {
        self.measured.as_deref()
    }

    /// The bundle's folder.
    #[must_use]
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }
}

/// Does `work` on this thread, because a provider may depend on it, and `other` on another one.
fn beside<A: Send, B>(other: impl FnOnce() -> A + Send, work: impl FnOnce() -> B) -> (A, B) {
    let mut others = None;
    let found = rayon::in_place_scope(|scope| {
        scope.spawn(|_| others = Some(other()));
        work()
    });
    (others.expect("a scope ends when all that it spawned has ended"), found)
}
