//! Checkpoints with seeded weights, in Hugging Face's layout.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use segvol_onnx::Architecture;

use crate::golden::data;
use crate::seeded;

/// Writes `DIR/model.safetensors` with seeded weights, and beside it `config.json` and `tokenizer.json`. The tokenizer
/// is the subset of CLIP's if its ids fit the model; otherwise it has only letters.
///
/// `bias_added` maps names of tensors to constants. Each constant is added to every element of its tensor.
///
/// # Errors
///
/// If a file cannot be written, or `bias_added` names a tensor that the model does not have.
pub fn write_seeded(dir: &Path, model: &Architecture, bias_added: &BTreeMap<String, f32>) -> io::Result<PathBuf> {
    let path = seeded::write(dir, model, bias_added)?;
    if model.text_encoder.vocabulary >= 49408 {
        std::fs::copy(data("clip_subset/tokenizer.json"), dir.join("tokenizer.json"))?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;
    use crate::models;

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
