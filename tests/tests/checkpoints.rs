//! All published kinds of checkpoints convert to the same model. Every broken checkpoint is refused with an error that
//! names the file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use ndarray::ArrayView3;
use safetensors::SafeTensors;
use segvol::Model;
use segvol_converter::{CheckpointInspection, ConvertError, Inspection, Options, convert, inspect};
use segvol_onnx::manifest::{MANIFEST_FILE, PrecisionFiles};
use segvol_onnx::{BundleError, Manifest, Precision, Stage};
use segvol_tests::checkpoint::write_seeded;
use segvol_tests::compare::{FROM_BFLOAT16, FROM_FLOAT16, STAGE, relative_l2};
use segvol_tests::golden::data;
use segvol_tests::{bundle, models, seeded};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The file, container, layout and tolerance of the image embedding.
const WHOLE: [(&str, &str, &str, f64); 8] = [
    ("github.pth", "torch zip", "GitHub SegVol_v1.pth", STAGE),
    ("pytorch_model.bin", "torch zip", "Hugging Face BAAI/SegVol", STAGE),
    ("segfm.pth", "torch zip", "SegFM challenge", STAGE),
    ("legacy_format.pth", "torch legacy", "GitHub SegVol_v1.pth", STAGE),
    ("new_transformers_names.pth", "torch zip", "GitHub SegVol_v1.pth", STAGE),
    ("strided_views.pth", "torch zip", "GitHub SegVol_v1.pth", STAGE),
    ("fp16.pth", "torch zip", "GitHub SegVol_v1.pth", FROM_FLOAT16),
    ("bf16.pth", "torch zip", "GitHub SegVol_v1.pth", FROM_BFLOAT16),
];

/// A folder with the micro model's `config.json` and tokenizer, for checkpoints to be copied into.
fn home() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("config.json"), models::config_json(&models::micro())).expect("written");
    seeded::write_tokenizer(dir.path(), &models::micro()).expect("written");
    dir
}

/// Copies a stored checkpoint into a folder.
fn stored(dir: &Path, file: &str) -> PathBuf {
    let path = dir.join(file);
    fs::copy(data("checkpoints").join(file), &path).expect("copied");
    path
}

fn converted(dir: &Path, checkpoint: &Path) -> (PathBuf, Manifest) {
    let bundle = dir.join(format!("{} bundle", checkpoint.file_name().expect("a file").to_string_lossy()));
    let manifest = convert(checkpoint, &bundle, &Options::default())
        .unwrap_or_else(|error| panic!("{}: {error}", checkpoint.display()))
        .manifest;
    (bundle, manifest)
}

fn inspected(checkpoint: &Path) -> CheckpointInspection {
    match inspect(checkpoint, &Options::default()) {
        Ok(Inspection::Checkpoint(found)) => *found,
        other => panic!("{}: {other:?}", checkpoint.display()),
    }
}

/// The relative L2 error of the image embedding of the seeded window.
fn embedding_error(bundle: &Path) -> f64 {
    let model = bundle::open(bundle);
    let window = seeded::window(models::micro().window_dhw);
    let window = ArrayView3::from_shape(models::micro().window_dhw, &window).expect("a window");
    let found = model.stages().encode_image(window).expect("image encoder");
    let bytes = fs::read(data("checkpoints/expected.safetensors")).expect("read");
    let goldens = SafeTensors::deserialize(&bytes).expect("safetensors");
    let expected = goldens.tensor("image_embedding").expect("the embedding");
    let expected: Vec<f32> = expected.data().as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
    relative_l2(&found.values().expect("in memory"), &expected)
}

#[test]
fn every_layout_and_element_type_gives_the_released_embedding() {
    let home = home();
    let safetensors = write_seeded(
        &{
            let dir = home.path().join("safetensors");
            fs::create_dir(&dir).expect("a folder");
            dir
        },
        &models::micro(),
        &BTreeMap::new(),
    )
    .expect("written");
    let mut files: Vec<_> = WHOLE.map(|(file, c, l, t)| (stored(home.path(), file), c, l, t)).into();
    files.push((safetensors, "safetensors", "Hugging Face BAAI/SegVol", STAGE));

    let mut float32: Option<BTreeMap<Precision, PrecisionFiles>> = None;
    for (path, container, layout, tolerance) in files {
        let (bundle, manifest) = converted(home.path(), &path);
        let source = &manifest.source;
        assert_eq!((source.container.as_str(), source.layout.as_str()), (container, layout), "{}", path.display());
        assert_eq!(manifest.architecture, models::micro(), "{}", path.display());
        let error = embedding_error(&bundle);
        assert!(error <= tolerance, "{}: relative L2 {error:.1e}", path.display());
        // The same weights give the same files: graphs, weights and hashes.
        if tolerance == STAGE {
            let files = float32.get_or_insert_with(|| manifest.precisions.clone());
            assert_eq!(*files, manifest.precisions, "{}", path.display());
        }
    }
}

/// A safetensors file with these tensors, float32.
fn write_safetensors(path: &Path, tensors: &BTreeMap<String, (Vec<usize>, Vec<u8>)>) {
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).expect("a tensor"))
    });
    fs::write(path, safetensors::serialize(views, None).expect("serialised")).expect("written");
}

/// Whatever wraps the model, and whatever is next to it: the same graphs, weights and hashes.
#[test]
fn wrappers_and_neighbours_of_the_model_change_no_byte() {
    let home = home();
    let seeded = home.path().join("seeded");
    fs::create_dir(&seeded).expect("a folder");
    let bytes = fs::read(write_seeded(&seeded, &models::micro(), &BTreeMap::new()).expect("written")).expect("read");
    let stored = SafeTensors::deserialize(&bytes).expect("safetensors");
    let renamed = |rename: &dyn Fn(&str) -> String| -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
        let key = |name: &str| rename(name.strip_prefix("model.").expect("Hugging Face's prefix"));
        stored.iter().map(|(name, view)| (key(name), (view.shape().to_vec(), view.data().to_vec()))).collect()
    };
    let other = |name: &str| (name.to_owned(), (vec![2], vec![0; 8]));
    let with = |mut tensors: BTreeMap<_, _>, more: &[&str]| {
        tensors.extend(more.iter().map(|name| other(name)));
        tensors
    };
    let mut copies = renamed(&|key| format!("model.{key}"));
    copies.extend(renamed(&|key| format!("ema.module.{key}")));
    let files = [
        ("plain", renamed(&|key| key.to_owned()), 0),
        ("compiled", renamed(&|key| format!("model.module._orig_mod.{key}")), 0),
        ("parts", renamed(&|key| key.replace("blocks.0.", "blocks.0._fsdp_wrapped_module.")), 0),
        (
            "beside",
            with(renamed(&|key| format!("net.{key}")), &["loss", "epoch", "criterion.weight", "optim.state.0"]),
            4,
        ),
        ("average", copies, stored.len()),
    ];
    let mut expected: Option<BTreeMap<Precision, PrecisionFiles>> = None;
    for (name, tensors, beside) in &files {
        let path = home.path().join(format!("{name}.safetensors"));
        write_safetensors(&path, tensors);
        let (_, manifest) = converted(home.path(), &path);
        assert_eq!(inspected(&path).training_state, *beside, "{name}");
        let files = expected.get_or_insert_with(|| manifest.precisions.clone());
        assert_eq!(*files, manifest.precisions, "{name}");
        let mut stages = manifest.precisions[&Precision::Fp32].stages.values();
        assert!(stages.all(|files| files.weights.bytes > 0), "{name}: no file of a bundle is empty");
    }

    let path = home.path().join("average.safetensors");
    let chosen = |name: &str| Options { weights_from: Some(name.to_owned()), ..Options::default() };
    let manifest = convert(&path, &home.path().join("ema"), &chosen("ema")).expect("converted").manifest;
    assert_eq!(manifest.source.layout, "prefix ema.module.");
    assert_eq!(Some(&manifest.precisions), expected.as_ref());
    let error = convert(&path, &home.path().join("none"), &chosen("teacher")).expect_err("no such dictionary");
    assert!(error.to_string().contains("`ema.module`"), "{error}");

    // A tensor inside the model that nothing takes, an adapter beside a layer, and a part of a model elsewhere are errors.
    let layer = "image_encoder.blocks.0.attn.out_proj.";
    for (name, extra) in
        [("inside", "image_encoder.extra.weight".to_owned()), ("adapter", format!("{layer}lora_A.default.weight"))]
    {
        let path = home.path().join(format!("{name}.safetensors"));
        write_safetensors(&path, &with(renamed(&|key| key.to_owned()), &[&extra]));
        let error = convert(&path, &home.path().join(name), &Options::default()).expect_err("an extra tensor");
        assert!(error.to_string().contains(&extra), "{error}");
    }
    let path = home.path().join("elsewhere.safetensors");
    write_safetensors(&path, &with(renamed(&|key| format!("model.{key}")), &["head.mask_decoder.extra.weight"]));
    let error = convert(&path, &home.path().join("elsewhere"), &Options::default()).expect_err("half a model");
    assert!(error.to_string().contains("head.mask_decoder.extra.weight"), "{error}");
}

#[test]
fn an_encoder_only_checkpoint_gives_that_stage_and_says_what_is_missing() {
    let home = home();
    let (_, whole) = converted(home.path(), &stored(home.path(), "github.pth"));
    let path = stored(home.path(), "vit_pretrain.ckpt");
    let (bundle, manifest) = converted(home.path(), &path);
    let [encoder, whole] = [&manifest, &whole].map(|manifest| &manifest.precisions[&Precision::Fp32].stages);
    assert_eq!(encoder.keys().collect::<Vec<_>>(), [&Stage::ImageEncoder]);
    assert_eq!(encoder[&Stage::ImageEncoder], whole[&Stage::ImageEncoder]);
    assert!(manifest.tokenizer.is_none());
    manifest.verify(&bundle).expect("a whole bundle");
    assert_eq!(inspected(&path).missing_stages, [Stage::TextEncoder, Stage::PromptEncoder, Stage::MaskDecoder]);

    let error = Model::open(&bundle, &bundle::on_cpu()).err().expect("three stages are missing");
    let segvol::Error::Bundle(BundleError::MissingStage { stage, .. }) = &error else { panic!("{error}") };
    assert_eq!(*stage, Stage::TextEncoder);
}

#[test]
fn inspection_counts_what_is_there() {
    let home = home();
    for (file, container, layout, _) in WHOLE {
        let found = inspected(&stored(home.path(), file));
        assert_eq!((found.container.as_str(), found.layout.as_str()), (container, layout), "{file}");
        assert_eq!(found.architecture, Some(models::micro()), "{file}");
        assert!(found.problem.is_none(), "{file}: {:?}", found.problem);
        let parameters: u64 = found.modules.values().map(|module| module.parameters).sum();
        let keys = models::keys(&models::micro());
        let expected: usize = keys.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        // Files of transformers 4.x also have `position_ids`.
        assert!([expected as u64, expected as u64 + 77].contains(&parameters), "{file}: {parameters}");
    }
}

#[test]
fn the_same_checkpoint_gives_the_same_bytes() {
    let home = home();
    let path = stored(home.path(), "github.pth");
    let contents = |bundle: &str| -> BTreeMap<PathBuf, Vec<u8>> {
        let bundle = home.path().join(bundle);
        convert(&path, &bundle, &Options::default()).expect("converted");
        let files = fs::read_dir(&bundle).expect("a folder").map(|entry| entry.expect("a file").path());
        files
            .map(|file| (file.strip_prefix(&bundle).expect("inside").to_owned(), fs::read(&file).expect("read")))
            .collect()
    };
    let (first, second) = (contents("first"), contents("second"));
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (name, bytes) in &first {
        assert!(*bytes == second[name], "{}: the bytes differ", name.display());
    }
    assert!(first.contains_key(Path::new(MANIFEST_FILE)));
}

#[test]
fn a_bundle_is_replaced_only_when_forced_and_nothing_else_ever() {
    let home = home();
    let path = stored(home.path(), "github.pth");
    let place = home.path().join("place");
    let force = Options { force: true, ..Options::default() };
    fs::create_dir(&place).expect("a folder");
    fs::write(place.join("thesis.txt"), "years of work").expect("written");

    for options in [&Options::default(), &force] {
        let error = convert(&path, &place, options).expect_err("not a bundle");
        assert!(matches!(error, ConvertError::OutputNotABundle { .. } | ConvertError::OutputExists { .. }), "{error}");
    }
    let error = convert(&path, &place, &force).expect_err("not a bundle");
    assert!(matches!(error, ConvertError::OutputNotABundle { .. }), "{error}");
    assert_eq!(fs::read_to_string(place.join("thesis.txt")).expect("still there"), "years of work");

    let bundle = home.path().join("bundle");
    convert(&path, &bundle, &Options::default()).expect("converted");
    let error = convert(&path, &bundle, &Options::default()).expect_err("there already");
    assert!(matches!(error, ConvertError::OutputExists { .. }), "{error}");

    // With --force and a broken checkpoint, the old bundle stays whole.
    let broken = home.path().join("broken.pth");
    fs::write(&broken, b"not a checkpoint").expect("written");
    convert(&broken, &bundle, &force).expect_err("not a checkpoint");
    Manifest::read(&bundle).expect("still a bundle").verify(&bundle).expect("whole");

    let other = stored(home.path(), "fp16.pth");
    let manifest = convert(&other, &bundle, &force).expect("replaced").manifest;
    assert_eq!(Manifest::read(&bundle).expect("a bundle"), manifest);
    assert_eq!(manifest.source.file, "fp16.pth");

    let mut left: Vec<_> =
        fs::read_dir(home.path()).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    left.sort();
    assert_eq!(left, ["broken.pth", "bundle", "config.json", "fp16.pth", "github.pth", "place", "tokenizer.json"]);
}

#[test]
fn a_changed_bundle_is_refused() {
    let home = home();
    let (bundle, manifest) = converted(home.path(), &stored(home.path(), "github.pth"));
    let weights = bundle.join(&manifest.precisions[&Precision::Fp32].stages[&Stage::MaskDecoder].weights.name);
    let mut bytes = fs::read(&weights).expect("read");
    bytes[5000] ^= 1;
    fs::write(&weights, &bytes).expect("written");
    let error = Model::open(&bundle, &bundle::on_cpu()).err().expect("one bit is wrong");
    assert!(matches!(&error, segvol::Error::Bundle(BundleError::Changed { path, .. }) if *path == weights), "{error}");
}

/// The entries of a checkpoint that is a zip archive.
fn entries(file: &str) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(fs::File::open(data("checkpoints").join(file)).expect("opened")).expect("a zip");
    let count = archive.len();
    let read = |i| {
        let mut entry = archive.by_index(i).expect("an entry");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("read");
        (entry.name().expect("UTF-8").into_owned(), bytes)
    };
    (0..count).map(read).collect()
}

fn write_zip(path: &Path, entries: &[(String, Vec<u8>)]) {
    let mut archive = ZipWriter::new(fs::File::create(path).expect("created"));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries {
        archive.start_file(name, options).expect("an entry");
        archive.write_all(bytes).expect("written");
    }
    archive.finish().expect("a zip");
}

/// The position of a byte string in another one. It must occur exactly once.
fn find(bytes: &[u8], needle: &[u8]) -> usize {
    let mut at = bytes.windows(needle.len()).enumerate().filter(|(_, window)| *window == needle).map(|(i, _)| i);
    let first = at.next().unwrap_or_else(|| panic!("no {:?}", String::from_utf8_lossy(needle)));
    assert_eq!(at.next(), None, "{:?} occurs more than once", String::from_utf8_lossy(needle));
    first
}

fn seeded_bytes(key: &str, elements: usize) -> Vec<u8> {
    seeded::elements(key, &[elements]).take(elements).flat_map(f32::to_le_bytes).collect()
}

/// A safetensors checkpoint of the micro model with its header changed by `edit`.
fn safetensors_with(edit: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>, &mut Vec<u8>)) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = write_seeded(dir.path(), &models::micro(), &BTreeMap::new()).expect("written");
    let bytes = fs::read(path).expect("read");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let mut header = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
    let mut numbers = bytes[8 + length..].to_vec();
    edit(&mut header, &mut numbers);
    let header = serde_json::to_vec(&header).expect("JSON");
    [&(header.len() as u64).to_le_bytes()[..], &header, &numbers].concat()
}

/// What is wrong, the bytes of the file, and what the message must contain.
fn broken() -> Vec<(&'static str, Vec<u8>, Vec<&'static str>)> {
    const BIAS: &str = "image_encoder.norm.bias";
    let read = |file: &str| fs::read(data("checkpoints").join(file)).expect("read");
    let nan = f32::NAN.to_le_bytes();

    let mut legacy_nan = read("legacy_format.pth");
    let at = find(&legacy_nan, &seeded_bytes(BIAS, 32)) + 4 * 7;
    legacy_nan[at..at + 4].copy_from_slice(&nan);

    let mut broken = vec![
        ("empty file", vec![], vec!["empty"]),
        ("text", b"hello, this is a text file\n".repeat(40), vec![]),
        (
            "zip of something else",
            {
                let dir = tempfile::tempdir().expect("a folder");
                let path = dir.path().join("x.zip");
                write_zip(&path, &[("readme.txt".to_owned(), b"hello".to_vec())]);
                fs::read(path).expect("read")
            },
            vec![],
        ),
        (
            "safetensors of something else",
            {
                let tensor =
                    safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).expect("a tensor");
                safetensors::serialize([("resnet.conv1.weight", tensor)], None).expect("serialised")
            },
            vec!["resnet.conv1.weight"],
        ),
        (
            "missing tensor, safetensors",
            safetensors_with(|header, _| {
                header.remove(&format!("model.{BIAS}"));
            }),
            vec![],
        ),
        (
            "renamed tensor, zip",
            {
                let mut entries = entries("github.pth");
                let pickle = &mut entries[0].1;
                let at = find(pickle, BIAS.as_bytes());
                pickle[at..at + BIAS.len()].copy_from_slice(b"image_encoder.norm.bios");
                let dir = tempfile::tempdir().expect("a folder");
                let path = dir.path().join("x.pth");
                write_zip(&path, &entries);
                fs::read(path).expect("read")
            },
            vec![BIAS, "expected shape [32]", "image_encoder.norm.bios"],
        ),
        (
            "wrong shape",
            safetensors_with(|header, _| {
                header[&format!("model.{BIAS}")]["shape"] = serde_json::json!([4, 8]);
            }),
            vec![BIAS, "[32]", "[4, 8]"],
        ),
        (
            "integer weights",
            safetensors_with(|header, _| {
                header[&format!("model.{BIAS}")]["dtype"] = serde_json::json!("I32");
            }),
            vec![BIAS, "int32"],
        ),
        (
            "infinite weight, safetensors",
            safetensors_with(|header, numbers| {
                let at = header[&format!("model.{BIAS}")]["data_offsets"][0].as_u64().expect("an offset") as usize;
                numbers[at..at + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
            }),
            vec![BIAS, "inf", "element 0"],
        ),
        ("weight that is not a number, legacy", legacy_nan, vec![BIAS, "NaN", "element 7"]),
        (
            "weight that is not a number, zip",
            {
                let mut entries = entries("github.pth");
                let bias = seeded_bytes(BIAS, 32);
                let entry = entries.iter_mut().find(|(_, bytes)| *bytes == bias).expect("the tensor");
                entry.1[8..12].copy_from_slice(&nan);
                let dir = tempfile::tempdir().expect("a folder");
                let path = dir.path().join("x.pth");
                write_zip(&path, &entries);
                fs::read(path).expect("read")
            },
            vec![BIAS, "NaN", "element 2"],
        ),
        (
            "tensor beyond the end",
            safetensors_with(|header, numbers| {
                let end = numbers.len();
                header[&format!("model.{BIAS}")]["data_offsets"] = serde_json::json!([end, end + 128]);
            }),
            vec![],
        ),
        ("a length of exabytes", [&u64::MAX.to_le_bytes()[..], b"{}"].concat(), vec![]),
        (
            "flipped bit in a zip",
            {
                let mut bytes = read("github.pth");
                let at = find(&bytes, &seeded_bytes(BIAS, 32));
                bytes[at] ^= 1;
                bytes
            },
            vec![],
        ),
    ];
    let safetensors = safetensors_with(|_, _| ());
    for (what, whole) in [
        ("truncated zip", read("github.pth")),
        ("truncated legacy file", read("legacy_format.pth")),
        ("truncated safetensors", safetensors),
    ] {
        for keep in [1, 9, 100, whole.len() / 3, whole.len() * 2 / 3, whole.len() - 1] {
            broken.push((what, whole[..keep].to_vec(), vec![]));
        }
    }
    broken
}

#[test]
fn broken_checkpoints_are_refused_by_name() {
    let home = home();
    let bundle = home.path().join("bundle");
    for (what, bytes, named) in broken() {
        let path = home.path().join("broken checkpoint.pth");
        fs::write(&path, &bytes).expect("written");
        let error = match convert(&path, &bundle, &Options::default()) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{what}, {} bytes: converted", bytes.len()),
        };
        assert!(error.contains("broken checkpoint.pth"), "{what}: the message does not name the file: {error}");
        for part in named {
            assert!(error.contains(part), "{what}: the message does not name {part:?}: {error}");
        }
        assert!(!bundle.exists(), "{what}: something was written");
    }
    let mut left: Vec<_> =
        fs::read_dir(home.path()).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    left.sort();
    assert_eq!(left, ["broken checkpoint.pth", "config.json", "tokenizer.json"]);
}

/// Pickle instructions that call `posix.system` with a shell command and drop the result.
fn pickled_call(command: &str) -> Vec<u8> {
    let length = u32::try_from(command.len()).expect("a short command").to_le_bytes();
    // GLOBAL posix.system, BINUNICODE command, TUPLE1, REDUCE, POP
    [&b"cposix\nsystem\nX"[..], &length, command.as_bytes(), b"\x85R0"].concat()
}

#[test]
fn code_in_a_pickle_never_runs() {
    let home = home();
    let marker = home.path().join("executed");
    let call = pickled_call(&format!("touch '{}'", marker.display()));

    // Only the call; and the call before the dictionary of an otherwise valid checkpoint.
    let alone = [b"\x80\x02", &call[..], b"}."].concat();
    let mut in_zip = entries("pytorch_model.bin");
    let pickle = in_zip.iter_mut().find(|(name, _)| name.ends_with("/data.pkl")).expect("a pickle");
    assert_eq!(pickle.1[..2], *b"\x80\x02");
    pickle.1.splice(2..2, call.iter().copied());
    let mut in_legacy = fs::read(data("checkpoints/legacy_format.pth")).expect("read");
    // The first three pickles are the magic number, the protocol and the system; the fourth is the dictionary.
    let dictionary = in_legacy.windows(4).rposition(|four| four == b"\x80\x02}q").expect("a dictionary");
    in_legacy.splice(dictionary + 2..dictionary + 2, call.iter().copied());

    let zip = home.path().join("zip.pth");
    write_zip(&zip, &in_zip);
    let mut refused_or_right = 0;
    for (name, bytes) in [("alone.pth", alone), ("legacy.pth", in_legacy), ("zip.pth", fs::read(&zip).expect("read"))] {
        let path = home.path().join(name);
        fs::write(&path, bytes).expect("written");
        let bundle = home.path().join(format!("{name} bundle"));
        let _ = inspect(&path, &Options::default());
        // Both are allowed: to refuse the file, or to read its tensors and skip the call.
        match convert(&path, &bundle, &Options::default()) {
            Ok(_) => assert!(embedding_error(&bundle) <= STAGE, "{name}"),
            Err(error) => assert!(error.to_string().contains(name), "{error}"),
        }
        assert!(!marker.exists(), "{name}: the pickle's command was run");
        refused_or_right += 1;
    }
    assert_eq!(refused_or_right, 3);
}

/// Tests the test: Python does run the call above.
#[test]
fn the_pickled_call_is_spelled_as_python_reads_it() {
    let call = pickled_call("touch x");
    assert_eq!(call, b"cposix\nsystem\nX\x07\x00\x00\x00touch x\x85R0");
}
