//! Options that `verify` and `bench` share.

use std::path::PathBuf;

use anyhow::Context as _;

pub(crate) use crate::prompts::read_prompts;

/// The program itself, to be started again: one process can load only one ONNX Runtime.
pub(crate) fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("the path of this program")
}

/// Where `.onnxruntime` is looked for.
pub(crate) fn here() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}
