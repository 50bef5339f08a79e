//! Near misses: similar but wrong functions that the tolerances must reject. The correct function passes the same test.
//!
//! A near miss is the converted graph with one change, or a correct step with one wrong choice. Its measured errors are
//! in the comment; the errors of the correct functions are below 5e-6.

use std::collections::BTreeMap;
use std::f32::consts::{PI, SQRT_2, TAU};

use ndarray::{Array3, ArrayView3, Axis};
use segvol::orientation::AxisMap;
use segvol::resize::{nearest_table, resize_nearest, resize_nearest_exact, resize_trilinear};
use segvol::{Orientation, Profile, Prompt, Space, StudyOptions, Volume};
use segvol_onnx::proto::{GraphProto, NodeProto};
use segvol_onnx::{PromptLabel, Stage};
use segvol_tests::bundle::{initializer, replace_nodes, set_attribute, set_values};
use segvol_tests::compare::{IMAGE_EMBEDDING, INTENSITY, LOGITS, STAGE, max_error, relative_l2};
use segvol_tests::golden::{Goldens, data, volume_record};
use segvol_tests::stage_errors::{StagePrompts, stage_errors, stage_errors_with, worst};
use segvol_tests::{bundle, models, seeded};

fn tiny_goldens() -> Goldens {
    Goldens::load("tiny/stages.safetensors.gz")
}

/// The stage errors of the tiny model after `edit` changes one of its graphs.
fn errors_with(stage: Stage, edit: impl FnOnce(&mut GraphProto)) -> BTreeMap<String, f64> {
    let folder = segvol_tests::folder!();
    let whole = bundle::seeded(&folder.path().join("whole"), &models::tiny(), &BTreeMap::new());
    let edited = bundle::edited(&whole, &folder.path().join("edited"), stage, edit);
    stage_errors(&bundle::open(&edited), &tiny_goldens())
}

#[track_caller]
fn assert_rejected(errors: &BTreeMap<String, f64>, output: &str, tolerance: f64) {
    let (name, error) = worst(errors, output);
    assert!(error > tolerance, "{name}: relative L2 {error:.1e} would pass: the tolerance is too loose");
}

#[test]
fn goldens_tell_layer_norm_epsilon_1e_5_from_1e_6() {
    // The errors are 9.2e-6 and 4.3e-3.
    for (stage, output, tolerance) in
        [(Stage::ImageEncoder, "image_embedding", IMAGE_EMBEDDING), (Stage::TextEncoder, "text_embedding", STAGE)]
    {
        let errors = errors_with(stage, |graph| {
            assert!(set_attribute(graph, "LayerNormalization", "epsilon", 1e-6) > 0);
        });
        assert_rejected(&errors, output, tolerance);
    }
}

/// In the mask decoder, an epsilon of 1e-6 changes the logits by 1.9e-5, and by 8.7e-6 in the joint norm of the
/// upscaled image. That is too little for the tolerances to detect, so this checks the epsilons in the graph.
#[test]
fn every_layer_norm_of_the_mask_decoder_has_epsilon_1e_5() {
    let folder = segvol_tests::folder!();
    let whole = bundle::seeded(&folder.path().join("whole"), &models::tiny(), &BTreeMap::new());
    let _ = bundle::edited(&whole, &folder.path().join("copy"), Stage::MaskDecoder, |graph| {
        let norms: Vec<_> = graph.node.iter().filter(|node| node.op_type == "LayerNormalization").collect();
        assert_eq!(norms.len(), 2 * 4 + 1);
        for norm in norms {
            let epsilon = norm.attribute.iter().find(|attribute| attribute.name == "epsilon").and_then(|a| a.f);
            assert_eq!(epsilon, Some(1e-5), "{}", norm.name);
        }
        // deviation = sqrt(variance + epsilon)
        let scope = "mask_decoder.output_upscaling.1";
        let root = graph.node.iter().find(|node| node.op_type == "Sqrt" && node.name.starts_with(scope));
        let variance = root.expect("the joint norm's deviation").input[0].clone();
        let sum = graph.node.iter().find(|node| node.op_type == "Add" && node.output[0] == variance);
        let epsilon = sum.expect("variance + epsilon").input[1].clone();
        let epsilon = initializer(graph, &epsilon).raw_data.clone();
        assert_eq!(epsilon, Some(1e-5_f32.to_le_bytes().to_vec()));
    });
}

#[test]
fn goldens_tell_erf_gelu_from_tanh_gelu() {
    // The errors are 1.2e-4 and 3.6e-4.
    for (stage, scope, output, tolerance) in [
        (Stage::ImageEncoder, "image_encoder", "image_embedding", IMAGE_EMBEDDING),
        (Stage::MaskDecoder, "mask_decoder.output_upscaling", "low_res_logits", STAGE),
    ] {
        let errors = errors_with(stage, |graph| {
            // The input of Erf is y = x / sqrt 2. tanh-GELU has tanh(sqrt(2 / pi) (x + 0.044715 x^3)) instead of
            // Erf(y).
            let replaced = replace_nodes(graph, "Erf", scope, |chain| {
                let y = chain.at();
                chain.then("Mul", Some(&y)).with("Mul", 2.0 * 0.044_715).with("Add", 1.0);
                chain.then("Mul", Some(&y)).with("Mul", SQRT_2 * (2.0 / PI).sqrt()).then("Tanh", None);
            });
            assert!(replaced > 0);
        });
        assert_rejected(&errors, output, tolerance);
    }
}

/// The error is 1.4e-2.
#[test]
fn goldens_tell_quick_gelu_from_erf_gelu() {
    let errors = errors_with(Stage::TextEncoder, |graph| {
        // The input of Sigmoid is 1.702 x. erf-GELU has (1 + erf(x / sqrt 2)) / 2 instead of the sigmoid.
        let replaced = replace_nodes(graph, "Sigmoid", "text_encoder", |chain| {
            chain.with("Mul", 1.0 / (1.702 * SQRT_2)).then("Erf", None).with("Add", 1.0).with("Mul", 0.5);
        });
        assert!(replaced > 0);
    });
    assert_rejected(&errors, "text_embedding", STAGE);
}

/// The released code divides depth by height and height by depth. Without that, the errors are at least 1.2.
#[test]
fn goldens_tell_the_swapped_axes_of_points() {
    let [d, h, w] = models::tiny().window_dhw.map(|n| n as f32);
    let errors = errors_with(Stage::PromptEncoder, |graph| {
        set_values(initializer(graph, "window size (h, d, w)"), &[d, h, w]);
    });
    for mix in ["points", "box", "all"] {
        assert_rejected(&errors, &format!("{mix}.sparse"), STAGE);
    }
}

/// The dense position encoding of the tiny model, `[N, C]`. With `swapped`, depth and height are swapped like in the
/// released code.
fn dense_code(swapped: bool) -> Vec<f32> {
    let model = models::tiny();
    let half = model.channels / 2;
    let matrix = seeded::tensor("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", &[3, half]);
    let [depth, height, width] = model.grid_dhw();
    let centre = |i: usize, n: usize| 2.0 * ((i as f32 + 0.5) / n as f32) - 1.0;
    let mut code = Vec::new();
    for (i, j, k) in (0..depth).flat_map(|i| (0..height).flat_map(move |j| (0..width).map(move |k| (i, j, k)))) {
        let (d, h, w) = (centre(i, depth), centre(j, height), centre(k, width));
        let (first, second) = if swapped { (h, d) } else { (d, h) };
        let angle = |c: usize| TAU * (first * matrix[c] + second * matrix[half + c] + w * matrix[2 * half + c]);
        code.extend((0..half).map(|c| angle(c).sin()));
        code.extend((0..half).map(|c| angle(c).cos()));
    }
    code
}

/// The error is 7.9e-4.
#[test]
fn goldens_tell_the_swapped_axes_of_the_dense_code() {
    // The golden has shape [C, D, H, W], the encoding [D H W, C].
    let golden = tiny_goldens().values("dense_pe");
    let tokens = models::tiny().image_tokens();
    let golden: Vec<f32> = (0..tokens).flat_map(|token| golden.iter().skip(token).step_by(tokens).copied()).collect();
    let error = relative_l2(&dense_code(true), &golden);
    assert!(error <= STAGE, "{error:.1e}");

    for swapped in [true, false] {
        let errors = errors_with(Stage::MaskDecoder, |graph| {
            let dense = graph.initializer.iter().find(|tensor| tensor.name.ends_with("pe_layer.dense"));
            let name = dense.expect("the dense position code").name.clone();
            set_values(initializer(graph, &name), &dense_code(swapped));
        });
        if swapped {
            assert!(worst(&errors, "low_res_logits").1 <= STAGE, "{errors:#?}");
        } else {
            assert_rejected(&errors, "low_res_logits", STAGE);
        }
    }
}

/// The self-attention of the first block replaces the tokens instead of adding to them. With addition, the error is
/// 0.6.
#[test]
fn goldens_tell_the_missing_residual() {
    let errors = errors_with(Stage::MaskDecoder, |graph| {
        let named = |graph: &GraphProto, name: &str| {
            graph.node.iter().position(|node| node.name == name).unwrap_or_else(|| panic!("no node {name}"))
        };
        let block = "mask_decoder.transformer.layers.0";
        let query = named(graph, &format!("{block}.self_attn.q_proj/MatMul"));
        let tokens = graph.node[query].input[0].clone();
        let norm = named(graph, &format!("{block}.norm1/LayerNormalization"));
        let attended = std::mem::replace(&mut graph.node[norm].input[0], "with residual".to_owned());
        let add = NodeProto {
            input: vec![tokens, attended],
            output: vec!["with residual".to_owned()],
            name: "residual".to_owned(),
            op_type: "Add".to_owned(),
            ..NodeProto::default()
        };
        graph.node.insert(norm, add);
    });
    assert_rejected(&errors, "low_res_logits", STAGE);
}

/// The inputs of the prompt encoder, with one wrong choice each. The errors are 0.8, 0.5 and 8.3e-3.
#[test]
fn goldens_tell_prompts_from_prompts_that_are_slightly_off() {
    let folder = segvol_tests::folder!();
    let whole = bundle::seeded(folder.path(), &models::tiny(), &BTreeMap::new());
    let model = bundle::open(&whole);
    let goldens = tiny_goldens();
    let right = || StagePrompts::read(&goldens);

    let mut exclusive = right();
    for corner in &mut exclusive.bounding_box[3..] {
        *corner += 1.0;
    }
    assert_rejected(&stage_errors_with(&model, &goldens, &exclusive), "box.low_res_logits", STAGE);

    let mut corner_of_voxel = right();
    for (point, _) in &mut corner_of_voxel.points {
        *point = point.map(|c| c - 0.5);
    }
    assert_rejected(&stage_errors_with(&model, &goldens, &corner_of_voxel), "points.low_res_logits", STAGE);

    // The padding point, which is appended even if the points already have one.
    let mut padded_once = right();
    let before = padded_once.points.len();
    padded_once.points.retain(|(_, label)| *label != PromptLabel::NotAPoint);
    assert_eq!(padded_once.points.len() + 1, before, "the goldens have one such point");
    assert_rejected(&stage_errors_with(&model, &goldens, &padded_once), "points.low_res_logits", STAGE);

    // Text only as a token, without its product with the upscaled image.
    let window = seeded::window(models::tiny().window_dhw);
    let window = ArrayView3::from_shape(models::tiny().window_dhw, &window).expect("a window");
    let image = model.stages().encode_image(window).expect("image encoder");
    let mut text = model.stages().encode_text(&["liver"]).expect("text encoder").remove(0);
    let expected = goldens.values("text.low_res_logits");
    for (aligned, passes) in [(true, true), (false, false)] {
        if !aligned {
            text.alignment.fill(0.0);
        }
        let found = model.stages().decode_masks(&image, &[right().mix("text", &text)]).expect("mask decoder");
        let error = relative_l2(found.as_slice().expect("standard layout"), &expected);
        assert_eq!(error <= STAGE, passes, "{error:.1e}");
    }
}

/// Interpolation with `align_corners=True`: the corners of both grids coincide.
fn trilinear_with_aligned_corners(input: ArrayView3<'_, f32>, shape: [usize; 3]) -> Vec<f32> {
    let mut out = input.to_owned();
    for (axis, &size) in shape.iter().enumerate() {
        let from = out.len_of(Axis(axis));
        let scale = (from - 1) as f32 / (size - 1) as f32;
        let mut to_shape: [usize; 3] = [out.shape()[0], out.shape()[1], out.shape()[2]];
        to_shape[axis] = size;
        let mut to = Array3::zeros(to_shape);
        for i in 0..size {
            let at = i as f32 * scale;
            let low = (at as usize).min(from - 1);
            let (high, t) = ((low + 1).min(from - 1), at - low as f32);
            let mixed = &out.index_axis(Axis(axis), low) * (1.0 - t) + &out.index_axis(Axis(axis), high) * t;
            to.index_axis_mut(Axis(axis), i).assign(&mixed);
        }
        out = to;
    }
    out.iter().copied().collect()
}

#[test]
fn goldens_tell_how_logits_are_upsampled() {
    let goldens = tiny_goldens();
    let window_dhw = models::tiny().window_dhw;
    let (shape, low_res) = goldens.floats("text.low_res_logits");
    let low_res = ArrayView3::from_shape([shape[0], shape[1], shape[2]], &low_res).expect("three axes");
    let expected = goldens.values("text.logits");
    let right = resize_trilinear(low_res, window_dhw);
    assert!(relative_l2(right.as_slice().expect("standard layout"), &expected) <= STAGE);
    let wrong = trilinear_with_aligned_corners(low_res, window_dhw);
    assert!(relative_l2(&wrong, &expected) > STAGE);
}

#[test]
fn goldens_tell_nearest_exact_from_nearest() {
    for volume in ["awkward_sizes", "lps_int16", "ras_scaled_odd", "sheared_slp"] {
        let goldens = Goldens::load(&format!("tiny/volumes/{volume}.safetensors.gz"));
        let (shape, image) = goldens.floats("ras.image");
        let image = ArrayView3::from_shape([shape[0], shape[1], shape[2]], &image).expect("three axes");
        let expected = goldens.values("ras.zoom_out_image");
        let window_dhw = models::tiny().window_dhw;
        let right = resize_nearest_exact(image, window_dhw);
        assert_eq!(max_error(right.as_slice().expect("standard layout"), &expected), 0.0, "{volume}");
        let wrong = resize_nearest(image, window_dhw);
        assert!(max_error(wrong.as_slice().expect("standard layout"), &expected) > INTENSITY, "{volume}");
    }
}

/// torch uses the source indices 3, 23 and 31 here; `floor(i * in / out)` in integers gives one more. No recorded mask
/// depends on it, so the indices themselves are the golden.
#[test]
fn nearest_is_computed_in_float32_as_torch_does() {
    for (n_in, n_out, at) in [(8, 82, 41), (48, 74, 37), (64, 94, 47)] {
        let table = nearest_table(n_in, n_out);
        let differs: Vec<usize> = (0..n_out).filter(|&i| table[i] != i * n_in / n_out).collect();
        assert_eq!(differs, [at]);
        assert_eq!(table[at] + 1, n_in / 2);
    }
}

/// Possible mistakes in the normalisation of intensities.
#[derive(Clone, Copy, PartialEq)]
enum Normalise {
    AsReleased,
    PercentilesOfNeighbours,
    PercentilesOfAllVoxels,
    ForegroundAboveZero,
    PercentilesOneAndNinetyNine,
}

/// An independent implementation in float64, written only from the description.
fn normalise(voxels: &[f32], how: Normalise) -> Vec<f32> {
    let mean = voxels.iter().map(|&v| f64::from(v)).sum::<f64>() / voxels.len() as f64;
    let threshold = if how == Normalise::ForegroundAboveZero { 0.0 } else { mean };
    let mut foreground: Vec<f64> = voxels.iter().map(|&v| f64::from(v)).collect();
    if how != Normalise::PercentilesOfAllVoxels {
        foreground.retain(|&v| v > threshold);
    }
    foreground.sort_by(f64::total_cmp);
    let percentile = |p: f64| {
        let at = p / 100.0 * (foreground.len() - 1) as f64;
        let (low, t) = (at.floor() as usize, at.fract());
        let high = foreground[(low + 1).min(foreground.len() - 1)];
        if how == Normalise::PercentilesOfNeighbours { foreground[low] } else { foreground[low] * (1.0 - t) + high * t }
    };
    let low = if how == Normalise::PercentilesOneAndNinetyNine { 1.0 } else { 0.05 };
    // NumPy's percentiles of float32 values are float32. This matters if the foreground's range is narrow and far from
    // 0.
    let (low, high) = (f64::from(percentile(low) as f32), f64::from(percentile(100.0 - low) as f32));
    // All later steps are linear, so the final min-max scaling cancels the mean and the standard deviation.
    let clipped: Vec<f64> = voxels.iter().map(|&v| f64::from(v).clamp(low, high)).collect();
    let least = clipped.iter().copied().fold(f64::INFINITY, f64::min);
    let most = clipped.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    clipped.iter().map(|v| ((v - least) / (most - least)) as f32).collect()
}

#[test]
fn goldens_tell_how_intensities_are_normalised() {
    use Normalise::{
        AsReleased, ForegroundAboveZero, PercentilesOfAllVoxels, PercentilesOfNeighbours, PercentilesOneAndNinetyNine,
    };
    let mut rejected = BTreeMap::new();
    for name in ["lps_int16", "ras_scaled_odd", "sheared_slp"] {
        let volume = Volume::open(data(&format!("tiny/volumes/{name}.nii.gz"))).expect("a volume");
        let goldens = Goldens::load(&format!("tiny/volumes/{name}.safetensors.gz"));
        let (shape, expected) = goldens.floats("ras.image");
        let crop = volume_record(name).ras;
        // The goldens' crop is in the padded volume, and has no padding at its start. This volume is not padded, so the
        // padding is subtracted.
        let axes = AxisMap::new(volume.grid(), Orientation::Ras);
        let padding: [usize; 3] =
            std::array::from_fn(|axis| models::tiny().window_dhw[axis].saturating_sub(axes.shape_dhw()[axis]) / 2);
        for how in [
            AsReleased,
            PercentilesOfNeighbours,
            PercentilesOfAllVoxels,
            ForegroundAboveZero,
            PercentilesOneAndNinetyNine,
        ] {
            let image = axes.orient(&normalise(volume.voxels(), how));
            let start: [usize; 3] = std::array::from_fn(|axis| crop.start[axis] - padding[axis]);
            let cut = ndarray::s![
                start[0]..start[0] + shape[0],
                start[1]..start[1] + shape[1],
                start[2]..start[2] + shape[2]
            ];
            let found: Vec<f32> = image.slice(cut).iter().copied().collect();
            let error = max_error(&found, &expected);
            if how == AsReleased {
                assert!(error <= INTENSITY, "{name}: {error:.1e}");
            } else if error > INTENSITY {
                *rejected.entry(how as usize).or_insert(0) += 1;
            }
        }
    }
    let wrong: Vec<usize> = rejected.keys().copied().collect();
    assert_eq!(wrong, [1, 2, 3, 4], "each mistake is rejected by at least one volume");
}

/// The released code's prompts in windows, its windows and its axes, with one change each.
#[test]
fn goldens_tell_the_released_pipeline_from_a_cleaner_one() {
    let record = volume_record("smaller_than_window");
    let weights = &record.variants["plain"];
    let folder = segvol_tests::folder!();
    let bundle = bundle::seeded(folder.path(), &models::tiny(), &weights.bias_added);
    let model = bundle::open(&bundle);

    let error = |volume: &str, options: &StudyOptions, prompt: &Prompt, golden: &str| {
        let goldens = Goldens::load(&format!("tiny/volumes/{volume}.safetensors.gz"));
        let volume = Volume::open(data(&format!("tiny/volumes/{volume}.nii.gz"))).expect("a volume");
        let study = model.study_with(volume, options).expect("a study");
        let found = study.segment(prompt).expect("a segmentation").logits().expect("memory");
        relative_l2(found.as_slice().expect("standard layout"), &goldens.values(golden))
    };
    let released = bundle::released();
    let boxed = |min: [f64; 3], max: [f64; 3]| Prompt::new().bounding_box(min, max).space(Space::Window);
    let (min, max) = ([1.0, 8.0, 14.0], [5.0, 36.0, 44.0]);
    let spleen = Prompt::text("spleen").bounding_box([0.0, 4.0, 30.0], [6.0, 30.0, 60.0]).space(Space::Window);

    // The change, the volume, the settings, the prompt, the golden, and whether the test must pass.
    let small = "smaller_than_window";
    let cases: [(&str, &str, StudyOptions, Prompt, &str, bool); 7] = [
        ("nothing", small, released.clone(), boxed(min, max), "plain.ras.box.logits", true),
        (
            "the box carries the pad",
            small,
            released.clone().profile(Profile::Default),
            boxed(min, max),
            "plain.ras.box.logits",
            false,
        ),
        ("nothing", "lps_int16", released.clone(), spleen.clone(), "plain.ras.text_box.logits", true),
        (
            "axes as stored",
            "lps_int16",
            released.clone().orientation(Orientation::Stored),
            spleen.clone(),
            "plain.ras.text_box.logits",
            false,
        ),
        (
            "windows overlap by a quarter",
            "lps_int16",
            released.clone().overlap(0.25),
            spleen.clone(),
            "plain.ras.text_box.logits",
            false,
        ),
        (
            "no zoom-in",
            "lps_int16",
            released.clone().zoom_in(false),
            spleen.clone(),
            "plain.ras.text_box.logits",
            false,
        ),
        (
            "a box two voxels wider",
            small,
            released.clone(),
            boxed(min, [5.0, 36.0, 46.0]),
            "plain.ras.box.logits",
            false,
        ),
    ];
    for (change, volume, options, prompt, golden, passes) in cases {
        let error = error(volume, &options, &prompt, golden);
        assert_eq!(error <= LOGITS, passes, "{volume}, {change}: relative L2 {error:.1e}");
    }
}
