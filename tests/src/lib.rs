//! Tests of the whole way, from a checkpoint to a mask, and what they share.
//!
//! - [`seeded`]: weights as a formula, so that no test needs the real ones;
//! - [`models`]: the sizes of the test models, and their checkpoints' keys;
//! - [`checkpoint`]: writes a checkpoint with seeded weights;
//! - [`imports`]: which source file imports which;
//! - [`c`]: installs the C library, and compiles C against it;
//! - [`bundle`]: converts it, and makes copies with one thing changed;
//! - [`golden`]: reads what the released code computed with those weights;
//! - [`faults`]: kills, interrupts and limits a command;
//! - [`hostile`]: what bytes from anywhere are put through;
//! - [`stage_errors`]: how far each stage is from that;
//! - [`command`]: builds the command;
//! - [`compare`]: the tolerances, each with its reason.
//!
//! The tests themselves are in `tests/`, one file per promise; `data/README.md` says where each golden came from.

/// A folder under target/tmp, removed when it goes out of scope. A macro, since cargo tells the place to tests alone.
#[macro_export]
macro_rules! folder {
    () => {
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
    };
}

pub mod bundle;
pub mod c;
pub mod checkpoint;
pub mod command;
pub mod compare;
pub mod faults;
pub mod golden;
pub mod hostile;
mod hostile_c;
pub mod imports;
pub mod models;
pub mod stage_errors;

pub use segvol_converter::seeded;
