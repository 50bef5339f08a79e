//! The converter on a model small enough to make here: zeros of every shape that its own plan asks for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use segvol_onnx::proto::ModelProto;
use segvol_onnx::{Architecture, Manifest, Precision, Stage, Variant};

use crate::error::{CheckpointError, ConvertError, TensorFault};
use crate::stages::Wanted;
use crate::{Checkpoint, Inspection, Options, config, convert, inspect, stages};

const CONFIG: &str = r#"{"spatial_size": [8, 32, 48], "patch_size": [4, 16, 16], "heads": 2, "dec_heads": 2,
    "clip": {"num_attention_heads": 2}}"#;

type Shapes = BTreeMap<String, Vec<usize>>;

/// Names and shapes of a model 16 wide: those that sizes follow from, then all that the plan misses.
fn model(dir: &Path) -> Shapes {
    let tower = "text_encoder.clip_text_model";
    let mut shapes: Shapes = [
        ("image_encoder.patch_embedding.position_embeddings".to_owned(), vec![1, 12, 16]),
        ("image_encoder.blocks.0.mlp.linear1.weight".to_owned(), vec![32, 16]),
        ("mask_decoder.transformer.layers.0.mlp.lin1.weight".to_owned(), vec![24, 16]),
        ("mask_decoder.transformer.layers.1.mlp.lin1.weight".to_owned(), vec![24, 16]),
        (format!("{tower}.embeddings.token_embedding.weight"), vec![60, 8]),
        (format!("{tower}.embeddings.position_embedding.weight"), vec![77, 8]),
        (format!("{tower}.encoder.layers.0.mlp.fc1.weight"), vec![12, 8]),
    ]
    .into();
    let (checkpoint, architecture) = open(&write(dir, &shapes));
    let Err(CheckpointError::Tensors { faults, .. }) = stages::plan(&checkpoint, &architecture, Wanted::FP32) else {
        panic!("most tensors are missing");
    };
    for fault in faults.0 {
        let TensorFault::Missing { name, expected } = fault else { panic!("{fault}") };
        shapes.insert(name, expected);
    }
    shapes
}

/// Writes a checkpoint of zeros, with its configuration and a tokenizer of letters beside it.
fn write(dir: &Path, shapes: &Shapes) -> PathBuf {
    let zeros = vec![0; 4 * shapes.values().map(|shape| shape.iter().product::<usize>()).max().unwrap_or(0)];
    let tensors = shapes.iter().map(|(name, shape)| {
        let bytes = 4 * shape.iter().product::<usize>();
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), &zeros[..bytes]).expect("a tensor"))
    });
    let path = dir.join("model.safetensors");
    safetensors::serialize_to_file(tensors, None, &path).expect("written");
    fs::write(dir.join("config.json"), CONFIG).expect("written");
    let letters = ('a'..='z').chain(['.', '{', '}']).map(String::from);
    let tokens = letters.flat_map(|letter| [letter.clone(), format!("{letter}</w>")]);
    let vocabulary: BTreeMap<String, u32> =
        tokens.chain(["<|startoftext|>".to_owned(), "<|endoftext|>".to_owned()]).zip(0..).collect();
    fs::write(dir.join("vocab.json"), serde_json::to_string(&vocabulary).expect("JSON")).expect("written");
    fs::write(dir.join("merges.txt"), "#version: 0.2\n").expect("written");
    path
}

fn open(path: &Path) -> (Checkpoint, Architecture) {
    let checkpoint = Checkpoint::open(path).expect("a checkpoint");
    let architecture = config::architecture(&checkpoint, None).expect("sizes");
    (checkpoint, architecture)
}

fn faults(path: &Path) -> Vec<TensorFault> {
    let (checkpoint, architecture) = open(path);
    match stages::plan(&checkpoint, &architecture, Wanted::FP32) {
        Ok(_) => Vec::new(),
        Err(CheckpointError::Tensors { faults, .. }) => faults.0,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn sizes_follow_from_shapes() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_, a) = open(&write(dir.path(), &model(dir.path())));
    assert_eq!((a.channels, a.image_encoder.mlp, a.image_encoder.layers), (16, 32, 1));
    assert_eq!((a.mask_decoder.mlp, a.mask_decoder.layers), (24, 2));
    assert_eq!((a.text_encoder.width, a.text_encoder.vocabulary), (8, 60));
}

#[test]
fn a_bundle_is_whole_and_the_same_every_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = write(dir.path(), &model(dir.path()));
    let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
    let manifest = convert(&path, &first, &Options::default()).expect("converted").manifest;
    convert(&path, &second, &Options::default()).expect("converted");

    let read = Manifest::read(&first).expect("a bundle");
    assert_eq!(read, manifest);
    read.verify(&first).expect("as in the manifest");
    assert_eq!(manifest.precisions[&Precision::Fp32].stages.keys().copied().collect::<Vec<_>>(), Stage::ALL);
    for file in manifest.files().map(|file| file.name.as_str()).chain(["manifest.json"]) {
        let [first, second] = [&first, &second].map(|dir| fs::read(dir.join(file)).expect("a file"));
        assert!(first == second, "{file} differs");
    }

    let again = convert(&path, &first, &Options::default()).expect_err("taken");
    assert!(matches!(again, ConvertError::OutputExists { .. }), "{again}");
    convert(&path, &first, &Options { force: true, ..Options::default() }).expect("replaced");
    let hidden = |name: &fs::DirEntry| name.file_name().to_string_lossy().starts_with('.');
    let left = fs::read_dir(dir.path()).expect("listed").flatten().filter(hidden).count();
    assert_eq!(left, 0, "nothing is left beside the bundle");
}

#[test]
fn variants_share_weights_and_differ_in_attention() {
    let dir = tempfile::tempdir().expect("a folder");
    let (checkpoint, architecture) = open(&write(dir.path(), &model(dir.path())));
    let plan = stages::plan(&checkpoint, &architecture, Wanted::FP32).expect("a plan");
    let graphs = &plan.stages[&(Precision::Fp32, Stage::ImageEncoder)].graphs;
    let initializers = |model: &ModelProto| model.graph.clone().expect("a graph").initializer;
    let portable = initializers(&graphs[&Variant::Portable]);
    let fused = initializers(&graphs[&Variant::Fused]);
    assert!(fused.iter().any(|tensor| !tensor.external_data.is_empty()));
    for tensor in fused.iter().filter(|tensor| !tensor.external_data.is_empty()) {
        assert!(portable.contains(tensor), "{}", tensor.name);
    }
    let domains = |variant| graphs[&variant].opset_import.len();
    assert_eq!((domains(Variant::Portable), domains(Variant::Fused)), (1, 2));
    for ((_, stage), planned) in &plan.stages {
        let portable = &planned.graphs[&Variant::Portable];
        assert_eq!(portable.opset_import.len(), 1, "{stage}");
    }
}

#[test]
fn every_missing_misshapen_and_left_over_tensor_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut shapes = model(dir.path());
    shapes.remove("image_encoder.norm.bias");
    shapes.insert("prompt_encoder.no_mask_embed.weight".to_owned(), vec![16]);
    shapes.insert("mask_decoder.surprise".to_owned(), vec![1]);
    let expected = [
        TensorFault::Missing { name: "image_encoder.norm.bias".to_owned(), expected: vec![16] },
        TensorFault::Shape {
            name: "prompt_encoder.no_mask_embed.weight".to_owned(),
            expected: vec![1, 16],
            found: vec![16],
        },
        TensorFault::Unexpected { name: "mask_decoder.surprise".to_owned() },
    ];
    assert_eq!(faults(&write(dir.path(), &shapes)), expected);
}

#[test]
fn what_is_not_exported_has_a_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut shapes = model(dir.path());
    let name = "mask_decoder.iou_prediction_head.layers.0.bias";
    shapes.insert(name.to_owned(), vec![256]);
    let Inspection::Checkpoint(found) = inspect(&write(dir.path(), &shapes), &Options::default()).expect("inspected")
    else {
        panic!("not a checkpoint");
    };
    assert!(found.problem.is_none());
    let listed: Vec<&str> = found.not_exported.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(listed, [name]);
}

#[test]
fn an_encoder_alone_gives_its_stage() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut shapes = model(dir.path());
    shapes.retain(|name, _| name.starts_with("image_encoder."));
    let bundle = dir.path().join("bundle");
    let manifest = convert(&write(dir.path(), &shapes), &bundle, &Options::default()).expect("converted").manifest;
    assert_eq!(manifest.precisions[&Precision::Fp32].stages.keys().copied().collect::<Vec<_>>(), [Stage::ImageEncoder]);
    assert!(manifest.tokenizer.is_none());
    Manifest::read(&bundle).expect("a bundle").verify(&bundle).expect("as in the manifest");
}

#[test]
fn sizes_that_are_not_the_released_ones_need_a_configuration() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = write(dir.path(), &model(dir.path()));
    fs::remove_file(dir.path().join("config.json")).expect("removed");
    let error = convert(&path, &dir.path().join("bundle"), &Options::default()).expect_err("no configuration");
    assert!(matches!(error, ConvertError::Size { .. }) && error.to_string().contains("config.json"), "{error}");
    assert!(!dir.path().join("bundle").exists());
}

#[test]
fn a_text_encoder_needs_a_tokenizer() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = write(dir.path(), &model(dir.path()));
    fs::remove_file(dir.path().join("vocab.json")).expect("removed");
    let error = convert(&path, &dir.path().join("bundle"), &Options::default()).expect_err("no tokenizer");
    assert!(matches!(error, ConvertError::NoTokenizer { .. }), "{error}");
    assert!(error.to_string().contains("tokenizer.json") && error.to_string().contains("60 token ids"), "{error}");
}

/// Every tensor missing, a single number, empty, of another rank or another size, one at a time: an error, without a shape
/// that nobody can know.
#[test]
fn no_message_has_a_shape_that_is_unknown() {
    let dir = tempfile::tempdir().expect("a folder");
    let whole = model(dir.path());
    let parts: [Shapes; 2] =
        [whole.clone(), whole.clone().into_iter().filter(|(name, _)| name.starts_with("image_encoder.")).collect()];
    for shapes in parts {
        for (name, shape) in &shapes {
            let damages = [
                None,
                Some(vec![]),
                Some(vec![0]),
                Some(vec![0; shape.len()]),
                Some(shape.iter().copied().chain([1]).collect()),
                Some(shape[1..].to_vec()),
                Some(shape.iter().map(|n| n + 1).collect()),
            ];
            for damage in damages {
                let mut damaged = shapes.clone();
                match &damage {
                    Some(shape) => damaged.insert(name.clone(), shape.clone()),
                    None => damaged.remove(name),
                };
                let what = format!("{name}: {damage:?}");
                let path = write(dir.path(), &damaged);
                let message = match plan(&path) {
                    Err(error) => error.to_string(),
                    Ok(()) => panic!("{what}: accepted"),
                };
                for unknown in ["[0", " 0]", "[]", " 0,"] {
                    assert!(!message.contains(unknown), "{what}: {message}");
                }
            }
        }
    }
}

fn plan(path: &Path) -> Result<(), ConvertError> {
    let checkpoint = Checkpoint::open(path)?;
    let architecture = config::architecture(&checkpoint, None)?;
    stages::plan(&checkpoint, &architecture, Wanted::FP32)?;
    Ok(())
}

/// The most axes that CUDA's provider and TensorRT know.
const MOST_AXES: usize = 8;

#[test]
fn no_tensor_has_more_axes_than_gpus_know() {
    let dir = tempfile::tempdir().expect("a folder");
    let shapes = model(dir.path());
    let (checkpoint, architecture) = open(&write(dir.path(), &shapes));
    let plan = stages::plan(&checkpoint, &architecture, Wanted::FP32).expect("a plan");
    let mut most = 0;
    for ((_, stage), planned) in &plan.stages {
        for model in planned.graphs.values() {
            let graph = model.graph.clone().expect("a graph");
            let permuted =
                graph.node.iter().filter(|node| node.op_type == "Transpose").flat_map(|node| &node.attribute);
            // The shape that a `Reshape` makes has one number for each axis.
            let shapes: Vec<&String> =
                graph.node.iter().filter(|node| node.op_type == "Reshape").map(|node| &node.input[1]).collect();
            let reshaped = graph.initializer.iter().filter(|tensor| shapes.contains(&&tensor.name));
            let axes = permuted
                .map(|order| order.ints.len())
                .chain(reshaped.map(|tensor| usize::try_from(tensor.dims[0]).expect("a size")))
                .max()
                .unwrap_or(0);
            assert!(axes <= MOST_AXES, "{stage}: {axes} axes");
            most = most.max(axes);
        }
    }
    assert!(most > 4, "the tensors were found: {most} axes");
}
