//! Image embeddings of a scan in a file: the image encoder's output for chosen windows, with the place of every token in the patient,
//! for classifiers and retrieval.
//!
//! [`save`] encodes one window after the other and writes it at once, so memory does not grow with the number of windows.
//! `docs/embeddings.md` describes the files.
//!
//! ```no_run
//! use segvol::{Model, Options, Volume};
//! use segvol_embed::{Choice, Pool, Settings};
//!
//! let model = Model::open("bundle", &Options::default())?;
//! let study = model.study(Volume::open("ct.nii.gz")?)?;
//! let windows = segvol_embed::lattice_windows(&study, model.stages().architecture().window_dhw);
//! let settings = Settings { choice: Choice::Grid, pool: Pool::Mean, ..Settings::default() };
//! let mut follow = |_done| std::ops::ControlFlow::Continue(());
//! segvol_embed::save("ct.safetensors", &model, &study, &windows, &settings, &mut follow)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod choice;
mod error;
mod geometry;
mod npy;
mod record;
mod safetensors;
mod save;
mod settings;

pub use choice::{lattice_windows, planned_windows};
pub use error::EmbedError;
pub use geometry::{Affine4, Placed};
pub use save::{Format, Observer, save, sidecar};
pub use settings::{Choice, Pool, Settings};
