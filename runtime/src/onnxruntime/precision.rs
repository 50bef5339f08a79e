//! Chooses the precision and the graph that a provider runs, and names the arithmetic that it uses.

use std::path::{Path, PathBuf};

use segvol_onnx::manifest::StageFiles;
use segvol_onnx::{BundleError, Manifest, Precision, Stage, Variant};

use super::provider::{OpenVinoPrecision, ProviderOptions};
use crate::provider::Provider;

/// Whether the provider multiplies float16 matrices directly. The others would convert them to float32 at every node:
/// ONNX Runtime has no float16 products for x86 processors, and OpenVINO computes in float32 there.
fn has_half(provider: Provider) -> bool {
    matches!(provider, Provider::Cuda | Provider::TensorRt)
}

/// The requested precision. Without a request, the best one that the bundle in `dir` has: float16 if the image encoder's
/// `provider` multiplies float16 matrices, else the most exact. int8 is chosen last, because its masks may differ from
/// those of the released model, which the user must request.
///
/// # Errors
///
/// [`BundleError::MissingPrecision`] if the bundle lacks the requested precision, or has none.
pub(crate) fn choose(
    manifest: &Manifest,
    dir: &Path,
    asked: Option<Precision>,
    provider: Provider,
) -> Result<Precision, BundleError> {
    let best = best_first(provider).into_iter().find(|precision| manifest.precisions.contains_key(precision));
    // A bundle without any precision fails at the next check.
    let precision = asked.or(best).unwrap_or(Precision::Fp32);
    manifest.precision(dir, precision).map(|_| precision)
}

fn best_first(provider: Provider) -> [Precision; 3] {
    match has_half(provider) {
        true => [Precision::Fp16, Precision::Fp32, Precision::Int8],
        false => Precision::ALL,
    }
}

/// The files of a stage at a precision, and the path of the graph that the provider runs best.
///
/// # Errors
///
/// [`BundleError::MissingPrecision`] if the bundle in `dir` lacks the precision, [`BundleError::MissingStage`] if it lacks
/// the stage or a graph that the provider can run.
pub(crate) fn graph<'m>(
    manifest: &'m Manifest,
    dir: &Path,
    precision: Precision,
    stage: Stage,
    provider: Provider,
) -> Result<(&'m StageFiles, PathBuf), BundleError> {
    let files = manifest.stage(dir, precision, stage)?;
    let graph = provider.variants(precision).iter().find_map(|variant| files.graphs.get(variant));
    let graph = graph.ok_or_else(|| BundleError::MissingStage { path: dir.to_owned(), stage })?;
    Ok((files, dir.join(&graph.name)))
}

impl Provider {
    /// The graphs of a stage that the provider can run at a precision, the best first. The first of them that a bundle has is
    /// the one that runs; every stage has [`Variant::Portable`].
    #[must_use]
    pub fn variants(self, precision: Precision) -> &'static [Variant] {
        let fused = self.preferred_variant() == Variant::Fused;
        match (precision == Precision::Fp16 && !has_half(self), fused) {
            (true, true) => &[Variant::WidenedFused, Variant::Widened, Variant::Portable],
            (true, false) => &[Variant::Widened, Variant::Portable],
            (false, true) => &[Variant::Fused, Variant::Portable],
            (false, false) => &[Variant::Portable],
        }
    }
}

/// The provider's options for a float32 image encoder in addition to one with a lower precision. `None` if the encoder is
/// already exact enough, or the bundle has no float32.
///
/// float16 is exact enough: the Dice score of its masks with those of float32 is at least 0.9996.
pub(crate) fn exact_zoom_out(
    manifest: &Manifest,
    precision: Precision,
    provider: Provider,
    options: &ProviderOptions,
) -> Option<ProviderOptions> {
    let hint = provider == Provider::OpenVino && options.openvino.precision == OpenVinoPrecision::Bf16;
    let lowered = precision == Precision::Int8 || hint;
    (lowered && manifest.precisions.contains_key(&Precision::Fp32)).then(|| {
        let mut exact = options.clone();
        exact.openvino.precision = OpenVinoPrecision::F32;
        exact
    })
}

/// The element type of matrix products, for the report: `float32`, `float16` or `int8`.
pub(crate) fn arithmetic(provider: Provider, precision: Precision) -> &'static str {
    match precision {
        Precision::Fp16 if has_half(provider) => "float16",
        Precision::Fp32 | Precision::Fp16 => "float32",
        Precision::Int8 => "int8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_gpu_with_float16_prefers_another_precision_than_float32() {
        for provider in Provider::ALL {
            let [best, .., last] = best_first(provider);
            let gpu = matches!(provider, Provider::Cuda | Provider::TensorRt);
            assert_eq!(best, if gpu { Precision::Fp16 } else { Precision::Fp32 }, "{provider}");
            assert_eq!(last, Precision::Int8, "{provider}");
        }
    }
}
