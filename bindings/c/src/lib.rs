//! libsegvol: the runtime inside a C program.
//!
//! Every function here is in `include/segvol.h`, which is made from this crate: the comments below are its manual.
//! `cbindgen.toml` has the header's first page, with the rules that hold for every function.
//!
//! Nothing is computed here: a function checks its arguments, calls the crate `segvol`, and hands over what came out.
//! The rules inside: one fence around every body, so that no panic crosses; `*out` is assigned last, so that
//! an output is written on success alone; a struct of the caller's is read through `sized`, never by reference, since
//! an older program's is smaller.

#![allow(unsafe_code)] // What C hands over are pointers.
#![allow(
    clippy::missing_safety_doc,
    reason = "what a pointer must be stands once, on the header's first page, and for each argument in its comment"
)]
#![allow(clippy::missing_errors_doc, reason = "`SegvolStatus` is no `Result`; its numbers have the comments")]
#![allow(rustdoc::broken_intra_doc_links, reason = "`cbindgen:` lines have brackets of their own")]

#[cfg(panic = "abort")]
compile_error!("libsegvol turns panics into a status, which needs panic = \"unwind\"");

mod arguments;
pub mod failure;
mod fence;
mod kind;
mod sized;

// From here on in the header's order, which blank lines keep.

pub mod status;

pub mod version;

pub mod model;

pub mod volume;

pub mod study;

pub mod result;

pub mod mask;

pub mod options;

pub mod prompt;

pub mod providers;

pub mod log;

#[cfg(test)]
mod tests {
    #[test]
    fn handles_may_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<crate::model::SegvolModel>();
        shared::<crate::volume::SegvolVolume>();
        shared::<crate::study::SegvolStudy>();
        shared::<crate::result::SegvolResult>();
        shared::<crate::mask::SegvolMask>();
        shared::<crate::providers::SegvolProviders>();
    }
}
