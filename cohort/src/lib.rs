//! Segments many scans with one model: which scans, which of them are done, and tables of what was found.
//!
//! The state of a run is its output folder: a manifest with one line for each scan, and claims by which several processes, also on
//! several machines that share the folder, never do a scan twice.

#![forbid(unsafe_code)]

mod claims;
mod distribution;
mod error;
mod failure;
mod folder;
mod heartbeat;
mod limits;
mod list;
mod manifest;
mod masks;
mod outlier;
mod outputs;
mod pattern;
mod plan;
mod record;
pub mod review;
mod run;
mod segment;
mod settings;
mod state;
mod summary;
pub mod summary_table;
pub mod table;
#[cfg(test)]
mod testing;
mod worker;

pub use distribution::Distribution;
pub use error::CohortError;
pub use limits::{Limits, object_names};
pub use list::{Ids, Scan, Shard, is_list, scans};
pub use manifest::read;
pub use masks::{PictureError, read_mask};
pub use outlier::{LEAST_MASKS, OUTLYING, Outlier};
pub use pattern::Pattern;
pub use plan::{Estimate, Sample};
pub use record::{Done, Failure, ObjectRecord, Outcome, OutputFile, Record};
pub use run::{Cohort, Event, Observer, Run, Totals};
pub use settings::{Own, Settings, read_options};
pub use state::{Claim, State};
pub use summary::{EmptyMask, FailedScan, FailureCount, ObjectSummary, Summary, WarningCount};
