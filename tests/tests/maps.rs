//! Probabilities, logits and the threshold: what the command writes is what the library has, cut at one place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use segvol::mask::Labels;
use segvol::{Model, Prompt, Segmentation, Study, StudyOptions, Volume};
use segvol_evaluation::{Evaluation, Settings};
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::faults::names;
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};
use serde_json::Value;
use tempfile::TempDir;

const SCAN: &str = "tiny/volumes/lps_int16.nii.gz";
/// Objects whose masks of the seeded model overlap, with one name that is no name of a file.
const OBJECTS: [&str; 3] = ["liver", "left kidney", "a/b"];

static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("maps");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

static MODEL: LazyLock<Model> = LazyLock::new(|| bundle::open(&TINY));

fn found(options: &StudyOptions) -> (Study, Vec<Segmentation>) {
    let study = MODEL.study_with(Volume::open(data(SCAN)).expect("a scan"), options).expect("a study");
    let found = study.segment_all(&OBJECTS.map(Prompt::text)).expect("segmented");
    (study, found)
}

fn command(folder: &TempDir, line: &str) -> Command {
    let mut command = Command::new(&*SEGVOL);
    command.args(["segment", "--provider", "cpu", "-i"]).arg(data(SCAN)).arg("-m").arg(&*TINY);
    command.args(line.split_whitespace()).current_dir(folder.path());
    command
}

fn all(folder: &TempDir, line: &str) -> Command {
    let mut command = command(folder, line);
    OBJECTS.iter().for_each(|name| _ = command.args(["--text", name]));
    command
}

fn voxels(path: &Path) -> Vec<f32> {
    Volume::open(path).expect("a map").voxels().to_vec()
}

fn same(found: &[f32], expected: &[f32]) -> bool {
    let equal = |(a, b): (&f32, &f32)| a == b || a.is_nan() && b.is_nan();
    found.len() == expected.len() && found.iter().zip(expected).all(equal)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("read")).expect("JSON")
}

#[test]
fn folders_have_the_maps_of_every_object_without_a_mask() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    said(all(&folder, "--probabilities new/p --logits l/ --report r.json").assert());
    let files = ["a_b.nii.gz", "left kidney.nii.gz", "liver.nii.gz"];
    let files = files.map(|name| name.replace(' ', "_"));
    assert_eq!([names(&at("new/p")), names(&at("l"))], [files.to_vec(), files.to_vec()]);
    let (study, expected) = found(&StudyOptions::default());
    let report = json(&at("r.json"));
    assert_eq!(report["files"], Value::Null, "no file has all objects");
    for (index, (segmentation, name)) in expected.iter().zip(["liver", "left_kidney", "a_b"]).enumerate() {
        let [p, l] = ["new/p", "l"].map(|dir| at(dir).join(format!("{name}.nii.gz")));
        let (probabilities, logits) = (voxels(&p), voxels(&l));
        assert!(same(&probabilities, &segmentation.probability_map().expect("memory")), "{name}");
        assert!(same(&logits, &segmentation.logit_map().expect("memory")), "{name}");
        assert!(logits.iter().any(|logit| logit.is_nan()), "the crop is smaller than the scan");
        for (logit, probability) in logits.iter().zip(&probabilities) {
            assert!(!logit.is_nan() || *probability == 0.0);
        }
        let volume = Volume::open(&p).expect("a map");
        assert_eq!(volume.grid().affine(), study.grid().affine());
        let named = |field: &str| report["objects"][index][field].as_str().map(str::to_owned);
        assert_eq!(named("probabilities"), Some(format!("new/p/{name}.nii.gz")));
        assert_eq!(named("logits"), Some(format!("l/{name}.nii.gz")));
        assert_eq!(named("file"), None);
    }
    // One object to a file, and the same bytes again.
    said(command(&folder, "--text liver --logits one.nii --probabilities p.nii.gz --report one.json").assert());
    let report = json(&at("one.json"));
    assert_eq!(
        (&report["files"]["logits"], &report["files"]["probabilities"]),
        (&"one.nii".into(), &"p.nii.gz".into())
    );
    assert_eq!(report["files"].get("dtype"), None);
    let first = fs::read(at("p.nii.gz")).expect("read");
    said(command(&folder, "--text liver --probabilities p.nii.gz -q").assert());
    assert!(fs::read(at("p.nii.gz")).expect("read") == first, "other bytes");
    let alone = MODEL.study(Volume::open(data(SCAN)).expect("a scan")).expect("a study");
    let alone = alone.segment(&Prompt::text("liver")).expect("segmented");
    assert!(same(&voxels(&at("one.nii")), &alone.logit_map().expect("memory")));
}

#[test]
fn float16_rounds_and_stays_readable() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    said(all(&folder, "--probabilities whole --logits l -q").assert());
    said(all(&folder, "--probabilities half --logits h --dtype float16 --report r.json").assert());
    assert_eq!(json(&at("r.json"))["files"]["dtype"], "float16");
    for name in names(&at("whole")) {
        for (whole, half) in [("whole", "half"), ("l", "h")] {
            let [whole, half] = [whole, half].map(|dir| at(dir).join(&name));
            let [before, after] = [&whole, &half].map(|path| fs::metadata(path).expect("a file").len());
            assert!(after < before, "{name}: {after} bytes, {before} before");
            for (exact, found) in voxels(&whole).iter().zip(voxels(&half)) {
                let rounded = half::f16::from_f32(*exact).to_f32();
                assert!(found == rounded || found.is_nan() && exact.is_nan(), "{exact} {found}");
            }
        }
    }
}

/// Every output that a threshold cuts, against the logits, for one object and for several.
#[test]
fn a_threshold_cuts_every_output_and_changes_no_logit() {
    let (_, released) = found(&StudyOptions::default());
    let logits: Vec<Vec<f32>> = released.iter().map(|found| found.logit_map().expect("memory")).collect();
    let mut sizes = Vec::new();
    for threshold in [0.2, 0.45, 0.5, 0.55, 0.8] {
        for zoom_in in [true, false] {
            let options = StudyOptions::default().threshold(threshold).zoom_in(zoom_in);
            let (study, found) = found(&options);
            let cut = (threshold / (1.0 - threshold)).ln() as f32;
            let what = format!("{threshold} {zoom_in}");
            let maps: Vec<Vec<f32>> = found.iter().map(|found| found.logit_map().expect("memory")).collect();
            for (index, found) in found.iter().enumerate() {
                assert!(!zoom_in || same(&maps[index], &logits[index]), "{what}: other logits");
                assert!(!zoom_in || found.region_of_interest() == released[index].region_of_interest(), "{what}");
                let expected: Vec<u8> = maps[index].iter().map(|&logit| u8::from(logit > cut)).collect();
                let mask = found.mask().expect("memory");
                assert!(matches!(mask.labels(), Labels::U8(labels) if *labels == expected), "{what}: mask");
                let count = expected.iter().map(|&label| u64::from(label)).sum::<u64>();
                assert_eq!(found.voxels().zoom_in, count, "{what}");
                assert_eq!(found.bounding_box_ijk(), mask.bounding_box_ijk(1), "{what}");
                let coarse = found.zoom_out_mask().expect("memory").count(1);
                assert_eq!(found.voxels().zoom_out, coarse, "{what}");
                let is_empty = found.warnings().iter().any(|warning| warning.code == segvol::WarningCode::MaskEmpty);
                assert_eq!(is_empty, count == 0, "{what}");
                if zoom_in && index == 0 {
                    sizes.push(count);
                }
            }
            let labels = study.label_map(&found).expect("memory");
            let winner = |voxel: usize| {
                let inside = (0..maps.len()).filter(|&index| maps[index][voxel] > cut);
                let best = inside.reduce(|best, next| if maps[next][voxel] > maps[best][voxel] { next } else { best });
                best.map_or(0, |index| index as u16 + 1)
            };
            assert!(
                (0..logits[0].len()).all(|voxel| labels.labels().get(voxel) == Some(winner(voxel))),
                "{what}: labels"
            );
            let counts: Vec<u64> = (1..=3).map(|label| labels.count(label)).collect();
            assert_eq!(study.label_counts(&found), counts, "{what}");
        }
    }
    assert!(sizes.windows(2).all(|pair| pair[0] > pair[1]), "each threshold has a mask of its own: {sizes:?}");
}

#[test]
fn the_command_and_its_report_have_the_threshold() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    said(all(&folder, "-o a.nii -q --report a.json").assert());
    said(all(&folder, "-o b.nii -q --report b.json --threshold 0.5").assert());
    assert!(fs::read(at("a.nii")).expect("read") == fs::read(at("b.nii")).expect("read"));
    assert_eq!(json(&at("b.json"))["settings"].get("threshold"), None);
    said(all(&folder, "-o c.nii --per-object c --report c.json --threshold 0.3").assert());
    let report = json(&at("c.json"));
    assert_eq!(report["settings"]["threshold"], 0.3);
    let (_, expected) = found(&StudyOptions::default().threshold(0.3));
    for (object, expected) in report["objects"].as_array().expect("objects").iter().zip(&expected) {
        assert_eq!(object["voxels"]["zoom_in"], expected.voxels().zoom_in);
        let file = at(object["file"].as_str().expect("a file"));
        let inside = voxels(&file).iter().filter(|&&label| label == 1.0).count() as u64;
        assert_eq!(inside, expected.voxels().zoom_in);
    }
    for (wrong, said) in [
        ("0", "found 0"),
        ("1", "found 1"),
        ("-0.5", "found -0.5"),
        ("NaN", "found NaN"),
        ("inf", "found inf"),
        ("50", "50 % is 0.5"),
        ("1e9", "found 1000000000"),
    ] {
        let assert = all(&folder, &format!("-o d.nii --threshold {wrong}")).assert();
        refused(&assert, 2, &["threshold: expected a probability above 0 and below 1", said]);
    }
    refused(&all(&folder, "-o d.nii --threshold half").assert(), 2, &["--threshold"]);
    assert!(!at("d.nii").exists());
}

/// Files of evaluations with the released threshold stay what they were.
#[test]
fn an_evaluation_records_a_threshold_of_its_own() {
    let header = |options: StudyOptions| {
        let evaluation = Evaluation::new(&MODEL, options, Settings::default());
        serde_json::to_value(evaluation.header()).expect("JSON")
    };
    let released = header(StudyOptions::default());
    assert_eq!(released.get("threshold"), None);
    assert_eq!(header(StudyOptions::default().threshold(0.5)), released);
    assert_eq!(header(StudyOptions::default().threshold(0.3))["threshold"], 0.3);
}

#[test]
fn what_is_a_file_and_what_is_a_folder_is_never_guessed() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("maps.png")).expect("made");
    for (line, parts) in [
        ("--logits l.nii.gz", &["--logits `l.nii.gz`: expected one object for one file, found 3", "folder"][..]),
        ("--probabilities p.nii", &["--probabilities", "found 3"]),
        (
            "--probabilities p.npy",
            &["--probabilities `p.npy`: expected a name that ends in .nii, .nii.gz, .nrrd or .mha, or a folder"],
        ),
        ("--logits -", &["--logits", "standard output"]),
        ("--logits a --probabilities a", &["--logits `a`: is the same", "as --probabilities", "choose another"]),
        ("--logits a --per-object ./a", &["is the same", "--logits", "--per-object"]),
        ("-o l/liver.nii.gz --logits l", &["--output"]),
        ("-o m.nii --dtype float16", &["--dtype: expected --probabilities or --logits"]),
        ("--logits l --dtype fp16", &["expected float32 or float16"]),
        ("", &["no output", "--probabilities", "--logits"]),
    ] {
        refused(&all(&folder, line).assert(), 2, parts);
    }
    assert!(!at("l").exists() && !at("p.npy").exists());
    // A folder that says so, or exists, may be called like a file.
    said(all(&folder, "--probabilities p.npy/ --logits maps.png -q").assert());
    assert_eq!([names(&at("p.npy")).len(), names(&at("maps.png")).len()], [3, 3]);
}
