//! Checkpoints of several files, folders with a checkpoint, adapters that are not merged, and tensors that nothing takes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use segvol::WarningCode;
use segvol_converter::{Conversion, ConvertError, Inspection, Location, Options, convert, inspect};
use segvol_onnx::Precision;
use segvol_onnx::manifest::{PrecisionFiles, sha256_file};
use segvol_tests::checkpoint::write_seeded;
use segvol_tests::command::{SEGVOL, said};
use segvol_tests::golden::data;
use segvol_tests::{models, seeded};
use serde_json::{Value, json};
use tempfile::TempDir;

type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

const INDEX: &str = "model.safetensors.index.json";

/// A folder with the micro model's `config.json` and tokenizer.
fn home() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    furnish(dir.path());
    dir
}

fn furnish(dir: &Path) {
    fs::create_dir_all(dir).expect("a folder");
    fs::write(dir.join("config.json"), models::config_json(&models::micro())).expect("written");
    seeded::write_tokenizer(dir, &models::micro()).expect("written");
}

/// The micro model's tensors, with `prefix` before SegVol's names.
fn model(prefix: &str) -> Tensors {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = fs::read(write_seeded(dir.path(), &models::micro(), &BTreeMap::new()).expect("written")).expect("read");
    let stored = SafeTensors::deserialize(&bytes).expect("safetensors");
    let name = |name: &str| format!("{prefix}{}", name.strip_prefix("model.").expect("Hugging Face's prefix"));
    stored.iter().map(|(key, view)| (name(key), (view.shape().to_vec(), view.data().to_vec()))).collect()
}

fn with(mut tensors: Tensors, more: &[&str]) -> Tensors {
    tensors.extend(more.iter().map(|name| ((*name).to_owned(), (vec![2], vec![0; 8]))));
    tensors
}

fn write(path: &Path, tensors: &Tensors) {
    let view = |(shape, bytes): &(Vec<usize>, Vec<u8>)| {
        TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a tensor").data().to_vec()
    };
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> =
        tensors.iter().map(|(name, tensor)| (name, &tensor.0, view(tensor))).collect();
    let views = bytes
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(Dtype::F32, (*shape).clone(), bytes).expect("a tensor")));
    fs::write(path, safetensors::serialize(views, None).expect("serialised")).expect("written");
}

/// Writes the tensors as shards with their index, and returns the index.
fn write_shards(dir: &Path, tensors: &Tensors, count: usize) -> PathBuf {
    let mut map = serde_json::Map::new();
    let mut shards = vec![Tensors::new(); count];
    for (i, (name, tensor)) in tensors.iter().enumerate() {
        let shard = i * count / tensors.len();
        map.insert(name.clone(), shard_name(shard, count).into());
        shards[shard].insert(name.clone(), tensor.clone());
    }
    for (i, shard) in shards.iter().enumerate() {
        write(&dir.join(shard_name(i, count)), shard);
    }
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
    let path = dir.join(INDEX);
    fs::write(&path, index.to_string()).expect("written");
    path
}

fn shard_name(shard: usize, count: usize) -> String {
    format!("model-{:05}-of-{count:05}.safetensors", shard + 1)
}

fn converted(checkpoint: &Path, options: &Options) -> Conversion {
    let dir = tempfile::tempdir().expect("a folder");
    convert(checkpoint, &dir.path().join("bundle"), options)
        .unwrap_or_else(|error| panic!("{}: {error}", checkpoint.display()))
}

#[track_caller]
fn refused(checkpoint: &Path, options: &Options, parts: &[&str]) -> ConvertError {
    let dir = tempfile::tempdir().expect("a folder");
    let error = convert(checkpoint, &dir.path().join("bundle"), options).expect_err("refused");
    for part in parts {
        assert!(error.to_string().contains(part), "no {part:?} in: {error}");
    }
    error
}

/// Graphs, weights and hashes of the bundle of one plain file.
fn expected() -> BTreeMap<Precision, PrecisionFiles> {
    let home = home();
    write(&home.path().join("plain.safetensors"), &model(""));
    converted(&home.path().join("plain.safetensors"), &Options::default()).manifest.precisions
}

#[test]
fn shards_give_the_bundle_of_one_file() {
    let expected = expected();
    for count in [1, 3, 100] {
        let home = home();
        let index = write_shards(home.path(), &model("model."), count);
        for path in [&index, home.path()] {
            let Conversion { manifest, checkpoint, .. } = converted(path, &Options::default());
            assert_eq!(manifest.precisions, expected, "{count}, {}", path.display());
            assert_eq!(checkpoint, index);
            let source = &manifest.source;
            assert_eq!(source.file, INDEX);
            assert!(source.container.starts_with("safetensors in "), "{}", source.container);
            // The size and the hash of all files.
            let names = (0..count).map(|i| shard_name(i, count)).chain([INDEX.to_owned()]);
            let (mut bytes, mut list) = (0, String::new());
            for name in names {
                let path = home.path().join(&name);
                bytes += fs::metadata(&path).expect("a file").len();
                list += &format!("{}  {name}\n", sha256_file(&path).expect("read"));
            }
            let listed = home.path().join("list");
            fs::write(&listed, list).expect("written");
            assert_eq!((source.bytes, &source.sha256), (bytes, &sha256_file(&listed).expect("read")));
        }
        let Ok(Inspection::Checkpoint(found)) = inspect(home.path(), &Options::default()) else {
            panic!("no checkpoint")
        };
        assert_eq!(found.files.len(), count + 1);
        assert!(found.problem.is_none());
    }
}

/// More shards than a process may have files open.
#[cfg(unix)]
#[test]
fn many_shards_need_few_open_files() {
    let home = home();
    write_shards(home.path(), &model("model."), 100);
    let script = "ulimit -n 48 && exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(&*SEGVOL).arg("convert").arg(home.path());
    let printed = said(command.arg("-o").arg(home.path().join("bundle")).assert());
    assert!(printed.contains("100 files"), "{printed}");
}

/// A file of PyTorch as a shard.
#[test]
fn shards_of_pytorch_are_read_too() {
    const SHARD: &str = "pytorch_model-00001-of-00001.bin";
    let home = home();
    fs::copy(data("checkpoints/pytorch_model.bin"), home.path().join(SHARD)).expect("copied");
    // The names of transformers 4.
    let old = |key: String| key.replace("clip_text_model.", "clip_text_model.text_model.");
    let mut map: serde_json::Map<String, Value> =
        model("model.").into_keys().map(|key| (old(key), json!(SHARD))).collect();
    map.insert("model.text_encoder.clip_text_model.text_model.embeddings.position_ids".to_owned(), json!(SHARD));
    let index = home.path().join("pytorch_model.bin.index.json");
    fs::write(&index, json!({"weight_map": map}).to_string()).expect("written");
    for path in [home.path(), &index] {
        let found = converted(path, &Options::default());
        assert_eq!(found.manifest.precisions, expected());
        assert_eq!(found.manifest.source.container, "torch zip in 1 file");
    }
}

#[test]
fn an_index_that_contradicts_its_files_is_refused() {
    let broken = |change: &dyn Fn(&Path, &mut Value)| {
        let home = home();
        let index = write_shards(home.path(), &model("model."), 3);
        let mut text: Value = serde_json::from_slice(&fs::read(&index).expect("read")).expect("JSON");
        change(home.path(), &mut text);
        fs::write(&index, text.to_string()).expect("written");
        home
    };
    const NORM: &str = "model.image_encoder.norm.weight";
    let second = shard_name(1, 3);
    let (_, a_tensor) = model("model.").into_iter().next().expect("a tensor");
    type Change<'a> = &'a dyn Fn(&Path, &mut Value);
    let cases: [(&str, Change<'_>, &[&str]); 8] = [
        (
            "missing shards",
            &|dir, _| {
                fs::remove_file(dir.join(&second)).expect("removed");
                fs::remove_file(dir.join(shard_name(2, 3))).expect("removed");
            },
            &[INDEX, "2 of them missing", &second, "download"],
        ),
        (
            "a path out of the folder",
            &|_, text| text["weight_map"][NORM] = json!("../x.safetensors"),
            &["../x.safetensors"],
        ),
        ("an absolute path", &|_, text| text["weight_map"][NORM] = json!("/etc/passwd"), &["/etc/passwd"]),
        (
            "an entry without a tensor",
            &|_, text| text["weight_map"]["model.ghost"] = json!(second.clone()),
            &["model.ghost", &second],
        ),
        (
            "a tensor without an entry",
            &|_, text| _ = text["weight_map"].as_object_mut().expect("a map").remove(NORM),
            &[NORM],
        ),
        ("another file", &|_, text| text["weight_map"][NORM] = json!(shard_name(2, 3)), &[NORM, &shard_name(2, 3)]),
        (
            "a tensor twice",
            &|dir, _| {
                let bytes = fs::read(dir.join(&second)).expect("read");
                let stored = SafeTensors::deserialize(&bytes).expect("safetensors");
                let mut shard: Tensors = stored
                    .iter()
                    .map(|(key, view)| (key.to_owned(), (view.shape().to_vec(), view.data().to_vec())))
                    .collect();
                let (first, _) = model("model.").into_iter().next().expect("a tensor");
                shard.insert(first, a_tensor.clone());
                write(&dir.join(&second), &shard);
            },
            &["contradict", &second],
        ),
        (
            "a pointer instead of a shard",
            &|dir, _| {
                let text = "version https://git-lfs.github.com/spec/v1\noid sha256:91\nsize 8\n";
                fs::write(dir.join(&second), text).expect("written");
            },
            &["LFS", &second],
        ),
    ];
    for (what, change, parts) in cases {
        let home = broken(change);
        for path in [home.path().to_owned(), home.path().join(INDEX)] {
            let error = refused(&path, &Options::default(), parts);
            assert!(matches!(error, ConvertError::Checkpoint(_)), "{what}: {error}");
        }
    }

    // A part alone: with the index beside it, and without.
    let home = home();
    let index = write_shards(home.path(), &model("model."), 3);
    refused(&home.path().join(&second), &Options::default(), &["part 2 of 3", "folder", INDEX]);
    fs::remove_file(index).expect("removed");
    for path in [home.path().join(&second), home.path().to_owned()] {
        refused(&path, &Options::default(), &["of 3", "download", "index"]);
    }
}

#[test]
fn a_folder_with_one_checkpoint_is_that_checkpoint() {
    let expected = expected();
    let folder = home();
    let at = |name: &str| folder.path().join(name);
    write(&at("model.safetensors"), &model("model."));
    // What training leaves beside a model.
    for name in ["training_args.bin", "optimizer.pt", "rng_state_0.pth", "._model.safetensors"] {
        fs::write(at(name), "not a checkpoint").expect("written");
    }
    write(&at("other.safetensors"), &with(Tensors::new(), &["fc.weight"]));
    let found = converted(folder.path(), &Options::default());
    assert_eq!(found.manifest.precisions, expected);
    assert_eq!((found.checkpoint, found.passed_over), (at("model.safetensors"), vec![]));
    assert_eq!(found.manifest.source.sha256, sha256_file(&at("model.safetensors")).expect("read"));

    // The same model twice.
    fs::copy(data("checkpoints/pytorch_model.bin"), at("pytorch_model.bin")).expect("copied");
    let found = converted(folder.path(), &Options::default());
    assert_eq!((found.checkpoint, found.passed_over), (at("model.safetensors"), vec![at("pytorch_model.bin")]));

    // One number differs.
    let mut other = model("model.");
    other.get_mut("model.image_encoder.norm.weight").expect("a tensor").1[0] ^= 1;
    write(&at("model.safetensors"), &other);
    let several = ["several", "`model.safetensors`", "`pytorch_model.bin`"];
    refused(folder.path(), &Options::default(), &several);
    fs::remove_file(at("pytorch_model.bin")).expect("removed");
    fs::copy(data("checkpoints/fp16.pth"), at("SegVol_v1.pth")).expect("copied");
    refused(folder.path(), &Options::default(), &["several", "`SegVol_v1.pth`"]);
}

#[test]
fn a_folder_without_a_checkpoint_is_named_with_what_it_has() {
    let home = home();
    let at = |name: &str| home.path().join(name);
    for name in ["empty", "dcp", "deepspeed/global_step10", "unpacked/data", "above/inside", "saved"] {
        fs::create_dir_all(at(name)).expect("a folder");
    }
    for name in
        ["dcp/.metadata", "dcp/__0_0.distcp", "deepspeed/zero_to_fp32.py", "unpacked/data.pkl", "saved/saved_model.pb"]
    {
        fs::write(at(name), "x").expect("written");
    }
    write(&at("above/inside/model.safetensors"), &model("model."));
    for (name, part) in [
        ("empty", "empty folder"),
        ("dcp", "distributed checkpoint"),
        ("deepspeed", "zero_to_fp32.py"),
        ("unpacked", "unpacked checkpoint"),
        ("saved", "TensorFlow"),
        ("above", "`inside`"),
    ] {
        refused(&at(name), &Options::default(), &[name, part]);
    }
    write(&at("model.safetensors"), &model("model."));
    convert(home.path(), &at("bundle"), &Options::default()).expect("converted");
    refused(&at("bundle"), &Options::default(), &["a bundle"]);
}

/// The folders of `huggingface_hub`'s cache, which consist of links.
#[cfg(unix)]
#[test]
fn a_cache_gives_the_snapshot_in_use() {
    use std::os::unix::fs::symlink;
    let expected = expected();
    let home = home();
    let cache = home.path().join("models--BAAI--SegVol");
    let (blobs, snapshots) = (cache.join("blobs"), cache.join("snapshots"));
    fs::create_dir_all(&blobs).expect("a folder");
    fs::create_dir_all(cache.join("refs")).expect("a folder");
    fs::write(cache.join("refs/main"), "0123abcd\n").expect("written");
    let original = home.path().join("original");
    furnish(&original);
    write_shards(&original, &model("model."), 3);
    let snapshot = snapshots.join("0123abcd");
    fs::create_dir_all(&snapshot).expect("a folder");
    for (i, entry) in fs::read_dir(&original).expect("listed").enumerate() {
        let entry = entry.expect("an entry");
        fs::rename(entry.path(), blobs.join(i.to_string())).expect("moved");
        symlink(format!("../../blobs/{i}"), snapshot.join(entry.file_name())).expect("linked");
    }
    for path in [&cache, &snapshot, &snapshot.join(INDEX)] {
        let found = converted(path, &Options::default());
        assert_eq!(found.manifest.precisions, expected, "{}", path.display());
        assert_eq!(found.checkpoint, snapshot.join(INDEX));
    }

    // Another snapshot changes nothing as long as `main` names the first.
    fs::create_dir(snapshots.join("ffff")).expect("a folder");
    assert_eq!(Location::of(&cache).expect("found").path, snapshot.join(INDEX));
    for main in ["4567", "../../../original", "/etc"] {
        fs::write(cache.join("refs/main"), main).expect("written");
        refused(&cache, &Options::default(), &[main, "`0123abcd`", "snapshot"]);
    }
    fs::remove_file(cache.join("refs/main")).expect("removed");
    refused(&cache, &Options::default(), &["several", "`0123abcd`", "`ffff`"]);
    fs::remove_dir(snapshots.join("ffff")).expect("removed");
    assert_eq!(Location::of(&cache).expect("the only one").path, snapshot.join(INDEX));

    // A blob that was not downloaded.
    let shard = snapshot.join(shard_name(0, 3));
    fs::remove_file(fs::canonicalize(&shard).expect("a blob")).expect("removed");
    refused(&cache, &Options::default(), &["missing", &shard_name(0, 3)]);
}

#[test]
fn adapters_that_are_not_merged_are_refused_with_the_way_to_merge() {
    let home = home();
    let path = home.path().join("adapted.safetensors");
    let (layer, allowed) = ("image_encoder.blocks.0.attn.qkv", Options { allow_extra: true, ..Options::default() });
    let peft = |prefix: &str| -> Tensors {
        let renamed = |key: String| key.replace(&format!("{layer}."), &format!("{layer}.base_layer."));
        let mut tensors: Tensors = model(prefix).into_iter().map(|(key, tensor)| (renamed(key), tensor)).collect();
        tensors = with(tensors, &[&format!("{prefix}{layer}.lora_A.default.weight")]);
        with(tensors, &[&format!("{prefix}{layer}.lora_B.default.weight")])
    };
    let beside = |names: &[&str]| with(model("model."), names);
    for (what, tensors) in [
        ("peft", peft("base_model.model.")),
        ("loralib", beside(&[&format!("model.{layer}.lora_A"), &format!("model.{layer}.lora_B")])),
        ("own", beside(&[&format!("model.{layer}.linear_a_q.weight"), &format!("model.{layer}.linear_b_q.weight")])),
        ("a dictionary beside the model", beside(&["lora.image_encoder.blocks.0.attn.qkv.lora_down.weight"])),
    ] {
        write(&path, &tensors);
        for options in [&Options::default(), &allowed] {
            let error = refused(&path, options, &["LoRA", "1 layer", "merge_and_unload()", "model.eval()", "lora_"]);
            assert!(error.to_string().contains("not merged"), "{what}: {error}");
        }
    }
    // Adapters in a copy that is not converted matter to nobody.
    let mut copy = peft("ema.");
    copy.extend(model("model."));
    write(&path, &copy);
    assert_eq!(converted(&path, &Options::default()).manifest.precisions, expected());
    let chosen = Options { weights_from: Some("ema".to_owned()), ..Options::default() };
    refused(&path, &chosen, &["LoRA"]);

    let alone = home.path().join("adapter_model.safetensors");
    write(&alone, &with(Tensors::new(), &["base_model.model.image_encoder.blocks.0.attn.qkv.lora_A.weight"]));
    refused(&alone, &Options::default(), &["whole model", "only LoRA", "PeftModel.from_pretrained"]);
    let folder = tempfile::tempdir().expect("a folder");
    fs::rename(&alone, folder.path().join("adapter_model.safetensors")).expect("moved");
    refused(folder.path(), &Options::default(), &["whole model", "only LoRA"]);
}

#[test]
fn extra_tensors_are_an_error_until_they_are_allowed() {
    let home = home();
    let path = home.path().join("extra.safetensors");
    let extra = ["model.image_encoder.extra.weight", "model.logit_scale", "head.mask_decoder.extra"];
    write(&path, &with(model("model."), &extra));
    let allowed = Options { allow_extra: true, ..Options::default() };
    let names = ["image_encoder.extra.weight", "logit_scale", "head.mask_decoder.extra"];
    for extra in [&["model.image_encoder.extra.weight"][..], &["model.logit_scale"], &["head.mask_decoder.extra"]] {
        write(&path, &with(model("model."), extra));
        refused(&path, &Options::default(), &[extra[0].trim_start_matches("model.")]);
    }
    write(&path, &with(model("model."), &extra));
    let found = converted(&path, &allowed);
    assert_eq!(found.manifest.precisions, expected());
    let [warning] = &found.warnings[..] else { panic!("{:?}", found.warnings) };
    assert_eq!(warning.code, WarningCode::TensorUnused);
    for name in names {
        assert!(warning.message.contains(&format!("`{name}`")), "{warning}");
        let listed = found.manifest.not_exported.iter().find(|tensor| tensor.name == name).expect(name);
        assert!(listed.reason.contains("no part of the model"), "{}", listed.reason);
    }
    let Ok(Inspection::Checkpoint(inspected)) = inspect(&path, &allowed) else { panic!("no checkpoint") };
    assert!(inspected.problem.is_none() && inspected.warnings == found.warnings);

    // What is missing or misshapen is an error all the same.
    let mut broken = with(model("model."), &extra);
    broken.remove("model.image_encoder.norm.bias");
    broken.get_mut("model.image_encoder.norm.weight").expect("a tensor").0 = vec![4, 8];
    write(&path, &broken);
    let error = refused(&path, &allowed, &["image_encoder.norm.bias", "image_encoder.norm.weight", "[4, 8]"]);
    assert!(!error.to_string().contains("extra.weight"), "{error}");

    // The command names the way, and warns.
    write(&path, &with(model("model."), &extra[..1]));
    let mut command = Command::new(&*SEGVOL);
    command.arg("convert").arg(&path).arg("-o").arg(home.path().join("bundle"));
    let output = command.output().expect("run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && errors.contains("image_encoder.extra.weight") && errors.contains("--allow-extra")
    );
    let output = command.args(["--allow-extra", "--fail-on-warning=tensor_unused"]).output().expect("run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(7) && errors.contains("[tensor_unused]"), "{errors}");
}

#[test]
fn a_conversion_says_what_it_did_with_the_names() {
    let home = home();
    let path = home.path().join("wrapped.safetensors");
    let wrapped = model("net._orig_mod.").into_iter().map(|(key, tensor)| {
        (key.replace("blocks.0.", "blocks.0._checkpoint_wrapped_module._fsdp_wrapped_module."), tensor)
    });
    let beside = ["epoch", "optim.state.0.exp_avg", "optim.state.1.exp_avg", "net.criterion.weight", "net.n_averaged"];
    write(&path, &with(wrapped.collect(), &beside));
    let mut command = Command::new(&*SEGVOL);
    command.arg("convert").arg(&path).arg("-o").arg(home.path().join("bundle"));
    let printed = said(command.assert());
    for part in [
        "net._orig_mod. at the start",
        "_checkpoint_wrapped_module, _fsdp_wrapped_module",
        "5 tensors beside the model",
        "epoch, net.criterion, net.n_averaged, optim",
        "not exported: ",
    ] {
        assert!(printed.contains(part), "no {part:?} in: {printed}");
    }
    // Beside the model's modules.
    write(&path, &with(model(""), &["epoch", "val_loss", "criterion.weight", "ema.n_averaged"]));
    refused(&path, &Options::default(), &["ema.n_averaged"]);
    let mut averaged = with(model(""), &["epoch", "val_loss", "criterion.weight", "ema.n_averaged"]);
    averaged.extend(model("ema.module."));
    write(&path, &averaged);
    let found = converted(&path, &Options::default());
    assert_eq!(found.manifest.precisions, expected());
    assert_eq!(found.keys.ignored, ["criterion", "ema", "epoch", "val_loss"]);
    let chosen = Options { weights_from: Some("ema".to_owned()), ..Options::default() };
    assert_eq!(converted(&path, &chosen).manifest.precisions, expected());
}

#[test]
fn an_output_replaces_no_part_of_the_checkpoint() {
    let home = home();
    let folder = home.path().join("hub");
    furnish(&folder);
    let index = write_shards(&folder, &model("model."), 3);
    for (input, output) in [
        (&folder, &folder),
        (&index, &folder),
        (&folder, &home.path().to_owned()),
        (&index, &folder.join(shard_name(1, 3))),
    ] {
        let mut command = Command::new(&*SEGVOL);
        let output = command.arg("convert").arg(input).arg("-o").arg(output).arg("--force").output().expect("run");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains("the checkpoint"), "{errors}");
    }
    let mut command = Command::new(&*SEGVOL);
    said(command.arg("convert").arg(&folder).arg("-o").arg(folder.join("bundle")).assert());
}
