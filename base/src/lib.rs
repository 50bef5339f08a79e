//! Foundations that every crate uses: atomic writes of files and folders, which file a path means, names of files, memory
//! checks before large allocations, facts about the machine, and one classification of errors and of warnings.
//!
//! Unfinished files have hidden names. They are removed when they go out of scope, or by [`temporaries::remove_all`]
//! when the program is about to end. If the program is killed, they stay behind; the file at the requested name is then
//! still the old one, unchanged.

#![forbid(unsafe_code)]

pub mod atomic_file;
mod atomic_folder;
mod axes;
mod control_group;
mod error_kind;
pub mod file_identity;
pub mod file_names;
pub mod gate;
mod in_place;
pub mod json;
mod leftovers;
pub mod machine;
pub mod memory;
mod printable;
pub mod temporaries;
pub mod text;
mod warning;

pub use atomic_folder::{TemporaryFolder, check_folder_replaceable, create_folder};
pub use axes::{AxisCodes, Orientation};
pub use error_kind::ErrorKind;
pub use leftovers::is_leftover;
pub use memory::OutOfMemory;
pub use printable::{printable, printable_json, printable_path};
pub use warning::{Warning, WarningCode};
