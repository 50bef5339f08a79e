//! Values by key: in memory ([`Cache`]), and in a folder ([`Store`]), which several processes may use at the same time: the image embeddings of scans, so that no process
//! computes what another one has computed.
//!
//! - **Bounded.** If the files exceed the limit together, the least recently used ones are deleted first.
//! - **Safe to delete**, the folder or any file in it, at any time. What is missing is computed again.
//! - **Safe against corruption.** A file has its whole key and a SHA-256 of everything in it (see [Format](#format)). A file
//!   that does not match is not used, and is replaced.
//! - **Private.** The folder is made for its user alone, and so is every file.
//!
//! The folder may contain other files. Only a file with a name *and* a beginning of this crate's is ever deleted, nothing is ever
//! overwritten, and no symbolic link inside the folder is followed.
//!
//! # Format
//!
//! A file is called `GROUP.ITEM.segvol`, where `GROUP` is the first half of the group in hexadecimal. Numbers are little-endian.
//!
//! | offset | bytes | content                                                   |
//! |--------|-------|-----------------------------------------------------------|
//! | 0      | 8     | `SGVSTORE`                                                |
//! | 8      | 4     | version of this format: 1                                 |
//! | 12     | 4     | length of the item, `n`                                   |
//! | 16     | 8     | length of the value                                       |
//! | 24     | 32    | the group                                                 |
//! | 56     | 32    | SHA-256 of bytes 8 to 55, the item and the value          |
//! | 88     | `n`   | the item                                                  |
//! | 88 + n |       | the value                                                 |
//!
//! SHA-256 and not a shorter checksum: a wrong value would be a wrong mask without notice, and no damage of any kind has the same
//! SHA-256. A value of 6 MB takes 3 to 15 milliseconds, where computing it takes a second.

#![forbid(unsafe_code)]

mod cache;
mod folder;
mod record;
mod store;

pub use cache::Cache;
pub use record::{Key, digest};
pub use store::Store;
