//! The formula of the weights and of the window.

/// 2^64 divided by the golden ratio, splitmix64's step.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The FNV-1a hash of a text, 64 bits.
#[must_use]
pub fn fnv1a64(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The infinite sequence of numbers in [0, 1) of a key.
pub fn uniform01(key: &str) -> impl Iterator<Item = f64> + use<> {
    let mut state = fnv1a64(key);
    std::iter::repeat_with(move || {
        state = state.wrapping_add(GOLDEN);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // 53 bits: exact in a double.
        (z >> 11) as f64 * (-53f64).exp2()
    })
}

/// The range `(lo, hi)` of a weight, from its key and shape: close to that of a trained model, so that no stage
/// saturates.
#[must_use]
pub fn bounds(key: &str, shape: &[usize]) -> (f64, f64) {
    let leaf = key.rsplit_once('.').map_or(key, |(_, leaf)| leaf);
    let norm =
        key.contains("norm") || key.ends_with("output_upscaling.1.weight") || key.ends_with("output_upscaling.1.bias");
    if norm && leaf == "weight" {
        return (0.9, 1.1);
    }
    if leaf == "bias" {
        return (-0.02, 0.02);
    }
    if key.contains("gaussian_matrix") {
        let unit_variance = 1.732_050_807_568_877_2;
        return (-unit_variance, unit_variance);
    }
    if key.contains("embed") || key.contains("token") || shape.len() < 2 {
        return (-0.05, 0.05);
    }
    let fan_in = if key.contains("output_upscaling") { shape[0] } else { shape[1..].iter().product() };
    let bound = (3.0 / fan_in as f64).sqrt();
    (-bound, bound)
}

/// The elements of a weight, row-major, as an infinite sequence: take as many as the shape has.
pub fn elements(key: &str, shape: &[usize]) -> impl Iterator<Item = f32> + use<> {
    let (lo, hi) = bounds(key, shape);
    uniform01(key).map(move |u| (lo + (hi - lo) * u) as f32)
}

/// A weight, row-major.
#[must_use]
pub fn tensor(key: &str, shape: &[usize]) -> Vec<f32> {
    elements(key, shape).take(shape.iter().product()).collect()
}

/// The window `[D, H, W]` on which stages are compared, row-major: values in [0, 1).
#[must_use]
pub fn window(window_dhw: [usize; 3]) -> Vec<f32> {
    uniform01("window").take(window_dhw.iter().product()).map(|u| u as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected values: the formula in NumPy, float64 until the last step, printed as the shortest float32.

    #[test]
    fn sequence_is_the_one_of_the_goldens() {
        assert_eq!(fnv1a64("window"), 0x71F3_04EA_62C0_1CBD);
        let first: Vec<f64> = uniform01("window").take(3).collect();
        assert_eq!(first, [0.658_375_159_796_922_8, 0.976_750_944_279_716_5, 0.007_152_044_436_221_638_4]);
    }

    #[test]
    fn every_kind_of_weight_has_its_bounds() {
        let cases: [(&str, &[usize], [f32; 3]); 7] = [
            (
                "image_encoder.patch_embedding.position_embeddings",
                &[1, 2048, 768],
                [-0.007585829, -0.03447332, 0.047287986],
            ),
            ("mask_decoder.output_upscaling.1.weight", &[192, 16, 32, 32], [0.9818237, 0.9074739, 0.9107484]),
            (
                "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
                &[3, 384],
                [1.5782621, -0.17369895, -0.6582341],
            ),
            ("image_encoder.norm.weight", &[768], [1.0037332, 0.9805812, 0.9027441]),
            ("mask_decoder.iou_token.weight", &[1, 768], [0.0073887263, -0.041195285, -0.006784888]),
            ("image_encoder.blocks.11.mlp.linear1.weight", &[3072, 768], [0.011499626, -0.036750384, -0.053061664]),
            ("text_encoder.dim_align.bias", &[768], [-0.018584123, 0.016655073, 0.003221388]),
        ];
        for (key, shape, [first, second, last]) in cases {
            let found = tensor(key, shape);
            assert_eq!((found[0], found[1], found[found.len() - 1]), (first, second, last), "{key}");
        }
    }
}
