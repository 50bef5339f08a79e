//! Every precision gives the results of the released code, within the tolerance of its element types. Also: bundles of
//! several precisions, the selection of a precision, and errors.
//!
//! With `--nocapture`, the tests print the errors that they measure.

#![allow(clippy::print_stderr, reason = "the measured errors are quoted in docs/precision.md")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use ndarray::ArrayView3;
use prost::Message as _;
use segvol::mask::Labels;
use segvol::provider::{Binding, CpuOptions};
use segvol::{
    Error, Model, Options, Precision, Prompt, Provider, ProviderOptions, ReadOptions, Report, Volume, WarningCode,
};
use segvol_converter::ConvertError;
use segvol_onnx::proto::{GraphProto, ModelProto, data_type};
use segvol_onnx::{BundleError, Manifest, Stage, Variant};
use segvol_tests::bundle::{initializer, set_values};
use segvol_tests::checkpoint::write_seeded;
use segvol_tests::compare::{FP16, FP16_IMAGE_EMBEDDING, INT8, STAGE, relative_l2};
use segvol_tests::golden::{Goldens, data};
use segvol_tests::stage_errors::{stage_errors, worst};
use segvol_tests::{bundle, models, seeded};

/// The tiny model's checkpoint, and a bundle of it at every precision, with calibrated int8. Shared by all tests here.
static TINY: LazyLock<(PathBuf, PathBuf)> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("precisions");
    bundle::fresh(&folder);
    let checkpoint = write_seeded(&folder, &models::tiny(), &BTreeMap::new()).expect("a checkpoint");
    let mut options = at(&Precision::ALL);
    let scan = data("tiny/volumes/ras_scaled_odd.nii.gz");
    let run = Options::default();
    let calibrated =
        segvol_calibration::calibrate(&checkpoint, Some(&scan), &ReadOptions::default(), &folder, &options, &run);
    options.calibrated = Some(calibrated.unwrap_or_else(|error| panic!("{error}")).calibrated);
    let bundle = folder.join("bundle");
    bundle::converted(&checkpoint, &bundle, &options);
    (checkpoint, bundle)
});

fn at(precisions: &[Precision]) -> segvol_converter::Options {
    let precisions = precisions.iter().copied().collect::<BTreeSet<_>>();
    segvol_converter::Options { precisions, ..segvol_converter::Options::default() }
}

fn open(bundle: &Path, precision: Precision) -> Model {
    Model::open(bundle, &bundle::on_cpu().precision(precision)).unwrap_or_else(|error| panic!("{error}"))
}

fn goldens() -> Goldens {
    Goldens::load("tiny/stages.safetensors.gz")
}

/// The largest errors of the image embedding, and of all outputs.
fn errors(model: &Model, what: &str) -> [f64; 2] {
    let errors = stage_errors(model, &goldens());
    let [image, all] = ["image_embedding", ""].map(|output| worst(&errors, output));
    eprintln!("{what}: image_embedding {:.1e}; worst {} {:.1e}", image.1, all.0, all.1);
    [image.1, all.1]
}

/// A bundle in which a graph of one precision replaces the portable one, and one stage of it is changed.
fn edited(precision: Precision, variant: Variant, stage: Stage, edit: impl FnOnce(&mut GraphProto)) -> [f64; 2] {
    let folder = segvol_tests::folder!();
    let bundle = bundle::edited_at(&TINY.1, folder.path(), (precision, variant), stage, edit);
    errors(&open(&bundle, precision), &format!("{precision} {}, {stage} edited", variant.name()))
}

#[test]
fn several_precisions_in_one_bundle_leave_float32_as_it_is() {
    let [image, all] = errors(&open(&TINY.1, Precision::Fp32), "fp32");
    assert!(image <= STAGE && all <= STAGE, "{image:.1e}, {all:.1e}");
}

#[test]
fn fp16_weights_in_float32_arithmetic_match_the_released_code() {
    let model = open(&TINY.1, Precision::Fp16);
    assert_eq!(model.stages().arithmetic(), "float32");
    let [image, all] = errors(&model, "fp16, float32 arithmetic");
    assert!(image <= FP16_IMAGE_EMBEDDING && all <= FP16, "{image:.1e}, {all:.1e}");
    // If it computed in float32, the error would be smaller.
    assert!(all > STAGE, "{all:.1e}");
    // The graph of standard operators, for OpenVINO.
    let [image, all] = edited(Precision::Fp16, Variant::Widened, Stage::ImageEncoder, |_| ());
    assert!(image <= FP16_IMAGE_EMBEDDING && all <= FP16, "{image:.1e}, {all:.1e}");
}

/// ONNX Runtime's CPU provider runs a float16 graph with float32 kernels and casts around them. Every value between
/// nodes that are not fused is rounded to float16.
#[test]
fn float16_graphs_match_the_released_code() {
    let [image, all] = edited(Precision::Fp16, Variant::Portable, Stage::ImageEncoder, |_| ());
    assert!(image <= FP16_IMAGE_EMBEDDING && all <= FP16, "{image:.1e}, {all:.1e}");
}

/// A scale of the attention that is wrong by 4 % must not pass.
#[test]
fn fp16_tolerance_rejects_near_misses() {
    for variant in [Variant::Portable, Variant::Widened] {
        // A head has 16 channels, so the scale is 1 / sqrt(16) = 0.25. 0.26 is 4 % more.
        let [image, _] = edited(Precision::Fp16, variant, Stage::ImageEncoder, |graph| {
            let name = if variant == Variant::Portable { "half scalar 0.25" } else { "scalar 0.25" };
            let scale = initializer(graph, name);
            if variant == Variant::Portable {
                scale.raw_data = Some(half::f16::from_f32(0.26).to_le_bytes().to_vec());
            } else {
                set_values(scale, &[0.26]);
            }
        });
        assert!(image > FP16_IMAGE_EMBEDDING, "{}: {image:.1e} would pass", variant.name());
    }
}

#[test]
fn int8_matches_the_released_code() {
    let [image, all] = errors(&open(&TINY.1, Precision::Int8), "int8, ranges found while running, smoothed");
    assert!(image <= INT8 && all <= INT8, "{image:.1e}, {all:.1e}");
    assert!(image > FP16, "{image:.1e}: int8 is not in use");
}

/// Calibrated ranges are valid for windows like those that were measured, but not for the noise of the goldens. So the
/// calibrated graph is compared with float32, on the scan that it was calibrated with. The goldens check float32.
fn calibrated_error(edit: impl FnOnce(&mut GraphProto)) -> f64 {
    let folder = segvol_tests::folder!();
    let static_form = (Precision::Int8, Variant::Portable);
    let bundle = bundle::edited_at(&TINY.1, folder.path(), static_form, Stage::ImageEncoder, edit);
    let volume = Volume::open(data("tiny/volumes/ras_scaled_odd.nii.gz")).expect("a volume");
    let float32 = open(&TINY.1, Precision::Fp32);
    let study = float32.study_with(volume, &bundle::released()).expect("a study");
    let window = segvol::resize::resize_nearest_exact(study.image().view(), models::tiny().window_dhw);
    let [expected, found] = [float32, open(&bundle, Precision::Int8)].map(|model| {
        model.stages().encode_image(window.view()).expect("encoded").values().expect("in memory").into_owned()
    });
    let error = relative_l2(&found, &expected);
    eprintln!("int8, calibrated: image_embedding {error:.1e}");
    error
}

#[test]
fn calibrated_int8_matches_float32() {
    let error = calibrated_error(|_| ());
    assert!(error <= INT8 && error > FP16, "{error:.1e}");
}

/// The error if the zero points of one element type are changed by a few levels. Only those of the quantiser are
/// changed, so they differ from those of the dequantiser.
fn error_with_zeros_moved(of: i32, expected: usize) -> f64 {
    calibrated_error(|graph| {
        let mut moved = 0;
        let mut constants = Vec::new();
        for node in graph.node.iter_mut().filter(|node| node.op_type == "QuantizeLinear") {
            let name = node.input[2].clone();
            let mut tensor = graph.initializer.iter().find(|tensor| tensor.name == name).expect("a zero point").clone();
            if tensor.data_type != Some(of) {
                continue;
            }
            let zero = tensor.raw_data.as_ref().expect("inline")[0];
            tensor.name = format!("{name}, moved");
            tensor.raw_data = Some(vec![zero.saturating_add(6)]);
            node.input[2].clone_from(&tensor.name);
            constants.push(tensor);
            moved += 1;
        }
        constants.sort_by(|a, b| a.name.cmp(&b.name));
        constants.dedup_by(|a, b| a.name == b.name);
        graph.initializer.append(&mut constants);
        assert_eq!(moved, expected);
    })
}

#[test]
fn int8_tolerance_rejects_near_misses() {
    // Linear layers of three blocks: two in the first block, whose MLP is float32, and four in each of the others.
    let layers = error_with_zeros_moved(data_type::UINT8, 2 + 4 + 4);
    assert!(layers > INT8, "{layers:.1e} would pass");
    // Queries and keys.
    let attention = error_with_zeros_moved(data_type::INT8, 3 * 2);
    assert!(attention > INT8, "{attention:.1e} would pass");
}

#[test]
fn int8_needs_no_calibration() {
    let folder = segvol_tests::folder!();
    let bundle = folder.path().join("bundle");
    let manifest = bundle::converted(&TINY.0, &bundle, &at(&[Precision::Int8]));
    let files = &manifest.precisions[&Precision::Int8];
    assert!(files.calibration.is_none());
    assert!(files.kept_in_float32.iter().any(|kept| kept.part.starts_with("mask_decoder")));
    let [image, _] = errors(&open(&bundle, Precision::Int8), "int8, not calibrated");
    assert!(image <= INT8, "{image:.1e}");
}

/// The lowest Dice against the masks of float32, over the names and scans of the demo model, for each precision. int8
/// is tested with and without calibration.
fn demo_agreement(scans: &[PathBuf]) -> BTreeMap<&'static str, f64> {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo");
    let checkpoint = demo.join("SegVol_demo.pth");
    let folder = segvol_tests::folder!();
    let (mut options, run) = (at(&Precision::ALL), Options::default());
    let calibrated =
        segvol_calibration::calibrate(&checkpoint, None, &ReadOptions::default(), folder.path(), &options, &run);
    options.calibrated = Some(calibrated.expect("calibrated").calibrated);
    let bundle = folder.path().join("bundle");
    bundle::converted(&checkpoint, &bundle, &options);
    let static_form = (Precision::Int8, Variant::Portable);
    let fixed = bundle::edited_at(&bundle, &folder.path().join("fixed"), static_form, Stage::ImageEncoder, |_| ());
    let open = |bundle: &Path, precision| {
        Model::open(bundle, &Options::default().provider(Provider::Cpu).precision(precision)).expect("a bundle")
    };
    let float32 = open(&bundle, Precision::Fp32);
    let others = [
        ("fp16", open(&bundle, Precision::Fp16)),
        ("int8", open(&bundle, Precision::Int8)),
        ("int8, calibrated", open(&fixed, Precision::Int8)),
    ];
    let prompts = ["liver", "spleen", "left kidney", "right kidney"].map(Prompt::text);
    let masks = |model: &Model, scan: &Path| {
        let study = model.study(Volume::open(scan).expect("a scan")).expect("a study");
        let found = study.segment_all(&prompts).expect("segmented");
        found.iter().map(|found| found.mask().expect("memory")).collect::<Vec<_>>()
    };
    let mut least = BTreeMap::new();
    for scan in scans {
        let expected = masks(&float32, scan);
        for (name, model) in &others {
            for ((found, expected), prompt) in masks(model, scan).iter().zip(&expected).zip(&prompts) {
                let [found, expected] = [found, expected].map(|mask| match mask.labels() {
                    Labels::U8(labels) => labels,
                    Labels::U16(_) => panic!("one object has labels up to 1"),
                });
                let dice = segvol::metrics::dice(found, expected, |&v| v != 0, |&v| v != 0);
                let (scan, prompt) = (scan.display(), prompt.name());
                eprintln!("{scan}, {prompt}, {name}: Dice {dice:.4}");
                let entry = least.entry(*name).or_insert(1.0_f64);
                *entry = entry.min(dice);
            }
        }
    }
    least
}

/// float16 gives the same masks as float32; int8 changes their edges slightly.
#[test]
fn masks_of_the_demo_model_agree_with_float32() {
    let phantom = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/phantom.nii.gz");
    let least = BTreeMap::from([("fp16", 0.999), ("int8", 0.99), ("int8, calibrated", 0.98)]);
    let found = demo_agreement(&[phantom]);
    assert_eq!(found.len(), least.len());
    for (name, dice) in found {
        assert!(dice >= least[name], "{name}: {dice:.4}");
    }
}

/// A strongly typed runtime accepts every float16 graph: no operator has operands of different element types.
#[test]
fn float16_graphs_are_strongly_typed() {
    let manifest = Manifest::read(&TINY.1).expect("a bundle");
    let mut halves = 0;
    for (stage, files) in &manifest.precisions[&Precision::Fp16].stages {
        for entry in files.graphs.values() {
            let bytes = fs::read(TINY.1.join(&entry.name)).expect("the graph");
            let graph = ModelProto::decode(bytes.as_slice()).expect("ONNX").graph.expect("a graph");
            halves += check_types(&graph, &entry.name);
        }
        assert!(files.graphs.contains_key(&Variant::Portable), "{stage}");
    }
    assert!(halves > 100, "{halves} float16 products and activations");
}

/// The number of nodes that compute in float16.
fn check_types(graph: &GraphProto, file: &str) -> usize {
    const BOOL: i32 = 9;
    let element = |value: &segvol_onnx::proto::ValueInfoProto| {
        value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).and_then(|t| t.elem_type).expect("a type")
    };
    let mut types: BTreeMap<&str, i32> =
        graph.input.iter().map(|input| (input.name.as_str(), element(input))).collect();
    types.extend(graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor.data_type.expect("a type"))));
    let mut halves = 0;
    for node in &graph.node {
        let inputs: Vec<i32> = node.input.iter().map(|name| types[name.as_str()]).collect();
        let name = format!("{file}: {}", node.name);
        let same = |inputs: &[i32]| assert!(inputs.iter().all(|t| *t == inputs[0]), "{name}: {inputs:?}");
        let output = match node.op_type.as_str() {
            "Cast" => node.attribute[0].i.expect("a type").try_into().expect("a type"),
            "Equal" | "Greater" => {
                same(&inputs);
                BOOL
            }
            "ArgMax" => data_type::INT64,
            "Where" => {
                same(&inputs[1..]);
                inputs[1]
            }
            // The inputs after the first one are a shape, axes or indices.
            "Reshape" | "ReduceMean" | "Unsqueeze" | "Squeeze" | "Gather" | "Split" | "CumSum" => inputs[0],
            _ => {
                same(&inputs);
                inputs[0]
            }
        };
        match node.op_type.as_str() {
            "LayerNormalization" | "Softmax" | "ReduceMean" | "Sqrt" | "Sin" | "Cos" => {
                assert_eq!(output, data_type::FLOAT, "{name}: sums and angles are float32");
            }
            "MatMul" | "Erf" | "Sigmoid" | "ConvTranspose" | "MultiHeadAttention" if output == data_type::FLOAT16 => {
                halves += 1;
            }
            _ => {}
        }
        types.extend(node.output.iter().map(|name| (name.as_str(), output)));
    }
    for output in &graph.output {
        assert_eq!(types[output.name.as_str()], element(output), "{file}: {}", output.name);
    }
    halves
}

/// The size in bytes of all files that a precision needs, except the tokenizer.
fn bytes(manifest: &Manifest, precision: Precision) -> u64 {
    let stages = manifest.precisions[&precision].stages.values();
    stages.flat_map(|files| files.graphs.values().chain([&files.weights])).map(|file| file.bytes).sum()
}

#[test]
fn half_weights_are_half_the_bytes() {
    let manifest = Manifest::read(&TINY.1).expect("a bundle");
    let [fp32, fp16, int8] = Precision::ALL.map(|precision| bytes(&manifest, precision));
    eprintln!("bytes: fp32 {fp32}, fp16 {fp16}, int8 {int8}");
    // The tiny model's graphs are larger, relative to its weights, than the released model's; see `full_size.rs` for
    // those.
    assert!((fp16 as f64) < 0.53 * fp32 as f64, "{fp16} of {fp32}");
    assert!(int8 < fp32, "{int8} of {fp32}");
    let on_disk: u64 = manifest.files().map(|file| file.bytes).sum();
    assert!(on_disk < fp32 + fp16 + int8, "the stages that int8 leaves alone are there once");
}

#[test]
fn a_cpu_takes_float32_unless_told() {
    let volume = || Volume::open(data("tiny/volumes/ras_scaled_odd.nii.gz")).expect("a volume");
    for (asked, used, arithmetic, embedding_bytes) in [
        (None, Precision::Fp32, "float32", 4),
        (Some(Precision::Fp32), Precision::Fp32, "float32", 4),
        (Some(Precision::Fp16), Precision::Fp16, "float32", 2),
        (Some(Precision::Int8), Precision::Int8, "int8", 4),
    ] {
        let mut options = Options::default().provider(Provider::Cpu);
        options.precision = asked;
        let model = Model::open(&TINY.1, &options).expect("a bundle");
        assert_eq!((model.stages().precision(), model.stages().arithmetic()), (used, arithmetic));

        let dhw = models::tiny().window_dhw;
        let window = seeded::window(dhw);
        let window = ArrayView3::from_shape(dhw, &window).expect("a window");
        let embedding = model.stages().encode_image(window).expect("encoded");
        assert_eq!(embedding.bytes(), embedding_bytes * embedding.values().expect("in memory").len(), "{used}");

        let study = model.study(volume()).expect("a study");
        let prompts = [Prompt::text("liver")];
        let found = study.segment_all(&prompts).expect("segmented");
        let report = Report::new(&model, &study, &prompts, &found);
        let provider = &report.provider;
        assert_eq!((provider.precision_asked, provider.precision, provider.arithmetic), (asked, used, arithmetic));
        let said = report.warnings.iter().any(|warning| warning.message.contains("no float16 arithmetic"));
        assert_eq!(said, used == Precision::Fp16, "{:?}", report.warnings);
    }

    let folder = segvol_tests::folder!();
    for (held, used) in
        [(&[Precision::Int8, Precision::Fp16][..], Precision::Fp16), (&[Precision::Int8], Precision::Int8)]
    {
        let bundle = folder.path().join(format!("{held:?}"));
        bundle::converted(&TINY.0, &bundle, &at(held));
        let model = Model::open(&bundle, &Options::default().provider(Provider::Cpu)).expect("a bundle");
        assert_eq!(model.stages().precision(), used, "of {held:?}");
    }
}

/// Simulates in CPU memory how a float16 embedding of a GPU is passed on.
#[test]
fn bound_half_embeddings_give_the_same_bits() {
    let found = |binding| {
        let cpu = ProviderOptions::default().cpu(CpuOptions::default().binding(binding));
        let options = Options::default().provider(Provider::Cpu).precision(Precision::Fp16).provider_options(cpu);
        let model = Model::open(&TINY.1, &options).expect("a bundle");
        let dhw = models::tiny().window_dhw;
        let window = seeded::window(dhw);
        let window = ArrayView3::from_shape(dhw, &window).expect("a window");
        let embedding = model.stages().encode_image(window).expect("encoded");
        let study =
            model.study(Volume::open(data("tiny/volumes/lps_int16.nii.gz")).expect("a volume")).expect("a study");
        let logits = study.segment(&Prompt::text("liver")).expect("segmented").logits().expect("memory");
        (embedding.bytes(), embedding.values().expect("values").into_owned(), logits)
    };
    let unbound = found(Binding::Off);
    for binding in [Binding::Fresh, Binding::Fixed] {
        assert!(found(binding) == unbound, "{binding:?} gives other numbers");
    }
}

#[test]
fn a_precision_that_is_not_in_the_bundle_is_an_error_that_says_what_is() {
    let folder = segvol_tests::folder!();
    let bundle = folder.path().join("bundle");
    bundle::converted(&TINY.0, &bundle, &at(&[Precision::Fp32, Precision::Fp16]));
    let error = Model::open(&bundle, &bundle::on_cpu().precision(Precision::Int8)).err().expect("not in it");
    assert!(matches!(error, Error::Bundle(BundleError::MissingPrecision { .. })), "{error}");
    let message = error.to_string();
    assert!(message.contains("int8 is not in it") && message.contains("fp32, fp16"), "{message}");
}

#[test]
fn weights_beyond_float16_are_named() {
    let folder = segvol_tests::folder!();
    let names = ["image_encoder.blocks.0.attn.out_proj.bias", "mask_decoder.output_upscaling.0.bias"];
    let bias_added = names.map(|name| (name.to_owned(), 7e4)).into();
    let checkpoint = write_seeded(folder.path(), &models::tiny(), &bias_added).expect("a checkpoint");
    let output = folder.path().join("bundle");
    let error = segvol_converter::convert(&checkpoint, &output, &at(&[Precision::Fp16])).expect_err("beyond");
    assert!(matches!(error, ConvertError::Checkpoint(_)), "{error}");
    for part in names.into_iter().chain(["65504", "fp16"]) {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(!output.exists());
    bundle::converted(&checkpoint, &output, &at(&[Precision::Fp32]));
}

#[test]
fn activations_beyond_float16_name_their_stage() {
    let folder = segvol_tests::folder!();
    // The bias of a LayerNorm stays float32, so the checkpoint can be converted. The output of the norm is then too
    // large.
    let bias_added = [("image_encoder.norm.bias".to_owned(), 7e4)].into();
    let checkpoint = write_seeded(folder.path(), &models::tiny(), &bias_added).expect("a checkpoint");
    let bundle = folder.path().join("bundle");
    bundle::converted(&checkpoint, &bundle, &at(&[Precision::Fp32, Precision::Fp16]));
    let window = seeded::window(models::tiny().window_dhw);
    let window = ArrayView3::from_shape(models::tiny().window_dhw, &window).expect("a window");
    open(&bundle, Precision::Fp32).stages().encode_image(window).expect("it fits float32");
    let error = open(&bundle, Precision::Fp16).stages().encode_image(window).expect_err("beyond");
    assert!(matches!(error, Error::NotFinite { stage: Stage::ImageEncoder, index: 0, .. }), "{error}");
    for part in ["image_encoder", "image_embedding", "inf", "65504"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn calibration_without_scans_says_what_it_found() {
    let folder = segvol_tests::folder!();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).expect("made");
    let other = folder.path().join("other");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("notes.txt"), "no scan").expect("written");
    for (path, found) in [
        (empty, "an empty folder"),
        (other.clone(), "1 other files"),
        (other.join("notes.txt"), "another file"),
        (folder.path().join("nowhere"), "No such file"),
    ] {
        let options = segvol_converter::Options::default();
        let run = Options::default();
        let error =
            segvol_calibration::calibrate(&TINY.0, Some(&path), &ReadOptions::default(), folder.path(), &options, &run);
        let message = error.expect_err("no scans").to_string();
        assert!(message.contains(found) && message.contains("NIfTI"), "{message}");
    }
}

#[test]
fn the_same_scans_give_the_same_bundle() {
    let folder = segvol_tests::folder!();
    let scans = folder.path().join("scans");
    fs::create_dir(&scans).expect("made");
    for name in ["smaller_than_window", "ras_scaled_odd"] {
        let name = format!("{name}.nii.gz");
        fs::copy(data(&format!("tiny/volumes/{name}")), scans.join(&name)).expect("copied");
    }
    let convert = || {
        let (mut options, run) = (at(&[Precision::Int8]), Options::default());
        let calibrated = segvol_calibration::calibrate(
            &TINY.0,
            Some(&scans),
            &ReadOptions::default(),
            folder.path(),
            &options,
            &run,
        );
        options.calibrated = Some(calibrated.expect("calibrated").calibrated);
        options.force = true;
        bundle::converted(&TINY.0, &folder.path().join("bundle"), &options)
    };
    let manifest = convert();
    let record = manifest.precisions[&Precision::Int8].calibration.as_ref().expect("calibrated");
    assert_eq!(record.scans, ["ras_scaled_odd.nii.gz", "smaller_than_window.nii.gz"]);
    assert!(record.windows >= 4, "{}", record.windows);
    assert_eq!(convert(), manifest);
    let hidden = fs::read_dir(folder.path()).expect("listed").flatten();
    assert_eq!(hidden.count(), 2, "scans and bundle: the work folder is gone");
}

#[test]
fn a_calibration_leaves_out_label_maps_of_a_folder_and_warns_of_what_is_no_ct() {
    let folder = segvol_tests::folder!();
    let scans = folder.path().join("scans");
    fs::create_dir(&scans).expect("made");
    let scan = data("tiny/volumes/smaller_than_window.nii.gz");
    for name in ["ct.nii.gz", "ct_seg.nii.gz"] {
        fs::copy(&scan, scans.join(name)).expect("copied");
    }
    let volume = Volume::open(&scan).expect("a scan");
    // A label map that only its voxels show, and a scan that was scaled.
    let values = volume.voxels().iter().enumerate();
    let organ: Vec<u16> = values.map(|(i, _)| u16::try_from(i / 6 % 3).expect("below 3")).collect();
    segvol::Mask::from_labels(organ, Arc::clone(volume.grid()))
        .expect("a mask")
        .save(scans.join("organ.nii.gz"))
        .expect("saved");
    let (options, run, read) = (at(&[Precision::Int8]), Options::default(), ReadOptions::default());
    let calibrate =
        |path: &Path| segvol_calibration::calibrate(&TINY.0, Some(path), &read, folder.path(), &options, &run);
    let outcome = calibrate(&scans).expect("calibrated");
    assert_eq!(outcome.calibrated.record.scans, ["ct.nii.gz"]);
    let skipped: Vec<String> = outcome
        .skipped
        .iter()
        .map(|skipped| format!("{} {}", skipped.path.file_name().expect("a name").display(), skipped.reason))
        .collect();
    assert_eq!(
        skipped,
        [
            "ct_seg.nii.gz a label map by its name (seg)",
            "organ.nii.gz a label map by its voxels (3 different whole numbers)"
        ]
    );

    // A file that was named is used, and a warning says what it looks like.
    let named = calibrate(&scans.join("organ.nii.gz")).expect("calibrated");
    assert!(named.skipped.is_empty());
    let codes: Vec<WarningCode> = named.warnings.iter().map(|(_, warning)| warning.code).collect();
    assert!(codes.contains(&WarningCode::IntensityLabelMap), "{codes:?}");

    fs::remove_file(scans.join("ct.nii.gz")).expect("removed");
    let error = calibrate(&scans).expect_err("only label maps").to_string();
    assert!(error.contains("only 2 files that look like label maps") && error.contains("ct_seg"), "{error}");
}
