//! Too little memory: with any limit on the address space, a command either gives its result or an error that says what
//! there is not enough memory for. An allocation of this project never aborts the process.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "how often each height ended how, for docs/reliability.md")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use segvol::nifti::{Datatype, Header};
use segvol::volume::Affine;
use segvol::{Mask, Volume};
use segvol_tests::checkpoint::write_seeded;
use segvol_tests::faults::{limited, names, segvol, text};
use segvol_tests::seeded::uniform01;
use segvol_tests::{bundle, models};
use serde_json::json;

const FAILED: Option<i32> = Some(1);

static BUNDLE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("memory");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

/// A header of int16 voxels.
fn header(shape_xyz: [usize; 3]) -> Header {
    let small = Volume::new([2, 2, 2], vec![0.0; 8], Affine::from_spacing([1.0; 3])).expect("a volume");
    Header { shape_xyz, datatype: Datatype::I16, bitpix: 16, ..small.grid().nifti_header().into_owned() }
}

#[test]
fn a_scan_without_room_is_named_with_the_bytes_that_it_takes() {
    let home = segvol_tests::folder!();
    // Sparse files, which need no disk space.
    let path = home.path().join("large.nii");
    let mask = home.path().join("mask.nii");
    let arguments = ["segment", "-i", text(&path), "-m", text(&BUNDLE), "--text", "liver", "-o", text(&mask)];
    for (shape, limit, parts) in [
        // Not enough memory to read the scan.
        ([1000, 1000, 1000], "-v 3000000", ["large.nii", "4000000000 bytes needed"]),
        // Enough memory to read the scan, but not for a second copy.
        ([1000, 1000, 300], "-v 2200000", ["the oriented scan", "1200000000 bytes needed"]),
    ] {
        let mut file = File::create(&path).expect("a file");
        file.write_all(&header(shape).encode(0, "")).expect("written");
        file.set_len(352 + 2 * shape.iter().product::<usize>() as u64).expect("extended");
        let output = limited(limit, &segvol(&arguments, home.path()));
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), FAILED, "{message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        assert!(!mask.exists());
    }
}

/// The number of voxels of the scan. The memory that grows with it is several times the rest.
const SHAPE: [usize; 3] = [256, 256, 160];

/// A scan of a body with noise, and a box in it as the true mask.
fn write_scan(home: &Path) -> [PathBuf; 2] {
    let [scan, truth] = ["scan.nii", "truth.nii"].map(|name| home.join(name));
    let [ni, nj, nk] = SHAPE;
    let mut bytes = header(SHAPE).encode(0, "");
    let mut noise = uniform01("memory");
    let voxels = (0..nk).flat_map(|k| (0..nj).flat_map(move |j| (0..ni).map(move |i| [i, j, k])));
    let mut labels = Vec::with_capacity(ni * nj * nk);
    for [i, j, k] in voxels {
        let (x, y) = (i as f64 - 128.0, j as f64 - 128.0);
        let body = if x * x + y * y < 14000.0 { 40.0 } else { -1000.0 };
        let value = (body + 60.0 * noise.next().expect("endless")) as i16;
        bytes.extend(value.to_le_bytes());
        labels.push(u8::from((60..180).contains(&i) && (60..180).contains(&j) && (20..140).contains(&k)));
    }
    fs::write(&scan, bytes).expect("written");
    let volume = Volume::open(&scan).expect("our own file");
    Mask::from_labels(labels, volume.grid().clone()).expect("a mask").save(&truth).expect("saved");
    [scan, truth]
}

/// Runs a command with many limits of `ulimit -v`. `whole` checks the result if the command succeeds.
fn sweep(arguments: &[&str], home: &Path, whole: impl Fn() -> bool) {
    let temporary = home.join("tmp");
    fs::create_dir(&temporary).expect("a folder");
    let output = home.join("output");
    fs::create_dir(&output).expect("a folder");
    let (mut done, mut refused, mut theirs) = (0, BTreeMap::new(), 0);
    let theirs_say = ["terminate called", "cannot allocate memory for thread-local data", "std::bad_alloc"];
    let mut kib = 64 << 10;
    while kib < 4 << 20 {
        let limit = format!("-v {kib}");
        let height = kib;
        kib += kib / HEIGHTS_PER_DOUBLING;
        // The dynamic loader fails first; that is not this project's error.
        if !limited(&limit, &segvol(&["--version"], &temporary)).status.success() {
            continue;
        }
        let found = limited(&limit, &segvol(arguments, &temporary));
        let message = String::from_utf8_lossy(&found.stderr);
        let ours = !message.contains("memory allocation of") && !message.contains("panicked");
        assert!(ours, "{height} KiB: {:?}: {message}", found.status);
        match found.status.code() {
            Some(0) => {
                assert!(whole(), "{height} KiB: no result");
                done += 1;
            }
            // 4: if there is not enough memory for ONNX Runtime's library or the threads of a session, the provider is
            // not available.
            Some(code @ (1 | 4)) => {
                let line = message.lines().find(|line| line.contains("error") || line.starts_with("case"));
                let line = line.unwrap_or_else(|| panic!("{height} KiB: code {code} and no error: {message}"));
                // Without the folder, whose name may be long: what differs is said after it.
                let line = line.replace(text(home), "");
                *refused.entry(line.chars().take(110).collect::<String>()).or_insert(0) += 1;
            }
            // ONNX Runtime's own threads end the process if there is not enough memory. The message is from C++ or the
            // dynamic loader.
            _ if theirs_say.iter().any(|&words| message.contains(words)) => theirs += 1,
            other => panic!("{height} KiB: {other:?}, {:?}: {message}", found.status),
        }
        assert_eq!(names(&temporary), Vec::<String>::new(), "{height} KiB");
        for name in names(&output) {
            assert!(!name.starts_with('.'), "{height} KiB: {name} is left");
            remove(&output.join(name));
        }
        if done == 3 {
            break;
        }
    }
    eprintln!("{}: {done} done, {theirs} ended by ONNX Runtime, refused: {refused:#?}", arguments[0]);
    assert!(done > 0 && refused.len() > 2, "{done} done, {refused:#?}");
}

fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
}

/// The number of limits in a sweep between a limit and its double.
const HEIGHTS_PER_DOUBLING: u64 = 12;

#[test]
fn segment_gives_a_mask_or_a_named_error_at_every_height() {
    let home = segvol_tests::folder!();
    let [scan, truth] = write_scan(home.path());
    let output = home.path().join("output");
    let [mask, logits, picture] = ["mask.nii", "logits.nii", "picture.png"].map(|name| output.join(name));
    let arguments = [
        "segment",
        "-i",
        text(&scan),
        "-m",
        text(&BUNDLE),
        "--box",
        "100,100,60,110,110,66",
        "-q",
        "-o",
        text(&mask),
        "--logits",
        text(&logits),
        "--overlay",
        text(&picture),
        "--truth",
        text(&truth),
        "--truth-label",
        "object=1",
        "--smooth",
        "1",
        "--fill-holes",
        "--min-volume",
        "0.001",
        "--largest-component",
    ];
    sweep(&arguments, home.path(), || [&mask, &logits, &picture].iter().all(|path| path.is_file()));
}

#[test]
fn eval_gives_scores_or_a_named_error_at_every_height() {
    let home = segvol_tests::folder!();
    let [scan, truth] = write_scan(home.path());
    let case = json!({"name": "case", "image": scan, "labels": truth});
    let list = json!({"schema_version": 1, "structures": {"liver": 1}, "cases": [case]});
    let cases = home.path().join("cases.json");
    fs::write(&cases, list.to_string()).expect("written");
    let rows = home.path().join("output/rows.csv");
    let arguments = ["eval", "-m", text(&BUNDLE), "--cases", text(&cases), "--prompts", "box", "-q", "-o", text(&rows)];
    sweep(&arguments, home.path(), || rows.is_file());
}

/// Converts a model to three precisions. Its tensors are about as large as the memory that is left.
#[test]
fn convert_gives_a_bundle_or_a_named_error_at_every_height() {
    let home = segvol_tests::folder!();
    let mut model = models::micro();
    (model.channels, model.image_encoder.mlp) = (64, 1 << 16);
    let checkpoint = write_seeded(home.path(), &model, &BTreeMap::new()).expect("a checkpoint");
    let (config, bundle) = (home.path().join("config.json"), home.path().join("output/bundle"));
    let arguments = [
        "convert",
        text(&checkpoint),
        "--config",
        text(&config),
        "--precision",
        "fp32,fp16,int8",
        "--dynamic",
        "-o",
        text(&bundle),
    ];
    sweep(&arguments, home.path(), || bundle.join("manifest.json").is_file());
}

#[test]
fn verify_gives_a_verdict_or_a_named_error_at_every_height() {
    let home = segvol_tests::folder!();
    let [scan, _] = write_scan(home.path());
    let dump = home.path().join("output/outputs.safetensors");
    let arguments = ["verify", text(&BUNDLE), "-i", text(&scan), "--dump", text(&dump), "--provider", "cpu"];
    sweep(&arguments, home.path(), || dump.is_file());
}
