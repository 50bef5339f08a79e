//! How well a SegVol bundle segments scans whose masks are known.
//!
//! The steps: [`cases`] lists scans with their label maps. [`prompts`] draws what a user who knows the truth would say.
//! [`Evaluation::run`] segments and scores case by case, and continues where it was stopped. [`Results`] holds the rows,
//! [`summary`] their means, and [`format`](mod@format) writes both. [`Pictures`] draws every case, and [`MaskFiles`]
//! writes the masks. [`interactive`] evaluates clicks that correct a mask. [`sides`] compares left with
//! right organs where no mask is known.
//!
//! `docs/evaluation.md` defines every figure.

pub mod cases;
mod comparison;
mod error;
pub mod format;
pub mod interactive;
mod interactive_tables;
mod mask_files;
mod memory;
mod pictures;
mod postprocessing;
pub mod prompts;
mod refinement;
mod results;
mod run;
mod score;
pub mod sides;
mod sides_tables;
pub mod summary;
mod table;
mod truth;
mod work_file;
mod written_file;

pub use cases::{Advice, Case, CaseListError, Structure};
pub use error::{CaseError, EvaluationError};
pub use mask_files::MaskFiles;
pub use pictures::Pictures;
pub use prompts::Kind;
pub use results::{Agreement, CaseResult, Failure, Header, ModelHeader, Results, Row, Settings};
pub use run::{Evaluation, Event, Observer, Run};
pub use score::{Found, Watcher};
pub use sides::{Pair, Sides};
#[doc(hidden)]
pub use work_file::kept_in_work_file;
pub use work_file::work_file_beside;
pub use written_file::WrittenFile;
