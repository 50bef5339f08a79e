//! Options that `verify` and `bench` share.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use segvol::Prompt;

use crate::exit::BadInput;

/// The program itself, to be started again: one process can load only one ONNX Runtime.
pub(crate) fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("the path of this program")
}

/// Where `.onnxruntime` is looked for.
pub(crate) fn here() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

pub(crate) fn read_prompts(path: &Path) -> anyhow::Result<Vec<Prompt>> {
    let bad = |reason: String| BadInput { path: path.display().to_string(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    Ok(segvol::parse_prompts(&text).map_err(|error| bad(error.to_string()))?)
}
