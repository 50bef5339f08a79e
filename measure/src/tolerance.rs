//! The tolerances per stage and precision, with their reasons. This is the only table of tolerances in the product.
//!
//! A stage gets the reference's own inputs if the reference contains them completely, so a tolerance covers the rounding of
//! one stage only. For a comparison between two precisions, the tolerance of the lower one applies.

use segvol::provider::OpenVinoPrecision;
use segvol::{Provider, ProviderOptions};
use segvol_onnx::{Precision, Stage};

/// The allowed distance of a stage's outputs from the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// The largest allowed relative L2 distance.
    pub relative_l2: f64,
    /// Why this value.
    pub reason: &'static str,
}

/// The tolerance for a stage's outputs.
#[must_use]
pub fn of_stage(stage: Stage, precision: Precision) -> Tolerance {
    let (relative_l2, reason) = match (precision, stage) {
        (Precision::Fp32, Stage::ImageEncoder) => (
            5e-6,
            "rounding errors are small so close to the input: providers differ by 1e-6 or less, a LayerNorm epsilon of 1e-6 \
             instead of 1e-5 by 9e-6",
        ),
        (Precision::Fp32, Stage::TextEncoder) => (
            2e-5,
            "an independent float32 implementation differs by 6e-6 at most; tanh-GELU instead of quick-GELU by far more",
        ),
        (Precision::Fp32, Stage::PromptEncoder) => (
            2e-5,
            "angles reach hundreds of radians, where rounding to float32 changes a sine by 1e-5; half a voxel changes it \
             by far more",
        ),
        (Precision::Fp32, Stage::MaskDecoder) => (
            2e-5,
            "an independent float32 implementation differs by 6e-6 at most; tanh-GELU instead of exact GELU by 3.6e-4",
        ),
        (Precision::Fp16, Stage::PromptEncoder) => return of_stage(stage, Precision::Fp32),
        (Precision::Fp16, Stage::ImageEncoder) => (
            1e-3,
            "float16 weights and products differ by 5e-4 on seeded weights; attention scaled by 0.26 instead of 0.25 by \
             2.4e-3",
        ),
        (Precision::Fp16, Stage::TextEncoder | Stage::MaskDecoder) => {
            (4e-3, "float16 weights and products differ by 1.7e-3 on seeded weights, through many more sums")
        }
        (Precision::Int8, Stage::ImageEncoder) => (
            4e-2,
            "one scale for all activations of a product leaves 256 levels: outputs differ by 9.2e-3 to 1.8e-2 on seeded \
             weights; zero points that are six levels off by 0.14 and more",
        ),
        (Precision::Int8, _) => return of_stage(stage, Precision::Fp32),
    };
    Tolerance { relative_l2, reason }
}

/// The tolerance of a stage whose provider was set to compute in a lower precision than the graph's. `None` if it was not.
#[must_use]
pub fn of_options(stage: Stage, provider: Provider, options: &ProviderOptions) -> Option<Tolerance> {
    let half = of_stage(stage, Precision::Fp16);
    match (provider, stage) {
        (Provider::OpenVino, Stage::ImageEncoder) => match options.openvino.precision {
            OpenVinoPrecision::F32 => None,
            OpenVinoPrecision::F16 => Some(half),
            // bfloat16, and precisions that may be added later.
            _ => Some(Tolerance {
                relative_l2: 8.0 * half.relative_l2,
                reason: "bfloat16 has eight significant bits, float16 eleven",
            }),
        },
        (Provider::TensorRt, _) if options.tensorrt.fp16 => Some(half),
        _ => None,
    }
}

/// How much of a mask must agree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskTolerance {
    /// The smallest allowed Dice coefficient.
    pub dice: f64,
    /// Why this value.
    pub reason: &'static str,
}

/// The tolerance for masks from end to end.
#[must_use]
pub fn of_mask(precision: Precision) -> MaskTolerance {
    match precision {
        Precision::Fp32 => MaskTolerance {
            dice: 0.999,
            reason: "float32 sums in another order change logits by 1e-6 of their size: only voxels on the very edge of the \
                     mask may change",
        },
        Precision::Fp16 => MaskTolerance {
            dice: 0.995,
            reason: "the demo model's masks have a Dice of 0.9996 or better on its phantom",
        },
        Precision::Int8 => MaskTolerance {
            dice: 0.99,
            reason: "the demo model's masks have a mean Dice of 0.997 on phantoms it was not trained on, single small lesions less",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tolerance_is_above_rounding_and_has_its_reason() {
        for stage in Stage::ALL {
            let [fp32, fp16, int8] = Precision::ALL.map(|precision| of_stage(stage, precision));
            assert!(fp32.relative_l2 > 1e-6 && fp32.relative_l2 < 1e-4, "{stage}: {fp32:?}");
            assert!(fp16.relative_l2 >= fp32.relative_l2 && int8.relative_l2 >= fp32.relative_l2, "{stage}");
            assert!([fp32, fp16, int8].iter().all(|found| found.reason.len() > 20), "{stage}");
        }
    }

    #[test]
    fn a_hint_allows_more_only_where_the_provider_follows_it() {
        let mut options = ProviderOptions::default();
        let of = |options: &ProviderOptions, provider, stage| {
            of_options(stage, provider, options).map(|found| found.relative_l2)
        };
        assert_eq!(of(&options, Provider::OpenVino, Stage::ImageEncoder), None);
        options.openvino.precision = OpenVinoPrecision::Bf16;
        assert_eq!(of(&options, Provider::OpenVino, Stage::ImageEncoder), Some(8e-3));
        assert_eq!(of(&options, Provider::OpenVino, Stage::MaskDecoder), None);
        assert_eq!(of(&options, Provider::Cpu, Stage::ImageEncoder), None);
    }
}
