//! How well a SegVol bundle segments scans whose masks are known.
//!
//! The steps: [`cases`] lists scans with their label maps. [`prompts`] draws what a user who knows the truth would say.
//! [`Evaluation::run`] segments and scores case by case, and continues where it was stopped. [`Results`] holds the rows,
//! [`summary`] their means, [`statistics`] their spread, and [`format`](mod@format) writes them. [`results_file`] reads them again, and
//! [`paired`] compares two scores of the same object. [`Pictures`] draws every case, and [`MaskFiles`] writes the masks.
//! [`interactive`] evaluates clicks that correct a mask. [`sides`] compares left with
//! right organs where no mask is known.
//!
//! `docs/evaluation.md` defines every figure.

pub mod cases;
mod comparison;
pub mod comparison_tables;
mod error;
mod figure;
pub mod format;
pub mod interactive;
mod interactive_tables;
pub mod labels;
mod mask_files;
mod memory;
pub mod paired;
mod pictures;
mod postprocessing;
pub mod prompts;
mod refinement;
mod results;
pub mod results_file;
mod run;
mod score;
pub mod sides;
mod sides_tables;
pub mod statistics;
pub mod statistics_tables;
pub mod summary;
mod table;
mod truth;
mod work_file;
pub mod worst;
mod written_file;

pub use cases::{Advice, Case, CaseListError, Structure};
pub use error::{CaseError, EvaluationError};
pub use figure::Figure;
pub use mask_files::MaskFiles;
pub use paired::{By, Comparison};
pub use pictures::Pictures;
pub use prompts::Kind;
pub use results::{Agreement, CaseResult, Failure, Header, ModelHeader, Results, Row, Settings};
pub use results_file::ResultsFileError;
pub use run::{Evaluation, Event, Observer, Run};
pub use score::{Found, Watcher};
pub use sides::{Pair, Sides};
#[doc(hidden)]
pub use work_file::kept_in_work_file;
pub use work_file::work_file_beside;
pub use worst::{Watchers, WorstObject, WorstPictures};
pub use written_file::WrittenFile;
