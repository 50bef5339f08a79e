//! A command that is killed, interrupted, or has too little disk space leaves either the old file or the complete new
//! one, and its error says why.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use segvol::{Model, Options, Precision, Prompt, Provider, Volume};
use segvol_converter::README_FILE;
use segvol_onnx::manifest::{MANIFEST_FILE, sha256_file};
use segvol_onnx::{BundleError, BundleFiles, Manifest};
use segvol_tests::faults::{copied, interrupt, kill_after, limited, names, segvol, text, wait_until};
use segvol_tests::golden::data;
use segvol_tests::seeded::uniform01;
use segvol_tests::{bundle, folder, models};
use serde_json::json;

const FAILED: Option<i32> = Some(1);
const INTERRUPTED: Option<i32> = Some(130);

/// The time within which an interrupted command must end.
const PROMISED: Duration = Duration::from_secs(1);

/// A seeded checkpoint of the tiny model and, beside it, its bundle. Shared by all tests here.
static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
    let bundle = bundle::seeded(&folder, &models::tiny(), &BTreeMap::new());
    assert_eq!(bundle, folder.join("bundle"));
    folder
});

fn tiny(name: &str) -> String {
    text(&TINY.join(name)).to_owned()
}

fn scan() -> String {
    text(&data("tiny/volumes/lps_int16.nii.gz")).to_owned()
}

/// A working folder with an empty folder `tmp`.
fn home() -> (tempfile::TempDir, PathBuf) {
    let home = folder!();
    let temporary = home.path().join("tmp");
    fs::create_dir(&temporary).expect("a folder");
    (home, temporary)
}

/// A case list with `count` cases, `cases.json`.
fn write_cases(home: &Path, count: usize) -> PathBuf {
    let volume = Volume::open(scan()).expect("a scan");
    let [ni, nj, nk] = volume.shape_xyz();
    let block = |index: usize| {
        let [i, j, k] = [index % ni, index / ni % nj, index / (ni * nj)];
        u8::from((ni / 3..ni / 2).contains(&i) && (nj / 3..nj / 2).contains(&j) && (nk / 3..nk / 2).contains(&k))
    };
    let labels: Vec<u8> = (0..ni * nj * nk).map(block).collect();
    let labels = segvol::Mask::from_labels(labels, std::sync::Arc::clone(volume.grid())).expect("a mask");
    labels.save(home.join("labels.nii.gz")).expect("saved");
    let case = |index: usize| json!({"name": format!("case {index}"), "image": scan(), "labels": "labels.nii.gz"});
    let cases: Vec<_> = (0..count).map(case).collect();
    let list = json!({"schema_version": 1, "structures": {"liver": 1}, "cases": cases});
    let path = home.join("cases.json");
    fs::write(&path, list.to_string()).expect("written");
    path
}

/// Objects for a `segvol segment` that takes long.
fn write_objects(home: &Path, count: usize) -> PathBuf {
    let objects: Vec<_> = (0..count).map(|n| json!({"name": format!("object {n}"), "text": "liver"})).collect();
    let path = home.join("objects.json");
    fs::write(&path, json!({"schema_version": 1, "objects": objects}).to_string()).expect("written");
    path
}

/// Checks that the exit code is 130 within a second, without a panic, and that no file is left in `temporary`.
#[track_caller]
fn assert_interrupted((output, took): (std::process::Output, Duration), temporary: &Path) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), INTERRUPTED, "{:?}: {message}", output.status);
    assert!(message.contains("interrupted") && !message.contains("panicked"), "{message}");
    assert!(took < PROMISED, "it took {took:?} to end");
    assert_eq!(names(temporary), Vec::<String>::new());
}

#[test]
fn an_interrupted_conversion_leaves_nothing() {
    let (home, temporary) = home();
    let output = home.path().join("out");
    fs::create_dir(&output).expect("a folder");
    let target = output.join("bundle");
    let mut caught = 0;
    // The command can end before the signal. Then the bundle is whole.
    for _ in 0..20 {
        let arguments = ["convert", &tiny("model.safetensors"), "-o", text(&target), "--precision", "fp32,fp16"];
        let mut child = segvol(&arguments, &temporary).spawn().expect("started");
        let begun = || names(&output).iter().any(|name| name.starts_with(".bundle.new-"));
        if wait_until(&mut child, begun) {
            let (output, took) = interrupt(child);
            if !output.status.success() {
                assert_interrupted((output, took), &temporary);
                caught += 1;
            }
        }
        match names(&output)[..] {
            [] => {}
            [_] => {
                Manifest::read(&target).expect("a bundle").verify(&target).expect("whole");
                fs::remove_dir_all(&target).expect("removed");
            }
            _ => panic!("{:?} is left", names(&output)),
        }
        if caught == 3 {
            return;
        }
    }
    assert!(caught > 0, "no conversion was caught at work");
}

#[test]
fn an_interrupted_segmentation_leaves_whole_masks() {
    let (home, temporary) = home();
    let (objects, masks) = (write_objects(home.path(), 60), home.path().join("masks"));
    let (model, scan) = (tiny("bundle"), scan());
    let arguments =
        ["segment", "-i", &scan, "-m", &model, "--prompts", text(&objects), "--per-object", text(&masks), "-q"];

    // The signal comes while it computes, usually before anything is written.
    let mut child = segvol(&arguments, &temporary).spawn().expect("started");
    let start = Instant::now();
    assert!(wait_until(&mut child, || start.elapsed() > Duration::from_millis(400)), "60 objects were too fast");
    assert_interrupted(interrupt(child), &temporary);

    // The signal comes while masks are written. On a fast machine this may already be so above.
    if masks.is_dir() {
        fs::remove_dir_all(&masks).expect("removed");
    }
    let mut child = segvol(&arguments, &temporary).spawn().expect("started");
    assert!(wait_until(&mut child, || masks.is_dir() && names(&masks).len() > 3), "60 masks were too fast");
    assert_interrupted(interrupt(child), &temporary);
    for name in names(&masks) {
        assert!(name.starts_with("object") && name.ends_with(".nii.gz"), "{name} is left");
        Volume::open(masks.join(&name)).unwrap_or_else(|error| panic!("{name} is not whole: {error}"));
    }
}

#[test]
fn an_interrupted_evaluation_goes_on_where_it_stopped() {
    let (home, temporary) = home();
    let cases = write_cases(home.path(), 5);
    let [whole, rows] = ["whole.csv", "rows.csv"].map(|name| home.path().join(name));
    let model = tiny("bundle");
    let eval = |rows: &Path| segvol(&["eval", "-m", &model, "--cases", text(&cases), "-o", text(rows)], &temporary);
    assert!(eval(&whole).status().expect("started").success());

    let work = home.path().join("rows.csv.work.jsonl");
    let mut child = eval(&rows).spawn().expect("started");
    let two = || fs::read_to_string(&work).is_ok_and(|text| text.lines().count() > 1);
    assert!(wait_until(&mut child, two), "five cases were too fast");
    assert_interrupted(interrupt(child), &temporary);
    assert_eq!(names(home.path()), ["cases.json", "labels.nii.gz", "rows.csv.work.jsonl", "tmp", "whole.csv"]);

    assert!(eval(&rows).status().expect("started").success());
    assert!(!work.exists());
    assert_eq!(fs::read(rows).expect("read"), fs::read(whole).expect("read"));
}

/// The measuring process also ends, which has its own temporary files.
#[test]
fn an_interrupted_measurement_leaves_nothing() {
    let (home, temporary) = home();
    let (objects, model, scan) = (write_objects(home.path(), 3), tiny("bundle"), scan());
    let stages = ["bench", &model, "--stage", "text-encoder,mask-decoder", "--runs", "1000000"];
    let job = ["bench", &model, "--job", text(&objects), "-i", &scan, "--runs", "1000000"];
    for arguments in [&stages[..], &job] {
        let mut child = segvol(arguments, &temporary).spawn().expect("started");
        let start = Instant::now();
        let begun = || !names(&temporary).is_empty() && start.elapsed() > Duration::from_millis(800);
        assert!(wait_until(&mut child, begun), "a million runs were too fast");
        assert_interrupted(interrupt(child), &temporary);
    }
}

/// A command that is killed at random moments, and the check after each kill.
struct Killed {
    name: &'static str,
    command: Box<dyn Fn() -> Command>,
    check: Box<dyn Fn()>,
}

/// Kills the first `kinds` commands in turn, `rounds` times in total. The moments are seeded, and lie within the time
/// that the command takes.
fn kill(rounds: usize, kinds: usize) {
    let (home, temporary) = home();
    let at = |name: &str| home.path().join(name);
    let segvol = |arguments: &[&str]| {
        let (arguments, temporary) =
            (arguments.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), temporary.clone());
        move || segvol(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &temporary)
    };
    let (target, mask, rows, plot) = (at("bundle"), at("mask.nii.gz"), at("rows.csv"), at("plot.svg"));
    // Old files, each different from the new one.
    let files = [mask.clone(), rows.clone(), plot.clone()];
    let place = target.clone();
    let old = || {
        if place.exists() {
            fs::remove_dir_all(&place).expect("removed");
        }
        copied(&TINY.join("bundle"), &place);
        for file in &files {
            fs::write(file, "old").expect("written");
        }
    };
    old();
    let old_sha256 = sha256_file(&target.join(MANIFEST_FILE)).expect("hashed");
    let (cases, model, scan) = (write_cases(home.path(), 2), tiny("bundle"), scan());

    let whole_mask = |path: &Path| Volume::open(path).is_ok();
    let whole_rows =
        |path: &Path| fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n') && text.lines().count() > 10);
    let whole_plot = |path: &Path| fs::read_to_string(path).is_ok_and(|text| text.trim_end().ends_with("</svg>"));
    let either = |path: PathBuf, whole: fn(&Path) -> bool| {
        move || {
            let old = fs::read(&path).is_ok_and(|bytes| bytes == b"old");
            assert!(old || whole(&path), "{} is neither the old file nor the whole new one", path.display());
        }
    };
    let bundle = target.clone();
    let mut commands = vec![
        Killed {
            name: "convert",
            command: Box::new(segvol(&[
                "convert",
                &tiny("model.safetensors"),
                "-o",
                text(&target),
                "--precision",
                "fp32,fp16",
                "--force",
            ])),
            check: Box::new(move || {
                let manifest = Manifest::read(&bundle).expect("a bundle at every moment");
                manifest.verify(&bundle).expect("whole");
                let sha256 = sha256_file(&bundle.join(MANIFEST_FILE)).expect("hashed");
                assert!(manifest.precisions.len() == 2 || sha256 == old_sha256);
            }),
        },
        Killed {
            name: "segment",
            command: Box::new(segvol(&["segment", "-i", &scan, "-m", &model, "--text", "liver", "-o", text(&mask)])),
            check: Box::new(either(mask, whole_mask)),
        },
        Killed {
            name: "eval",
            command: Box::new(segvol(&["eval", "-m", &model, "--cases", text(&cases), "-o", text(&rows)])),
            check: Box::new(either(rows.clone(), whole_rows)),
        },
        Killed {
            name: "bench",
            command: Box::new(segvol(&[
                "bench",
                &model,
                "--stage",
                "text-encoder",
                "--runs",
                "2",
                "--plot",
                text(&plot),
            ])),
            check: Box::new(either(plot, whole_plot)),
        },
    ];
    commands.truncate(kinds);
    // Each command runs once without being killed. This measures its time, and no later run is a cold start.
    let times: Vec<Duration> = commands
        .iter()
        .map(|command| {
            let start = Instant::now();
            assert!((command.command)().status().expect("started").success(), "{}", command.name);
            start.elapsed()
        })
        .collect();
    old();
    let mut random = uniform01("kill");
    let mut killed = 0;
    for round in 0..rounds {
        let at = round % commands.len();
        let moment = times[at].mul_f64(random.next().expect("endless"));
        let status = kill_after(&mut (commands[at].command)(), moment);
        killed += usize::from(status.code().is_none());
        for command in &commands {
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (command.check)()));
            assert!(checked.is_ok(), "round {round}, {} killed after {moment:?}: see above", commands[at].name);
        }
    }
    assert!(killed * 3 > rounds, "only {killed} of {rounds} were killed: they end too soon");

    // The next evaluation reuses the rows of a killed one.
    let mut last = (commands[2].command)();
    assert!(last.status().expect("started").success());
    assert!(whole_rows(&rows));
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_file_or_the_whole_new_one() {
    kill(18, 3);
}

#[test]
#[ignore = "200 kills take some minutes; run with --ignored"]
fn two_hundred_kills_leave_the_old_file_or_the_whole_new_one() {
    kill(200, 4); // Also `segvol bench`, which is slow because it first measures the peak of the machine.
}

/// A full disk, simulated by a limit on the length of files: writes beyond the limit fail.
#[test]
fn a_full_disk_is_an_error_and_leaves_the_old_file() {
    let (home, temporary) = home();
    let at = |name: &str| home.path().join(name);
    let (mask, rows, bundle) = (at("mask.nii"), at("rows.csv"), at("bundle"));
    let (cases, model, scan) = (write_cases(home.path(), 1), tiny("bundle"), scan());
    for file in [&mask, &rows] {
        fs::write(file, "old").expect("written");
    }
    let checkpoint = tiny("model.safetensors");
    let commands: [(&str, &[&str], &str); 3] = [
        ("-f 2000", &["convert", &checkpoint, "-o", text(&bundle)], "segvol_"),
        ("-f 8", &["segment", "-i", &scan, "-m", &model, "--text", "liver", "-o", text(&mask)], "mask.nii"),
        ("-f 0", &["eval", "-m", &model, "--cases", text(&cases), "-o", text(&rows)], "rows.csv"),
    ];
    for (limit, arguments, named) in commands {
        let output = limited(limit, &segvol(arguments, &temporary));
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), FAILED, "{arguments:?}: {message}");
        assert!(message.contains(named) && !message.contains("panicked"), "{arguments:?}: {message}");
    }
    for file in [&mask, &rows] {
        assert_eq!(fs::read(file).expect("read"), b"old");
    }
    let mut left = names(home.path());
    left.retain(|name| name != "rows.csv.work.jsonl"); // The file is empty, because its first line did not fit.
    assert_eq!(left, ["cases.json", "labels.nii.gz", "mask.nii", "rows.csv", "tmp"]);
    assert_eq!(names(&temporary), Vec::<String>::new());

    // `/dev/full`, as the path of a report and as standard output.
    let report = ["segment", "-i", &scan, "-m", &model, "--text", "liver", "-o", text(&mask), "--report", "/dev/full"];
    let output = segvol(&report, &temporary).output().expect("started");
    assert_eq!(output.status.code(), FAILED);
    assert!(String::from_utf8_lossy(&output.stderr).contains("/dev/full"));
    let full = OpenOptions::new().write(true).open("/dev/full").expect("still a device");
    let mut inspect = segvol(&["inspect", "--json", &model], &temporary);
    let output = inspect.stdout(full).output().expect("started");
    assert_eq!(output.status.code(), FAILED, "{}", String::from_utf8_lossy(&output.stderr));
}

/// Nobody can create a file in `/proc`, and users cannot create one in a folder without write permission.
#[test]
fn a_target_that_cannot_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let (home, temporary) = home();
    let locked = home.path().join("locked");
    fs::create_dir(&locked).expect("a folder");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).expect("locked");
    let mut folders = vec![PathBuf::from("/proc")];
    if File::create(locked.join("try")).is_err() {
        folders.push(locked); // Not as root, who ignores permissions.
    }
    let (cases, model, scan) = (write_cases(home.path(), 1), tiny("bundle"), scan());
    let checkpoint = tiny("model.safetensors");
    for folder in folders {
        let at = |name: &str| text(&folder.join(name)).to_owned();
        let (mask, rows, bundle) = (at("mask.nii.gz"), at("rows.csv"), at("bundle"));
        let commands: [(&[&str], &str); 3] = [
            (&["convert", &checkpoint, "-o", &bundle], &bundle),
            (&["segment", "-i", &scan, "-m", &model, "--text", "liver", "-o", &mask], &mask),
            (&["eval", "-m", &model, "--cases", text(&cases), "-o", &rows], &rows),
        ];
        for (arguments, named) in commands {
            let output = segvol(arguments, &temporary).output().expect("started");
            let message = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), FAILED, "{arguments:?}: {message}");
            assert!(message.contains(named), "{arguments:?}: {message}");
        }
    }
    assert_eq!(names(&temporary), Vec::<String>::new());
}

/// Damage to a file of a bundle.
type Change = fn(&mut File);

fn open(bundle: &Path) -> Result<Model, segvol::Error> {
    Model::open(bundle, &Options::default().provider(Provider::Cpu))
}

#[test]
fn one_flipped_bit_in_any_file_of_a_bundle_is_refused() {
    let home = folder!();
    let copy = copied(&TINY.join("bundle"), &home.path().join("bundle"));
    open(&copy).map(drop).expect("whole");
    let mut random = uniform01("flipped bit");
    // The README is for people: nothing reads it, and anyone may edit it.
    let files: Vec<String> = names(&copy).into_iter().filter(|name| name != README_FILE).collect();
    assert!(files.len() > 8, "{files:?}");
    for name in files {
        let path = copy.join(&name);
        let whole = fs::read(&path).expect("read");
        if whole.is_empty() {
            continue; // All weights of the prompt encoder are in its graph.
        }
        // The first byte, the last byte, and some between them.
        let between = (0..6).map(|_| (random.next().expect("endless") * whole.len() as f64) as usize);
        let places: Vec<usize> = [0, whole.len() - 1].into_iter().chain(between).collect();
        for place in places {
            let bit = (random.next().expect("endless") * 8.0) as u32;
            let mut flipped = whole.clone();
            flipped[place] ^= 1 << bit;
            fs::write(&path, flipped).expect("written");
            let error = open(&copy).err().unwrap_or_else(|| panic!("{name}: bit {bit} of byte {place} went unnoticed"));
            assert!(matches!(error, segvol::Error::Bundle(_)), "{name}, byte {place}: {error}");
            assert!(error.to_string().contains(&name), "{error}");
        }
        fs::write(&path, whole).expect("written");
    }
    open(&copy).map(drop).expect("whole again");
}

/// Weights are read while they are still hashed. So ONNX Runtime sees them before they are refused.
#[test]
fn weights_of_garbage_are_refused_whatever_onnxruntime_makes_of_them() {
    let home = folder!();
    let bundle = home.path().join("bundle");
    let precisions = Precision::ALL.into();
    let options = segvol_converter::Options { precisions, ..Default::default() };
    let manifest = segvol_tests::bundle::converted(&TINY.join("model.safetensors"), &bundle, &options);
    let mut random = uniform01("garbage");
    for (&precision, files) in &manifest.precisions {
        let open = || Model::open(&bundle, &Options::default().provider(Provider::Cpu).precision(precision));
        open().map(drop).expect("whole");
        for files in files.stages.values() {
            let path = bundle.join(&files.weights.name);
            let whole = fs::read(&path).expect("read");
            let noise = (0..whole.len()).map(|_| (random.next().expect("endless") * 256.0) as u8).collect();
            for garbage in [vec![0; whole.len()], vec![0xff; whole.len()], noise] {
                fs::write(&path, &garbage).expect("written");
                let error = open().err().unwrap_or_else(|| panic!("{precision}: {} went unnoticed", path.display()));
                let named =
                    matches!(&error, segvol::Error::Bundle(BundleError::Changed { path: named, .. }) if *named == path);
                assert!(named, "{precision}, {}: {error}", path.display());
            }
            // What is shorter must not be read at all: that would end the process.
            fs::write(&path, &whole[..whole.len() / 2]).expect("written");
            let error = open().err().expect("short").to_string();
            assert!(error.contains(&format!("found {} bytes", whole.len() / 2)), "{error}");
            fs::write(&path, whole).expect("written");
        }
        open().map(drop).expect("whole again");
    }
}

/// Whatever else is wrong, a damaged bundle is said first, and of several damaged files the first that the manifest names.
#[test]
fn the_first_damaged_file_is_named_before_any_other_error() {
    let home = folder!();
    let copy = copied(&TINY.join("bundle"), &home.path().join("bundle"));
    let manifest = Manifest::read(&copy).expect("a bundle");
    let files: Vec<_> = manifest.files().collect();
    let weights = files.iter().position(|entry| entry.name.ends_with(".weights")).expect("weights");
    assert!(weights + 1 < files.len() && weights > 0, "graphs before and after: {files:?}");
    let elsewhere = Options::default().provider(Provider::Cpu).library(home.path().join("no library"));
    let mut damaged = Vec::new();
    // The last file first, so that each is the first that is damaged.
    for entry in files.iter().rev() {
        let path = copy.join(&entry.name);
        let mut bytes = fs::read(&path).expect("read");
        bytes[0] ^= 1;
        damaged.push((path.clone(), bytes));
    }
    for (path, bytes) in damaged {
        fs::write(&path, bytes).expect("written");
        for options in [&elsewhere, &Options::default().provider(Provider::CoreMl), &Options::default()] {
            let error = Model::open(&copy, options).err().expect("damaged");
            assert!(
                matches!(&error, segvol::Error::Bundle(BundleError::Changed { path: named, .. }) if *named == path),
                "{}: {error}",
                path.display()
            );
        }
    }
}

/// What happens to the file at a path.
type Replacement = fn(&Path);

/// What is read by name while it is hashed must be what is hashed.
#[test]
fn a_file_that_is_replaced_while_a_bundle_is_opened_is_noticed() {
    let home = folder!();
    let weights = "segvol_mask_decoder.weights";
    let changes: [(&str, Replacement); 4] = [
        ("another file", |path| {
            let other = path.with_extension("other");
            fs::copy(path, &other).expect("copied");
            fs::rename(other, path).expect("renamed");
        }),
        ("a link", |path| {
            let other = path.with_extension("other");
            fs::copy(path, &other).expect("copied");
            fs::remove_file(path).expect("removed");
            std::os::unix::fs::symlink(other, path).expect("linked");
        }),
        ("nothing", |path| fs::remove_file(path).expect("removed")),
        ("other bytes", |path| {
            let mut file = OpenOptions::new().write(true).open(path).expect("opened");
            file.write_all(&[7]).expect("written");
        }),
    ];
    for (what, change) in changes {
        let copy = copied(&TINY.join("bundle"), &home.path().join(what));
        let manifest = Manifest::read(&copy).expect("a bundle");
        let files = BundleFiles::open(&copy, &manifest).expect("open");
        files.verify_graphs().expect("whole");
        files.verify_weights().expect("whole");
        files.check_opened().expect("the same files");
        std::thread::sleep(Duration::from_millis(20)); // Time stamps of file systems are coarse.
        change(&copy.join(weights));
        let error = files.check_opened().expect_err(what);
        assert!(matches!(&error, BundleError::Changed { path, .. } if path.ends_with(weights)), "{what}: {error}");
    }
}

#[test]
fn a_bundle_that_is_replaced_while_open_goes_on_and_one_that_is_changed_is_refused() {
    let home = folder!();
    let place = copied(&TINY.join("bundle"), &home.path().join("bundle"));
    let volume = || Volume::open(scan()).expect("a scan");
    let prompt = Prompt::text("liver");
    let model = open(&place).expect("a bundle");
    let expected =
        model.study(volume()).expect("a study").segment(&prompt).expect("segmented").logits().expect("memory");
    let goes_on = |model: &Model, when: &str| {
        let found =
            model.study(volume()).expect("a study").segment(&prompt).expect("segmented").logits().expect("memory");
        assert!(found == expected, "{when}: other logits");
    };

    // Another bundle replaces it, like `segvol convert --force` does. Then all files are removed.
    fs::rename(&place, home.path().join("aside")).expect("renamed");
    let place = copied(&TINY.join("bundle"), &home.path().join("bundle"));
    goes_on(&model, "replaced");
    fs::remove_dir_all(home.path().join("aside")).expect("removed");
    goes_on(&model, "removed");

    let weights = "segvol_mask_decoder.weights";
    let changes: [(&str, Change); 3] = [
        ("a byte is written", |file| {
            file.seek(SeekFrom::Start(5000)).expect("sought");
            file.write_all(&[7]).expect("written");
        }),
        ("bytes are appended", |file| {
            file.seek(SeekFrom::End(0)).expect("sought");
            file.write_all(&[7]).expect("written");
        }),
        ("it is cut short", |file| file.set_len(4096).expect("cut")),
    ];
    for (what, change) in changes {
        let fresh = copied(&place, &home.path().join(what));
        let model = open(&fresh).expect("a bundle");
        let study = model.study(volume()).expect("a study");
        study.segment(&prompt).expect("segmented");
        std::thread::sleep(Duration::from_millis(20)); // Time stamps of file systems are coarse.
        change(&mut OpenOptions::new().write(true).open(fresh.join(weights)).expect("opened"));
        match study.segment(&prompt) {
            Err(segvol::Error::Bundle(BundleError::Changed { path, .. })) => assert!(path.ends_with(weights)),
            Err(other) => panic!("{what}: {other}"),
            Ok(_) => panic!("{what}: segmented"),
        }
    }
}
