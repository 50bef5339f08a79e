//! Files and folders that appear whole or not at all.
//!
//! What is half done lies under a hidden name, and is removed when it goes out of scope, or when the program is told to
//! end ([`remove_all`]). A program that is killed outright leaves it behind under that name, and what stood at the
//! name that was asked for as it was.

mod folder;
mod list;
pub mod whole_file;

pub use folder::Folder;
pub use list::{Removed, remove_all};
