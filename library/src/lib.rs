//! The places where ONNX Runtime's library is looked for, and which of them is used.
//!
//! This crate does not link ONNX Runtime and loads nothing.

#![forbid(unsafe_code)]

mod places;

pub use places::{
    FETCHED_FOLDER, FLAVOURS, HOME_VARIABLE, LIBRARY_NAME, LIBRARY_VARIABLE, LOADER, LOADER_NAMES, Place, REQUESTED,
    chosen, installed_folder, of_flavour, places, user_folder,
};
