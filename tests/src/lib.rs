//! End-to-end tests, from a checkpoint to a mask. This library has the code that they share:
//!
//! - [`seeded`]: weights from a formula, so that no test needs the real ones;
//! - [`models`]: the sizes of the test models, and the keys of their checkpoints;
//! - [`checkpoint`]: writes a checkpoint with seeded weights;
//! - [`bundle`]: converts a checkpoint, and makes copies of bundles with one change;
//! - [`golden`]: reads the results of the released code for the same weights;
//! - [`stage_errors`]: the error of every stage, compared with the goldens;
//! - [`compare`]: the tolerances, each with its reason;
//! - [`bits`]: compares logits bit by bit;
//! - [`command`]: builds the command `segvol`;
//! - [`faults`]: kills, interrupts and limits a command;
//! - [`hostile`]: the fuzz targets;
//! - [`c`]: installs the C library, and compiles C programs against it;
//! - [`imports`]: the imports between the source files of a crate.
//!
//! The tests are in `tests/`, one file per property. `data/README.md` says how each golden was made.

/// Creates a folder under `target/tmp`, which is removed when the value is dropped. This is a macro because cargo sets
/// the variable with the path only for integration tests.
#[macro_export]
macro_rules! folder {
    () => {
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
    };
}

pub mod bits;
pub mod bundle;
pub mod c;
pub mod checkpoint;
pub mod command;
pub mod compare;
pub mod evaluation;
pub mod faults;
pub mod golden;
pub mod hostile;
mod hostile_c;
pub mod hostile_nifti;
pub mod hostile_nnia;
pub mod hostile_raster;
pub mod hostile_segments;
pub mod http;
pub mod imports;
pub mod models;
pub mod programs;
pub mod server;
pub mod stage_errors;

pub use segvol_converter::seeded;
