//! `segvol cohort`: its masks are those of single runs, each scan is done once whatever happens, and a fault of one scan is a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use assert_cmd::assert::{Assert, OutputAssertExt as _};
use segvol::Volume;
use segvol::volume::Affine;
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::faults::{interrupt, kill_after, wait_until};
use segvol_tests::{bundle, models};
use serde_json::{Value, json};
use tempfile::TempDir;

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const INPUT: i32 = 5;
const TOO_MANY: i32 = 8;

/// A bundle of the tiny model, shared by all tests here.
static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cohort");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

/// A folder with `count` scans of different sizes and contents, `scans/NN.nii.gz`.
fn folder(count: usize) -> TempDir {
    let folder = segvol_tests::folder!();
    fs::create_dir(folder.path().join("scans")).expect("made");
    for number in 0..count {
        scan(&folder.path().join(format!("scans/{number:02}.nii.gz")), number);
    }
    folder
}

/// A scan: a ball of soft tissue in air, at another place in each.
fn scan(path: &Path, number: usize) {
    let shape = [40 + number % 3, 36, 20 + number % 5];
    let [ni, nj, nk] = shape;
    let centre = [18.0 + (number % 4) as f64, 17.0, 9.0];
    let voxel = |index: usize| {
        let at = [index % ni, index / ni % nj, index / (ni * nj)].map(|at| at as f64);
        let distance: f64 = at.iter().zip(centre).map(|(at, centre)| (at - centre).powi(2)).sum::<f64>().sqrt();
        if distance < 8.0 { 40.0 + (index * 7 % 31) as f32 } else { -1000.0 + (index % 13) as f32 }
    };
    let affine = Affine::new([[-1.5, 0.0, 0.0, 30.0], [0.0, -1.5, 0.0, 20.0], [0.0, 0.0, 3.0, -10.0]]);
    let voxels = (0..ni * nj * nk).map(voxel).collect();
    Volume::new(shape, voxels, affine).expect("a volume").save(path).expect("saved");
}

/// The command `segvol cohort` for two organs of the folder's scans.
fn cohort(folder: &Path) -> Command {
    let mut command = Command::new(&*SEGVOL);
    command.args(["cohort", "--provider", "cpu", "--text", "liver", "--text", "left kidney", "-m"]).arg(&*TINY);
    command.arg("--images").arg(folder.join("scans")).arg("--out").arg(folder.join("out"));
    command.stdin(Stdio::null());
    command
}

fn run(command: &mut Command, arguments: &[&str]) -> Assert {
    command.args(arguments).assert()
}

/// All files of a folder, with their contents. Times and hosts are taken out of reports and manifest.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(base: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(base, &path, found);
                continue;
            }
            let name = path.strip_prefix(base).expect("inside").display().to_string();
            let bytes = fs::read(&path).expect("read");
            let bytes = match name.as_str() {
                "manifest.jsonl" => records(base).keys().cloned().collect::<Vec<_>>().join("\n").into_bytes(),
                name if name.ends_with(".json") => {
                    let mut report: Value = serde_json::from_slice(&bytes).expect("JSON");
                    report["scan"]["seconds"] = Value::Null;
                    report["times_ms"] = Value::Null;
                    report.to_string().into_bytes()
                }
                _ => bytes,
            };
            found.insert(name, bytes);
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// The records of each id in the manifest, in the order of the file.
fn records(out: &Path) -> BTreeMap<String, Vec<Value>> {
    let text = fs::read_to_string(out.join("manifest.jsonl")).expect("a manifest");
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let record: Value = serde_json::from_str(line).expect("JSON");
        found.entry(record["id"].as_str().expect("an id").to_owned()).or_default().push(record);
    }
    found
}

fn count(out: &Path, status: &str) -> BTreeMap<String, usize> {
    let of = |records: &Vec<Value>| records.iter().filter(|record| record["status"] == status).count();
    records(out).iter().map(|(id, records)| (id.clone(), of(records))).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn masks_and_reports_are_those_of_single_runs() {
    let folder = folder(5);
    let said = said(run(&mut cohort(folder.path()), &["--jobs", "2"]));
    assert!(said.starts_with("5 done; the manifest is `"), "{said}");
    let out = folder.path().join("out");
    fs::create_dir(folder.path().join("single")).expect("made");
    for number in 0..5 {
        let id = format!("{number:02}");
        let single = folder.path().join("single").join(&id);
        let mut command = Command::new(&*SEGVOL);
        command
            .args(["segment", "--provider", "cpu", "--text", "liver", "--text", "left kidney", "-q", "-m"])
            .arg(&*TINY);
        command.arg("-i").arg(folder.path().join(format!("scans/{id}.nii.gz"))).arg("--per-object").arg(&single);
        command.arg("--report").arg(single.with_extension("json")).assert().success();
        for object in ["liver", "left_kidney"] {
            let read = |folder: &Path| fs::read(folder.join(format!("{object}.nii.gz"))).expect("a mask");
            assert_eq!(read(&out.join(&id)), read(&single), "{id}, {object}");
        }
        let read = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).expect("read")).expect("JSON");
        let (found, expected) = (read(&out.join(&id).join("report.json")), read(&single.with_extension("json")));
        for field in ["schema_version", "image", "settings", "provider", "windows_encoded", "warnings"] {
            assert_eq!(found[field], expected[field], "{id}, {field}");
        }
        for (found, expected) in [0, 1].map(|index| (&found["objects"][index], &expected["objects"][index])) {
            for field in ["name", "label", "voxels", "volume_ml", "bounding_box_ijk", "warnings", "windows"] {
                assert_eq!(found[field], expected[field], "{id}, {field}");
            }
        }
        assert_eq!(found["scan"]["id"], id.as_str());
    }
    // Nothing but the results is left.
    let names: BTreeSet<String> = contents(&out).into_keys().collect();
    assert_eq!(names.len(), 1 + 5 * 3, "{names:?}");
}

#[test]
fn a_label_map_or_named_segments_for_each_scan() {
    let folder = folder(2);
    for (pattern, file) in [("{id}.nii.gz", "01.nii.gz"), ("maps/{id}.seg.nrrd", "maps/01.seg.nrrd")] {
        run(&mut cohort(folder.path()), &["--pattern", pattern, "--resume"]).success();
        let single = folder.path().join(Path::new(file).file_name().expect("a name"));
        let mut command = Command::new(&*SEGVOL);
        command
            .args(["segment", "--provider", "cpu", "--text", "liver", "--text", "left kidney", "-q", "-m"])
            .arg(&*TINY);
        command.arg("-i").arg(folder.path().join("scans/01.nii.gz")).arg("-o").arg(&single).assert().success();
        let out = folder.path().join("out");
        assert_eq!(fs::read(out.join(file)).expect("a mask"), fs::read(&single).expect("a mask"));
        assert!(out.join("reports/01.json").is_file());
        fs::remove_dir_all(out).expect("removed");
    }
    refused(&run(&mut cohort(folder.path()), &["--pattern", "{object}.nii.gz"]), USAGE, &["--pattern", "{id}"]);
}

#[test]
fn what_is_done_stays_and_what_changed_is_done_again() {
    let folder = folder(4);
    let out = folder.path().join("out");
    run(&mut cohort(folder.path()), &[]).success();
    let first = contents(&out);
    refused(&run(&mut cohort(folder.path()), &[]), USAGE, &["out", "earlier run of 4 scans", "--resume"]);
    let said_again = said(run(&mut cohort(folder.path()), &["--resume"]));
    assert!(said_again.starts_with("0 done, 4 done before;"), "{said_again}");
    // Another scan under the name, a mask that is gone, one that was changed, and a scan that was only touched.
    scan(&folder.path().join("scans/00.nii.gz"), 77);
    fs::remove_file(out.join("01/liver.nii.gz")).expect("removed");
    fs::write(out.join("02/left_kidney.nii.gz"), "changed").expect("written");
    let touched = fs::read(folder.path().join("scans/03.nii.gz")).expect("read");
    fs::write(folder.path().join("scans/03.nii.gz"), touched).expect("written");
    let said_again = said(run(&mut cohort(folder.path()), &["--resume"]));
    assert!(said_again.starts_with("4 done;"), "{said_again}");
    let second = contents(&out);
    for (name, bytes) in &first {
        let is_same = second[name] == *bytes;
        assert_eq!(is_same, !name.starts_with("00/"), "{name}");
    }
    // Other settings are another cohort, and are named.
    for (arguments, parts) in [
        (&["--resume", "--effort", "exact"][..], &["overlap", "0.25", "0.5"][..]),
        (&["--resume", "--text", "spleen"], &["objects", "liver, left kidney", "spleen"]),
        (&["--resume", "--largest-component"], &["postprocessing"]),
        (&["--resume", "--pattern", "{id}.nii.gz"], &["pattern"]),
    ] {
        refused(&run(&mut cohort(folder.path()), arguments), USAGE, parts);
    }
    assert_eq!(contents(&out), second);
}

#[test]
fn one_bad_scan_is_a_line_and_the_rest_is_done() {
    let folder = folder(2);
    let scans = folder.path().join("scans");
    fs::write(scans.join("damaged.nii.gz"), "no scan").expect("written");
    fs::create_dir(scans.join("deep")).expect("made");
    scan(&scans.join("twice.nii.gz"), 3);
    scan(&scans.join("deep/twice.nii.gz"), 4);
    let assert = run(&mut cohort(folder.path()), &["--retries", "1"]);
    refused(
        &assert,
        FAILED,
        &["3 of 5 scans failed", "scan \"damaged\": ", "scan \"twice\": the id \"twice\" is that of 2 scans"],
    );
    let out = folder.path().join("out");
    assert_eq!(count(&out, "done").keys().collect::<Vec<_>>(), ["00", "01"]);
    let found = records(&out);
    assert_eq!((&found["damaged"][0]["kind"], &found["damaged"][0]["attempts"]), (&json!("input"), &json!(2)));
    assert_eq!(found["twice"][0]["attempts"], 1, "a mistake in the list does not pass");
    let text = fs::read_to_string(out.join("manifest.jsonl")).expect("a manifest");
    assert!(!text.contains(scans.to_str().expect("UTF-8")), "without --record-paths, no path is recorded: {text}");
    // Mended, the run goes on with what failed.
    fs::remove_dir_all(scans.join("deep")).expect("removed");
    scan(&scans.join("damaged.nii.gz"), 5);
    let said_again = said(run(&mut cohort(folder.path()), &["--resume"]));
    assert!(said_again.starts_with("2 done, 2 done before;"), "{said_again}");
    for name in ["a", "b", "c"] {
        fs::write(scans.join(format!("{name}.nii.gz")), "no scan").expect("written");
    }
    let stopped = run(&mut cohort(folder.path()), &["--resume", "--max-failures", "1", "--jobs", "1"]);
    refused(&stopped, TOO_MANY, &["2 scans failed, more than 1: stopped"]);
    refused(&run(&mut cohort(folder.path()), &["--resume", "--max-failures", "3"]), FAILED, &["3 of 7 scans failed"]);
}

#[test]
fn a_list_has_ids_prompts_and_paths_of_its_own() {
    let folder = folder(3);
    let list = folder.path().join("list.jsonl");
    let line = |path: &str, more: Value| {
        let mut line = json!({"path": path});
        line.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        line.to_string()
    };
    let lines = [
        line("scans/00.nii.gz", json!({"id": "patient-1/first"})),
        line("scans/01.nii.gz", json!({"prompts": [{"name": "lesion", "points": [[18, 17, 9]]}]})),
        line("nowhere.nii.gz", json!({})),
        line("out/inside.nii.gz", json!({})),
    ];
    fs::write(&list, lines.join("\n")).expect("written");
    let mut command = cohort(folder.path());
    command.arg("--record-paths").arg("--images").arg(&list);
    // The option is there once only.
    refused(&command.assert(), USAGE, &["--images"]);
    let mut command = Command::new(&*SEGVOL);
    command.args(["cohort", "--provider", "cpu", "--text", "liver", "--record-paths", "-m"]).arg(&*TINY);
    command.arg("--images").arg(&list).arg("--out").arg(folder.path().join("out"));
    refused(
        &command.assert(),
        FAILED,
        &[
            "2 of 4 scans failed",
            "scan \"nowhere\": ",
            "No such file",
            "scan \"inside\": the scan is in the output folder",
        ],
    );
    let out = folder.path().join("out");
    let files: Vec<String> = contents(&out).into_keys().collect();
    assert_eq!(
        files,
        [
            "01/lesion.nii.gz",
            "01/report.json",
            "manifest.jsonl",
            "patient-1/first/liver.nii.gz",
            "patient-1/first/report.json"
        ]
    );
    let path = records(&out)["01"][0]["path"].as_str().map(str::to_owned);
    assert_eq!(path, folder.path().join("scans/01.nii.gz").to_str().map(str::to_owned));
    let report: Value = serde_json::from_slice(&fs::read(out.join("01/report.json")).expect("read")).expect("JSON");
    assert_eq!(report["objects"][0]["prompt"]["points"][0][0], json!([18.0, 17.0, 9.0]));
}

#[test]
fn kills_and_resumes_end_in_the_files_of_an_undisturbed_run() {
    let undisturbed = folder(8);
    run(&mut cohort(undisturbed.path()), &["--jobs", "2"]).success();
    let folder = folder(8);
    let out = folder.path().join("out");
    // Moments from before the model is open to after the last scan.
    let mut kills = 0;
    for moment in [5, 40, 150, 310, 90, 500, 230, 700, 400, 60] {
        let mut command = cohort(folder.path());
        command.args(["--resume", "--jobs", "2"]);
        kills += usize::from(!kill_after(&mut command, Duration::from_millis(moment)).success());
    }
    assert!(kills > 0, "every run ended before it was killed");
    run(&mut cohort(folder.path()), &["--resume", "--jobs", "2"]).success();
    assert_eq!(contents(&out), contents(&undisturbed.path().join("out")));
    // Beyond the scans in flight, nothing is done twice: a kill costs at most one scan for each job.
    let done: usize = count(&out, "done").values().sum();
    assert!(done <= 8 + 2 * kills, "{done} scans done, {kills} kills");
    let twice: Vec<_> = count(&out, "done").into_iter().filter(|(_, count)| *count > 1).collect();
    assert_eq!(twice, [], "a recorded scan was done again");
}

fn started(folder: &Path, arguments: &[&str]) -> Child {
    cohort(folder).args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("started")
}

#[test]
fn several_processes_do_each_scan_once() {
    let folder = folder(9);
    let out = folder.path().join("out");
    let processes: Vec<Child> = (0..3).map(|_| started(folder.path(), &["--jobs", "1"])).collect();
    for process in processes {
        let output = process.wait_with_output().expect("a child");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let done = count(&out, "done");
    assert_eq!((done.len(), done.values().sum::<usize>()), (9, 9), "{done:?}");
    assert!(!out.join(".segvol-cohort").exists(), "nothing is left");
}

#[test]
fn shards_share_a_folder_and_one_that_is_killed_goes_on() {
    let folder = folder(8);
    let out = folder.path().join("out");
    let mut first = started(folder.path(), &["--resume", "--shard", "0/2", "--jobs", "1"]);
    let other = started(folder.path(), &["--resume", "--shard", "1/2", "--jobs", "1"]);
    let manifest = out.join("manifest.jsonl");
    wait_until(&mut first, || fs::read_to_string(&manifest).is_ok_and(|text| text.lines().count() > 1));
    // It may have ended already.
    let _ = first.kill();
    first.wait().expect("a child");
    assert!(other.wait_with_output().expect("a child").status.success());
    run(&mut cohort(folder.path()), &["--resume", "--shard", "0/2"]).success();
    let done = count(&out, "done");
    assert_eq!((done.len(), done.values().sum::<usize>()), (8, 8), "{done:?}");
    let said = said(run(&mut cohort(folder.path()), &["--resume"]));
    assert!(said.starts_with("0 done, 8 done before"), "{said}");
}

#[cfg(unix)]
#[test]
fn an_interruption_ends_cleanly_and_says_how_to_go_on() {
    let folder = folder(30);
    let out = folder.path().join("out");
    let mut child = started(folder.path(), &["--jobs", "2"]);
    let manifest = out.join("manifest.jsonl");
    assert!(wait_until(&mut child, || fs::read_to_string(&manifest).is_ok_and(|text| text.lines().count() > 1)));
    let (output, _) = interrupt(child);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(message.contains("interrupted after") && message.contains("--resume"), "{message}");
    assert!(!out.join(".segvol-cohort").exists(), "nothing unfinished is left");
    let done = count(&out, "done").len();
    assert!((1..30).contains(&done), "{done}");
    let said = said(run(&mut cohort(folder.path()), &["--resume"]));
    assert!(said.starts_with(&format!("{} done, {done} done before", 30 - done)), "{said}");
}

#[test]
fn mistakes_are_said_before_any_work() {
    let folder = folder(1);
    let base = |arguments: &[&str]| {
        let mut command = Command::new(&*SEGVOL);
        command.arg("cohort").args(arguments).assert()
    };
    let (bundle, scans) = (TINY.to_str().expect("UTF-8"), folder.path().join("scans"));
    let (scans, out) = (scans.to_str().expect("UTF-8"), folder.path().join("out"));
    let out = out.to_str().expect("UTF-8");
    refused(&base(&["-m", bundle, "--images", scans, "--out", out]), USAGE, &["nothing to segment", "--text"]);
    refused(&base(&["-m", bundle, "--text", "liver", "--out", out]), USAGE, &["--images"]);
    refused(
        &base(&["-m", scans, "--images", bundle, "--text", "liver", "--out", out]),
        USAGE,
        &["--images and -m are swapped"],
    );
    refused(&base(&["-m", bundle, "--images", out, "--text", "liver", "--out", out]), INPUT, &["out", "No such file"]);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).expect("made");
    let empty = empty.to_str().expect("UTF-8");
    refused(&base(&["-m", bundle, "--images", empty, "--text", "liver", "--out", out]), INPUT, &["found no scan"]);
    refused(
        &base(&["-m", bundle, "--images", scans, "--text", "liver", "--out", out, "--shard", "2/2"]),
        USAGE,
        &["--shard", "I/N"],
    );
    // Masks that no cohort has written are not replaced.
    fs::create_dir_all(folder.path().join("out/00")).expect("made");
    fs::write(folder.path().join("out/00/liver.nii.gz"), "somebody's").expect("written");
    refused(
        &base(&["-m", bundle, "--images", scans, "--text", "liver", "--out", out, "--resume"]),
        USAGE,
        &["liver.nii.gz", "is not from a cohort"],
    );
    assert_eq!(fs::read(folder.path().join("out/00/liver.nii.gz")).expect("read"), b"somebody's");
}

#[test]
fn a_plan_segments_three_scans_and_writes_nothing() {
    let folder = folder(6);
    let said = said(run(&mut cohort(folder.path()), &["--plan"]));
    for part in ["looked at \"", "scans: 6", "windows: about", "time: about", "memory: ", "disk: about"] {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
    assert_eq!(said.matches("looked at").count(), 3, "{said}");
    assert!(!folder.path().join("out").exists());
}
