//! The keys and shapes of a checkpoint, from the model's sizes.

use segvol_onnx::Architecture;
use segvol_onnx::architecture::TextTransformer;
use serde_json::json;

/// The `config.json` for a checkpoint of these sizes.
#[must_use]
pub fn config_json(model: &Architecture) -> String {
    let text = &model.text_encoder;
    let config = json!({
        "spatial_size": model.window_dhw,
        "patch_size": model.patch_dhw,
        "hidden": model.channels,
        "mlp": model.image_encoder.mlp,
        "layers": model.image_encoder.layers,
        "heads": model.image_encoder.heads,
        "dec_heads": model.mask_decoder.heads,
        "dec_mlp": model.mask_decoder.mlp,
        "clip": {
            "hidden_size": text.width,
            "intermediate_size": text.mlp,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "vocab_size": text.vocabulary,
            "max_position_embeddings": text.context_length,
        },
    });
    format!("{config:#}\n")
}

/// Every key that a checkpoint of these sizes has, with its shape; no layout's prefix, no `text_model.`.
#[must_use]
pub fn keys(model: &Architecture) -> Vec<(String, Vec<usize>)> {
    let mut keys = Keys(Vec::new());
    image_encoder(&mut keys, model);
    mask_decoder(&mut keys, model);
    prompt_encoder(&mut keys, model);
    text_encoder(&mut keys, model);
    keys.0
}

struct Keys(Vec<(String, Vec<usize>)>);

impl Keys {
    fn tensor(&mut self, key: &str, shape: &[usize]) {
        self.0.push((key.to_owned(), shape.to_vec()));
    }

    fn linear(&mut self, scope: &str, inputs: usize, outputs: usize) {
        self.tensor(&format!("{scope}.weight"), &[outputs, inputs]);
        self.tensor(&format!("{scope}.bias"), &[outputs]);
    }

    /// The weight and bias of a normalisation.
    fn norm(&mut self, scope: &str, shape: &[usize]) {
        self.tensor(&format!("{scope}.weight"), shape);
        self.tensor(&format!("{scope}.bias"), shape);
    }

    /// Transposed convolution, kernel 2 along each axis.
    fn upscale(&mut self, scope: &str, inputs: usize, outputs: usize) {
        self.tensor(&format!("{scope}.weight"), &[inputs, outputs, 2, 2, 2]);
        self.tensor(&format!("{scope}.bias"), &[outputs]);
    }

    fn attention(&mut self, scope: &str, channels: usize, inner: usize) {
        for projection in ["q_proj", "k_proj", "v_proj"] {
            self.linear(&format!("{scope}.{projection}"), channels, inner);
        }
        self.linear(&format!("{scope}.out_proj"), inner, channels);
    }
}

fn image_encoder(keys: &mut Keys, model: &Architecture) {
    let (c, mlp) = (model.channels, model.image_encoder.mlp);
    let scope = "image_encoder";
    keys.tensor(&format!("{scope}.patch_embedding.position_embeddings"), &[1, model.image_tokens(), c]);
    keys.linear(&format!("{scope}.patch_embedding.patch_embeddings.1"), model.patch_dhw.iter().product(), c);
    for layer in 0..model.image_encoder.layers {
        let scope = format!("{scope}.blocks.{layer}");
        keys.linear(&format!("{scope}.mlp.linear1"), c, mlp);
        keys.linear(&format!("{scope}.mlp.linear2"), mlp, c);
        keys.norm(&format!("{scope}.norm1"), &[c]);
        keys.linear(&format!("{scope}.attn.out_proj"), c, c);
        keys.tensor(&format!("{scope}.attn.qkv.weight"), &[3 * c, c]);
        keys.norm(&format!("{scope}.norm2"), &[c]);
    }
    keys.norm(&format!("{scope}.norm"), &[c]);
}

fn mask_decoder(keys: &mut Keys, model: &Architecture) {
    let (c, mlp) = (model.channels, model.mask_decoder.mlp);
    let upscaled = model.upscaled_channels();
    let scope = "mask_decoder";
    for layer in 0..model.mask_decoder.layers {
        let scope = format!("{scope}.transformer.layers.{layer}");
        keys.attention(&format!("{scope}.self_attn"), c, c);
        keys.norm(&format!("{scope}.norm1"), &[c]);
        keys.attention(&format!("{scope}.cross_attn_token_to_image"), c, c / 2);
        keys.norm(&format!("{scope}.norm2"), &[c]);
        keys.linear(&format!("{scope}.mlp.lin1"), c, mlp);
        keys.linear(&format!("{scope}.mlp.lin2"), mlp, c);
        keys.norm(&format!("{scope}.norm3"), &[c]);
        keys.norm(&format!("{scope}.norm4"), &[c]);
        keys.attention(&format!("{scope}.cross_attn_image_to_token"), c, c / 2);
    }
    keys.attention(&format!("{scope}.transformer.final_attn_token_to_image"), c, c / 2);
    keys.norm(&format!("{scope}.transformer.norm_final_attn"), &[c]);
    keys.tensor(&format!("{scope}.iou_token.weight"), &[1, c]);
    keys.tensor(&format!("{scope}.mask_tokens.weight"), &[4, c]);
    let [d, h, w] = model.grid_dhw().map(|n| 2 * n);
    keys.upscale(&format!("{scope}.output_upscaling.0"), c, c / 4);
    keys.norm(&format!("{scope}.output_upscaling.1"), &[c / 4, d, h, w]);
    keys.upscale(&format!("{scope}.output_upscaling.3"), c / 4, upscaled);
    for mask in 0..4 {
        let scope = format!("{scope}.output_hypernetworks_mlps.{mask}.layers");
        keys.linear(&format!("{scope}.0"), c, c);
        keys.linear(&format!("{scope}.1"), c, c);
        keys.linear(&format!("{scope}.2"), c, upscaled);
    }
    keys.linear(&format!("{scope}.iou_prediction_head.layers.0"), c, 256);
    keys.linear(&format!("{scope}.iou_prediction_head.layers.1"), 256, 256);
    keys.linear(&format!("{scope}.iou_prediction_head.layers.2"), 256, 4);
    keys.linear(&format!("{scope}.txt_align_upscaled_embedding"), c, upscaled);
}

fn prompt_encoder(keys: &mut Keys, model: &Architecture) {
    let c = model.channels;
    let scope = "prompt_encoder";
    keys.tensor(&format!("{scope}.pe_layer.positional_encoding_gaussian_matrix"), &[3, c / 2]);
    for label in 0..4 {
        keys.tensor(&format!("{scope}.point_embeddings.{label}.weight"), &[1, c]);
    }
    keys.tensor(&format!("{scope}.not_a_point_embed.weight"), &[1, c]);
    // Two-dimensional and never trained, because SegVol has no mask prompts; checkpoints contain it nevertheless.
    for (layer, shape) in [(0, [4, 1, 2, 2]), (3, [16, 4, 2, 2]), (6, [c, 16, 1, 1])] {
        keys.tensor(&format!("{scope}.mask_downscaling.{layer}.weight"), &shape);
        keys.tensor(&format!("{scope}.mask_downscaling.{layer}.bias"), &shape[..1]);
    }
    keys.norm(&format!("{scope}.mask_downscaling.1"), &[4]);
    keys.norm(&format!("{scope}.mask_downscaling.4"), &[16]);
    keys.tensor(&format!("{scope}.no_mask_embed.weight"), &[1, c]);
}

fn text_encoder(keys: &mut Keys, model: &Architecture) {
    let TextTransformer { width, mlp, layers, vocabulary, context_length, .. } = model.text_encoder;
    let scope = "text_encoder.clip_text_model";
    keys.tensor(&format!("{scope}.embeddings.token_embedding.weight"), &[vocabulary, width]);
    keys.tensor(&format!("{scope}.embeddings.position_embedding.weight"), &[context_length, width]);
    for layer in 0..layers {
        let scope = format!("{scope}.encoder.layers.{layer}");
        keys.attention(&format!("{scope}.self_attn"), width, width);
        keys.norm(&format!("{scope}.layer_norm1"), &[width]);
        keys.linear(&format!("{scope}.mlp.fc1"), width, mlp);
        keys.linear(&format!("{scope}.mlp.fc2"), mlp, width);
        keys.norm(&format!("{scope}.layer_norm2"), &[width]);
    }
    keys.norm(&format!("{scope}.final_layer_norm"), &[width]);
    keys.linear("text_encoder.dim_align", width, model.channels);
}
