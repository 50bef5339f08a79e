//! The names that a model was trained with: where a bundle has them from, how they are listed, and what is said about others.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use segvol_onnx::Manifest;
use segvol_onnx::manifest::MANIFEST_FILE;
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::golden::data;
use segvol_tests::{bundle, faults, models};
use serde_json::{Value, json};

const USAGE: i32 = 2;
const INPUT: i32 = 5;
const BUNDLE: i32 = 6;
const WARNED: i32 = 7;

fn segvol() -> Command {
    Command::new(&*SEGVOL)
}

fn demo_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo")
}

/// A bundle of the demo model, shared by all tests here.
static DEMO: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("names");
    bundle::fresh(&folder);
    let output = folder.join("bundle");
    said(segvol().arg("convert").arg(demo_folder().join("SegVol_demo.pth")).arg("-o").arg(&output).assert());
    output
});

/// `segvol segment` of the demo's phantom, zoom-out only.
fn segment(bundle: &Path) -> Command {
    let mut command = segvol();
    command.arg("segment").arg("-i").arg(demo_folder().join("phantom.nii.gz")).arg("-m").arg(bundle);
    command.args(["--no-zoom", "--provider", "cpu"]);
    command
}

/// Standard error of a command that must succeed.
#[track_caller]
fn errors(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stderr.clone()).expect("UTF-8")
}

/// A copy of the demo's bundle with another manifest.
fn changed(folder: &Path, change: impl FnOnce(&mut Manifest)) -> PathBuf {
    let copy = faults::copied(&DEMO, &folder.join("changed"));
    let mut manifest = Manifest::read(&copy).expect("a bundle");
    change(&mut manifest);
    fs::write(copy.join(MANIFEST_FILE), manifest.to_json().expect("JSON")).expect("written");
    copy
}

#[test]
fn the_demo_lists_its_names_and_finds_them() {
    let names = |arguments: &[&str]| said(segvol().arg("names").arg(&*DEMO).args(arguments).assert());
    let all = names(&[]);
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[5]), (11, "liver", "spine (vertebral column)"));
    assert_eq!(names(&["kid"]), "left kidney\nright kidney\n");
    assert_eq!(names(&["Kidney,", "LEFT"]), "left kidney\n");
    assert_eq!(names(&["hepatic tumor"]), "liver tumour (liver tumor, hepatic tumour)\n");
    assert_eq!(said(segvol().args(["names", "kidney", "right", "-m"]).arg(&*DEMO).assert()), "right kidney\n");

    // Nothing but names is on standard output, also if none contains the words.
    let nearest = segvol().arg("names").arg(&*DEMO).arg("splean").assert().success();
    let output = nearest.get_output();
    assert!(output.stdout.starts_with(b"spleen\n"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("note: no name contains \"splean\""), "{output:?}");

    let found: Value = serde_json::from_str(&names(&["--json", "lung"])).expect("JSON");
    let expected = json!([
        {"name": "lungs", "synonyms": ["lung"]},
        {"name": "lung nodule", "synonyms": ["pulmonary nodule"]},
    ]);
    assert_eq!((&found["names"], &found["known"], &found["contained"]), (&expected, &json!(11), &json!(true)));
    assert_eq!(found["source"], "config.json");

    let inspected = said(segvol().arg("inspect").arg(&*DEMO).assert());
    assert!(inspected.contains("  names       11, from config.json\n              liver, spleen"), "{inspected}");
    let labels: BTreeMap<String, u16> =
        serde_json::from_slice(&fs::read(demo_folder().join("labels.json")).expect("read")).expect("labels");
    let manifest = Manifest::read(&DEMO).expect("a bundle");
    let known = manifest.names.expect("names");
    assert!(labels.keys().all(|label| known.knows(label)) && labels.len() == known.list().len());

    refused(&segvol().arg("names").assert(), USAGE, &["BUNDLE"]);
    refused(&segvol().args(["names", "missing", "liver"]).assert(), BUNDLE, &["missing", "segvol convert"]);
}

#[test]
fn a_text_that_the_model_does_not_know_is_a_warning_with_the_nearest_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mask, report) = (folder.path().join("mask.nii.gz"), folder.path().join("report.json"));
    let warned = |texts: &[&str]| {
        let mut command = segment(&DEMO);
        command.args(texts.iter().flat_map(|text| ["--text", text])).arg("-q");
        let errors = errors(command.arg("-o").arg(&mask).arg("--report").arg(&report));
        let report: Value = serde_json::from_slice(&fs::read(&report).expect("read")).expect("JSON");
        (errors, report)
    };
    for (text, parts) in [
        ("pancreas", vec!["not trained with the name \"pancreas\"", "\"liver\"", "\"lung nodule\""]),
        ("kidney left", vec!["another spelling of \"kidney left\": did you mean \"left kidney\"?"]),
        ("left_kidney", vec!["did you mean \"left kidney\"?"]),
        ("Right Kidneys", vec!["did you mean \"right kidney\"?"]),
        ("liverr", vec!["not trained with the name \"liverr\": did you mean \"liver\"?"]),
        ("pulmonary_nodules", vec!["did you mean \"pulmonary nodule\"?"]),
        ("kidney", vec!["\"left kidney\" or \"right kidney\"?"]),
    ] {
        let (errors, report) = warned(&[text]);
        assert_eq!(errors.matches("[name_unknown]").count(), 1, "{errors}");
        assert!(errors.starts_with(&format!("warning: object {text:?}: ")), "{errors}");
        assert!(parts.iter().all(|part| errors.contains(part)), "{parts:?}: {errors}");
        let warning = &report["objects"][0]["warnings"][0];
        assert_eq!(warning["code"], "name_unknown", "{report}");
        assert!(errors.contains(warning["message"].as_str().expect("a message")), "{warning} {errors}");
    }
    // Upper case and blanks are the same to the model, and give the same mask.
    assert_eq!(warned(&["liver"]).0, "");
    let plain = fs::read(&mask).expect("a mask");
    assert_eq!(warned(&["  LiVer "]).0, "");
    assert!(plain == fs::read(&mask).expect("a mask"), "another mask");
    assert_eq!(warned(&["liver tumor", "VERTEBRAL column", "lung"]).0, "");

    let (errors, report) = warned(&["liver", "spleen", "Liver"]);
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines[0], "warning: object \"Liver\": objects 1 and 3 have the same name [name_duplicate]");
    assert!(lines.len() == 2 && lines[1].ends_with(" [mask_overlap]"), "{errors}");
    assert_eq!(report["objects"][2]["warnings"][0]["code"], "name_duplicate");
    assert_eq!(report["objects"][0]["warnings"], json!([]));

    // What an object is called is free; only its text is compared.
    let objects = folder.path().join("objects.json");
    let list = json!({"schema_version": 1, "objects": [
        {"name": "pancreas", "points": [[60, 40, 25, 1]]}, {"name": "my favourite", "text": "spleen"}]});
    fs::write(&objects, list.to_string()).expect("written");
    let mut command = segment(&DEMO);
    let said = self::errors(command.arg("--prompts").arg(&objects).arg("-q").arg("--strict").arg("-o").arg(&mask));
    assert!(!said.contains("name_"), "{said}");

    let mut command = segment(&DEMO);
    command.args(["--text", "pancreas", "--fail-on-warning=name_unknown", "-q", "-o"]).arg(&mask);
    refused(&command.assert(), WARNED, &["name_unknown"]);
}

#[test]
fn strict_refuses_a_name_before_any_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let mask = folder.path().join("mask.nii.gz");
    let strict = |bundle: &Path, texts: &[&str]| {
        let mut command = segvol();
        // A scan that does not exist: nothing has been opened when the name is refused.
        command.args(["segment", "-i", "missing.nii.gz", "--strict", "-m"]).arg(bundle).arg("-o").arg(&mask);
        command.args(texts.iter().flat_map(|text| ["--text", text])).assert()
    };
    refused(&strict(&DEMO, &["liver", "pancreas"]), USAGE, &["--strict", "\"pancreas\"", "segvol names"]);
    refused(&strict(&DEMO, &["kidney left", "liverr"]), USAGE, &["\"left kidney\"", "\"liverr\"", "\"liver\""]);
    refused(&strict(&DEMO, &["liver", "left kidney"]), INPUT, &["missing.nii.gz"]);
    assert!(!mask.exists());
    let mut known = segment(&DEMO);
    known.args(["--strict", "--text", "liver", "-q", "-o"]).arg(&mask);
    assert_eq!(errors(&mut known), "");

    let without = changed(folder.path(), |manifest| manifest.names = None);
    refused(&strict(&without, &["liver"]), USAGE, &["--strict", "does not say which names", "convert --names"]);
}

#[test]
fn eval_warns_once_per_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let case = |name: &str| json!({"name": name, "image": demo_folder().join("phantom.nii.gz"), "labels": demo_folder().join("phantom_labels.nii.gz")});
    let list = json!({"schema_version": 1, "structures": {"liver": 1, "spleeen": 2}, "cases": [case("a"), case("b")]});
    let cases = folder.path().join("cases.json");
    fs::write(&cases, list.to_string()).expect("written");
    let eval = |kind: &str, more: &[&str]| {
        let mut command = segvol();
        command.arg("eval").arg("-m").arg(&*DEMO).arg("--cases").arg(&cases).args(["--prompts", kind]).args(more);
        command.args(["--no-zoom", "--provider", "cpu"]);
        command
    };
    let said = errors(&mut eval("text,text+box", &[]));
    assert_eq!(said.matches("[name_unknown]").count(), 1, "{said}");
    assert!(said.contains("structure \"spleeen\"") && said.contains("did you mean \"spleen\"?"), "{said}");
    assert_eq!(errors(&mut eval("box", &["--strict"])), "");
    refused(&eval("text", &["--strict"]).assert(), USAGE, &["--strict", "\"spleeen\"", "\"spleen\""]);
    refused(&eval("text", &["--fail-on-warning"]).assert(), WARNED, &["name_unknown"]);
}

/// A folder with the micro model's checkpoint, `config.json` with more fields, and tokenizer.
fn micro(more: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config: Value = serde_json::from_str(&models::config_json(&models::micro())).expect("JSON");
    config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    fs::write(folder.path().join("config.json"), config.to_string()).expect("written");
    segvol_tests::seeded::write_tokenizer(folder.path(), &models::micro()).expect("written");
    fs::copy(data("checkpoints/github.pth"), folder.path().join("SegVol_v1.pth")).expect("copied");
    folder
}

fn convert(folder: &Path, more: &[&str]) -> Command {
    let mut command = segvol();
    command.arg("convert").arg("SegVol_v1.pth").args(["-o", "bundle", "--force"]).args(more).current_dir(folder);
    command
}

fn names_of(folder: &Path) -> Option<(String, Vec<String>)> {
    let names = Manifest::read(&folder.join("bundle")).expect("a bundle").names?;
    Some((names.source().to_owned(), names.list().iter().map(|name| name.name.clone()).collect()))
}

#[test]
fn a_bundle_has_the_names_of_the_option_then_of_the_configuration() {
    let folder = micro(&json!({"names": ["heart", "lung"]}));
    let at = |file: &str| folder.path().join(file);
    said(convert(folder.path(), &[]).assert());
    let (source, names) = names_of(folder.path()).expect("names");
    assert_eq!((source.as_str(), names), ("config.json", vec!["heart".to_owned(), "lung".to_owned()]));

    fs::write(at("mine.txt"), "\u{feff}# mine\r\nleft nut\r\n\r\nright nut\r\n").expect("written");
    let printed = said(convert(folder.path(), &["--names", "mine.txt"]).assert());
    assert!(printed.contains("2 names, from mine.txt"), "{printed}");
    let (source, names) = names_of(folder.path()).expect("names");
    assert_eq!((source.as_str(), names), ("mine.txt", vec!["left nut".to_owned(), "right nut".to_owned()]));

    // The same names in a label map of a data set.
    fs::write(at("mine.json"), r#"{"labels": {"background": 0, "left nut": 1, "right nut": 2}}"#).expect("written");
    said(convert(folder.path(), &["--names", "mine.json"]).assert());
    assert_eq!(names_of(folder.path()).expect("names").1, ["left nut", "right nut"]);

    fs::write(at("twice.txt"), "nut\nNUT\n").expect("written");
    let twice = ["--names", "twice.txt"];
    assert!(errors(&mut convert(folder.path(), &twice)).contains("\"NUT\" is listed twice [name_duplicate]"));
    let failing = [&twice[..], &["--fail-on-warning"]].concat();
    refused(&convert(folder.path(), &failing).assert(), WARNED, &["name_duplicate"]);
    assert_eq!(names_of(folder.path()).expect("names").1, ["nut"]);

    fs::remove_dir_all(at("bundle")).expect("removed");
    fs::write(at("bad.json"), "{\"nut\": [\"kernel\", 1]}").expect("written");
    refused(
        &convert(folder.path(), &["--names", "bad.json"]).assert(),
        INPUT,
        &["bad.json", "\"nut\"", "the number 1"],
    );
    refused(&convert(folder.path(), &["--names", "SegVol_v1.pth"]).assert(), INPUT, &["SegVol_v1.pth", "UTF-8"]);
    refused(&convert(folder.path(), &["--names", "none.txt"]).assert(), INPUT, &["none.txt"]);
    assert!(!at("bundle").exists());

    let wrong = micro(&json!({"names": ["heart", "Heart"]}));
    refused(&convert(wrong.path(), &[]).assert(), INPUT, &["config.json", "`names`", "\"Heart\" is listed twice"]);
    let wrong = micro(&json!({"names": [1]}));
    refused(&convert(wrong.path(), &[]).assert(), INPUT, &["config.json", "name 1"]);
}

#[test]
fn a_bundle_without_names_says_so_and_warns_of_none() {
    let folder = micro(&json!({}));
    assert!(said(convert(folder.path(), &[]).assert()).contains("no names"));
    assert_eq!(names_of(folder.path()), None);
    let listed = segvol().arg("names").arg(folder.path().join("bundle")).arg("liver").assert().success();
    let output = listed.get_output();
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("convert --names"), "{output:?}");
    let json = said(segvol().args(["names", "--json"]).arg(folder.path().join("bundle")).assert());
    let found: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&found["names"], &found["known"]), (&Value::Null, &json!(0)));

    // A bundle of the last version has no names.
    let older = changed(folder.path(), |manifest| (manifest.schema_version, manifest.names) = (3, None));
    assert!(!fs::read_to_string(older.join(MANIFEST_FILE)).expect("read").contains("\"names\""));
    let mask = folder.path().join("mask.nii.gz");
    assert_eq!(errors(segment(&older).args(["--text", "pancreas", "-q", "-o"]).arg(&mask)), "");
}

#[test]
fn a_bundle_of_another_version_or_with_another_models_tokenizer_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |bundle: &Path| segment(bundle).args(["--text", "liver", "-o", "mask.nii.gz"]).assert();
    let newer = changed(folder.path(), |manifest| manifest.schema_version = 5);
    refused(&open(&newer), BUNDLE, &["schema_version 3 or 4", "found 5", "newer version"]);
    fs::remove_dir_all(&newer).expect("removed");
    let other = changed(folder.path(), |manifest| {
        let tokenizer = manifest.tokenizer.as_mut().expect("a tokenizer");
        assert_eq!(tokenizer.end_id, 608);
        tokenizer.end_id = 607;
    });
    refused(&open(&other), BUNDLE, &["end_id", "608", "607", "another model"]);
}

#[test]
fn a_tokenizer_of_another_model_is_refused_with_the_place_of_the_right_one() {
    let folder = micro(&json!({}));
    let at = |file: &str| folder.path().join(file);
    let demo = demo_folder().join("tokenizer.json").display().to_string();
    let refusal = convert(folder.path(), &["--tokenizer", &demo]).assert();
    refused(&refusal, INPUT, &["320 token ids", "found 609", "another model", "hint: --tokenizer"]);
    fs::remove_file(at("tokenizer.json")).expect("removed");
    let refusal = convert(folder.path(), &[]).assert();
    refused(&refusal, INPUT, &["tokenizer.json", "vocab.json with merges.txt", "320 token ids", "hint: --tokenizer"]);
    assert!(!at("bundle").exists());
}
