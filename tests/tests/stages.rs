//! Every stage gives the results of the released code. With `--nocapture`, the tests print the errors that they
//! measure.

#![allow(clippy::print_stderr, reason = "the measured errors are quoted in the README")]

use std::collections::BTreeMap;

use segvol_onnx::Stage;
use segvol_tests::compare::{IMAGE_EMBEDDING, STAGE, relative_l2};
use segvol_tests::golden::Goldens;
use segvol_tests::stage_errors::{stage_errors, worst};
use segvol_tests::{bundle, models};

#[track_caller]
fn assert_within_tolerance(errors: &BTreeMap<String, f64>) {
    for (output, tolerance) in [("image_embedding", IMAGE_EMBEDDING), ("", STAGE)] {
        let (name, error) = worst(errors, output);
        eprintln!("{name}: relative L2 {error:.1e}, {tolerance:.0e} allowed");
        assert!(error <= tolerance, "{name}: relative L2 {error:.1e} > {tolerance:.0e}; all: {errors:#?}");
    }
}

#[test]
fn tiny_model_matches_the_released_code() {
    let folder = segvol_tests::folder!();
    let bundle = bundle::seeded(folder.path(), &models::tiny(), &BTreeMap::new());
    let goldens = Goldens::load("tiny/stages.safetensors.gz");
    let errors = stage_errors(&bundle::open(&bundle), &goldens);
    assert_eq!(errors.len(), 2 + 3 * 7);
    assert_within_tolerance(&errors);
}

#[test]
fn portable_graphs_match_the_released_code() {
    let folder = segvol_tests::folder!();
    let bundle = bundle::seeded(&folder.path().join("whole"), &models::tiny(), &BTreeMap::new());
    let portable = bundle::edited(&bundle, &folder.path().join("portable"), Stage::ImageEncoder, |_| ());
    let goldens = Goldens::load("tiny/stages.safetensors.gz");
    assert_within_tolerance(&stage_errors(&bundle::open(&portable), &goldens));
}

#[test]
fn names_become_the_token_ids_of_the_released_code() {
    let folder = segvol_tests::folder!();
    let bundle = bundle::seeded(folder.path(), &models::tiny(), &BTreeMap::new());
    let model = bundle::open(&bundle);
    let goldens = Goldens::load("tiny/stages.safetensors.gz");
    let (shape, ids) = goldens.ints("input_ids");
    let expected: Vec<&[i64]> = ids.chunks_exact(shape[1]).collect();
    let names = ["liver", "left kidney", "portal vein and splenic vein", "Pancreas Tumour", "  rib   left 4 "];

    for (name, expected) in names.into_iter().zip(&expected) {
        let mut found = model.stages().tokenizer().encode(name).expect("encoded");
        found.resize(shape[1], 49407);
        assert_eq!(&found, expected, "{name:?}");
    }
    // The names one after the other, and all in one batch: the padding changes nothing.
    let together = model.stages().encode_text(&names).expect("text encoder");
    let embeddings = goldens.values("text_embedding");
    let rows = embeddings.chunks_exact(model.stages().architecture().channels);
    for ((name, together), expected) in names.into_iter().zip(together).zip(rows) {
        let alone = model.stages().encode_text(&[name]).expect("text encoder").remove(0);
        for found in [together, alone] {
            let error = relative_l2(&found.embedding, expected);
            assert!(error <= STAGE, "{name:?}: relative L2 {error:.1e}");
        }
    }
}

#[test]
fn a_prompt_gets_the_same_logits_alone_and_in_a_batch() {
    use segvol_tests::stage_errors::{MIXES, StagePrompts};

    let folder = segvol_tests::folder!();
    let bundle = bundle::seeded(folder.path(), &models::tiny(), &BTreeMap::new());
    let model = bundle::open(&bundle);
    let goldens = Goldens::load("tiny/stages.safetensors.gz");
    let prompts = StagePrompts::read(&goldens);
    let text = model.stages().encode_text(&["liver"]).expect("text encoder").remove(0);
    let window_dhw = model.stages().architecture().window_dhw;
    let window = segvol_tests::seeded::window(window_dhw);
    let image = ndarray::ArrayView3::from_shape(window_dhw, &window).expect("a window");
    let image = model.stages().encode_image(image).expect("image encoder");

    let batch: Vec<_> = MIXES.iter().map(|mix| prompts.mix(mix, &text)).collect();
    let together = model.stages().decode_masks(&image, &batch).expect("mask decoder");
    for (index, mix) in MIXES.into_iter().enumerate() {
        let expected = goldens.values(&format!("{mix}.low_res_logits"));
        let found: Vec<f32> = together.index_axis(ndarray::Axis(0), index).iter().copied().collect();
        let error = relative_l2(&found, &expected);
        assert!(error <= STAGE, "{mix}: relative L2 {error:.1e}");
    }
}

/// The released sizes, with sums over three million elements and 2048 tokens. Small models do not test these.
#[test]
#[ignore = "writes 1.5 GB and takes half a minute; run with --ignored"]
fn full_model_matches_the_released_code() {
    let folder = segvol_tests::folder!();
    let bundle = bundle::seeded(folder.path(), &models::full(), &BTreeMap::new());
    let goldens = Goldens::load("full/stages.safetensors.gz");
    let errors = stage_errors(&bundle::open(&bundle), &goldens);
    assert_within_tolerance(&errors);
}
