//! How well a SegVol bundle segments scans whose masks are known.
//!
//! The steps: [`cases`] lists scans with their label maps. [`prompts`] draws what a user who knows the truth would say.
//! [`Evaluation::run`] segments and scores case by case, and continues where it was stopped. [`Results`] holds the rows,
//! [`summary`] their means, [`statistics`] their spread, and [`format`](mod@format) writes them. [`results_file`] reads them again, and
//! [`paired`] compares two scores of the same object. [`Pictures`] draws every case. [`sides`] compares left with
//! right organs where no mask is known.
//!
//! `docs/evaluation.md` defines every figure.

pub mod cases;
mod comparison;
pub mod comparison_tables;
mod error;
mod figure;
pub mod format;
pub mod labels;
mod memory;
pub mod paired;
mod pictures;
pub mod prompts;
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

pub use cases::{Case, CaseListError, Structure};
pub use error::{CaseError, EvaluationError};
pub use figure::Figure;
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
