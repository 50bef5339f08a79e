//! Containers in which Python programs keep arrays: zip archives, and pickles. Nothing in them is imported or called.
//!
//! [`region`] has runs of bytes in a file or in memory, and arrays as strided views of them. [`zip`] reads an archive's directory,
//! and [`pickle`] reads a pickle as a graph of objects. Every size that a file states is compared with the file's length before
//! memory is allocated. Errors are parts of sentences: the caller knows what the file should have been.

#![forbid(unsafe_code)]

pub mod pickle;
pub mod region;
pub mod zip;
