//! libsegvol: the runtime for C programs.
//!
//! `include/segvol.h` is generated from this crate, so the comments on the public items below are its manual.
//! `cbindgen.toml` holds the header's first page, with the rules that hold for every function.
//!
//! Nothing is computed here. A function checks its arguments, calls the crate `segvol` and returns the result.
//!
//! Three rules hold inside the crate:
//! - `fence` surrounds the body of every function, so that no panic reaches C.
//! - Outputs are written last, so that they are written only on success.
//! - `sized` reads the caller's structs byte by byte, never through a reference, because the struct of an older program
//!   is smaller than this library's.

#![allow(unsafe_code)] // C passes pointers.
#![allow(
    clippy::missing_safety_doc,
    reason = "the header's first page says what a pointer must be; the comment of a function says it for each argument"
)]
#![allow(clippy::missing_errors_doc, reason = "`SegvolStatus` is not a `Result`; its variants have the comments")]
#![allow(rustdoc::broken_intra_doc_links, reason = "lines for cbindgen contain brackets")]

#[cfg(panic = "abort")]
compile_error!("libsegvol turns panics into a status, which needs panic = \"unwind\"");

mod arguments;
pub mod failure;
mod fence;
mod sized;
mod strings;

// The order of these modules is the order of the header. The blank lines keep rustfmt from sorting them.

pub mod status;

pub mod version;

pub mod model;

pub mod volume;

pub mod study;

pub mod callbacks;

pub mod result;

pub mod postprocessing;

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
