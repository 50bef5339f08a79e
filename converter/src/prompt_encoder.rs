//! Prompt encoder: points, box corners and text as tokens, and the dense position code.
//!
//! # Source
//!
//! BAAI-DCAI/SegVol@5768c97, `segment_anything_volumetric/modeling/prompt_encoder.py`.

use std::f32::consts::TAU;

use segvol_onnx::{Architecture, PromptLabel, Value};

use crate::module::Module;

const MATRIX: &str = "positional_encoding_gaussian_matrix";

/// `prompt_coords [B, P, 3], prompt_labels [B, P], text_embedding [B, C] -> sparse_embeddings [B, P, C]`, f32 to f32.
///
/// A label that is not a [`PromptLabel`] counts as [`PromptLabel::BoxMax`].
pub(crate) fn prompt_encoder(m: &Module, a: &Architecture, [coords, labels, text_embedding]: [&Value; 3]) -> Value {
    let labels = m.unsqueeze(2, labels); // [B, P, 1]
    let is = |label: PromptLabel| m.equal(&labels, &m.scalar(label.value())); // [B, P, 1]
    let embedding = |name: &str| m.weight(&format!("{name}.weight"), &[1, a.channels]); // [1, C]

    let [min, max] = ["point_embeddings.2", "point_embeddings.3"];
    let kind = m.r#where(&is(PromptLabel::BoxMin), &embedding(min), &embedding(max)); // [B, P, C]
    let kind = m.r#where(&is(PromptLabel::Foreground), &embedding("point_embeddings.1"), &kind); // [B, P, C]
    let kind = m.r#where(&is(PromptLabel::Background), &embedding("point_embeddings.0"), &kind); // [B, P, C]
    let place = m.add(&position_code(&m.at("pe_layer"), a, coords), &kind); // [B, P, C]

    let text = m.unsqueeze(1, text_embedding); // [B, 1, C]
    let token = m.r#where(&is(PromptLabel::Text), &text, &place); // [B, P, C]
    m.r#where(&is(PromptLabel::NotAPoint), &embedding("not_a_point_embed"), &token) // [B, P, C]
}

/// The position code of voxels `(d, h, w)` of the window: `coords [.., 3] -> [.., C]`, f32 to f32.
///
/// # Quirk
///
/// The released code divides depth by the window's height and height by its depth (coordinate 0 by
/// `image_size[1]`, coordinate 1 by `image_size[0]`). The weights were trained with it.
fn position_code(m: &Module, a: &Architecture, coords: &Value) -> Value {
    let [d, h, w] = a.window_dhw.map(|n| n as f32);
    let centre = m.add(coords, &m.scalar(0.5)); // [.., 3]
    let unit = m.div(&centre, &m.floats("window size (h, d, w)", &[3], &[h, d, w])); // [.., 3] in [0, 1]
    let signed = m.sub(&m.mul(&unit, &m.scalar(2.0)), &m.scalar(1.0)); // [.., 3] in [-1, 1]
    let angle = m.mul(&m.mat_mul(&signed, &m.weight(MATRIX, &[3, a.channels / 2])), &m.scalar(TAU)); // [.., C/2]
    m.concat(-1, &[&m.sin(&angle), &m.cos(&angle)]) // [.., C]
}

/// The position code of every image token, `[1, N, C]`, as a constant.
pub(crate) fn dense_position_code(m: &Module, a: &Architecture) -> Value {
    let (shape, matrix_shape) = ([1, a.image_tokens(), a.channels], [3, a.channels / 2]);
    m.at("pe_layer")
        .computed("dense", &shape, (MATRIX, &matrix_shape), |matrix| dense_position_values(matrix, a.grid_dhw()))
}

/// `matrix [3, C/2] -> [N, C]`, rows in raster order `(i, j, k)` of the grid; each row has all sines, then all cosines.
///
/// Computed in float32 in torch's order of operations: angles reach hundreds of radians, so the rounding of each step
/// changes the sine.
///
/// # Quirk
///
/// The released code stacks the axes as `(H, D, W)`, so the first row of the matrix multiplies the height.
fn dense_position_values(matrix: &[f32], grid_dhw: [usize; 3]) -> Vec<f32> {
    let half = matrix.len() / 3;
    let [depth, height, width] = grid_dhw;
    let signed = |index: usize, size: usize| 2.0 * ((index as f32 + 0.5) / size as f32) - 1.0;
    let mut code = Vec::with_capacity(depth * height * width * 2 * half);
    for i in 0..depth {
        for j in 0..height {
            for k in 0..width {
                let [x, y, z] = [signed(j, height), signed(i, depth), signed(k, width)];
                let angle = |c: usize| TAU * (x * matrix[c] + y * matrix[half + c] + z * matrix[2 * half + c]);
                code.extend((0..half).map(|c| angle(c).sin()));
                code.extend((0..half).map(|c| angle(c).cos()));
            }
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a matrix that selects one coordinate, the code shows which axis it was made from.
    #[test]
    fn the_first_coordinate_of_the_dense_code_is_the_height() {
        let matrix = [0.25, 0.0, 0.0];
        let code = dense_position_values(&matrix, [2, 3, 1]);
        // 2 pi / 4 (2 (j + 0.5) / 3 - 1) for j = 0, 1, 2, the same in both slices.
        let expected = [-1.0_f32, 0.0, 1.0].map(|j| (TAU / 4.0 * (2.0 / 3.0) * j).sin());
        for (token, expected) in expected.iter().chain(&expected).enumerate() {
            assert!((code[2 * token] - expected).abs() < 1e-6, "token {token}");
        }
    }
}
