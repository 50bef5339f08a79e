//! Whether logits keep their bits, whatever the number of threads and the other prompts of a call; and embeddings, whatever the
//! other windows of a batch.

use std::path::Path;

use ndarray::{Array3, Array4};
use segvol::provider::CpuOptions;
use segvol::{Model, Options, Precision, PromptLabel, Provider, ProviderOptions, WindowPrompt};

use crate::seeded::uniform01;

/// Decodes nine prompts in one window with each number of threads, in batches of each size. Returns the differences from
/// one prompt alone on one thread, each in words.
///
/// # Panics
/// If the bundle cannot be opened or a stage fails.
#[must_use]
pub fn differences(bundle: &Path, threads: &[usize], batches: &[usize]) -> Vec<String> {
    const NAMES: [&str; 9] =
        ["liver", "spleen", "heart", "colon", "liver", "trachea", "aorta", "stomach", "left kidney"];
    let mut expected: Option<Array4<f32>> = None;
    let mut found = Vec::new();
    for &count in threads {
        let options = Options::default().provider(Provider::Cpu).threads(count);
        let model = Model::open(bundle, &options).expect("a bundle");
        let stages = model.stages();
        let [d, h, w] = stages.architecture().window_dhw;
        let window: Vec<f32> = uniform01("window").take(d * h * w).map(|value| value as f32).collect();
        let window = Array3::from_shape_vec((d, h, w), window).expect("a window");
        let image = stages.encode_image(window.view()).expect("encoded");
        let texts = stages.encode_text(&NAMES).expect("encoded");
        let mut place = uniform01("prompts");
        let mut at = || [d, h, w].map(|n| (place.next().expect("endless") * n as f64).floor() as f32);
        // The same number of tokens each, so that they share batches.
        let prompts: Vec<WindowPrompt<'_>> = texts
            .iter()
            .map(|text| WindowPrompt {
                points: vec![(at(), PromptLabel::Foreground), (at(), PromptLabel::Background)],
                bounding_box: None,
                text: Some(text),
            })
            .collect();
        for &size in batches {
            for chunk in (0..prompts.len()).collect::<Vec<_>>().chunks(size) {
                let batch: Vec<WindowPrompt<'_>> = chunk.iter().map(|&index| prompts[index].clone()).collect();
                let logits = stages.decode_masks(&image, &batch).expect("decoded");
                let shape = logits.dim();
                let all = expected
                    .get_or_insert_with(|| Array4::from_elem((NAMES.len(), shape.1, shape.2, shape.3), f32::NAN));
                for (&index, logits) in chunk.iter().zip(logits.outer_iter()) {
                    let mut kept = all.index_axis_mut(ndarray::Axis(0), index);
                    if kept.iter().all(|value| value.is_nan()) {
                        kept.assign(&logits);
                        continue;
                    }
                    let pairs = || kept.iter().zip(&logits).filter(|(a, b)| a.to_bits() != b.to_bits());
                    let worst = pairs().map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
                    if pairs().next().is_some() {
                        found.push(format!(
                            "prompt {index}, {count} threads, batches of {size}: {} of {} logits differ, by at most {worst:e}",
                            pairs().count(),
                            kept.len()
                        ));
                    }
                }
            }
        }
    }
    found
}

/// Encodes nine windows, one alone and in batches of each size, with each number of threads. Returns the differences from one window
/// alone with the same number of threads, each in words.
///
/// # Panics
/// If the bundle cannot be opened or a stage fails.
#[must_use]
pub fn differences_of_windows(bundle: &Path, precision: Precision, threads: &[usize], batches: &[u16]) -> Vec<String> {
    let mut found = Vec::new();
    for &count in threads {
        let open = |batch: u16| {
            let cpu = CpuOptions::default().window_batch(batch);
            let options = Options::default().provider(Provider::Cpu).precision(precision).threads(count);
            Model::open(bundle, &options.provider_options(ProviderOptions::default().cpu(cpu))).expect("a bundle")
        };
        let alone = open(1);
        let [d, h, w] = alone.stages().architecture().window_dhw;
        let mut values = uniform01("windows");
        let mut window = || Array3::from_shape_simple_fn((d, h, w), || values.next().expect("endless") as f32);
        let windows: Vec<Array3<f32>> = (0..9).map(|_| window()).collect();
        let encoded = |window: &Array3<f32>| alone.stages().encode_image(window.view()).expect("encoded");
        let expected: Vec<_> = windows.iter().map(encoded).collect();
        for &batch in batches {
            let model = open(batch);
            assert_eq!(model.stages().window_batch(), usize::from(batch));
            let views: Vec<_> = windows.iter().map(|window| window.view()).collect();
            let together = model.stages().encode_images(&views).expect("encoded");
            assert_eq!(together.len(), windows.len());
            for (index, (a, b)) in expected.iter().zip(&together).enumerate() {
                let (a, b) = (a.values().expect("in memory"), b.values().expect("in memory"));
                assert_eq!(a.len(), b.len());
                let pairs = || a.iter().zip(b.iter()).filter(|(a, b)| a.to_bits() != b.to_bits());
                if pairs().next().is_some() {
                    let worst = pairs().map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
                    found.push(format!(
                        "window {index}, {count} threads, batches of {batch}: {} of {} values differ, by at most {worst:e}",
                        pairs().count(),
                        a.len()
                    ));
                }
            }
        }
    }
    found
}
