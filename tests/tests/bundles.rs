//! Bundles as people store and send them: made of links, without the empty file that a store dropped, with an edited README.
//! And what a bundle says about itself: README, and the descriptions in its graphs.
#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use prost::Message;
use segvol::{Error, GraphSession, Model, Options, Precision, Prompt, Provider, Volume};
use segvol_converter::{Inspection, README_FILE, ReadmeState, inspect};
use segvol_onnx::manifest::{FileEntry, MANIFEST_FILE, sha256_file};
use segvol_onnx::proto::ModelProto;
use segvol_onnx::{BundleError, ElementType, Manifest, Stage, Variant, tensor_meaning};
use segvol_tests::checkpoint::write_seeded;
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};

const SCAN: &str = "tiny/volumes/lps_int16.nii.gz";

/// A bundle of the tiny model with every precision, shared by all tests here.
static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bundles");
    bundle::fresh(&folder);
    let checkpoint = write_seeded(&folder, &models::tiny(), &BTreeMap::new()).expect("a checkpoint");
    let precisions = Precision::ALL.into();
    let bundle = folder.join("bundle");
    bundle::converted(&checkpoint, &bundle, &segvol_converter::Options { precisions, ..Default::default() });
    bundle
});

/// The names of all files of a bundle.
fn names(bundle: &Path) -> Vec<String> {
    let names = fs::read_dir(bundle).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// A way to store a bundle.
struct Layout {
    name: &'static str,
    /// Stores the files of a bundle in a new folder, and returns the folder that a user opens.
    store: fn(&Path, &Path) -> PathBuf,
}

/// Where a store keeps the file NAME, and the text of the link in `snapshot/`.
fn linked(bundle: &Path, folder: &Path, place: impl Fn(&Path, &str) -> (PathBuf, PathBuf)) -> PathBuf {
    let snapshot = folder.join("a/snapshot");
    fs::create_dir_all(&snapshot).expect("a folder");
    for name in names(bundle) {
        let (blob, link) = place(&bundle.join(&name), &name);
        fs::create_dir_all(folder.join(&blob).parent().expect("a folder")).expect("a folder");
        fs::copy(bundle.join(&name), folder.join(&blob)).expect("copied");
        symlink(link, snapshot.join(&name)).expect("a link");
    }
    snapshot
}

fn hash(path: &Path) -> String {
    sha256_file(path).expect("hashed")
}

fn hugging_face(bundle: &Path, folder: &Path) -> PathBuf {
    linked(bundle, folder, |path, _| (Path::new("blobs").join(hash(path)), Path::new("../../blobs").join(hash(path))))
}

fn dvc(bundle: &Path, folder: &Path) -> PathBuf {
    linked(bundle, folder, |path, _| {
        let blob = Path::new("cache").join(&hash(path)[..2]).join(&hash(path)[2..]);
        (blob.clone(), std::path::absolute(folder).expect("absolute").join(blob))
    })
}

fn git_annex(bundle: &Path, folder: &Path) -> PathBuf {
    linked(bundle, folder, |path, name| {
        let extension = name.rsplit_once('.').expect("an extension").1;
        let key = format!("SHA256E-s{}--{}.{extension}", fs::metadata(path).expect("a file").len(), hash(path));
        let blob = Path::new("a/.git/annex/objects").join(&hash(path)[..3]).join(&key).join(&key);
        (blob.clone(), Path::new("../..").join(blob))
    })
}

/// Nix: one folder with all files, each under another prefix.
fn nix(bundle: &Path, folder: &Path) -> PathBuf {
    linked(bundle, folder, |path, name| {
        let blob = Path::new("nix/store").join(format!("{}-{name}", &hash(path)[..32]));
        (blob.clone(), std::path::absolute(folder).expect("absolute").join(blob))
    })
}

/// Bazel: the same name, in a folder per file.
fn bazel(bundle: &Path, folder: &Path) -> PathBuf {
    linked(bundle, folder, |path, name| {
        let blob = Path::new("execroot").join(&hash(path)[..8]).join(name);
        (blob.clone(), Path::new("../..").join(blob))
    })
}

/// Signs that a graph, a path and a configuration entry might not survive.
fn odd_signs(bundle: &Path, folder: &Path) -> PathBuf {
    linked(bundle, folder, |path, _| {
        let blob = Path::new("größe, 100 % \"gut\"\\").join(format!("{} &$'= ü\n", &hash(path)[..8]));
        (blob.clone(), Path::new("../..").join(blob))
    })
}

/// A path of more than a thousand bytes.
fn long_path(bundle: &Path, folder: &Path) -> PathBuf {
    let deep: PathBuf = (0..5).map(|_| "d".repeat(240)).collect();
    linked(bundle, folder, |path, _| {
        let blob = deep.join(&hash(path)[..8]).join("blob");
        (blob.clone(), Path::new("../..").join(blob))
    })
}

/// Kubernetes: links through `..data` to a folder with a time in its name.
fn config_map(bundle: &Path, folder: &Path) -> PathBuf {
    let stamped = folder.join("..2026_11_26_05_58_17.123");
    copied(bundle, &stamped);
    symlink("..2026_11_26_05_58_17.123", folder.join("..data")).expect("a link");
    for name in names(bundle) {
        symlink(Path::new("..data").join(&name), folder.join(&name)).expect("a link");
    }
    folder.to_owned()
}

fn linked_folder(bundle: &Path, folder: &Path) -> PathBuf {
    symlink(std::path::absolute(bundle).expect("absolute"), folder.join("link")).expect("a link");
    symlink("link", folder.join("bundle")).expect("a link");
    folder.join("bundle")
}

/// Links to links to links, absolute and relative, through linked folders.
fn chains(bundle: &Path, folder: &Path) -> PathBuf {
    let first = dvc(bundle, folder);
    let (second, third) = (folder.join("second"), folder.join("b/third"));
    fs::create_dir_all(&second).expect("a folder");
    fs::create_dir_all(&third).expect("a folder");
    symlink(std::path::absolute(&first).expect("absolute"), folder.join("first")).expect("a link");
    for name in names(bundle) {
        symlink(Path::new("../first").join(&name), second.join(&name)).expect("a link");
        symlink(std::path::absolute(second.join(&name)).expect("absolute"), third.join(&name)).expect("a link");
    }
    third
}

/// As `hugging_face`, but only the files that `choose` are links.
fn partly(bundle: &Path, folder: &Path, choose: fn(&str) -> bool) -> PathBuf {
    let snapshot = hugging_face(bundle, folder);
    for name in names(bundle).into_iter().filter(|name| !choose(name)) {
        fs::remove_file(snapshot.join(&name)).expect("removed");
        fs::copy(bundle.join(&name), snapshot.join(&name)).expect("copied");
    }
    snapshot
}

fn weights_only(bundle: &Path, folder: &Path) -> PathBuf {
    partly(bundle, folder, |name| name.ends_with(".weights"))
}

fn graphs_only(bundle: &Path, folder: &Path) -> PathBuf {
    partly(bundle, folder, |name| name.ends_with(".onnx"))
}

fn copied(bundle: &Path, to: &Path) -> PathBuf {
    fs::create_dir_all(to).expect("a folder");
    for name in names(bundle) {
        fs::copy(bundle.join(&name), to.join(&name)).expect("copied");
    }
    to.to_owned()
}

const LAYOUTS: [Layout; 12] = [
    Layout { name: "hugging_face", store: hugging_face },
    Layout { name: "dvc", store: dvc },
    Layout { name: "git_annex", store: git_annex },
    Layout { name: "nix", store: nix },
    Layout { name: "bazel", store: bazel },
    Layout { name: "odd_signs", store: odd_signs },
    Layout { name: "long_path", store: long_path },
    Layout { name: "config_map", store: config_map },
    Layout { name: "linked_folder", store: linked_folder },
    Layout { name: "chains", store: chains },
    Layout { name: "weights_only", store: weights_only },
    Layout { name: "graphs_only", store: graphs_only },
];

fn on_cpu(precision: Precision) -> Options {
    Options::default().provider(Provider::Cpu).precision(precision)
}

/// The bytes of the mask's file, of all kinds of prompt in one.
fn mask(bundle: &Path, options: &Options, to: &Path) -> Result<Vec<u8>, Error> {
    let study = Model::open(bundle, options)?.study(Volume::open(data(SCAN)).expect("a scan"))?;
    let prompt = Prompt::text("liver").bounding_box([20.0, 15.0, 5.0], [50.0, 45.0, 20.0]);
    study.segment(&prompt)?.mask()?.save(to).expect("saved");
    Ok(fs::read(to).expect("a mask"))
}

#[test]
fn a_bundle_of_links_gives_the_same_mask_in_every_layout() {
    let folder = segvol_tests::folder!();
    let to = folder.path().join("mask.nii");
    for precision in Precision::ALL {
        let options = &on_cpu(precision);
        let expected = mask(&TINY, options, &to).expect("the plain bundle");
        for Layout { name, store } in LAYOUTS {
            let place = folder.path().join(format!("{precision} {name}"));
            fs::create_dir(&place).expect("a folder");
            let opened = store(&TINY, &place);
            let found = mask(&opened, options, &to).unwrap_or_else(|error| panic!("{precision}, {name}: {error}"));
            assert!(found == expected, "{precision}, {name}: another mask");
            // `verify` and `bench` open single stages.
            let manifest = Manifest::read(&opened).expect("a manifest");
            for stage in Stage::ALL {
                let session = GraphSession::open_stage(&opened, &manifest, stage, options);
                session.unwrap_or_else(|error| panic!("{precision}, {name}, {stage}: {error}"));
            }
            let Ok(Inspection::Bundle(inspected)) = inspect(&opened, &segvol_converter::Options::default()) else {
                panic!("{name}: no bundle")
            };
            assert!(inspected.problem.is_none(), "{name}");
            assert_eq!((inspected.readme, &inspected.unlisted[..]), (ReadmeState::AsWritten, &[][..]), "{name}");
            fs::remove_dir_all(place).expect("removed");
        }
    }
}

/// Only the manifest says which file the weights were in.
#[test]
fn the_same_weights_in_another_file_give_the_same_files() {
    let folder = segvol_tests::folder!();
    let home = TINY.parent().expect("a folder");
    for name in ["config.json", "tokenizer.json"] {
        fs::copy(home.join(name), folder.path().join(name)).expect("copied");
    }
    let mut bytes = fs::read(home.join("model.safetensors")).expect("read");
    // The header of a safetensors file may end with blanks.
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    bytes[..8].copy_from_slice(&(length + 8).to_le_bytes());
    let end = 8 + usize::try_from(length).expect("a length");
    bytes.splice(end..end, *b"        ");
    let checkpoint = folder.path().join("other name.safetensors");
    fs::write(&checkpoint, bytes).expect("written");
    let other = folder.path().join("bundle");
    let precisions = Precision::ALL.into();
    bundle::converted(&checkpoint, &other, &segvol_converter::Options { precisions, ..Default::default() });
    assert_eq!(names(&other), names(&TINY));
    for name in names(&other) {
        let same = fs::read(other.join(&name)).expect("read") == fs::read(TINY.join(&name)).expect("read");
        assert_eq!(same, name != MANIFEST_FILE, "{name}");
    }
}

/// Every library under `.onnxruntime/` and in the folder that `SEGVOL_LIBRARIES` names, with the providers that it has.
fn libraries() -> Vec<(PathBuf, &'static str)> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.onnxruntime");
    let folders = [Some(fetched), std::env::var_os("SEGVOL_LIBRARIES").map(PathBuf::from)];
    let entries = folders.into_iter().flatten().flat_map(|folder| fs::read_dir(folder).expect("a folder"));
    let mut found = Vec::new();
    for folder in entries.map(|entry| entry.expect("an entry").path()) {
        let library = folder.join("libonnxruntime.so");
        if library.exists() {
            found.push((library.clone(), "cpu"));
            if folder.join("libonnxruntime_providers_openvino.so").exists() {
                found.push((library, "openvino"));
            }
        }
    }
    found
}

#[test]
#[ignore = "needs several versions of ONNX Runtime in the folder that SEGVOL_LIBRARIES names; run with --ignored"]
fn a_bundle_of_links_gives_the_same_mask_with_every_library() {
    let folder = segvol_tests::folder!();
    let libraries = libraries();
    assert!(libraries.len() > 1, "expected several libraries, found {libraries:?}");
    for (library, provider) in libraries {
        for precision in Precision::ALL {
            let mask = |bundle: &Path| {
                let to = folder.path().join("mask.nii");
                let mut command = Command::new(&*segvol_tests::command::SEGVOL);
                command.args(["segment", "--text", "liver", "--provider", provider, "--precision", precision.name()]);
                command.arg("--library").arg(&library).arg("-i").arg(data(SCAN)).arg("-m").arg(bundle);
                command.arg("-o").arg(&to).assert().success();
                fs::read(to).expect("a mask")
            };
            let expected = mask(&TINY);
            for Layout { name, store } in LAYOUTS {
                let place = folder.path().join(name);
                fs::create_dir(&place).expect("a folder");
                let found = mask(&store(&TINY, &place));
                assert!(found == expected, "{}, {provider}, {precision}, {name}: another mask", library.display());
                fs::remove_dir_all(place).expect("removed");
            }
        }
    }
}

/// Opens a bundle, which must fail because of a link, and returns the message.
#[track_caller]
fn refused_link(bundle: &Path) -> String {
    match Model::open(bundle, &bundle::on_cpu()).err() {
        Some(Error::Bundle(error @ BundleError::Link { .. })) => error.to_string(),
        other => panic!("expected an error about a link, found {:?}", other.map(|error| error.to_string())),
    }
}

#[test]
fn a_link_that_cannot_be_used_is_named_with_the_next_step() {
    let folder = segvol_tests::folder!();
    let weights = "segvol_mask_decoder.weights";
    // A store that has not got one of the files yet: `git annex get`, `dvc pull`, a cache that was cleared.
    let opened = dvc(&TINY, &folder.path().join("dvc"));
    let blob = fs::read_link(opened.join(weights)).expect("a link");
    fs::remove_file(&blob).expect("removed");
    let message = refused_link(&opened);
    for part in [weights, "is a link to", &blob.display().to_string(), "fetch the file from the store"] {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
    // None of the files, and the whole folder.
    fs::remove_dir_all(folder.path().join("dvc/cache")).expect("removed");
    assert!(refused_link(&opened).contains(MANIFEST_FILE));
    symlink(folder.path().join("nowhere"), folder.path().join("link")).expect("a link");
    assert!(refused_link(&folder.path().join("link")).contains("nowhere"));
    // Two links that lead to each other.
    let circle = copied(&TINY, &folder.path().join("circle"));
    fs::remove_file(circle.join(weights)).expect("removed");
    symlink("other", circle.join(weights)).expect("a link");
    symlink(weights, circle.join("other")).expect("a link");
    assert!(refused_link(&circle).contains(weights));
    // ONNX Runtime takes names in UTF-8.
    let bytes = OsStr::from_bytes(b"no \xff text");
    let opened = linked(&TINY, &folder.path().join("bytes"), |path, _| {
        let blob = Path::new("blobs").join(bytes).join(hash(path));
        (blob.clone(), Path::new("../..").join(blob))
    });
    let message = refused_link(&opened);
    assert!(message.contains("not UTF-8") && message.contains("copy the bundle"), "{message}");
}

/// The bundle as it was made before no file was empty.
fn with_an_empty_file(bundle: &Path, to: &Path) -> PathBuf {
    copied(bundle, to);
    let mut manifest = Manifest::read(to).expect("a manifest");
    let name = manifest.precisions[&Precision::Fp32].stages[&Stage::PromptEncoder].weights.name.clone();
    fs::write(to.join(&name), "").expect("written");
    let empty = FileEntry { bytes: 0, sha256: hash(&to.join(&name)), name };
    for files in manifest.precisions.values_mut() {
        files.stages.get_mut(&Stage::PromptEncoder).expect("the stage").weights = empty.clone();
    }
    fs::write(to.join(MANIFEST_FILE), manifest.to_json().expect("JSON")).expect("written");
    fs::remove_file(to.join(README_FILE)).expect("removed");
    to.to_owned()
}

#[test]
fn no_file_is_empty_and_a_bundle_with_an_empty_file_opens_also_without_it() {
    for name in names(&TINY) {
        assert!(fs::metadata(TINY.join(&name)).expect("a file").len() > 0, "{name} is empty");
    }
    let folder = segvol_tests::folder!();
    let to = folder.path().join("mask.nii");
    let old = with_an_empty_file(&TINY, &folder.path().join("old"));
    let weights = old.join("segvol_prompt_encoder.weights");
    for precision in Precision::ALL {
        let options = &on_cpu(precision);
        let expected = mask(&TINY, options, &to).expect("the plain bundle");
        fs::write(&weights, "").expect("written");
        assert!(mask(&old, options, &to).expect("with the empty file") == expected, "{precision}");
        fs::remove_file(&weights).expect("removed");
        assert!(mask(&old, options, &to).expect("without it") == expected, "{precision}");
    }
    let Ok(Inspection::Bundle(inspected)) = inspect(&old, &segvol_converter::Options::default()) else {
        panic!("no bundle")
    };
    assert!(inspected.problem.is_none());
    assert_eq!(inspected.readme, ReadmeState::Missing);
    // A file that has become longer is another one, and a file that has bytes cannot be missing.
    fs::write(&weights, "x").expect("written");
    let error = Model::open(&old, &bundle::on_cpu()).err().expect("changed").to_string();
    assert!(error.contains("expected 0 bytes, found 1 bytes"), "{error}");
    fs::write(&weights, "").expect("written");
    fs::remove_file(old.join("segvol_mask_decoder.weights")).expect("removed");
    let error = Model::open(&old, &bundle::on_cpu()).err().expect("missing");
    assert!(matches!(error, Error::Bundle(BundleError::Io { .. })), "{error}");
}

fn graph(bundle: &Path, entry: &FileEntry) -> ModelProto {
    ModelProto::decode(fs::read(bundle.join(&entry.name)).expect("the graph").as_slice()).expect("ONNX")
}

#[test]
fn every_graph_says_what_it_is() {
    let manifest = Manifest::read(&TINY).expect("a bundle");
    let mut descriptions = BTreeSet::new();
    for (precision, files) in &manifest.precisions {
        for (stage, files) in &files.stages {
            for (variant, entry) in &files.graphs {
                let name = &entry.name;
                let model = graph(&TINY, entry);
                let facts: BTreeMap<&str, &str> =
                    model.metadata_props.iter().map(|fact| (fact.key.as_str(), fact.value.as_str())).collect();
                assert_eq!(facts["segvol.stage"], stage.name(), "{name}");
                assert_eq!(facts["segvol.variant"], variant.name(), "{name}");
                let shared = files.weights.name.contains(precision.name());
                assert_eq!(facts["segvol.precision"], if shared { precision.name() } else { "fp32" }, "{name}");
                assert_eq!(facts["segvol.tool"], manifest.tool, "{name}");
                assert_eq!(facts["segvol.axes"], "not stated", "{name}");
                assert!(facts["segvol.license"].contains("licence"), "{name}");
                let graph = model.graph.expect("a graph");
                assert_eq!(graph.doc_string, model.doc_string, "{name}");
                assert!(graph.doc_string.contains(stage.purpose()), "{name}: {}", graph.doc_string);
                for value in graph.input.iter().chain(&graph.output) {
                    assert_eq!(Some(value.doc_string.as_str()), tensor_meaning(&value.name), "{name}: {}", value.name);
                }
                descriptions.insert((name.clone(), graph.doc_string));
            }
        }
    }
    let different: BTreeSet<&String> = descriptions.iter().map(|(_, text)| text).collect();
    assert_eq!(different.len(), descriptions.len(), "each graph has its own description");
}

/// Weights are read before they have been compared with their hash. So nothing in their files says how other bytes are read: no
/// shape, no index.
#[test]
fn weights_are_only_numbers_that_are_computed_with() {
    let numbers = [ElementType::Float32, ElementType::Float16, ElementType::Int8, ElementType::Uint8];
    let manifest = Manifest::read(&TINY).expect("a bundle");
    let mut found = 0;
    for files in manifest.precisions.values().flat_map(|files| files.stages.values()) {
        for entry in files.graphs.values() {
            let graph = graph(&TINY, entry).graph.expect("a graph");
            for tensor in graph.initializer.iter().filter(|tensor| tensor.data_location.is_some()) {
                assert!(
                    numbers.iter().any(|number| Some(number.code()) == tensor.data_type),
                    "{}: {}",
                    entry.name,
                    tensor.name
                );
                found += 1;
            }
        }
    }
    assert!(found > 100, "{found}");
}

#[test]
fn the_readme_follows_from_the_manifest_and_may_be_edited() {
    let folder = segvol_tests::folder!();
    let bundle = copied(&TINY, &folder.path().join("bundle"));
    let manifest = Manifest::read(&bundle).expect("a bundle");
    let readme = fs::read_to_string(bundle.join(README_FILE)).expect("a README");
    let own: [&str; 2] = [&manifest.tool, &manifest.license_note];
    let facts = own.into_iter().chain(["8×48×64", "`[batch, 8, 12, 16]`", "float32; float16 at fp16", "not known"]);
    for fact in facts.chain(manifest.files().map(|file| file.name.as_str())) {
        assert!(readme.contains(fact), "the README lacks {fact:?}");
    }
    assert_eq!(readme.matches(['{', '}']).collect::<String>(), "{}", "only the sentence around a name has a place");
    assert!(!manifest.files().any(|file| file.name == README_FILE), "no program reads it");

    let state = || match inspect(&bundle, &segvol_converter::Options::default()) {
        Ok(Inspection::Bundle(found)) => (found.readme, found.unlisted.join(" "), found.problem.is_none()),
        other => panic!("{other:?}"),
    };
    assert_eq!(state(), (ReadmeState::AsWritten, String::new(), true));
    fs::write(bundle.join(README_FILE), readme + "\nOn our servers since May.\n").expect("written");
    fs::write(bundle.join("notes.txt"), "ours").expect("written");
    assert_eq!(state(), (ReadmeState::Other, "notes.txt".to_owned(), true));
    let _ = bundle::open(&bundle);
    fs::remove_file(bundle.join(README_FILE)).expect("removed");
    assert_eq!(state().0, ReadmeState::Missing);
    let _ = bundle::open(&bundle);
}

#[test]
fn the_readme_names_the_providers_that_take_each_graph() {
    let manifest = Manifest::read(&TINY).expect("a bundle");
    let readme = fs::read_to_string(TINY.join(README_FILE)).expect("a README");
    for precision in Precision::ALL {
        let graphs = &manifest.precisions[&precision].stages[&Stage::ImageEncoder].graphs;
        for variant in [Variant::Portable, Variant::Fused, Variant::Widened, Variant::WidenedFused] {
            if !graphs.contains_key(&variant) {
                continue;
            }
            let taken = |provider: &Provider| {
                let best = provider.variants(precision).iter().find(|variant| graphs.contains_key(variant));
                *provider != Provider::Auto && best == Some(&variant)
            };
            let expected: BTreeSet<&str> = Provider::ALL.into_iter().filter(taken).map(Provider::name).collect();
            let row = readme.lines().find(|line| line.starts_with(&format!("| `{}` |", variant.name())));
            let cell = row.expect("a row").trim_end_matches(" |").rsplit(" | ").next().expect("a cell");
            let (always, at_fp16) = cell.split_once(" (at fp16: ").unwrap_or((cell, cell));
            let cell = if precision == Precision::Fp16 { at_fp16.trim_end_matches(')') } else { always };
            assert_eq!(cell.split(", ").collect::<BTreeSet<_>>(), expected, "{precision}, {variant:?}");
        }
    }
}
