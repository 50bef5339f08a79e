//! The command `segvol`: the files that it writes, its messages and its exit codes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use segvol::Volume;
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};
use serde_json::Value;

const USAGE: i32 = 2;
const PROVIDER: i32 = 4;
const INPUT: i32 = 5;
const BUNDLE: i32 = 6;

fn segvol() -> Command {
    Command::new(&*SEGVOL)
}

/// A bundle of the tiny model, shared by all tests here.
static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

fn scan() -> PathBuf {
    data("tiny/volumes/ras_scaled_odd.nii.gz")
}

/// `segvol segment` of the scan with the tiny bundle.
fn segment() -> Command {
    let mut command = segvol();
    command.arg("segment").arg("-i").arg(scan()).arg("-m").arg(&*TINY);
    command
}

fn labels(path: &Path) -> BTreeMap<u32, usize> {
    let mut labels = BTreeMap::new();
    for &voxel in Volume::open(path).expect("a mask").voxels() {
        *labels.entry(voxel as u32).or_insert(0) += 1;
    }
    labels
}

#[test]
fn help_and_version_are_no_errors() {
    let help = said(segvol().arg("--help").assert());
    for word in ["convert", "inspect", "providers", "segment", "Exit codes"] {
        assert!(help.contains(word), "no {word:?} in: {help}");
    }
    assert!(said(segvol().arg("--version").assert()).starts_with("segvol "));
    refused(&segvol().assert(), USAGE, &["Usage"]);
    refused(&segvol().arg("dissect").assert(), USAGE, &["dissect"]);
}

#[test]
fn the_installed_command_has_manual_pages_and_completions() {
    let folder = segvol_tests::folder!();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = SEGVOL.parent().expect("a folder");
    let mut install = Command::new(root.join("scripts/install"));
    install.arg("--prefix").arg(folder.path()).arg("--built").arg(built).assert().success();
    let read =
        |path: &str| fs::read_to_string(folder.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let page = read("share/man/man1/segvol-segment.1").replace("\\-", "-");
    assert!(page.contains(".TH SEGVOL-SEGMENT 1") && page.contains("--overlay"), "{page}");
    for script in [
        "share/bash-completion/completions/segvol",
        "share/zsh/site-functions/_segvol",
        "share/fish/vendor_completions.d/segvol.fish",
    ] {
        assert!(read(script).contains("stage-provider"), "{script}");
    }
    let version = Command::new(folder.path().join("bin/segvol")).args(["--version", "--verbose"]).assert().success();
    let version = String::from_utf8_lossy(&version.get_output().stdout).into_owned();
    let commit = version.lines().find_map(|line| line.strip_prefix("commit ")).expect("a commit").trim();
    assert!(commit == "unknown" || commit.len() >= 12, "{version}");
    refused(&segvol().args(["man", "nothing"]).assert(), USAGE, &["expected one of", "segment"]);
}

#[test]
fn convert_says_what_it_made_and_replaces_only_when_forced() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("config.json"), models::config_json(&models::micro())).expect("written");
    segvol_tests::seeded::write_tokenizer(dir.path(), &models::micro()).expect("written");
    let checkpoint = dir.path().join("SegVol_v1.pth");
    fs::copy(data("checkpoints/github.pth"), &checkpoint).expect("copied");
    let convert = || {
        let mut command = segvol();
        command.arg("convert").arg(&checkpoint).arg("-o").arg(dir.path().join("bundle"));
        command
    };

    let said = said(convert().assert());
    for part in ["SegVol_v1.pth", "GitHub SegVol_v1.pth", "torch zip", "image_encoder", "mask_decoder"] {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
    refused(&convert().assert(), USAGE, &["bundle", "--force"]);
    convert().arg("--force").assert().success();
    segvol().arg("inspect").arg(dir.path().join("bundle")).assert().success();

    fs::write(&checkpoint, "no longer a checkpoint").expect("written");
    refused(&convert().arg("--force").assert(), INPUT, &["SegVol_v1.pth"]);
    segvol().arg("inspect").arg(dir.path().join("bundle")).assert().success();
    fs::remove_file(&checkpoint).expect("removed");
    refused(&convert().arg("--force").assert(), INPUT, &["SegVol_v1.pth"]);
}

#[test]
fn inspect_prints_json_and_fails_on_a_damaged_bundle() {
    let found: Value =
        serde_json::from_str(&said(segvol().args(["inspect", "--json"]).arg(&*TINY).assert())).expect("JSON");
    assert_eq!(found["kind"], "bundle");
    assert_eq!(found["manifest"]["architecture"]["window_dhw"], serde_json::json!([8, 48, 64]));

    let dir = tempfile::tempdir().expect("a folder");
    let copy = bundle::edited(&TINY, &dir.path().join("copy"), segvol_onnx::Stage::MaskDecoder, |_| ());
    segvol().arg("inspect").arg(&copy).assert().success();
    let weights = copy.join("segvol_mask_decoder.weights");
    let mut bytes = fs::read(&weights).expect("read");
    bytes[0] ^= 1;
    fs::write(&weights, bytes).expect("written");
    refused(&segvol().arg("inspect").arg(&copy).assert(), BUNDLE, &["segvol_mask_decoder.weights", "sha256"]);
    let mut command = segvol();
    command.args(["segment", "--text", "liver", "-i"]).arg(scan()).arg("-m").arg(&copy);
    let assert = command.arg("-o").arg(dir.path().join("mask.nii.gz")).assert();
    refused(&assert, BUNDLE, &["segvol_mask_decoder.weights"]);
    assert!(!dir.path().join("mask.nii.gz").exists());
}

#[test]
fn segment_writes_the_same_mask_and_a_report_every_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut masks = Vec::new();
    for run in ["a", "b"] {
        let (mask, report) = (dir.path().join(format!("{run}.nii.gz")), dir.path().join(format!("{run}.json")));
        let said = said(
            segment()
                .args(["--text", "liver", "--provider", "cpu", "-o"])
                .arg(&mask)
                .arg("--report")
                .arg(&report)
                .assert(),
        );
        assert!(said.contains("liver"), "{said}");
        let report: Value = serde_json::from_slice(&fs::read(report).expect("read")).expect("JSON");
        assert_eq!(report["schema_version"], 2);
        assert_eq!(report["notice"], "research software, not a medical device");
        assert_eq!(report["provider"]["used"], "cpu");
        let object = &report["objects"][0];
        assert_eq!(object["name"], "liver");
        assert_eq!(object["voxels"]["zoom_in"].as_u64(), Some(labels(&mask)[&1] as u64));
        let volume = Volume::open(scan()).expect("a volume");
        assert_eq!(report["image"]["shape_xyz"], serde_json::json!(volume.shape_xyz()));
        masks.push(fs::read(mask).expect("read"));
    }
    assert!(masks[0] == masks[1], "the same input and settings gave different bytes");
}

#[test]
fn several_objects_make_one_label_map_and_one_file_each() {
    let dir = tempfile::tempdir().expect("a folder");
    let (map, each) = (dir.path().join("map.nii"), dir.path().join("each"));
    segment()
        .args(["--text", "liver", "--text", "spleen", "-o"])
        .arg(&map)
        .arg("--per-object")
        .arg(&each)
        .assert()
        .success();
    let found = labels(&map);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    for (name, label) in [("liver", 1), ("spleen", 2)] {
        // Where masks overlap, the label map has the object with the higher logit. The separate files keep the whole
        // masks.
        assert!(labels(&each.join(format!("{name}.nii.gz")))[&1] >= found[&label], "{name}");
    }

    // The same prompts from a file.
    let objects = dir.path().join("objects.json");
    fs::write(&objects, r#"{"schema_version": 1, "objects": [{"text": "liver"}, {"text": "spleen"}]}"#)
        .expect("written");
    let again = dir.path().join("again.nii");
    segment().arg("--prompts").arg(&objects).arg("-o").arg(&again).assert().success();
    assert!(fs::read(map).expect("read") == fs::read(again).expect("read"));
}

#[test]
fn points_and_boxes_of_every_space_are_taken() {
    let dir = tempfile::tempdir().expect("a folder");
    let volume = Volume::open(scan()).expect("a volume");
    let middle = volume.shape_xyz().map(|n| (n / 2) as f64);
    let [x, y, z] = volume.grid().affine().apply(middle);
    let point = |[i, j, k]: [f64; 3]| format!("{i},{j},{k}");
    let mut masks = Vec::new();
    for (space, at) in [("voxel", middle), ("ras", [x, y, z]), ("lps", [-x, -y, z])] {
        let mask = dir.path().join(format!("{space}.nii.gz"));
        segment().args(["--space", space, "--point", &point(at), "-o"]).arg(&mask).assert().success();
        masks.push(labels(&mask));
    }
    assert_eq!(masks[0], masks[1]);
    assert_eq!(masks[0], masks[2]);
    let mask = dir.path().join("window.nii.gz");
    let mut command = segment();
    command.args(["--space", "window", "--box", "1,8,14,5,36,44", "--point", "4,20,30,1", "--point", "1,5,5,0"]);
    command.args(["--text", "left kidney", "--no-zoom", "--quiet", "-o"]).arg(&mask);
    assert_eq!(said(command.assert()), "");
    assert!(mask.exists());
}

/// The width, height and pixels of a PNG.
fn pixels(path: &Path) -> (usize, usize, Vec<[u8; 3]>) {
    let image::DynamicImage::ImageRgb8(picture) = image::open(path).expect("a PNG") else { panic!("not 8-bit RGB") };
    (picture.width() as usize, picture.height() as usize, picture.pixels().map(|pixel| pixel.0).collect())
}

#[test]
fn an_overlay_shows_masks_prompts_and_truth() {
    const SKY_BLUE: [u8; 3] = [86, 180, 233];
    let dir = tempfile::tempdir().expect("a folder");
    let (map, objects) = (dir.path().join("map.nii.gz"), dir.path().join("objects.json"));
    segment().args(["--text", "liver", "--text", "spleen", "-o"]).arg(&map).assert().success();
    // The second object's prompt is at the patient's left, which is at small i in a file stored as "RAS".
    let [_, nj, nk] = Volume::open(scan()).expect("a volume").shape_xyz();
    let prompts = format!(
        r#"{{"schema_version": 1, "objects": [{{"text": "liver"}}, {{"name": "spleen", "points": [[5, {}, {}]]}}]}}"#,
        nj / 2,
        nk / 2
    );
    fs::write(&objects, prompts).expect("written");
    let mut pictures = Vec::new();
    for name in ["a.png", "b.png"] {
        let (picture, report) = (dir.path().join(name), dir.path().join("report.json"));
        let mut command = segment();
        command.arg("--prompts").arg(&objects).arg("-o").arg(dir.path().join("mask.nii.gz"));
        command.arg("--overlay").arg(&picture).arg("--report").arg(&report);
        command.arg("--truth").arg(&map).args(["--truth-label", "liver=1"]);
        assert!(said(command.assert()).contains("Dice "));
        let report: Value = serde_json::from_slice(&fs::read(report).expect("read")).expect("JSON");
        assert!(report["objects"][0]["dice"].as_f64().expect("Dice") > 0.3, "{report}");
        assert_eq!(report["objects"][1].get("dice"), None);
        pictures.push(fs::read(picture).expect("read"));
    }
    assert!(pictures[0] == pictures[1], "the same input and settings gave different bytes");

    let (width, height, found) = pixels(&dir.path().join("a.png"));
    let column = (width - 8) / 3;
    assert_eq!(3 * column + 8, width, "three columns and a margin");
    // A mark is 13 pixels long and 3 wide, with a dark border. So it is found where 11 pixels in a row have its colour.
    let marks = (height / 2..height).flat_map(|y| (0..width - 11).map(move |x| (x, y)));
    let marks: Vec<usize> = marks
        .filter(|&(x, y)| found[y * width + x..][..11].iter().all(|&pixel| pixel == SKY_BLUE))
        .filter(|&(x, y)| found[(y + 4) * width + x + 5] == SKY_BLUE || found[(y - 4) * width + x + 5] == SKY_BLUE)
        .map(|(x, _)| (x - 8) % column)
        .collect();
    assert!(
        marks.iter().any(|&x| x > column * 2 / 3),
        "no mark at the patient's left, on the right of a tile: {marks:?}"
    );

    let refuse = |arguments: &[&str], parts: &[&str]| {
        let mut command = segment();
        command.args(["--text", "liver", "-q", "-o"]).arg(dir.path().join("no.nii.gz")).args(arguments);
        refused(&command.assert(), USAGE, parts);
    };
    refuse(&["--overlay", "a.jpg"], &["a.jpg", ".png"]);
    refuse(&["--overlay", "no/such/folder/a.png"], &["no/such/folder"]);
    refuse(&["--overlay", "a.png", "--window", "40,0"], &["40,0", "above 0"]);
    refuse(&["--overlay", "a.png", "--window", "40,inf"], &["40,inf", "finite"]);
    refuse(&["--overlay", "a.png", "--window", "40"], &["40,400"]);
    refuse(&["--truth", &map.to_string_lossy()], &["--truth-label"]);
    refuse(&["--truth", &map.to_string_lossy(), "--truth-label", "lung=1"], &["lung", "liver"]);
    refuse(&["--truth", &map.to_string_lossy(), "--truth-label", "liver=0"], &["liver=0"]);
    let truth = |path: &Path, label: &str, parts: &[&str]| {
        let mut command = segment();
        command.args(["--text", "liver", "-o"]).arg(dir.path().join("no.nii.gz")).arg("--truth").arg(path);
        refused(&command.args(["--truth-label", label]).assert(), INPUT, parts);
    };
    truth(&map, "liver=9", &["map.nii.gz", "9", "liver"]);
    truth(&data("tiny/volumes/lps_int16.nii.gz"), "liver=1", &["lps_int16.nii.gz", "shape"]);
    truth(&scan(), "liver=1", &["ras_scaled_odd.nii.gz", "whole number"]);
    assert!(!dir.path().join("no.nii.gz").exists());
}

#[test]
fn mistakes_in_the_arguments_are_said_before_any_work() {
    let dir = tempfile::tempdir().expect("a folder");
    let mask = dir.path().join("mask.nii.gz");
    let with = |arguments: &[&str]| segment().args(arguments).arg("-o").arg(&mask).assert();
    refused(&with(&[]), USAGE, &["--text", "--point", "--box"]);
    refused(&segment().args(["--text", "liver"]).assert(), USAGE, &["--output"]);
    refused(&with(&["--text", "a", "--text", "b", "--point", "1,2,3"]), USAGE, &["--prompts"]);
    refused(&with(&["--point", "1,2"]), USAGE, &["1,2"]);
    refused(&with(&["--point", "1,2,3,7"]), USAGE, &["1,2,3,7"]);
    refused(&with(&["--box", "1,2,3"]), USAGE, &["1,2,3"]);
    refused(&with(&["--text", "liver", "--overlap", "1"]), USAGE, &["overlap"]);
    refused(&with(&["--text", "liver", "--provider", "abacus"]), USAGE, &["abacus"]);
    let assert = segment().args(["--text", "liver", "-o", "mask.png"]).assert();
    refused(&assert, USAGE, &["mask.png", ".nii.gz"]);
    let assert = segment().args(["--text", "liver", "-o", "no/such/folder/mask.nii"]).assert();
    refused(&assert, USAGE, &["no/such/folder"]);
    assert!(!mask.exists());
}

#[test]
fn bad_input_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let mask = dir.path().join("mask.nii.gz");
    let with = |arguments: &[&str]| segment().args(arguments).arg("-o").arg(&mask).assert();
    refused(&with(&["--point", "1,2,1000"]), INPUT, &["1000", "outside"]);
    refused(&with(&["--box", "9,9,9,1,1,1"]), INPUT, &["(9, 9, 9)"]);
    refused(&with(&["--point", "NaN,2,3"]), INPUT, &["finite"]);
    let prompts = dir.path().join("objects.json");
    for (text, part) in [("{", "objects.json"), (r#"{"schema_version": 1, "objects": [{"txt": "liver"}]}"#, "txt")] {
        fs::write(&prompts, text).expect("written");
        refused(&with(&["--prompts", &prompts.to_string_lossy()]), INPUT, &[part]);
    }
    for (bytes, part) in [
        (&b"\xff\xfe{\0}\0"[..], "UTF-16"),
        (b"{\0}\0", "UTF-16"),
        (b"\x1f\x8b\x08\0", "a gzip file"),
        (b"{\"schema_version\": 1, \"objects\": [{\"text\": \"L\xe4sion\"}]}", "not UTF-8 on line 1"),
        (b"<!DOCTYPE html>", "HTML"),
        (b"", "an empty file"),
    ] {
        fs::write(&prompts, bytes).expect("written");
        refused(&with(&["--prompts", &prompts.to_string_lossy()]), INPUT, &["objects.json", "expected JSON", part]);
    }
    fs::write(&prompts, "\u{feff}{\"schema_version\": 1,\r\n \"objects\": [{\"text\": \"liver\"}]}\r\n")
        .expect("written");
    let good = dir.path().join("good.nii.gz");
    segment().arg("--prompts").arg(&prompts).args(["--no-zoom", "-o"]).arg(&good).assert().success();

    let scan = |path: &Path| {
        let mut command = segvol();
        command.args(["segment", "--text", "liver", "-i"]).arg(path).arg("-m").arg(&*TINY).arg("-o").arg(&mask);
        command.assert()
    };
    refused(&scan(&dir.path().join("none.nii.gz")), INPUT, &["none.nii.gz"]);
    let text = dir.path().join("text.nii.gz");
    fs::write(&text, "not a scan").expect("written");
    refused(&scan(&text), INPUT, &["text.nii.gz"]);
    assert!(!mask.exists());
}

#[test]
fn a_folder_that_is_no_bundle_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = segvol();
    command.args(["segment", "--text", "liver", "-i"]).arg(scan()).arg("-m").arg(dir.path());
    refused(&command.args(["-o", "mask.nii.gz"]).assert(), BUNDLE, &["segvol convert"]);
    refused(&segvol().arg("inspect").arg(dir.path()).assert(), BUNDLE, &["segvol convert"]);
}

/// A requested provider or library is never silently replaced by another one.
#[test]
fn a_provider_that_is_not_there_is_an_error() {
    let dir = tempfile::tempdir().expect("a folder");
    let mask = dir.path().join("mask.nii.gz");
    let missing = dir.path().join("libonnxruntime.so");
    let assert = segment().args(["--text", "liver", "-o"]).arg(&mask).arg("--library").arg(&missing).assert();
    refused(&assert, PROVIDER, &["libonnxruntime.so", "ORT_DYLIB_PATH"]);
    let mut command = segment();
    let assert = command.args(["--text", "liver", "-o"]).arg(&mask).env("ORT_DYLIB_PATH", &missing).assert();
    refused(&assert, PROVIDER, &["libonnxruntime.so", "ORT_DYLIB_PATH"]);

    // No library has all these providers.
    let mut refusals = 0;
    for provider in ["cuda", "tensorrt", "openvino", "coreml", "directml", "rocm", "migraphx", "xnnpack"] {
        let mut command = segvol();
        command.args(["segment", "--text", "liver", "--provider", provider, "-i"]).arg(scan());
        let assert = command.arg("-m").arg(&*TINY).arg("-o").arg(&mask).assert();
        if !assert.get_output().status.success() {
            refused(&assert, PROVIDER, &[provider]);
            refusals += 1;
        }
    }
    assert!(refusals > 0);
}

/// `--plan` says what the same command then does, and writes nothing; the report has the same numbers.
#[test]
fn a_plan_says_what_the_command_will_do_and_writes_nothing() {
    let folder = segvol_tests::folder!();
    let (mask, report) = (folder.path().join("mask.nii.gz"), folder.path().join("report.json"));
    let with_outputs = || {
        let mut command = segment();
        command
            .args(["--text", "liver", "--text", "spleen", "--provider", "cpu", "--no-bench-results", "-o"])
            .arg(&mask);
        command.arg("--report").arg(&report);
        command
    };
    let plan = said(with_outputs().arg("--plan").assert());
    assert!(!mask.exists() && !report.exists(), "nothing is written");
    said(with_outputs().assert());
    let report: Value = serde_json::from_slice(&fs::read(&report).expect("read")).expect("JSON");
    let count = |field: &str| report["plan"][field].as_u64().unwrap_or_else(|| panic!("{field}: {report}"));
    let windows = count("windows");
    assert!(windows > 0 && count("windows_to_encode") == windows);
    assert_eq!(report["windows_encoded"].as_u64(), Some(windows + 1), "the zoom-out window is one more");
    let line = format!("windows: {windows} after the zoom-out window, {windows} of them to encode");
    let objects: Vec<String> = report["objects"]
        .as_array()
        .expect("objects")
        .iter()
        .map(|object| format!("  {}: {}", object["name"].as_str().expect("a name"), object["windows"]["total"]))
        .collect();
    let decodes = format!("masks to decode: {}", count("decodes"));
    for part in [&line, &objects[0], &objects[1], &decodes] {
        assert!(plan.lines().any(|line| line == part.as_str()), "no {part:?} in: {plan}");
    }
    assert!(plan.contains(" s, by the first window") && plan.contains(" MiB at its peak"), "{plan}");
    assert_eq!(report["plan"]["expected_from"], "first window");
    assert!(report["plan"]["expected_s"].as_f64().is_some_and(|seconds| seconds > 0.0));
    // Without an object to look for there is nothing to wait for.
    let only_coarse = said(segment().args(["--text", "liver", "--plan", "--no-zoom"]).assert());
    assert!(only_coarse.contains("windows: 0 after") && only_coarse.contains("about 0.0 s"), "{only_coarse}");
}

#[test]
fn effort_is_overlap_and_nothing_else() {
    let folder = segvol_tests::folder!();
    let mask = |name: &str, options: &[&str]| {
        let path = folder.path().join(name);
        let mut command = segment();
        command.args(["--text", "liver", "--provider", "cpu", "-q", "-o"]).arg(&path).args(options).assert().success();
        fs::read(path).expect("read")
    };
    let mut masks = std::collections::BTreeSet::new();
    for (effort, overlap) in [("fast", "0"), ("balanced", "0.25"), ("exact", "0.5")] {
        let found = mask("effort.nii", &["--effort", effort]);
        assert!(found == mask("overlap.nii", &["--overlap", overlap]), "{effort}");
        assert!(effort != "balanced" || found == mask("default.nii", &[]), "balanced is the default");
        masks.insert(found);
    }
    assert!(masks.len() > 1, "the scan is too small for a difference, so this test checks nothing");
    let released = mask("released.nii", &["--profile", "released"]);
    assert!(released == mask("released_half.nii", &["--profile", "released", "--overlap", "0.5"]));
    refused(
        &segment().args(["--text", "liver", "--effort", "fast", "--overlap", "0.3", "-o", "m.nii"]).assert(),
        USAGE,
        &["--effort", "--overlap"],
    );
}
