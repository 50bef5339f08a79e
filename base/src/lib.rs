//! What every crate stands on: files and folders that appear whole or not at all, memory that is checked before it is
//! allocated, facts about the machine, and one classification of errors.
//!
//! Unfinished files have hidden names. They are removed when they go out of scope, or when the program is told to end
//! ([`temporaries::remove_all`]). A program that is killed outright leaves them behind; the file at the requested name is
//! then the old one, unchanged.

#![forbid(unsafe_code)]

pub mod atomic_file;
mod atomic_folder;
mod error_kind;
pub mod file_names;
pub mod machine;
pub mod memory;
pub mod temporaries;

pub use atomic_folder::TemporaryFolder;
pub use error_kind::ErrorKind;
pub use memory::OutOfMemory;
