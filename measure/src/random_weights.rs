//! A bundle of the released model's sizes with random weights, for benchmarks without a checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use segvol_onnx::Architecture;

use crate::error::Error;

/// Writes the bundle below `folder`, and returns its path. The weights are the same every time. It takes 1.5 GB of disk
/// space while it is written.
///
/// # Errors
///
/// [`Error::Io`] if the weights cannot be written; [`Error::Convert`] as for [`segvol_converter::convert`].
pub fn write(folder: &Path) -> Result<PathBuf, Error> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let bundle = folder.join("random-weights");
    let checkpoint = segvol_converter::seeded::write(folder, &Architecture::RELEASED, &BTreeMap::new()).map_err(io)?;
    segvol_converter::convert(&checkpoint, &bundle, &segvol_converter::Options::default())?;
    std::fs::remove_file(&checkpoint).map_err(io)?;
    Ok(bundle)
}
