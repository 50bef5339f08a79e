//! Stored benchmarks: what was measured with one bundle on one machine, and the way to open the bundle that they recommend.
//!
//! [`stored`] is the file: one for each pair of bundle and machine, in a folder of the user. [`choice`] finds the rows that
//! [`Provider::Auto`](segvol::Provider::Auto) may choose, and [`look_up`] does both. `measure` makes the rows; `docs/performance.md` has
//! the rules in words.
//!
//! ```no_run
//! use segvol::{Model, Options};
//!
//! let folder = segvol_tuning::folder().expect("a home folder");
//! let options = Options::default();
//! let found = segvol_tuning::look_up(&folder, "bundle".as_ref(), &options)?;
//! let model = Model::open("bundle", &found.apply(options))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod choice;
mod machine;
pub mod stored;

pub use choice::{Found, look_up};
pub use machine::Machine;
pub use stored::{Expected, Gate, Library, Row, Run, Stored, Times, Unusable, expected, folder};
