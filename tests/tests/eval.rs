//! `segvol eval`: its scores, that they depend only on the input, and its errors for bad cases.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use segvol::mask::Mask;
use segvol::metrics::dice;
use segvol::{Model, Prompt, Volume};
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::evaluation::{scan, truth};
use segvol_tests::golden::volume_record;
use segvol_tests::{bundle, models};
use serde_json::{Value, json};
use tempfile::TempDir;

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const BELOW: i32 = 3;
const INPUT: i32 = 5;
const WARNED: i32 = 7;

/// The names of the scans, which are also the names of the cases.
const SCANS: [&str; 3] = ["lps_int16", "ras_scaled_odd", "smaller_than_window"];

/// A bundle of the tiny model, shared by all tests here.
static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("eval");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

/// A folder with a label map for each scan, `NAME_labels.nii.gz`, and a case list, `cases.json`.
fn folder() -> TempDir {
    let folder = segvol_tests::folder!();
    for name in SCANS {
        truth(name).save(folder.path().join(format!("{name}_labels.nii.gz"))).expect("saved");
    }
    write_list(folder.path(), json!({"liver": 1, "spleen": 2, "left kidney": 3}), &SCANS.map(case));
    folder
}

fn case(name: &str) -> Value {
    json!({"image": scan(name), "labels": format!("{name}_labels.nii.gz")})
}

fn write_list(folder: &Path, structures: Value, cases: &[Value]) {
    let list = json!({"schema_version": 1, "structures": structures, "cases": cases});
    fs::write(folder.join("cases.json"), list.to_string()).expect("written");
}

/// The command `segvol eval` with the folder's case list and the tiny bundle.
fn eval(folder: &Path) -> Command {
    let mut command = Command::new(&*SEGVOL);
    command.args(["eval", "--provider", "cpu", "-m"]).arg(&*TINY).arg("--cases").arg(folder.join("cases.json"));
    command
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("read")).expect("JSON")
}

/// Together, all structures of a case share windows; apart, each has the windows that it needs alone.
#[test]
fn structures_together_share_windows_and_the_windows_are_counted() {
    let folder = folder();
    let rows = folder.path().join("rows.json");
    let count = |options: &[&str]| {
        eval(folder.path()).args(["--prompts", "text", "-o"]).arg(&rows).args(options).assert().success();
        let found = read(&rows);
        let mut windows = 0;
        for case in found["cases"].as_array().expect("cases") {
            let needed = case["windows"]["text"].as_u64().expect("a number");
            let rows = case["rows"].as_array().expect("rows");
            let of = |row: &Value| row["windows"]["total"].as_u64().expect("a number");
            let alone: u64 = rows.iter().map(|row| 1 + of(row)).sum();
            match options {
                [] => assert_eq!(needed, alone, "one call for each row"),
                _ => assert!(needed <= 1 + rows.iter().map(of).sum::<u64>(), "{needed} of {alone}"),
            }
            windows += needed;
        }
        assert_eq!(found["header"]["settings"]["together"], !options.is_empty());
        windows
    };
    let (apart, together) = (count(&[]), count(&["--together"]));
    assert!(together < apart, "{together} windows together, {apart} apart");
}

/// The Dice of each row equals that of the library for the same prompt, for the zoom-out and the zoom-in pass.
#[test]
fn rows_hold_the_scores_of_the_librarys_masks() {
    let folder = folder();
    let rows = folder.path().join("rows.json");
    let said = said(eval(folder.path()).arg("-o").arg(&rows).assert());
    for part in ["| structure ", "| liver ", "| **all** ", "Surface Dice at 2 mm", "3 of 3 cases scored, 6 objects"] {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
    assert!(!folder.path().join("rows.json.work.jsonl").exists(), "a work file without --work is left");
    let found = read(&rows);
    let model = Model::open(&*TINY, &segvol::Options::default().provider(segvol::Provider::Cpu)).expect("a bundle");
    for (name, found) in SCANS.iter().zip(found["cases"].as_array().expect("cases")) {
        assert_eq!(found["case"], *name);
        let found = found["rows"].as_array().expect("rows");
        // Five prompts for each of two structures, and a text for the absent one.
        assert_eq!(found.len(), 11);
        assert_eq!((&found[10]["structure"], &found[10]["prompt"]), (&json!("left kidney"), &json!("text")));
        assert_eq!(found[10]["truth_voxels"], 0);
        let truth = truth(name);
        // Each object by itself, as if nothing else had been segmented.
        let independent = segvol::StudyOptions::default().independent(true);
        let study = model.study_with(Volume::open(scan(name)).expect("a scan"), &independent).expect("a study");
        for (value, structure) in [(1, "liver"), (2, "spleen")] {
            let (min, max) = truth.bounding_box_ijk(value).expect("a structure");
            let bounds = [min, max].map(|corner| corner.map(|c| c as f64));
            let text = Prompt::text(structure);
            let boxed = Prompt::new().bounding_box(bounds[0], bounds[1]);
            let both = text.clone().bounding_box(bounds[0], bounds[1]);
            for (kind, prompt) in [("text", text), ("box", boxed), ("text+box", both)] {
                let row = found.iter().find(|row| row["structure"] == structure && row["prompt"] == kind);
                let row = row.expect("a row");
                let expected = study.segment(&prompt).expect("segmented");
                let inside = truth.voxels_of(value).expect("memory");
                for (pass, mask) in [
                    ("zoom_out", expected.zoom_out_mask().expect("memory")),
                    ("zoom_in", expected.mask().expect("memory")),
                ] {
                    let expected = dice(&mask.voxels_of(1).expect("memory"), &inside, |&a| a, |&b| b);
                    let found = row[pass]["dice"].as_f64().expect("a number");
                    assert!((found - expected).abs() < 1e-12, "{name}, {structure}, {kind}, {pass}: {found}");
                    assert_eq!(row[pass]["voxels"], mask.count(1));
                }
            }
        }
    }
    // If all rows were equal in both passes, the comparison would prove nothing.
    let all = found["cases"].as_array().expect("cases").iter().flat_map(|case| case["rows"].as_array().expect("rows"));
    assert!(all.clone().any(|row| row["zoom_in"] != row["zoom_out"]));
    assert!(all.clone().any(|row| row["zoom_in"]["dice"].as_f64() > Some(0.0)));
}

#[test]
fn jobs_and_stops_change_no_byte() {
    let folder = folder();
    let (rows, work) = (folder.path().join("rows.csv"), folder.path().join("work.jsonl"));
    let run = |jobs: &str| {
        let mut command = eval(folder.path());
        command.args(["--prompts", "points,text", "--jobs", jobs, "--format", "json", "-o"]).arg(&rows);
        let said = said(command.arg("--work").arg(&work).assert());
        (said, fs::read(&rows).expect("read"))
    };
    let first = run("1");
    let records = fs::read_to_string(&work).expect("read");
    assert_eq!(records.lines().count(), 1 + SCANS.len());
    fs::remove_file(&work).expect("removed");
    assert!(run("3") == first, "three cases in parallel gave other scores");

    // A run that was killed while it wrote the second case: it finishes with the same scores. After that, a mark in the
    // record of the first case shows that finished cases are reused.
    let mut lines: Vec<String> = records.lines().map(str::to_owned).collect();
    let half = lines[2].len() / 2;
    let torn = format!("{}\n{}\n{}", lines[0], lines[1], &lines[2][..half]);
    fs::write(&work, &torn).expect("written");
    assert!(run("2") == first, "a resumed run gave other scores");
    assert_eq!(fs::read_to_string(&work).expect("read").lines().count(), 1 + SCANS.len());
    lines[1] =
        lines[1].replacen("\"warnings\":[]", "\"warnings\":[{\"code\":\"prompt_moved\",\"message\":\"marked\"}]", 1);
    fs::write(&work, format!("{}\n", lines.join("\n"))).expect("written");
    let marked = run("1");
    assert!(marked.0.contains("marked"), "a finished case was computed again");
    assert!(marked.1 == first.1, "a resumed run gave other scores");

    // A case with a changed label map is computed again, although its name is the same.
    let other = folder.path().join("ras_scaled_odd_labels.nii.gz");
    let mask = truth("ras_scaled_odd");
    let flipped: Vec<u8> =
        mask.voxels_of(1).expect("memory").into_iter().map(|inside| if inside { 2 } else { 1 }).collect();
    let flipped = Mask::from_labels(flipped, std::sync::Arc::clone(mask.grid())).expect("a mask");
    flipped.save(&other).expect("saved");
    assert!(run("1").1 != first.1, "a label map that changed was not scored again");

    let assert = eval(folder.path()).args(["--seed", "1", "--work"]).arg(&work).assert();
    refused(&assert, USAGE, &["work.jsonl", "settings.prompts", "remove the file"]);
    let mut command = eval(folder.path());
    let assert = command.args(["--prompts", "points,text", "--seed", "1", "--work"]).arg(&work).assert();
    refused(&assert, USAGE, &["settings.seed", "expected 1", "found 0"]);
    fs::write(&work, format!("{}\nnot a record\n{}\n", lines[0], lines[1])).expect("written");
    let mut command = eval(folder.path());
    refused(&command.args(["--prompts", "points,text", "--work"]).arg(&work).assert(), INPUT, &["work.jsonl, line 2"]);
}

#[test]
fn a_bad_case_is_named_with_its_cause_and_the_others_go_on() {
    let folder = folder();
    let here = |name: &str| folder.path().join(name);
    let good = truth("lps_int16");
    let save = |name: &str, volume: &Volume| {
        segvol::mask::save_logits(here(name), volume.voxels(), volume.grid()).expect("saved");
    };
    let scan_volume = Volume::open(scan("lps_int16")).expect("a scan");
    let labels: Vec<f32> =
        good.voxels_of(1).expect("memory").into_iter().map(|inside| f32::from(u8::from(inside))).collect();
    let affine = scan_volume.grid().affine().rows();
    let [[a, b, c, d], y, z] = affine;
    let moved = segvol::volume::Affine::new([[a, b, c, d + 1.0], y, z]);
    save("moved.nii", &Volume::new(good.shape_xyz(), labels.clone(), moved).expect("a volume"));
    let same = segvol::volume::Affine::new(affine);
    let halves = labels.iter().map(|label| label / 2.0).collect();
    save("halves.nii", &Volume::new(good.shape_xyz(), halves, same).expect("a volume"));
    save("flat.nii", &Volume::new(good.shape_xyz(), vec![7.0; labels.len()], same).expect("a volume"));
    fs::write(here("text.nii"), "not a scan").expect("written");

    let image = scan("lps_int16");
    let (own, liver) = ("lps_int16_labels.nii.gz", json!({"liver": 1}));
    write_list(
        folder.path(),
        liver,
        &[
            json!({"name": "shape", "image": image, "labels": "ras_scaled_odd_labels.nii.gz"}),
            json!({"name": "affine", "image": image, "labels": "moved.nii"}),
            json!({"name": "missing", "image": image, "labels": own, "structures": {"liver": 1, "spleen": 9}}),
            json!({"name": "no scan", "image": "none.nii.gz", "labels": own}),
            json!({"name": "no truth", "image": image, "labels": "text.nii"}),
            json!({"name": "halves", "image": image, "labels": "halves.nii"}),
            json!({"name": "flat", "image": "flat.nii", "labels": own}),
            json!({"name": "good", "image": image, "labels": own}),
        ],
    );
    let rows = here("rows.csv");
    let assert = eval(folder.path()).args(["--prompts", "box", "--jobs", "2", "-o"]).arg(&rows).assert();
    refused(&assert, FAILED, &["error: 7 of 8 cases have no scores"]);
    let message = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    for (case, parts) in [
        ("shape", vec!["ras_scaled_odd_labels.nii.gz", "expected the scan's shape", "found"]),
        ("affine", vec!["moved.nii", "expected the scan's position", "1.00 mm"]),
        ("missing", vec!["lps_int16_labels.nii.gz", "voxels with label 9 for \"spleen\"", "[1, 2"]),
        ("no scan", vec!["none.nii.gz"]),
        ("no truth", vec!["text.nii"]),
        ("halves", vec!["halves.nii", "voxel", "0.5"]),
        ("flat", vec!["flat.nii"]),
    ] {
        let lines: Vec<&str> = message.lines().filter(|line| line.starts_with(&format!("case {case:?}: "))).collect();
        assert_eq!(lines.len(), 1, "{case}: {message}");
        for part in parts {
            assert!(lines[0].contains(part), "no {part:?} in: {}", lines[0]);
        }
    }
    assert!(!message.contains("case \"good\""), "{message}");
    let kept = fs::read_to_string(&rows).expect("read");
    assert_eq!(kept.lines().count(), 2, "{kept}");
    assert!(kept.lines().nth(1).is_some_and(|line| line.starts_with("good,liver,1,box,")), "{kept}");
    let said = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(said.contains("1 of 8 cases scored, 1 objects"), "{said}");
}

#[test]
fn what_cannot_be_evaluated_at_all_is_said() {
    let folder = folder();
    write_list(folder.path(), json!({"left kidney": 3}), &[case("lps_int16")]);
    refused(&eval(folder.path()).assert(), INPUT, &["no object in any case", "left kidney (3)"]);
    write_list(folder.path(), json!({"liver": 1}), &[json!({"image": "a.nii", "label": "b.nii"})]);
    refused(&eval(folder.path()).assert(), INPUT, &["cases.json", "case 1", "`label`"]);
    write_list(folder.path(), json!({"liver": 1}), &[case("lps_int16"), case("lps_int16")]);
    refused(&eval(folder.path()).assert(), INPUT, &["cases 1 and 2", "lps_int16"]);
    write_list(folder.path(), json!({"liver": 1}), &[case("lps_int16")]);
    let with = |arguments: &[&str]| eval(folder.path()).args(arguments).assert();
    refused(&with(&["--prompts", "click"]), USAGE, &["click", "text+box"]);
    refused(&with(&["--tolerance=-1"]), USAGE, &["tolerance", "-1"]);
    refused(&with(&["--points", "0"]), USAGE, &["points", "0"]);
    refused(&with(&["-o", "rows.txt"]), USAGE, &["rows.txt", ".csv"]);
    refused(&with(&["-o", "no/such/folder/rows.csv"]), USAGE, &["no/such/folder"]);
    refused(&with(&["--min-dice", "0.9"]), USAGE, &["--against"]);
    refused(&with(&["--images", "scans"]), USAGE, &["--cases"]);
    refused(&Command::new(&*SEGVOL).args(["eval", "-m", "bundle"]).assert(), USAGE, &["--cases"]);
}

#[test]
fn two_folders_make_cases_and_no_file_is_passed_over() {
    let folder = segvol_tests::folder!();
    let here = |name: &str| folder.path().join(name);
    for name in ["scans", "masks"] {
        fs::create_dir(here(name)).expect("a folder");
    }
    fs::copy(scan("lps_int16"), here("scans/a.nii.gz")).expect("copied");
    fs::copy(scan("lps_int16"), here("scans/alone.nii.gz")).expect("copied");
    truth("lps_int16").save(here("masks/a.nii")).expect("saved");
    for leftover in ["scans/._a.nii.gz", "masks/._a.nii", "masks/.DS_Store", "scans/Thumbs.db", "scans/.hidden.nii.gz"]
    {
        fs::write(here(leftover), "not a scan").expect("written");
    }
    fs::write(here("names.json"), "\u{feff}{\r\n\"liver\": 1}\r\n").expect("written");
    let mut command = Command::new(&*SEGVOL);
    command.args(["eval", "--prompts", "box", "--format", "csv", "--provider", "cpu", "-m"]).arg(&*TINY);
    command.arg("--images").arg(here("scans")).arg("--truth").arg(here("masks"));
    let assert = command.arg("--names").arg(here("names.json")).assert();
    refused(&assert, FAILED, &["case \"alone\": ", "alone.nii.gz", "1 of 2 cases"]);
    let said = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(said.lines().nth(1).is_some_and(|line| line.starts_with("liver,box,1,0,0,")), "{said}");
}

#[test]
fn a_picture_per_case_and_kind_of_prompt() {
    let folder = folder();
    let pictures = folder.path().join("pictures");
    write_list(folder.path(), json!({"liver": 1, "spleen": 2}), &[case("lps_int16"), case("ras_scaled_odd")]);
    let mut command = eval(folder.path());
    said(command.args(["--prompts", "box,text+box", "--overlay"]).arg(&pictures).assert());
    let mut names: Vec<String> = fs::read_dir(&pictures)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let expected = ["lps_int16.box", "lps_int16.text+box", "ras_scaled_odd.box", "ras_scaled_odd.text+box"];
    assert_eq!(names, expected.map(|name| format!("{name}.png")));
    let bytes = |name: &str| fs::read(pictures.join(format!("{name}.png"))).expect("read");
    assert!(bytes(expected[0]).starts_with(b"\x89PNG\r\n"));
    assert_ne!(bytes(expected[0]), bytes(expected[1]), "other prompts, other masks");
}

/// The comparison with another precision or provider: equal masks pass, and different masks are an error that names
/// them.
#[test]
fn masks_of_two_bundles_are_compared() {
    let folder = folder();
    let gate = |other: &Path, format: &str| {
        let mut command = eval(folder.path());
        command.args(["--prompts", "text,box", "--min-dice", "0.999", "--format", format, "--against"]).arg(other);
        command.args(["--against-provider", "cpu"]).assert()
    };
    let said = said(gate(&TINY, "md"));
    assert!(said.contains("least: 1.0000"), "{said}");
    // Other weights, which give smaller masks.
    let weights = volume_record("lps_int16").variants["focus0.15"].bias_added.clone();
    let other = bundle::seeded(&folder.path().join("other"), &models::tiny(), &weights);
    let assert = gate(&other, "json");
    refused(&assert, BELOW, &["Dice of at least 0.999", "found 0."]);
    let found: Value = serde_json::from_slice(&assert.get_output().stdout).expect("JSON");
    let rows = found["cases"].as_array().expect("cases").iter().flat_map(|case| {
        let rows = case["rows"].as_array().expect("rows").iter();
        rows.map(|row| (case["case"].as_str().expect("a name"), row))
    });
    let dice = |row: &Value| row["against"]["zoom_in_dice"].as_f64().expect("a number");
    let (case, worst) = rows.min_by(|a, b| dice(a.1).total_cmp(&dice(b.1))).expect("rows");
    let named = format!(
        "case {case:?}, {} by {}:",
        worst["structure"].as_str().expect("a name"),
        worst["prompt"].as_str().expect("a kind")
    );
    refused(&assert, BELOW, &[&named]);
    assert_ne!(found["header"]["model"]["manifest_sha256"], found["header"]["against"]["manifest_sha256"]);
}

/// As every observer: it may stop the work. What is finished stays.
#[test]
fn an_observer_can_stop_an_evaluation_and_finished_rows_are_kept() {
    use std::ops::ControlFlow;

    use segvol_evaluation::{Evaluation, EvaluationError, Kind, Run, Settings, cases};

    let folder = folder();
    let cases = cases::read_list(&folder.path().join("cases.json")).expect("a list");
    let model = Model::open(&*TINY, &bundle::on_cpu()).expect("a bundle");
    let settings = Settings { prompts: vec![Kind::ALL[0]], ..Settings::default() };
    let evaluation = Evaluation::new(&model, segvol::StudyOptions::default().zoom_in(false), settings);
    let work = folder.path().join("work.jsonl");
    let run = Run { jobs: 1, memory: None, work: Some(work.clone()) };
    let mut seen = 0;
    let error = evaluation.run(&cases, &run, &mut |_| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert!(matches!(error, Err(EvaluationError::Cancelled)), "{error:?}");
    assert_eq!(seen, 1);
    // A line for the settings, and one for the case that had ended.
    assert_eq!(fs::read_to_string(&work).expect("a work file").lines().count(), 2);
}

/// A list with commas, a list with spaces (as the help prints the default) and a repeated option say the same.
#[test]
fn kinds_of_prompts_are_a_list_in_any_form() {
    let folder = folder();
    write_list(folder.path(), json!({"liver": 1}), &[case("lps_int16")]);
    let run = |arguments: &[&str]| {
        let mut command = eval(folder.path());
        said(command.args(["--no-zoom", "--format", "csv"]).args(arguments).assert())
    };
    let expected = run(&["--prompts", "text,box"]);
    assert!(expected.contains("liver,text,") && expected.contains("liver,box,") && !expected.contains("points"));
    assert_eq!(run(&["--prompts", "text", "box", "-q"]), expected);
    assert_eq!(run(&["--prompts", "text", "--prompts", "box"]), expected);
    refused(&eval(folder.path()).args(["--prompts", "text", "bocks"]).assert(), USAGE, &["bocks", "text+box"]);
}

#[test]
fn several_orientations_are_compared_in_one_run() {
    let folder = folder();
    write_list(folder.path(), json!({"liver": 1}), &[case("lps_int16")]);
    let here = |name: &str| folder.path().join(name);
    let run = |orientation: &str, arguments: &[&str]| {
        let mut command = eval(folder.path());
        command.args(["--prompts", "text", "--orientation", orientation, "-o"]).arg(here("rows.csv")).args(arguments);
        (said(command.assert()), fs::read_to_string(here("rows.csv")).expect("read"))
    };
    let (said_of_all, rows) = run("ras,LPS,stored", &["--overlay", &here("pictures").to_string_lossy()]);
    for part in
        ["# Orientation ras\n", "# Orientation stored\n", "| prompt | ras   | lps   | stored |", "highest mean Dice"]
    {
        assert!(said_of_all.contains(part), "no {part:?} in: {said_of_all}");
    }
    let lines: Vec<&str> = rows.lines().collect();
    assert_eq!(lines.len(), 4, "{rows}");
    let (_, one) = run("ras", &[]);
    assert_eq!(lines[0], format!("orientation,{}", one.lines().next().expect("names")));
    assert_eq!(lines[1], format!("ras,{}", one.lines().nth(1).expect("a row")));
    // The file stores LPS axes, so these are what the model sees in the second and in the third run.
    assert_eq!(lines[2].replacen("lps", "stored", 1), lines[3]);
    assert_ne!(lines[1].split_once(',').map(|cells| cells.1), lines[2].split_once(',').map(|cells| cells.1));
    for orientation in ["ras", "lps", "stored"] {
        assert!(here("pictures").join(orientation).join("lps_int16.text.png").exists(), "{orientation}");
    }
    let left = fs::read_dir(folder.path()).expect("listed").flatten();
    assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().contains("work")), "a work file is left");

    // A work file for each orientation, so that another list of orientations reuses what is there.
    let work = here("kept.jsonl");
    let with_work = |orientation: &str| run(orientation, &["--work", &work.to_string_lossy()]).1;
    assert_eq!(with_work("ras,lps"), format!("{}\n", lines[..3].join("\n")));
    let (ras, lps) = (here("kept.ras.jsonl"), here("kept.lps.jsonl"));
    let text = fs::read_to_string(&lps).expect("a work file");
    fs::write(&lps, text.replacen("\"truth_voxels\":", "\"truth_voxels\":1", 1)).expect("written");
    assert!(ras.exists());
    assert_ne!(with_work("pir,lps").lines().nth(2), Some(lines[2]), "a finished case was computed again");

    let wrong = |orientation: &str| eval(folder.path()).args(["--orientation", orientation]).assert();
    refused(&wrong("ras,rls"), USAGE, &["r and l are the same axis"]);
    refused(&wrong("ras,lps,RAS"), USAGE, &["--orientation", "ras twice"]);
    refused(&wrong("radiological"), USAGE, &["stored", "three letters"]);
}

/// Without label maps, the sides of the kidneys say which axes a model was trained with.
#[test]
fn sides_tell_the_orientation_of_a_model() {
    let folder = segvol_tests::folder!();
    let here = |name: &str| folder.path().join(name);
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo");
    bundle::converted(&demo.join("SegVol_demo.pth"), &here("bundle"), &segvol_converter::Options::default());
    fs::create_dir(here("scans")).expect("a folder");
    fs::copy(demo.join("phantom.nii.gz"), here("scans/phantom.nii.gz")).expect("copied");
    for leftover in ["._phantom.nii.gz", ".DS_Store", "Thumbs.db"] {
        fs::write(here("scans").join(leftover), b"\0\x05\x16\x07").expect("written");
    }
    let sides = |arguments: &[&str]| {
        let mut command = Command::new(&*SEGVOL);
        command.args(["eval", "--provider", "cpu", "--no-zoom", "-q", "-m"]).arg(here("bundle"));
        command.arg("--images").arg(here("scans")).args(arguments).assert()
    };
    let rows = here("rows.csv");
    let assert = sides(&["--orientation", "ras,las,stored", "--fail-on-warning", "-o", &rows.to_string_lossy()]);
    refused(
        &assert,
        WARNED,
        &[
            "warning: case \"phantom\": the model expects RAS axes, and sees LPS; left and right may be exchanged [orientation_unexpected]",
            "[sides_swapped]",
            "\"left kidney\" lies ",
        ],
    );
    let said_of_all = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    for part in ["1 of 1 cases compared, without known masks", "left and right are right most often: ras\n"] {
        assert!(said_of_all.contains(part), "no {part:?} in: {said_of_all}");
    }
    let rows = fs::read_to_string(&rows).expect("written before the exit");
    let verdicts: Vec<&str> = rows.lines().skip(1).map(|line| line.split(',').nth(4).expect("a verdict")).collect();
    assert_eq!(verdicts, ["ok", "swapped", "swapped"], "{rows}");

    // The default is what the bundle says, and gives no warning.
    let assert = sides(&["--fail-on-warning", "--format", "json", "--pairs", "left kidney/right kidney"]);
    let found: Value = serde_json::from_str(&said(assert)).expect("JSON");
    assert_eq!((&found["header"]["orientation"], &found["sides"][0]["ok"]), (&json!("ras"), &json!(1)));
    let kidney = &found["cases"][0]["sides"][0];
    let x = |side: &str| kidney[side]["centre_ras_mm"][0].as_f64().expect("a number");
    assert!(x("left") < -20.0 && x("right") > 20.0, "{kidney}");

    fs::write(here("names.json"), "\u{feff}{\"liver\": 1,\r\n \"spleen\": 2}").expect("written");
    let names = here("names.json").to_string_lossy().into_owned();
    refused(&sides(&["--names", &names]), USAGE, &["\"liver\", \"spleen\"", "--pairs"]);
    refused(&sides(&["--prompts", "box"]), USAGE, &["prompts: expected text"]);
    refused(&sides(&["--overlay", &here("pictures").to_string_lossy()]), USAGE, &["--overlay", "label maps"]);
    refused(&sides(&["--pairs", "left kidney"]), USAGE, &["LEFT/RIGHT"]);
    fs::remove_file(here("scans/phantom.nii.gz")).expect("removed");
    refused(&sides(&[]), INPUT, &["scans: expected at least one scan (.nii.gz, .nii,"]);
}

#[test]
fn label_maps_are_there_for_all_cases_or_for_none() {
    let folder = folder();
    let without = json!({"name": "b", "image": scan("lps_int16")});
    write_list(folder.path(), json!({"liver": 1}), &[case("lps_int16"), without.clone()]);
    refused(&eval(folder.path()).assert(), INPUT, &["case \"lps_int16\" has a label map, and case \"b\" has none"]);
    write_list(folder.path(), json!({"liver": 1}), &[without]);
    refused(&eval(folder.path()).assert(), USAGE, &["no label maps", "\"liver\"", "--pairs"]);
    write_list(folder.path(), json!({"liver": 1}), &[case("lps_int16")]);
    let assert = eval(folder.path()).args(["--pairs", "left kidney/right kidney"]).assert();
    refused(&assert, USAGE, &["--pairs: expected cases without label maps"]);
}

/// Twenty objects with one kind of warning are one line.
#[test]
fn warnings_of_many_objects_are_one_line() {
    let folder = folder();
    let run = |arguments: &[&str]| {
        eval(folder.path()).args(["--prompts", "text", "--no-zoom", "-q"]).args(arguments).assert()
    };
    let found = |assert: &assert_cmd::assert::Assert| {
        let text = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        text.lines().filter(|line| line.starts_with("warning: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let (rows, work) = (folder.path().join("rows.csv"), folder.path().join("work.jsonl"));
    let work_text = work.to_string_lossy().into_owned();
    let before = found(&run(&["--work", &work_text]));
    // The same results with a warning about every object.
    let text = fs::read_to_string(&work).expect("a work file");
    let warning = "\"against\":null,\"warnings\":[{\"code\":\"prompt_moved\",\"message\":\"a\\u001bb\"}";
    let marked = text.replace("\"against\":null,\"warnings\":[", &format!("{warning},")).replace("},]", "}]");
    fs::write(&work, &marked).expect("written");
    let assert = run(&["--work", &work_text, "--fail-on-warning=prompt_moved", "-o", &rows.to_string_lossy()]);
    refused(&assert, WARNED, &["--fail-on-warning was given: prompt_moved"]);
    assert!(rows.exists(), "the output is written before the exit");
    let after = found(&assert);
    let expected = "warning: 9 times in 3 cases, first in case \"lps_int16\", liver by text: a";
    assert_eq!(after.iter().filter(|line| line.starts_with(expected)).count(), 1, "{after:?}");
    assert_eq!(after.len(), before.len() + 1, "{after:?}");
    run(&["--work", &work_text, "--fail-on-warning=sides_swapped"]).success();
}
