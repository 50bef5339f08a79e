//! The rules of ARCHITECTURE.md that the compiler does not check: the imports between crates and files, the places for
//! `ort` and `unsafe`, and the sizes of files and crates.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use segvol_tests::imports;

/// The maximum number of lines of a production file.
const MAX_FILE: usize = 500;
/// The maximum number of lines of a crate, including its unit tests.
const MAX_CRATE: usize = 9_000;
/// The maximum number of files under version control.
const MAX_TRACKED: usize = 1300;

/// All crates that are shipped, with the crates of this workspace that they may use.
const CRATES: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("archive", &["base"]),
    ("names", &["base"]),
    ("onnx", &["base", "names"]),
    ("dicom", &["base", "archive"]),
    ("volume", &["base", "dicom"]),
    ("metrics", &["base", "volume"]),
    ("segments", &["base", "names", "dicom", "volume"]),
    ("checkpoint", &["base", "archive", "onnx"]),
    ("converter", &["base", "names", "onnx", "checkpoint"]),
    ("scan", &["base", "volume"]),
    ("windows", &["base", "scan"]),
    ("postprocess", &["base", "volume"]),
    ("prompt", &["base", "names", "volume", "scan", "postprocess"]),
    ("store", &["base"]),
    ("library", &[]),
    (
        "runtime",
        &["base", "names", "onnx", "volume", "scan", "windows", "metrics", "postprocess", "prompt", "store", "library"],
    ),
    ("calibration", &["base", "onnx", "volume", "converter", "runtime"]),
    ("overlay", &["base", "volume"]),
    ("embed", &["base", "onnx", "windows", "runtime"]),
    ("objects", &["base", "segments", "runtime"]),
    ("evaluation", &["base", "onnx", "volume", "segments", "runtime", "overlay"]),
    ("cohort", &["base", "onnx", "segments", "runtime", "objects", "overlay"]),
    ("segfm", &["base", "archive", "runtime"]),
    ("server", &["base", "runtime", "objects"]),
    ("report", &["base", "evaluation", "cohort"]),
    ("tuning", &["base", "onnx", "runtime"]),
    ("measure", &["base", "onnx", "volume", "converter", "runtime", "tuning"]),
    (
        "cli",
        &[
            "base",
            "names",
            "onnx",
            "volume",
            "converter",
            "runtime",
            "calibration",
            "overlay",
            "embed",
            "segments",
            "objects",
            "evaluation",
            "cohort",
            "segfm",
            "server",
            "report",
            "tuning",
            "measure",
        ],
    ),
    ("bindings/c", &["base", "onnx", "volume", "runtime"]),
    ("bindings/python", &["base", "runtime", "segments", "objects", "overlay", "tuning"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The source files of a crate, with their contents. `tests.rs` and files under `tests/` are test code.
fn sources(name: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(name).join("src"), &mut found);
    found.sort();
    assert!(!found.is_empty(), "{name} has no source files");
    let named = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("read");
        (path.strip_prefix(root()).expect("in the tree").display().to_string(), text)
    };
    found.into_iter().map(named).collect()
}

fn all_sources() -> Vec<(String, String)> {
    CRATES.iter().flat_map(|(name, _)| sources(name)).collect()
}

fn is_test_code(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}

/// The code without comments, approximately: everything after `//` on a line is removed.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or_default())
}

/// Whether a line of code contains a word that is not part of another word.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_part);
        let after = line[at + word.len()..].chars().next().is_some_and(is_part);
        !before && !after
    })
}

#[test]
fn crates_use_only_the_crates_that_they_may() {
    let package = |name: &str| match name {
        "runtime" => "segvol".to_owned(),
        "bindings/c" => "segvol-capi".to_owned(),
        "bindings/python" => "segvol-python".to_owned(),
        other => format!("segvol-{other}"),
    };
    for (name, allowed) in CRATES {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest.split("\n[").find(|section| section.starts_with("dependencies]"));
        let allowed: BTreeSet<String> = allowed.iter().map(|name| package(name)).collect();
        for line in dependencies.unwrap_or_default().lines() {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if dependency.starts_with("segvol") {
                assert!(allowed.contains(dependency), "{name} may not use {dependency}");
            }
        }
    }
}

#[test]
fn onnx_runtime_is_named_in_one_room_only() {
    let mut inside = 0;
    for (file, text) in all_sources() {
        let named = code(&text).any(|line| line.contains("ort::") && has_word(line, "ort"));
        let allowed = file.starts_with("runtime/src/onnxruntime/");
        assert!(allowed || !named, "{file} names `ort`");
        inside += usize::from(allowed && named);
    }
    assert!(inside > 5, "the search finds `ort` where it is");
    for (name, _) in CRATES {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).expect("a manifest");
        let depends = manifest.lines().any(|line| line.starts_with("ort.") || line.starts_with("ort "));
        assert_eq!(depends, *name == "runtime", "{name}: dependency on `ort`");
    }
}

/// `fuzz/` builds the targets of scans from these files without the runtime.
#[test]
fn hostile_scans_need_the_volume_crate_only() {
    for file in ["tests/src/hostile_nifti.rs", "tests/src/hostile_raster.rs"] {
        let text = fs::read_to_string(root().join(file)).expect("read");
        assert!(text.contains("segvol_volume::"));
        for other in ["segvol::", "segvol_tests::", "segvol_onnx::", "crate::"] {
            assert!(!code(&text).any(|line| line.contains(other)), "{file} names {other}");
        }
    }
}

#[test]
fn unsafe_code_stays_where_it_is_needed() {
    let mut inside = 0;
    for (file, text) in all_sources() {
        let used = code(&text).any(|line| has_word(line, "unsafe") || line.contains("allow(unsafe_code"));
        let allowed = ["runtime/src/onnxruntime/", "bindings/c/src/"];
        let allowed = allowed.iter().any(|place| file.starts_with(place));
        assert!(allowed || !used, "{file} has `unsafe` code");
        inside += usize::from(allowed && used);
    }
    assert!(inside > 3, "the search finds `unsafe` where it is");
    for name in [
        "base",
        "archive",
        "names",
        "onnx",
        "volume",
        "postprocess",
        "prompt",
        "store",
        "library",
        "checkpoint",
        "cohort",
        "converter",
        "embed",
        "report",
        "segfm",
        "server",
        "tuning",
        "bindings/python",
    ] {
        let text = fs::read_to_string(root().join(name).join("src/lib.rs")).expect("a library");
        assert!(text.contains("#![forbid(unsafe_code)]"), "{name} forbids `unsafe` code");
    }
}

#[test]
fn files_import_each_other_in_no_circle() {
    let circles = CRATES.iter().filter_map(|(name, _)| {
        let circle = imports::circle(&imports::of_crate(&root().join(name).join("src")))?;
        Some(format!("{name}: {} -> {}", circle.join(" -> "), circle[0]))
    });
    assert_eq!(circles.collect::<Vec<_>>(), Vec::<String>::new());
    // The search finds what it looks for.
    let runtime = imports::of_crate(&root().join("runtime/src"));
    assert!(runtime["study/zoom_in.rs"].contains("study/pipeline.rs"), "{:?}", runtime["study/zoom_in.rs"]);
    let through_a_re_export = &runtime["onnxruntime/session.rs"];
    assert!(through_a_re_export.contains("onnxruntime/provider/mod.rs"), "{through_a_re_export:?}");
    let arrow = |from: &str, to: &str| (from.to_owned(), BTreeSet::from([to.to_owned()]));
    let circle = BTreeMap::from([arrow("a", "b"), arrow("b", "c"), arrow("c", "b")]);
    assert_eq!(imports::circle(&circle), Some(vec!["b".to_owned(), "c".to_owned()]));
}

#[test]
fn libraries_do_not_mention_command_line_options() {
    let mut found = Vec::new();
    for (file, text) in all_sources() {
        if file.starts_with("cli/") || is_test_code(&file) {
            continue;
        }
        let production = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for line in code(production) {
            let option = line.split('"').skip(1).step_by(2).find(|literal| {
                literal.match_indices("--").any(|(at, _)| {
                    literal[at + 2..].starts_with(|c: char| c.is_ascii_lowercase())
                        && !literal[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-')
                })
            });
            found.extend(option.map(|literal| format!("{file}: {literal}")));
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn files_and_crates_stay_small() {
    for (name, _) in CRATES {
        let mut lines = 0;
        for (file, text) in sources(name) {
            let count = text.lines().count();
            lines += count;
            assert!(count <= MAX_FILE || is_test_code(&file), "{file}: {count} lines");
        }
        assert!(lines < MAX_CRATE, "{name}: {lines} lines");
    }
}

#[test]
fn few_files_are_tracked() {
    let root = root();
    if !root.join(".git").exists() {
        // In an archive of the sources, no file is tracked.
        return;
    }
    let output = Command::new("git").arg("-C").arg(&root).arg("ls-files").output().expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = String::from_utf8_lossy(&output.stdout).lines().count();
    assert!((100..MAX_TRACKED).contains(&files), "{files} files are tracked");
}
