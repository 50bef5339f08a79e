//! Segments a CT scan with SegVol on ONNX Runtime: reads a bundle, a scan and prompts, and returns a mask.
//!
//! Research software, not a medical device.
//!
//! # Open, segment, save
//!
//! [`Model::open`] checks a bundle and opens its stages in ONNX Runtime. [`Model::study`] prepares a scan: it orients,
//! normalises and crops it once. [`Study::segment`] takes a [`Prompt`] and returns a [`Segmentation`]. Its
//! [`mask`](Segmentation::mask) has the shape and the affine of the scan's file.
//!
//! ```no_run
//! use segvol::{Model, Options, Prompt, Provider, Volume};
//!
//! let model = Model::open("bundle", &Options::default().provider(Provider::Cpu))?;
//! let study = model.study(Volume::open("ct.nii.gz")?)?;
//! let liver = study.segment(&Prompt::text("liver"))?;
//! println!("{} voxels", liver.voxels().zoom_in);
//! liver.mask()?.save("liver.nii.gz")?;
//! # Ok::<(), segvol::Error>(())
//! ```
//!
//! # Prompts
//!
//! A [`Prompt`] combines a name, points and one box; one of them is enough. Coordinates are voxels of the file unless
//! [`Prompt::space`] sets another [`Space`]. A study keeps the image embeddings of its windows, so the next prompt
//! for the same scan is faster. Several objects in one call share their windows:
//!
//! ```no_run
//! # use segvol::{Model, Options, PointLabel, Prompt, Volume};
//! # let model = Model::open("bundle", &Options::default())?;
//! # let study = model.study(Volume::open("ct.nii.gz")?)?;
//! let liver = Prompt::text("liver");
//! let lesion = Prompt::new().named("lesion").point([211.0, 160.0, 47.0], PointLabel::Foreground);
//! let found = study.segment_all(&[liver, lesion])?;
//! study.label_map(&found)?.save("labels.nii.gz")?; // 1 is the liver, 2 the lesion
//! # Ok::<(), segvol::Error>(())
//! ```
//!
//! # Settings
//!
//! [`Options`] configure how a bundle is opened: provider, precision, threads. [`StudyOptions`] configure how a scan is
//! segmented: orientation, profile, zoom-in, overlap, threshold, cache, and a folder for embeddings, with which the next process
//! encodes no window twice.
//!
//! ```no_run
//! use segvol::{Model, Options, Profile, StudyOptions, Volume};
//!
//! let model = Model::open("bundle", &Options::default().threads(4))?;
//! let released = StudyOptions::default().profile(Profile::Released);
//! let study = model.study_with(Volume::open("ct.nii.gz")?, &released)?;
//! # Ok::<(), segvol::Error>(())
//! ```
//!
//! # Progress and cancelling
//!
//! [`Study::segment_observed`] calls an [`Observer`] after every window, on the caller's thread. If the observer returns
//! [`ControlFlow::Break`](std::ops::ControlFlow::Break), the call ends with [`Error::Cancelled`]. The study can still be
//! used.
//!
//! ```no_run
//! # use segvol::{Model, Options, Prompt, Volume};
//! use std::ops::ControlFlow;
//! use std::time::{Duration, Instant};
//!
//! # let model = Model::open("bundle", &Options::default())?;
//! # let study = model.study(Volume::open("ct.nii.gz")?)?;
//! let deadline = Instant::now() + Duration::from_secs(60);
//! let found = study.segment_observed(&[Prompt::text("liver")], &mut |progress| {
//!     eprintln!("{} of {} windows", progress.done, progress.total);
//!     if Instant::now() > deadline { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
//! });
//! # drop(found);
//! # Ok::<(), segvol::Error>(())
//! ```
//!
//! [`Study::segment_cancellable`] also takes a [`Cancellation`], with which any other thread stops the call in the middle of a
//! window. Either way, a result that is complete is returned, not thrown away.
//!
//! [`Study::segment_followed`] takes a [`Follower`], which also receives the coarse masks of the zoom-out pass. They are ready
//! after a single window, so that a viewer can show something while the zoom-in pass works.
//!
//! # Threads
//!
//! A [`Model`] is cheap to clone, and clones share the sessions. Any number of threads may use models and studies at the
//! same time. Calls that need the same session wait for each other. Results do not depend on the order of the calls.
//!
//! ```no_run
//! use segvol::{Model, Options, Prompt, Volume};
//!
//! let model = Model::open("bundle", &Options::default())?;
//! std::thread::scope(|scope| {
//!     for path in ["a.nii.gz", "b.nii.gz"] {
//!         let model = model.clone();
//!         scope.spawn(move || -> Result<(), segvol::Error> {
//!             let study = model.study(Volume::open(path)?)?;
//!             Ok(study.segment(&Prompt::text("liver"))?.mask()?.save(format!("mask_{path}"))?)
//!         });
//!     }
//! });
//! # Ok::<(), segvol::Error>(())
//! ```
//!
//! # The same bytes
//!
//! The same bundle, scan, prompt and options give the same logits to the bit, whatever the number of threads, the size of
//! the cache and the other prompts of the call. This holds on one machine with ONNX Runtime's CPU provider, for prompts of
//! up to about 90 points at the released sizes. Other processors, providers and versions of ONNX Runtime round differently.
//!
//! # Errors
//!
//! [`Error::kind`] gives the kind of an error, which says what the caller can change. The library never prints, never
//! replaces a requested provider or precision by another, and never panics on input. Problems that do not stop the work are
//! in the `warnings()` of the scan, the study or the object.
//!
//! # Arrays
//!
//! Arrays are `[D, H, W]`, depth first. Only names that end in `_xyz` or `_ijk` follow the file's axes. Lengths are in
//! millimetres. The maximum of a box is inclusive.

pub mod calibration;
mod error;
mod finished_masks;
mod measured;
mod model;
mod onnxruntime;
mod options;
pub mod provider;
pub mod report;
mod stages;
mod study;

pub use calibration::Calibrator;
pub use error::Error;
pub use finished_masks::FinishedMasks;
pub use measured::{Measured, MeasuredRow};
pub use model::Model;
pub use onnxruntime::cancellation::Cancellation;
pub use onnxruntime::graph::{GraphSession, Tensor};
pub use onnxruntime::library::{onnxruntime_library, onnxruntime_version};
pub use onnxruntime::{OLDEST_MINOR_VERSION, probe};
pub use options::Options;
pub use provider::{PassedOver, Placement, Provider, ProviderOptionError, ProviderOptions};
pub use report::{ObjectReport, Report};
pub use segvol_base::{ErrorKind, Warning, WarningCode};
#[doc(no_inline)]
pub use segvol_metrics as metrics;
pub use segvol_names::{NameAdvice, Names};
pub use segvol_onnx::{Architecture, BundleError, Manifest, Precision, PromptLabel, Stage};
#[doc(no_inline)]
pub use segvol_postprocess as postprocess;
pub use segvol_prompt::file::SCHEMA_VERSION as PROMPTS_SCHEMA_VERSION;
pub use segvol_prompt::{Prompt, PromptError, PromptFileError, Space, parse_prompts, prompts_of_scan};
pub use segvol_scan::{crop, intensity, resize, shear};
#[doc(no_inline)]
pub use segvol_volume as volume;
pub use segvol_volume::{
    AffineChoice, AxisCodes, BoundingBox, FloatType, Grid, Marks, Mask, Orientation, PointLabel, ReadOptions, Truth,
    TruthError, Volume, VolumeError, mask, nifti, orientation, save_map, truth,
};
#[doc(hidden)]
pub use segvol_windows::stitched;
pub use segvol_windows::{Frame, Region, WindowKey, sliding_window};
pub use stages::tokenizer::{Tokenizer, TokenizerError};
pub use stages::{ImageEmbedding, Stages, TextEmbedding, WindowPrompt};
pub use study::{
    Effort, EmbeddingTaker, Follower, Observer, Profile, Progress, RegionOfInterest, Segmentation, Statistics, Study,
    StudyOptions, VoxelCounts, WindowCounts, WindowPlan,
};
