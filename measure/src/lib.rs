//! Measures how fast SegVol's stages are, and compares their outputs with those of other providers, bundles or programs.
//!
//! Comparing: [`mod@verify`] compares the outputs of every stage, and masks from end to end, with a [`record`] that
//! another bundle, provider or program made. [`tolerance`] contains the limits and their reasons. [`comparison`] runs
//! each side in the process that it needs.
//!
//! Measuring: [`mod@bench`] times stages, and [`jobs`] whole segmentations, against the [`peak`] of the machine and the
//! operations counted in [`flops`]. [`table`] and [`plot`] show the results, and [`saving`] makes what is stored of them.
//!
//! [`worker`] is how all of this, and [`probing`], starts the program again in another process.

pub mod bench;
pub mod compare;
pub mod comparison;
mod error;
pub mod flops;
pub mod job;
pub mod jobs;
pub mod library;
pub mod load;
pub mod memory;
pub mod noise;
pub mod options;
pub mod peak;
pub mod plan;
pub mod plot;
pub mod probing;
pub mod prompts;
pub mod random_weights;
pub mod record;
pub mod row;
mod running;
pub mod saving;
pub mod scans;
pub mod side;
pub mod statistics;
pub mod table;
pub mod tolerance;
pub mod verify;
pub mod worker;

pub use bench::{Benchmark, bench};
pub use comparison::{Comparison, Reference};
pub use error::Error;
pub use jobs::{JobPlan, Jobs};
pub use library::Libraries;
pub use plan::Plan;
pub use record::{Record, RecordError};
pub use side::Side;
pub use verify::{Verification, verify};
