//! `segvol eval --interactive`: a box, then clicks in the middle of the largest error.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use segvol::metrics::Scores;
use segvol::{Model, PointLabel, Prompt, StudyOptions, Volume};
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::evaluation::{scan, truth};
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};
use serde_json::{Value, json};
use tempfile::TempDir;

const USAGE: i32 = 2;

const SCANS: [&str; 2] = ["lps_int16", "ras_scaled_odd"];

/// A bundle of the tiny model, shared by all tests here.
static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("eval_interactive");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

fn folder() -> TempDir {
    let folder = segvol_tests::folder!();
    for name in SCANS {
        truth(name).save(folder.path().join(format!("{name}_labels.nii.gz"))).expect("saved");
    }
    let cases = SCANS.map(|name| json!({"image": scan(name), "labels": format!("{name}_labels.nii.gz")}));
    let list = json!({"schema_version": 1, "structures": {"liver": 1, "spleen": 2, "pancreas": 7}, "cases": cases});
    fs::write(folder.path().join("cases.json"), list.to_string()).expect("written");
    folder
}

fn eval(folder: &Path) -> Command {
    let mut command = Command::new(&*SEGVOL);
    command.args(["eval", "--interactive", "--provider", "cpu", "-m"]).arg(&*TINY);
    command.arg("--cases").arg(folder.join("cases.json"));
    command
}

/// A click of the results.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Click {
    ijk: [usize; 3],
    foreground: bool,
}

impl Click {
    fn of(step: &Value) -> Self {
        let voxel = step["click"]["voxel_ijk"].as_array().expect("a voxel");
        let ijk = [0, 1, 2].map(|axis| voxel[axis].as_u64().expect("a number") as usize);
        Self { ijk, foreground: step["click"]["label"] == "foreground" }
    }
}

/// Whether a click is in the middle of the largest region of errors, and on the right side: found without the library, by
/// growing regions and measuring every distance.
fn is_right(click: Click, found: &[bool], truth: &[bool], shape: [usize; 3]) -> bool {
    let place = |index: usize| [index % shape[0], index / shape[0] % shape[1], index / (shape[0] * shape[1])];
    let index = |[i, j, k]: [usize; 3]| (k * shape[1] + j) * shape[0] + i;
    let wrong: Vec<bool> = found.iter().zip(truth).map(|(a, b)| a != b).collect();
    let mut label = vec![0_usize; wrong.len()];
    let mut sizes = vec![0_usize];
    for start in (0..wrong.len()).filter(|&start| wrong[start]) {
        if label[start] > 0 {
            continue;
        }
        let (number, mut stack) = (sizes.len(), vec![start]);
        sizes.push(0);
        label[start] = number;
        while let Some(at) = stack.pop() {
            sizes[number] += 1;
            let [i, j, k] = place(at).map(|n| n as i64);
            for (di, dj, dk) in (0..27).map(|n| (n % 3 - 1, n / 3 % 3 - 1, n / 9 - 1)) {
                let to = [i + di, j + dj, k + dk];
                if (0..3).all(|axis| to[axis] >= 0 && to[axis] < shape[axis] as i64) {
                    let next = index(to.map(|n| n as usize));
                    if wrong[next] && label[next] == 0 {
                        label[next] = number;
                        stack.push(next);
                    }
                }
            }
        }
    }
    let own = label[index(click.ijk)];
    if own == 0 || sizes[own] != sizes.iter().copied().max().unwrap_or(0) || truth[index(click.ijk)] != click.foreground
    {
        return false;
    }
    // Voxels beside the region, also beyond the grid.
    let is_own = |at: [i64; 3]| {
        (0..3).all(|axis| at[axis] >= 0 && at[axis] < shape[axis] as i64) && label[index(at.map(|n| n as usize))] == own
    };
    let region: Vec<[i64; 3]> =
        (0..wrong.len()).filter(|&at| label[at] == own).map(|at| place(at).map(|n| n as i64)).collect();
    let mut beside = BTreeSet::new();
    for &[i, j, k] in &region {
        for (axis, step) in (0..3).flat_map(|axis| [(axis, -1), (axis, 1)]) {
            let mut to = [i, j, k];
            to[axis] += step;
            if !is_own(to) {
                beside.insert(to);
            }
        }
    }
    let square = |a: [i64; 3], b: [i64; 3]| (0..3).map(|axis| (a[axis] - b[axis]).pow(2)).sum::<i64>();
    let at = click.ijk.map(|n| n as i64);
    let depth = beside.iter().map(|&other| square(at, other)).min().expect("something is beside");
    region.iter().all(|&other| beside.iter().any(|&outside| square(other, outside) <= depth))
}

/// Every step has the mask of the box and all clicks so far, and every click is where the challenge puts it.
#[test]
fn every_click_is_in_the_middle_of_the_largest_error() {
    let folder = folder();
    let rows = folder.path().join("rows.json");
    let masks = folder.path().join("masks");
    let said = said(eval(folder.path()).args(["--clicks", "3", "-o"]).arg(&rows).arg("--masks").arg(&masks).assert());
    for part in
        ["| click 3 |", "area (of 2)", "| **cases** | 2 |", "Seconds of each step", "2 of 2 cases scored, 4 objects"]
    {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
    let found: Value = serde_json::from_slice(&fs::read(&rows).expect("read")).expect("JSON");
    assert_eq!(found["header"]["settings"]["interactive"], 3);
    let model = Model::open(&*TINY, &bundle::on_cpu()).expect("a bundle");
    let mut clicks = 0;
    for (name, case) in SCANS.iter().zip(found["cases"].as_array().expect("cases")) {
        assert!(case.get("seconds").is_none(), "times are in no file of rows");
        let volume = Volume::open(scan(name)).expect("a scan");
        let study = model.study_with(volume, &StudyOptions::default().independent(true)).expect("a study");
        let sessions = case["interactive"].as_array().expect("sessions");
        assert_eq!(sessions.iter().map(|s| &s["structure"]).collect::<Vec<_>>(), ["liver", "spleen"]);
        for session in sessions {
            let label = session["value"].as_u64().expect("a value") as u16;
            let truth = truth(name);
            let (min, max) = truth.bounding_box_ijk(label).expect("a structure");
            let inside = truth.voxels_of(label).expect("memory");
            let mut prompt = Prompt::new().bounding_box(min.map(|c| c as f64), max.map(|c| c as f64));
            let mut last: Option<Vec<bool>> = None;
            let mut dice = Vec::new();
            for (number, step) in session["steps"].as_array().expect("steps").iter().enumerate() {
                if let Some(last) = &last {
                    let click = Click::of(step);
                    assert!(is_right(click, last, &inside, truth.shape_xyz()), "{name}, step {number}: {click:?}");
                    // Near misses: the other side, and places beside the middle.
                    let other = Click { foreground: !click.foreground, ..click };
                    assert!(!is_right(other, last, &inside, truth.shape_xyz()));
                    let right = |index: usize| last[index] == inside[index];
                    let [ni, nj, _] = truth.shape_xyz();
                    let outside = (0..last.len()).find(|&index| right(index)).expect("a voxel that is right");
                    let ijk = [outside % ni, outside / ni % nj, outside / (ni * nj)];
                    assert!(!is_right(Click { ijk, foreground: inside[outside] }, last, &inside, truth.shape_xyz()));
                    let label = if click.foreground { PointLabel::Foreground } else { PointLabel::Background };
                    prompt = prompt.point(click.ijk.map(|c| c as f64), label);
                    clicks += 1;
                }
                let mask = study.segment(&prompt).expect("segmented").mask().expect("memory");
                let voxels = mask.voxels_of(1).expect("memory");
                let expected = Scores::new(&voxels, &inside, mask.grid(), 2.0).expect("scores");
                assert_eq!(step["scores"], serde_json::to_value(expected).expect("JSON"), "{name}, step {number}");
                mask.save(folder.path().join("expected.nii.gz")).expect("saved");
                let kind = if number == 0 { "box".to_owned() } else { format!("click{number}") };
                let structure = session["structure"].as_str().expect("a name");
                let file = masks.join(format!("{name}/{structure}.{kind}.nii.gz"));
                assert!(
                    fs::read(&file).expect("a mask") == fs::read(folder.path().join("expected.nii.gz")).expect("read")
                );
                assert_eq!(step["mask"]["path"], json!(file));
                dice.push(expected.dice);
                last = Some(voxels);
            }
            assert_eq!(dice.len(), 4);
            // Trapezoids between clicks; the box is not in it.
            let area = (dice[1] + dice[2]) / 2.0 + (dice[2] + dice[3]) / 2.0;
            assert!((session["dice_auc"].as_f64().expect("an area") - area).abs() < 1e-12);
        }
    }
    assert_eq!(clicks, 12);
}

/// A click in a smaller region is refused by the test above.
#[test]
fn a_click_in_a_smaller_region_or_beside_the_middle_is_not_right() {
    let shape = [9, 5, 5];
    let mask = |is_in: &dyn Fn([usize; 3]) -> bool| -> Vec<bool> {
        (0..225).map(|index| is_in([index % 9, index / 9 % 5, index / 45])).collect()
    };
    let block = |[i, j, k]: [usize; 3], from: usize, to: usize, n: usize| (from..to).contains(&i) && j < n && k < n;
    let (nothing, truth) = (mask(&|_| false), mask(&|at| block(at, 0, 5, 5) || block(at, 6, 9, 3)));
    let right = |ijk, foreground| is_right(Click { ijk, foreground }, &nothing, &truth, shape);
    assert!(right([2, 2, 2], true));
    assert!(!right([7, 1, 1], true), "the smaller region");
    assert!(!right([2, 2, 1], true), "beside the middle");
    assert!(!right([2, 2, 2], false), "the other side");
}

#[test]
fn rows_do_not_depend_on_jobs_stops_and_time() {
    let folder = folder();
    let here = |name: &str| folder.path().join(name);
    let run = |jobs: &str, rows: &str| {
        let mut command = eval(folder.path());
        command.args(["--clicks", "2", "--jobs", jobs, "--format", "json", "-o"]).arg(here(rows));
        command.arg("--work").arg(here("work.jsonl")).arg("--times").arg(here("times.csv"));
        let printed: Value = serde_json::from_str(&said(command.assert())).expect("JSON");
        (fs::read(here(rows)).expect("read"), fs::read_to_string(here("times.csv")).expect("read"), printed)
    };
    let (json, times, printed) = run("1", "rows.json");
    let lines: Vec<&str> = times.lines().collect();
    assert_eq!((lines[0], lines.len()), ("case,structure,step,seconds", 1 + 2 * 2 * 3));
    assert!(lines[1].starts_with("lps_int16,liver,0,"), "{times}");
    let seconds = |line: &&str| line.rsplit(',').next().and_then(|seconds| seconds.parse::<f64>().ok());
    assert!(lines[1..].iter().all(|line| seconds(line).is_some_and(|seconds| seconds > 0.0)), "{times}");
    assert_eq!(printed["cases"][0]["seconds"]["liver"].as_array().map(Vec::len), Some(3));
    assert!(printed["curves"][0]["seconds_in_all"].as_f64() > Some(0.0));
    // A finished case is taken from the work file, with its times.
    let records = fs::read_to_string(here("work.jsonl")).expect("read");
    let lines: Vec<&str> = records.lines().collect();
    fs::write(here("work.jsonl"), format!("{}\n{}\n{}", lines[0], lines[1], &lines[2][..40])).expect("written");
    let (again, times_again, _) = run("2", "rows.json");
    assert!(again == json, "a resumed run gave other rows");
    let of_first =
        |times: &str| times.lines().filter(|line| line.starts_with("lps_int16,")).collect::<Vec<_>>().join("\n");
    assert_eq!(of_first(&times_again), of_first(&times));
    fs::remove_file(here("work.jsonl")).expect("removed");
    let (csv, ..) = run("2", "rows.csv");
    let csv = String::from_utf8(csv).expect("UTF-8");
    let names = "case,structure,value,truth_voxels,dice_0,dice_1,dice_2,dice_auc,dice_final,surface_dice_0,";
    assert!(csv.starts_with(names) && !csv.contains("seconds"), "{csv}");
    assert_eq!(csv.lines().count(), 5);
    fs::remove_file(here("work.jsonl")).expect("removed");
    assert!(run("1", "rows.csv").0 == csv.as_bytes(), "another run gave other rows");
    // Another number of clicks is another evaluation.
    let mut other = eval(folder.path());
    let assert = other.args(["--clicks", "3", "--work"]).arg(here("work.jsonl")).assert();
    refused(&assert, USAGE, &["settings.interactive", "expected 3", "found 2"]);
}

/// A mask that is equal to the truth is not clicked, and stays.
#[test]
fn a_right_mask_gets_no_click() {
    let folder = folder();
    let here = |name: &str| folder.path().join(name);
    let model = Model::open(&*TINY, &bundle::on_cpu()).expect("a bundle");
    let volume = Volume::open(scan(SCANS[0])).expect("a scan");
    let study = model.study_with(volume, &StudyOptions::default().independent(true).zoom_in(false)).expect("a study");
    // The mask of a box that is the mask's own box.
    let mut truth = truth(SCANS[0]);
    let mut stable = false;
    for _ in 0..20 {
        let (min, max) = truth.bounding_box_ijk(1).expect("a mask");
        let prompt = Prompt::new().bounding_box(min.map(|c| c as f64), max.map(|c| c as f64));
        let mask = study.segment(&prompt).expect("segmented").mask().expect("memory");
        stable = mask == truth;
        if stable {
            break;
        }
        truth = mask;
    }
    assert!(stable, "no box gives a mask with that box");
    truth.save(here("truth.nii.gz")).expect("saved");
    let cases = json!([{"image": scan(SCANS[0]), "labels": "truth.nii.gz"}]);
    let list = json!({"schema_version": 1, "structures": {"liver": 1}, "cases": cases});
    fs::write(here("cases.json"), list.to_string()).expect("written");
    let mut command = eval(folder.path());
    command.args(["--no-zoom", "--clicks", "2", "--format", "json", "--masks"]).arg(here("masks"));
    let found: Value = serde_json::from_str(&said(command.assert())).expect("JSON");
    let session = &found["cases"][0]["interactive"][0];
    let steps = session["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), 3);
    assert!(steps.iter().all(|step| step["click"].is_null() && step["scores"]["dice"] == 1.0), "{session}");
    assert_eq!(session["dice_auc"], 1.0);
    assert_eq!(found["cases"][0]["seconds"]["liver"][1], Value::Null);
    let bytes = |step: &str| fs::read(here("masks").join(format!("lps_int16/liver.{step}.nii.gz"))).expect("a mask");
    assert!(bytes("box") == bytes("click2"));
}

#[test]
fn what_does_not_go_with_clicks_is_refused() {
    let folder = folder();
    let with = |arguments: &[&str]| eval(folder.path()).args(arguments).assert();
    refused(&with(&["--clicks", "0"]), USAGE, &["clicks", "1 to 100", "found 0"]);
    refused(&with(&["--prompts", "text"]), USAGE, &["--prompts"]);
    for profile in ["released", "segfm"] {
        refused(&with(&["--profile", profile]), USAGE, &["profile: expected default", profile]);
    }
    refused(&with(&["--overlay", "pictures"]), USAGE, &["--overlay"]);
    let mut command = Command::new(&*SEGVOL);
    command.args(["eval", "--interactive", "-m"]).arg(&*TINY).arg("--images").arg(data("tiny/volumes"));
    refused(&command.assert(), USAGE, &["--interactive", "label maps"]);
    let mut command = Command::new(&*SEGVOL);
    command.args(["eval", "--clicks", "3", "-m"]).arg(&*TINY).arg("--cases").arg(folder.path().join("cases.json"));
    refused(&command.assert(), USAGE, &["--interactive"]);
    let mut command = Command::new(&*SEGVOL);
    command.args(["eval", "--clicks", "3", "--prompts", "text", "-m"]).arg(&*TINY);
    refused(&command.arg("--cases").arg(folder.path().join("cases.json")).assert(), USAGE, &["--clicks", "--prompts"]);
    // Together they share windows; each has its own clicks.
    let rows = folder.path().join("rows.csv");
    with(&["--together", "--clicks", "2", "-o", &rows.to_string_lossy()]).success();
    assert_eq!(fs::read_to_string(rows).expect("read").lines().count(), 5);
}
