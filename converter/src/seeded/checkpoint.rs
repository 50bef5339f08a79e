//! A checkpoint of seeded weights on disk, in Hugging Face's layout.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use segvol_checkpoint::keys::{config_json, keys};
use segvol_onnx::Architecture;
use serde_json::{Map, Value, json};

use super::formula::elements;
use crate::tokenizer;

/// Writes `DIR/model.safetensors` with seeded weights, and next to it `config.json` and a `tokenizer.json` for letters
/// and digits, one token each. Returns the checkpoint's path.
///
/// `bias_added` has constants by tensor name, which are added to every element of that tensor. Elements are written as
/// they are computed, so that even the full-size model (724 MB) needs no memory.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] if `bias_added` names a tensor that the model does not have; otherwise the operating
/// system's error.
pub fn write(dir: &Path, model: &Architecture, bias_added: &BTreeMap<String, f32>) -> io::Result<PathBuf> {
    let keys = keys(model);
    if let Some(key) = bias_added.keys().find(|&key| keys.iter().all(|(known, _)| known != key)) {
        let reason = format!("bias_added: the model has no tensor `{key}`");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }

    let mut header = Map::new();
    let mut offset = 0;
    for (key, shape) in &keys {
        let end = offset + 4 * shape.iter().product::<usize>();
        header.insert(format!("model.{key}"), json!({ "dtype": "F32", "shape": shape, "data_offsets": [offset, end] }));
        offset = end;
    }
    let mut header = Value::Object(header).to_string();
    // The format requires that the data start at a multiple of 8.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));

    let path = dir.join("model.safetensors");
    let mut file = BufWriter::with_capacity(1 << 20, File::create_new(&path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for (key, shape) in &keys {
        let added = bias_added.get(key).copied().unwrap_or(0.0);
        for element in elements(key, shape).take(shape.iter().product()) {
            file.write_all(&(element + added).to_le_bytes())?;
        }
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::write(dir.join("config.json"), config_json(model))?;
    write_tokenizer(dir, model)?;
    Ok(path)
}

/// Writes `DIR/tokenizer.json` for letters, digits and a few marks, one token each.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] if the model's vocabulary is too small for that; otherwise the operating system's
/// error.
pub fn write_tokenizer(dir: &Path, model: &Architecture) -> io::Result<()> {
    let tokenizer = tokenizer::of_letters(model.text_encoder.vocabulary);
    let tokenizer = tokenizer.map_err(|reason| io::Error::new(io::ErrorKind::InvalidInput, reason))?;
    std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string())
}
