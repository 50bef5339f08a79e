//! RT Structure Set Storage: contours of named objects, as treatment planning keeps them.

mod coordinates;
mod outline;
mod raster;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use read::{Contours, names, read};
pub use write::{save, write};
