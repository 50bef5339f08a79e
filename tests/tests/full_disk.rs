//! A full file system: no incomplete file, an error that names the file and the cause, and an unchanged old file.
//!
//! The disk is a `tmpfs`. The test program starts itself again in its own mount namespace (`unshare`), mounts the disk
//! there, and runs each command with more and more free space. If namespaces are not allowed, the test says so on
//! standard error and does nothing.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "prints what was tested, for docs/reliability.md")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use segvol_onnx::Manifest;
use segvol_tests::faults::{names, segvol, text};
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};
use serde_json::json;

/// The environment variable that says that this process runs in its own namespace.
const INSIDE: &str = "SEGVOL_TEST_MAY_MOUNT";

/// The size of the disk, which is enough for a bundle and the other files.
const DISK: &str = "size=64m";

const FAILED: Option<i32> = Some(1);

fn in_a_namespace(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount"]).arg(program);
    command
}

#[test]
fn a_full_disk_leaves_no_half_file_and_is_named() {
    if std::env::var_os(INSIDE).is_some() {
        return fill();
    }
    let folder = segvol_tests::folder!();
    let mut probe = in_a_namespace(Path::new("mount"));
    let mounted = probe.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(folder.path()).output();
    let refused = match mounted {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    };
    if let Some(reason) = refused {
        // Not with `eprintln!`: the test harness hides its output if the test passes.
        let line = "SKIPPED full_disk: no file system can be mounted here, so none was filled:";
        return writeln!(io::stderr(), "{line} {reason}").expect("standard error");
    }
    let mut again = in_a_namespace(&std::env::current_exe().expect("this program"));
    let name = "a_full_disk_leaves_no_half_file_and_is_named";
    let output = again.args([name, "--exact", "--nocapture"]).env(INSIDE, "1").output().expect("started");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    eprintln!("{said}");
}

/// The mounted disk.
struct Disk(PathBuf);

impl Disk {
    fn new(at: PathBuf) -> Self {
        fs::create_dir(&at).expect("a folder");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(&at).status();
        assert!(mount.expect("started").success(), "it was mounted a moment ago");
        Self(at)
    }

    fn at(&self, name: &str) -> String {
        text(&self.0.join(name)).to_owned()
    }

    /// Fills the disk with ballast, except for this many KiB.
    fn leave(&self, kib: u64) {
        let ballast = self.0.join("ballast");
        let mut file = File::create(&ballast).expect("a file");
        let (block, mut length) = (vec![1; 1 << 12], 0);
        loop {
            match file.write(&block) {
                Ok(written) => length += written as u64,
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
        file.set_len(length.checked_sub(kib << 10).expect("a larger disk")).expect("cut");
    }

    /// All files and folders on the disk except the ballast, with their contents.
    fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for name in names(&self.0).into_iter().filter(|name| name != "ballast") {
            let path = self.0.join(&name);
            if path.is_dir() {
                for file in names(&path) {
                    let bytes = fs::read(path.join(&file)).expect("read");
                    found.insert(format!("{name}/{file}"), bytes);
                }
                found.insert(name, Vec::new());
            } else {
                found.insert(name, fs::read(path).expect("read"));
            }
        }
        found
    }
}

/// A command that writes to the disk.
struct Writer<'a> {
    arguments: Vec<&'a str>,
    /// Amounts of free space that are too small, in KiB. With each, the command fails at another step.
    too_small: &'a [u64],
    /// The name in the error: the file, or the hidden temporary file beside it.
    named: &'a str,
    /// Files that may exist after a failure, complete or cut off after a line.
    kept: &'a [&'a str],
    /// Files that must exist at the end.
    made: &'a [&'a str],
}

fn fill() {
    let home = segvol_tests::folder!();
    let temporary = home.path().join("tmp");
    fs::create_dir(&temporary).expect("a folder");
    let bundle = bundle::seeded(&home.path().join("made"), &models::tiny(), &BTreeMap::new());
    let (model, checkpoint) = (text(&bundle), home.path().join("made/model.safetensors"));
    let scan = data("tiny/volumes/lps_int16.nii.gz");
    let scan = text(&scan);
    let liver = ["segment", "-i", scan, "-m", model, "--text", "liver", "-q"];
    let truth = home.path().join("truth.nii");
    let segmented = segvol(&[&liver[..], &["-o", text(&truth)]].concat(), &temporary).output().expect("started");
    let cases = cases(home.path(), Path::new(scan), &segmented);

    let disk = Disk::new(home.path().join("disk"));
    let [target, mask, logits, report, picture] =
        ["bundle", "mask.nii", "logits.nii.gz", "report.json", "picture.png"].map(|name| disk.at(name));
    let [masks, rows, pictures, plot, dump] =
        ["masks", "rows.csv", "pictures", "plot.svg", "dump.safetensors"].map(|name| disk.at(name));
    let [elsewhere, scores] = ["elsewhere.nii.gz", "scores.csv"].map(|name| text(&home.path().join(name)).to_owned());
    let eval = ["eval", "-m", model, "--cases", &cases, "--prompts", "text", "-q"];
    let commands = [
        Writer {
            arguments: vec!["convert", text(&checkpoint), "-o", &target],
            too_small: &[0, 8, 2000, 14_000],
            named: ".bundle.new-",
            kept: &[],
            made: &["bundle"],
        },
        Writer {
            arguments: vec!["convert", text(&checkpoint), "-o", &target, "--force"],
            too_small: &[0, 8, 2000, 14_000],
            named: ".bundle.new-",
            kept: &[],
            made: &["bundle"],
        },
        Writer {
            arguments: [&liver[..], &["-o", &mask]].concat(),
            too_small: &[0, 4],
            named: "mask.nii",
            kept: &[],
            made: &["mask.nii"],
        },
        Writer {
            arguments: [&liver[..], &["-o", &elsewhere, "--logits", &logits]].concat(),
            too_small: &[0, 4],
            named: "logits.nii.gz",
            kept: &[],
            made: &["logits.nii.gz"],
        },
        Writer {
            arguments: [&liver[..], &["-o", &elsewhere, "--report", &report]].concat(),
            too_small: &[0],
            named: "report.json",
            kept: &[],
            made: &["report.json"],
        },
        Writer {
            arguments: [&liver[..], &["-o", &elsewhere, "--overlay", &picture]].concat(),
            too_small: &[0, 4],
            named: "picture.png",
            kept: &[],
            made: &["picture.png"],
        },
        Writer {
            arguments: [&liver[..], &["--per-object", &masks]].concat(),
            too_small: &[0],
            named: "masks/liver.nii.gz",
            kept: &["masks"],
            made: &["masks", "masks/liver.nii.gz"],
        },
        Writer {
            arguments: [&eval[..], &["-o", &rows]].concat(),
            too_small: &[0, 4],
            named: "rows.csv",
            kept: &["rows.csv.work.jsonl"],
            made: &["rows.csv"],
        },
        Writer {
            arguments: [&eval[..], &["-o", &scores, "--overlay", &pictures]].concat(),
            too_small: &[0],
            named: "pictures/case.text.png",
            kept: &["pictures"],
            made: &["pictures", "pictures/case.text.png"],
        },
        Writer {
            arguments: vec!["bench", model, "--stage", "text-encoder", "--runs", "2", "--plot", &plot],
            too_small: &[0],
            named: "plot.svg",
            kept: &[],
            made: &["plot.svg"],
        },
        Writer {
            arguments: vec!["verify", model, "--dump", &dump],
            too_small: &[0, 4, 100],
            named: "dump.safetensors",
            kept: &[],
            made: &["dump.safetensors"],
        },
    ];
    for command in &commands {
        check(&disk, command, &temporary);
    }

    // Embeddings are worth no failure: the mask is written all the same, and nothing half-written is left.
    let embeddings = disk.at("embeddings");
    let stored = [&liver[..], &["-o", &elsewhere, "--embeddings", &embeddings]].concat();
    for kib in [0, 4, 12] {
        disk.leave(kib);
        let output = segvol(&stored, &temporary).output().expect("started");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        let says = message.contains("No space left on device") && message.contains("[embeddings_not_stored]");
        assert!(output.status.success() && says && message.lines().count() == 1, "{kib} KiB: {message}");
        let left = if Path::new(&embeddings).exists() { names(Path::new(&embeddings)) } else { Vec::new() };
        assert!(left.len() <= 1 && left.iter().all(|name| name.ends_with(".segvol")), "{kib} KiB: {left:?}");
        eprintln!("{:<8} {:<24} {kib:>6} KiB: {}", "segment", "embeddings", message.trim());
    }
    fs::remove_file(disk.0.join("ballast")).expect("removed");
    for _ in 0..2 {
        let output = segvol(&stored, &temporary).output().expect("started");
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    // The measuring process writes its mask to the temporary folder. Standard output can also be a file.
    let objects = home.path().join("objects.json");
    fs::write(&objects, json!({"schema_version": 1, "objects": [{"text": "liver"}]}).to_string()).expect("written");
    disk.leave(0);
    let job = ["bench", model, "--job", text(&objects), "-i", scan, "--runs", "1"];
    let output = segvol(&job, &disk.0).output().expect("started");
    failed(&output, "mask.nii.gz", &job);
    let full = File::create(disk.0.join("said")).expect("an empty file fits");
    let inspect = ["inspect", "--json", model];
    let output = segvol(&inspect, &temporary).stdout(full).output().expect("started");
    failed(&output, "standard output", &inspect);
}

/// A case list with one case: the scan, with its segmentation as the true mask.
fn cases(home: &Path, scan: &Path, segmented: &Output) -> String {
    assert!(segmented.status.success(), "{}", String::from_utf8_lossy(&segmented.stderr));
    let case = json!({"name": "case", "image": scan, "labels": "truth.nii"});
    let path = home.join("cases.json");
    let list = json!({"schema_version": 1, "structures": {"liver": 1}, "cases": [case]});
    fs::write(&path, list.to_string()).expect("written");
    text(&path).to_owned()
}

fn failed(output: &Output, named: &str, arguments: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), FAILED, "{arguments:?}: {message}");
    let says = message.contains(named) && message.contains("No space left on device") && !message.contains("panicked");
    assert!(says, "{arguments:?}: {message}");
}

/// Runs the command with each amount of free space that is too small, then with enough.
fn check(disk: &Disk, command: &Writer<'_>, temporary: &Path) {
    let Writer { arguments, too_small, named, kept, made } = command;
    // Every file to be written exists with old contents, except files in folders.
    for name in made.iter().filter(|name| name.contains('.') && !name.contains('/')) {
        fs::write(disk.0.join(name), "old").expect("written");
    }
    let before = disk.contents();
    for &kib in *too_small {
        disk.leave(kib);
        let output = segvol(arguments, temporary).output().expect("started");
        failed(&output, named, arguments);
        let mut after = disk.contents();
        after.retain(|name, _| before.contains_key(name) || !kept.contains(&name.as_str()));
        assert!(after == before, "{arguments:?}, {kib} KiB: {:?} are left or changed", after.keys());
        assert_eq!(names(temporary), Vec::<String>::new(), "{arguments:?}");
        eprintln!("{:<8} {named:<24} {kib:>6} KiB: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim());
    }
    fs::remove_file(disk.0.join("ballast")).expect("removed");
    let output = segvol(arguments, temporary).output().expect("started");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let after = disk.contents();
    for name in *made {
        assert!(after.get(*name).is_some_and(|bytes| bytes != b"old"), "{arguments:?}: {name} is missing or old");
    }
    if let Some(bundle) = made.iter().find(|name| **name == "bundle") {
        let bundle = disk.0.join(bundle);
        Manifest::read(&bundle).expect("a bundle").verify(&bundle).expect("whole");
    }
}
