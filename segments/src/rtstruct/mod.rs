//! RT Structure Set Storage: contours of named objects, as treatment planning keeps them.

mod outline;
mod raster;
#[cfg(test)]
mod tests;
