//! SegVol on ONNX Runtime: from a bundle, a CT and prompts to a mask.
//!
//! Research software, not a medical device.
//!
//! # Open, ask, save
//!
//! [`Model::open`] checks a bundle and makes one ONNX Runtime session per stage. [`Model::study`] prepares a scan: it is
//! oriented, normalised and cropped once. [`Study::segment`] answers a [`Prompt`] with a [`Segmentation`], whose
//! [`mask`](Segmentation::mask) lies on the scan's own grid.
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
//! A [`Prompt`] is any mix of a name, points and one box. Coordinates are voxels of the file unless
//! [`Prompt::space`] says otherwise: see [`Space`]. A study keeps the image embeddings of its windows, so the next prompt
//! for the same scan costs little. Several objects in one call share their windows:
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
//! [`Options`] say how a bundle is opened: provider, precision, threads. [`StudyOptions`] say how a scan is segmented:
//! orientation, profile, zoom-in, overlap, cache.
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
//! [`Study::segment_observed`] calls an [`Observer`] after every window, on the caller's thread. If it breaks, the call ends
//! with [`Error::Cancelled`]. The study can be used again.
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
//! # Threads
//!
//! A [`Model`] is cheap to clone, and clones share the sessions. Models and studies may be used from any number of threads
//! at once; calls wait for each other where they need the same session, and results do not depend on it.
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
//! # Errors
//!
//! Every error has a [`kind`](Error::kind): what the caller can change. Libraries never print, never fall back silently and
//! never panic on input; what the user should know of a scan or an object is in its `warnings()`.
//!
//! # Arrays
//!
//! Arrays are `[D, H, W]`, depth first, unless a name ends in `_xyz` or `_ijk`: those follow the file's axes. Lengths are
//! millimetres. The maximum of a box is inclusive.

mod bundle_files;
pub mod calibration;
mod error;
mod model;
mod onnxruntime;
mod options;
mod prompt;
pub mod provider;
pub mod report;
mod scan;
mod stages;
mod study;

pub use calibration::Calibrator;
pub use error::Error;
pub use model::Model;
pub use onnxruntime::graph::{GraphSession, Tensor};
pub use onnxruntime::probe;
pub use options::Options;
pub use prompt::{Prompt, PromptError, PromptFileError, Space, parse_prompts};
pub use provider::{PassedOver, Placement, Provider, ProviderOptionError, ProviderOptions};
pub use report::{ObjectReport, Report};
pub use scan::{crop, intensity, resize};
pub use segvol_base::ErrorKind;
pub use segvol_onnx::{Architecture, BundleError, Manifest, Precision, PromptLabel, Stage};
#[doc(no_inline)]
pub use segvol_volume as volume;
pub use segvol_volume::{
    BoundingBox, Grid, Marks, Mask, Orientation, PointLabel, Truth, TruthError, Volume, VolumeError, mask, metrics,
    nifti, orientation, truth,
};
pub use stages::tokenizer::{Tokenizer, TokenizerError};
pub use stages::{ImageEmbedding, Stages, TextEmbedding, WindowPrompt};
#[doc(hidden)]
pub use study::average::stitched;
pub use study::{
    Observer, Profile, Progress, Region, RegionOfInterest, Segmentation, Statistics, Study, StudyOptions, VoxelCounts,
    WindowCounts, sliding_window,
};
