//! Checkpoints with seeded weights, as Hugging Face's layout has them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use segvol_onnx::Architecture;
use serde_json::{Map, Value, json};

use crate::golden::data;
use crate::{models, seeded};

/// Writes `DIR/model.safetensors` with seeded weights, and beside it `config.json` and `tokenizer.json`.
///
/// Constants in `bias_added` are added to every element of the tensor that they name. Elements are written as they
/// are made, so that the full-size model (724 MB) takes no memory.
///
/// # Errors
///
/// What the operating system says.
///
/// # Panics
///
/// If `bias_added` names a tensor that the model does not have.
pub fn write_seeded(dir: &Path, model: &Architecture, bias_added: &BTreeMap<String, f32>) -> io::Result<PathBuf> {
    let keys = models::keys(model);
    for key in bias_added.keys() {
        assert!(keys.iter().any(|(known, _)| known == key), "bias_added: the model has no tensor `{key}`");
    }

    let mut header = Map::new();
    let mut offset = 0;
    for (key, shape) in &keys {
        let end = offset + 4 * shape.iter().product::<usize>();
        header.insert(format!("model.{key}"), json!({ "dtype": "F32", "shape": shape, "data_offsets": [offset, end] }));
        offset = end;
    }
    let mut header = Value::Object(header).to_string();
    // The data begin at a multiple of 8, as the format asks.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));

    let path = dir.join("model.safetensors");
    let mut file = BufWriter::with_capacity(1 << 20, File::create_new(&path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for (key, shape) in &keys {
        let added = bias_added.get(key).copied().unwrap_or(0.0);
        for element in seeded::elements(key, shape).take(shape.iter().product()) {
            file.write_all(&(element + added).to_le_bytes())?;
        }
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::write(dir.join("config.json"), models::config_json(model))?;
    write_tokenizer(dir, model)?;
    Ok(path)
}

/// Writes `DIR/tokenizer.json`: the cut of CLIP's where its ids fit the model, else [`micro_tokenizer`].
///
/// # Errors
///
/// What the operating system says.
pub fn write_tokenizer(dir: &Path, model: &Architecture) -> io::Result<()> {
    let path = dir.join("tokenizer.json");
    if model.text_encoder.vocabulary >= 49408 {
        std::fs::copy(data("clip_subset/tokenizer.json"), path)?;
        Ok(())
    } else {
        std::fs::write(path, micro_tokenizer(model.text_encoder.vocabulary))
    }
}

/// A `tokenizer.json` for a vocabulary too small for CLIP's: letters, digits and a few marks, one token each.
///
/// Its last two ids are the start and the end, as in CLIP's.
#[must_use]
pub fn micro_tokenizer(vocabulary: usize) -> String {
    let (start, end) = (vocabulary - 2, vocabulary - 1);
    let symbols = ('a'..='z').chain('0'..='9').chain(['.', ',', '-', '{', '}']);
    let mut vocab = Map::new();
    for (id, symbol) in symbols.flat_map(|c| [c.to_string(), format!("{c}</w>")]).enumerate() {
        vocab.insert(symbol, json!(id));
    }
    vocab.insert("<|startoftext|>".to_owned(), json!(start));
    vocab.insert("<|endoftext|>".to_owned(), json!(end));

    let clip = std::fs::read(data("clip_subset/tokenizer.json")).unwrap_or_default();
    let mut tokenizer: Value = serde_json::from_slice(&clip).unwrap_or_default();
    tokenizer["model"]["vocab"] = Value::Object(vocab);
    tokenizer["model"]["merges"] = json!([]);
    for (token, id) in [(0, start), (1, end)] {
        tokenizer["added_tokens"][token]["id"] = json!(id);
    }
    tokenizer["post_processor"]["cls"][1] = json!(start);
    tokenizer["post_processor"]["sep"][1] = json!(end);
    tokenizer.to_string()
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn micro_model_is_whole_and_its_bias_is_moved() {
        let dir = tempfile::tempdir().expect("a folder");
        let (moved, same) = ("mask_decoder.output_upscaling.3.bias", "mask_decoder.output_upscaling.0.bias");
        let bias_added = BTreeMap::from([(moved.to_owned(), 2.0)]);
        let path = write_seeded(dir.path(), &models::micro(), &bias_added).expect("written");
        let bytes = std::fs::read(path).expect("read");
        let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
        assert_eq!(tensors.len(), models::keys(&models::micro()).len());
        for (key, added) in [(moved, 2.0), (same, 0.0)] {
            let tensor = tensors.tensor(&format!("model.{key}")).expect(key);
            let found = f32::from_le_bytes(tensor.data()[..4].try_into().expect("four bytes"));
            assert_eq!(found, seeded::tensor(key, tensor.shape())[0] + added, "{key}");
        }
    }
}
