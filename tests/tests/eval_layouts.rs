//! `segvol eval`: data sets in the layouts that people have, and the masks that it writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use segvol::mask::Mask;
use segvol::metrics::dice;
use segvol::{Model, Prompt, StudyOptions, Volume};
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::evaluation::{scan, truth};
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};
use serde_json::{Value, json};

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const INPUT: i32 = 5;

const SCANS: [&str; 2] = ["lps_int16", "ras_scaled_odd"];

/// A bundle of the tiny model, shared by all tests here.
static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("eval_layouts");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

/// A mask that has `value` where the truth has one of the labels.
fn alone(name: &str, labels: &[u16], value: u8) -> Mask {
    let truth = truth(name);
    let of = |label: &u16| truth.voxels_of(*label).expect("memory");
    let all: Vec<Vec<bool>> = labels.iter().map(of).collect();
    let voxels = (0..truth.labels().len()).map(|index| if all.iter().any(|v| v[index]) { value } else { 0 });
    Mask::from_labels(voxels.collect::<Vec<u8>>(), Arc::clone(truth.grid())).expect("a mask")
}

fn eval(arguments: &[&str]) -> Command {
    let mut command = Command::new(&*SEGVOL);
    command.args(["eval", "--provider", "cpu", "-m"]).arg(&*TINY).args(arguments);
    command
}

fn errors(assert: &Assert) -> String {
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}

fn copy(from: PathBuf, to: PathBuf) {
    fs::create_dir_all(to.parent().expect("a parent")).expect("made");
    fs::copy(from, to).expect("copied");
}

fn save(mask: &Mask, to: PathBuf) {
    fs::create_dir_all(to.parent().expect("a parent")).expect("made");
    mask.save(to).expect("saved");
}

/// The same scans and truth in every layout give the same rows.
#[test]
fn every_layout_gives_the_rows_of_a_case_list() {
    let folder = segvol_tests::folder!();
    let here = |name: &str| folder.path().join(name);
    let cases: Vec<Value> = SCANS
        .iter()
        .map(|name| {
            let (image, labels) = (here(&format!("pairs/{name}.nii.gz")), here(&format!("pairs/{name}_labels.nii.gz")));
            copy(scan(name), image.clone());
            save(&truth(name), labels.clone());
            copy(scan(name), here(&format!("nnunet/imagesTr/{name}_0000.nii.gz")));
            save(&truth(name), here(&format!("nnunet/labelsTr/{name}.nii.gz")));
            copy(scan(name), here(&format!("folders/{name}/ct.nii.gz")));
            save(&alone(name, &[1], 1), here(&format!("folders/{name}/segmentations/liver.nii.gz")));
            save(&alone(name, &[2], 255), here(&format!("folders/{name}/segmentations/portal_vein.nii.gz")));
            json!({"image": image, "labels": labels})
        })
        .collect();
    let list = json!({"schema_version": 1, "structures": {"liver": 1, "portal vein": 2}, "cases": cases});
    fs::write(here("cases.json"), list.to_string()).expect("written");
    fs::write(here("pairs/labels.json"), r#"{"1": "liver", "2": "portal vein"}"#).expect("written");
    let dataset = r#"{"labels": {"background": 0, "liver": 1, "portal vein": 2}, "channel_names": {"0": "CT"}}"#;
    fs::write(here("nnunet/dataset.json"), dataset).expect("written");
    let rows = |option: &str, path: &str| {
        let path = here(path).to_string_lossy().into_owned();
        let assert = eval(&["--prompts", "box,points", "-o", "-", "--format", "csv", option, &path]).assert();
        let errors = errors(&assert);
        (said(assert), errors)
    };
    let (expected, _) = rows("--cases", "cases.json");
    assert_eq!(expected.lines().count(), 9, "{expected}");
    for (layout, word) in [("pairs", "(pairs)"), ("nnunet", "(nnunet)")] {
        let (found, errors) = rows("--data", layout);
        assert_eq!(found, expected, "{layout}");
        assert!(errors.contains("2 scans") && errors.contains(word), "{layout}: {errors}");
    }
    // Structures in files of their own have no value, and are in the order of their names.
    let (found, errors) = rows("--data", "folders");
    assert!(errors.contains("(case-folders)"), "{errors}");
    let without_value = expected.replace(",liver,1,", ",liver,0,").replace(",portal vein,2,", ",portal vein,0,");
    assert_eq!(found, without_value);
    let quiet = eval(&["-q", "--no-zoom", "--prompts", "box", "--data", &here("pairs").to_string_lossy()]).assert();
    assert!(!self::errors(&quiet.success()).contains("(pairs)"));
}

/// Several values are one structure, as several files are; conventions and own files in one list.
#[test]
fn values_that_belong_together_are_one_structure() {
    let folder = segvol_tests::folder!();
    let here = |name: &str| folder.path().join(name);
    let name = SCANS[0];
    save(&truth(name), here("map.nii.gz"));
    save(&alone(name, &[1], 1), here("one.nii.gz"));
    save(&alone(name, &[2], 1), here("two.nii.gz"));
    save(&alone(name, &[1, 2], 1), here("all.nii.gz"));
    let run = |case: Value| {
        let mut case = case;
        (case["name"], case["image"]) = (json!("a"), json!(scan(name)));
        let conventions = json!({"whole": {"liver": [2, 1]}, "part": {"liver": 1}});
        let list = json!({"schema_version": 1, "conventions": conventions, "cases": [case]});
        fs::write(here("cases.json"), list.to_string()).expect("written");
        let cases = here("cases.json").to_string_lossy().into_owned();
        let rows = said(eval(&["--prompts", "box", "-o", "-", "--format", "json", "--cases", &cases]).assert());
        let rows: Value = serde_json::from_str(&rows).expect("JSON");
        rows["cases"][0]["rows"][0].clone()
    };
    let one_value = run(json!({"labels": "all.nii.gz", "structures": {"liver": 1}}));
    let whole = run(json!({"labels": "map.nii.gz", "convention": "whole"}));
    let files = run(json!({"structures": {"liver": {"file": ["one.nii.gz", "two.nii.gz"]}}}));
    let part = run(json!({"labels": "map.nii.gz", "convention": "part"}));
    for (row, value, values) in [(&one_value, 1, Value::Null), (&whole, 1, json!([1, 2])), (&files, 0, Value::Null)] {
        assert_eq!((&row["value"], &row["values"]), (&json!(value), &values));
        assert_eq!((&row["truth_voxels"], &row["zoom_in"]), (&one_value["truth_voxels"], &one_value["zoom_in"]));
    }
    assert_ne!(part["truth_voxels"], whole["truth_voxels"]);
}

#[test]
fn what_belongs_to_no_case_or_to_two_layouts_is_said() {
    let folder = segvol_tests::folder!();
    let here = |name: &str| folder.path().join(name);
    let name = SCANS[0];
    copy(scan(name), here("set/a/ct.nii.gz"));
    save(&alone(name, &[1], 1), here("set/a/segmentations/liver.nii.gz"));
    copy(scan(name), here("set/b/ct.nii.gz"));
    save(&truth(name), here("set/b/segmentations/liver.nii.gz"));
    copy(scan(name), here("set/c/ct.nii.gz"));
    copy(scan(name), here("set/stray.nii.gz"));
    let set = here("set").to_string_lossy().into_owned();
    let run = |arguments: &[&str]| eval(&["--no-zoom", "--prompts", "box", "--data", &set]).args(arguments).assert();
    let assert = run(&[]);
    refused(
        &assert,
        FAILED,
        &[
            "case \"b\": truth `",
            "b/segmentations/liver.nii.gz`: expected a mask of one structure",
            "[1, 2]",
            "case \"c\": truth `",
            "c/segmentations`: expected masks",
            "stray.nii.gz",
            "[data_unused]",
            "2 of 3 cases have no scores",
        ],
    );
    save(&truth(name), here("set/stray_labels.nii.gz"));
    refused(&run(&[]), INPUT, &["files of several", "pairs", "case-folders", "--layout"]);
    refused(&run(&["--layout", "pairs"]), INPUT, &["labels.json", "stray_labels.json", "--names"]);
    refused(&run(&["--layout", "nnunet"]), INPUT, &["imagesTr and labelsTr"]);
    refused(&run(&["--layout", "folder"]), USAGE, &["case-folders"]);
    refused(&run(&["--images", &set]), USAGE, &["--images"]);
    refused(&eval(&["--layout", "pairs", "--cases", "a.json"]).assert(), USAGE, &["--layout", "--cases"]);
    let scans = here("set/a").to_string_lossy().into_owned();
    refused(&eval(&["--split", "test", "--images", &set]).assert(), USAGE, &["--split", "--images"]);
    refused(&eval(&["--data", &here("none").to_string_lossy()]).assert(), INPUT, &["none"]);
    // Names choose and rename masks.
    fs::write(here("names.json"), r#"{"liver": "my liver"}"#).expect("written");
    let names = here("names.json").to_string_lossy().into_owned();
    let mut one = eval(&["--no-zoom", "--prompts", "box", "--format", "csv", "--data", &scans, "--names", &names]);
    assert!(said(one.assert()).contains("my liver,box,1,"));
}

#[test]
fn masks_and_probabilities_are_those_of_the_rows_and_are_made_again() {
    let folder = segvol_tests::folder!();
    let here = |name: &str| folder.path().join(name);
    for name in SCANS {
        save(&truth(name), here(&format!("{name}_labels.nii.gz")));
    }
    let cases = SCANS.map(|name| json!({"image": scan(name), "labels": format!("{name}_labels.nii.gz")}));
    let list = json!({"schema_version": 1, "structures": {"liver": 1, "left kidney": 2, "spleen": 9}, "cases": cases});
    fs::write(here("cases.json"), list.to_string()).expect("written");
    let path = |name: &str| here(name).to_string_lossy().into_owned();
    let run = |arguments: &[&str]| {
        let mut command = eval(&["--prompts", "text,box", "--cases", &path("cases.json")]);
        command.args(["-o", &path("rows.json"), "--work", &path("work.jsonl")]).args(arguments).assert()
    };
    let rows = || fs::read(here("rows.json")).expect("read");
    let both = ["--masks", &path("masks"), "--probabilities", &path("probabilities")];
    run(&both).success();
    let first = rows();
    let found: Value = serde_json::from_slice(&first).expect("JSON");
    let model = Model::open(&*TINY, &bundle::on_cpu()).expect("a bundle");
    let mut seen = 0;
    for (name, case) in SCANS.iter().zip(found["cases"].as_array().expect("cases")) {
        let volume = Volume::open(scan(name)).expect("a scan");
        let study = model.study_with(volume, &StudyOptions::default().independent(true)).expect("a study");
        for row in case["rows"].as_array().expect("rows") {
            let (structure, kind) =
                (row["structure"].as_str().expect("a name"), row["prompt"].as_str().expect("a kind"));
            let file = format!("{name}/{}.{kind}.nii.gz", structure.replace(' ', "_"));
            let mask_file = here("masks").join(&file);
            assert_eq!(row["mask"]["path"], json!(mask_file));
            let prompt = match (kind, truth(name).bounding_box_ijk(if structure == "liver" { 1 } else { 2 })) {
                ("box", Some((min, max))) => Prompt::new().bounding_box(min.map(|c| c as f64), max.map(|c| c as f64)),
                _ => Prompt::text(structure),
            };
            let expected = study.segment(&prompt).expect("segmented").mask().expect("memory");
            expected.save(here("expected.nii.gz")).expect("saved");
            assert!(
                fs::read(&mask_file).expect("a mask") == fs::read(here("expected.nii.gz")).expect("read"),
                "{file}"
            );
            assert_eq!(row["zoom_in"]["voxels"], expected.count(1), "{file}");
            let probabilities = Volume::open(here("probabilities").join(&file)).expect("probabilities");
            let inside = expected.voxels_of(1).expect("memory");
            let above: Vec<bool> = probabilities.voxels().iter().map(|&p| p > 0.5).collect();
            assert!(dice(&above, &inside, |&a| a, |&b| b) > 0.999, "{file}");
            assert_eq!(row["probabilities"]["sha256"].as_str().map(str::len), Some(64));
            seen += 1;
        }
    }
    assert_eq!(seen, 10, "two prompts for each of two structures of two cases, and a text for the absent one");

    // A mask that is missing or that another run has replaced is made again, from a work file with all rows.
    let (missing, replaced) =
        (here("masks/lps_int16/liver.box.nii.gz"), here("masks/ras_scaled_odd/liver.text.nii.gz"));
    let before = [&missing, &replaced].map(|path| fs::read(path).expect("read"));
    fs::remove_file(&missing).expect("removed");
    fs::write(&replaced, "another mask").expect("written");
    run(&both).success();
    assert!(before == [&missing, &replaced].map(|path| fs::read(path).expect("read")), "other masks");
    assert!(rows() == first, "other rows");
    // Cases that are complete are not done again.
    let records = fs::read_to_string(here("work.jsonl")).expect("read").lines().count();
    assert_eq!(records, 1 + 2 + 2);
    run(&both).success();
    assert_eq!(fs::read_to_string(here("work.jsonl")).expect("read").lines().count(), records);
    // Rows without masks name none.
    run(&[]).success();
    let without: Value = serde_json::from_slice(&rows()).expect("JSON");
    assert_eq!(without["cases"][0]["rows"][0].get("mask"), None);
    run(&["--masks", &path("elsewhere")]).success();
    assert_eq!(fs::read(here("elsewhere/lps_int16/liver.box.nii.gz")).expect("read"), before[0]);

    refused(&run(&["--masks", &path("m"), "--probabilities", &path("m")]), USAGE, &["--probabilities", "--masks"]);
    refused(&run(&["--masks", &path("cases.json")]), USAGE, &["--masks"]);
    let images = data("tiny/volumes").to_string_lossy().into_owned();
    refused(&eval(&["--images", &images, "--masks", &path("m")]).assert(), USAGE, &["--masks", "label maps"]);
    // Each orientation has a folder of its own.
    let mut command =
        eval(&["--prompts", "box", "--no-zoom", "--cases", &path("cases.json"), "--orientation", "ras,stored"]);
    command.args(["--masks", &path("orientations")]).assert().success();
    for orientation in ["ras", "stored"] {
        assert!(here("orientations").join(orientation).join("lps_int16/liver.box.nii.gz").is_file(), "{orientation}");
    }
}
