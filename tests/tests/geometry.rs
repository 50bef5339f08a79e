//! Scans whose headers contradict themselves, files that are no scans, and label maps stored in another order: what the
//! command makes of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use assert_cmd::Command;
use segvol::nifti::{self, Header};
use segvol::volume::Affine;
use segvol::{AffineChoice, Grid, Mask, ReadOptions, Volume};
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::golden::data;
use segvol_tests::{bundle, folder, models};
use serde_json::{Value, json};

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const INPUT: i32 = 5;
const BUNDLE: i32 = 6;
const WARNED: i32 = 7;

static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("geometry");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

fn original() -> PathBuf {
    data("tiny/volumes/lps_int16.nii.gz")
}

/// `segvol segment` of this scan, only the zoom-out pass.
fn segment(scan: &Path, mask: &Path) -> Command {
    let mut command = Command::new(&*SEGVOL);
    command.args(["segment", "--provider", "cpu", "--no-zoom", "--text", "liver", "-m"]).arg(&*TINY);
    command.arg("-i").arg(scan).arg("-o").arg(mask);
    command
}

/// The scan with another header.
fn with_header(path: &Path, change: impl FnOnce(&mut Header)) -> PathBuf {
    let contents = nifti::read(&original()).expect("a scan");
    let mut header = contents.header;
    change(&mut header);
    let written = fs::File::create(path).expect("a file");
    let voxels = nifti::Voxels::F32(&contents.voxels);
    nifti::write_gzip(written, &header, 0, voxels, "").expect("written");
    path.to_path_buf()
}

/// A label map with a block of label 1 in the middle, on this grid.
fn block(grid: &Arc<Grid>) -> Mask {
    let [ni, nj, nk] = grid.shape_xyz();
    let inside = |at: usize, n: usize, from: usize| (n * from / 12..n * 9 / 12).contains(&at);
    let label =
        |n: usize| u8::from(inside(n % ni, ni, 2) && inside(n / ni % nj, nj, 3) && inside(n / (ni * nj), nk, 4));
    Mask::from_labels((0..grid.voxels()).map(label).collect::<Vec<u8>>(), Arc::clone(grid)).expect("a mask")
}

/// Left and right are the other way round in the qform.
fn mirrored(header: &mut Header) {
    header.quatern = [0.0, 1.0, 0.0];
    header.pixdim[0] = -1.0;
    header.srow[0][0] = header.srow[0][0].abs();
    header.srow[1][1] = header.srow[1][1].abs();
}

fn report(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a report")).expect("JSON")
}

#[test]
fn a_scan_that_may_be_mirrored_needs_a_choice() {
    let folder = folder!();
    let scan = with_header(&folder.path().join("scan.nii.gz"), mirrored);
    let mask = folder.path().join("mask.nii.gz");
    let parts =
        ["scan.nii.gz", "sform", "qform", "right and left", "mm apart", "hint: --affine sform or --affine qform"];
    refused(&segment(&scan, &mask).assert(), INPUT, &parts);
    assert!(!mask.exists());

    let mut affines = Vec::new();
    for (choice, name) in [(AffineChoice::Sform, "sform"), (AffineChoice::Qform, "qform")] {
        let assert = segment(&scan, &mask).args(["--affine", name, "-q"]).assert();
        refused(
            &assert,
            0,
            &["warning: ", "right and left", &format!("the {name} was used, as chosen"), "[affine_conflict]"],
        );
        // Scan and mask have the same geometry in their headers, so every reader puts them at the same place.
        let [of_scan, of_mask] = [&scan, &mask].map(|path| nifti::read_header(path).expect("a header"));
        let geometry = |header: &Header| {
            (header.qform_code, header.sform_code, header.quatern, header.qoffset, header.srow, header.pixdim)
        };
        assert_eq!(geometry(&of_mask), geometry(&of_scan));
        let options = ReadOptions::default().affine(Some(choice));
        affines.push(*Volume::open_with(&mask, &options).expect("a mask").grid().affine());
        refused(
            &segment(&scan, &mask).args(["--affine", name, "--fail-on-warning=affine-conflict"]).assert(),
            WARNED,
            &[],
        );
    }
    assert_ne!(affines[0], affines[1]);
    refused(&segment(&scan, &mask).args(["--affine", "both"]).assert(), USAGE, &["expected sform or qform"]);
}

#[test]
fn an_evaluation_reads_scan_and_label_map_by_the_same_affine() {
    let folder = folder!();
    let scan = with_header(&folder.path().join("scan.nii.gz"), mirrored);
    let options = ReadOptions::default().affine(Some(AffineChoice::Qform));
    let grid = Arc::clone(Volume::open_with(&scan, &options).expect("a scan").grid());
    block(&grid).save(folder.path().join("labels.nii.gz")).expect("saved");
    let list = json!({"schema_version": 1, "structures": {"liver": 1},
        "cases": [{"image": "scan.nii.gz", "labels": "labels.nii.gz"}]});
    fs::write(folder.path().join("cases.json"), list.to_string()).expect("written");
    let eval = |more: &[&str]| {
        let mut command = Command::new(&*SEGVOL);
        command.args(["eval", "--provider", "cpu", "--no-zoom", "--prompts", "text", "-m"]).arg(&*TINY);
        command.arg("--cases").arg(folder.path().join("cases.json")).args(more).assert()
    };
    refused(&eval(&[]), FAILED, &["scan.nii.gz", "mirror each other"]);
    for choice in ["sform", "qform"] {
        let said = said(eval(&["--affine", choice]));
        assert!(said.contains("1 of 1 cases scored"), "{said}");
    }
}

#[test]
fn contradictions_are_warned_of_and_volumes_are_right() {
    let folder = folder!();
    let (mask, path) = (folder.path().join("mask.nii.gz"), folder.path().join("report.json"));
    let volume_of = |scan: &Path, parts: &[&str]| {
        let assert = segment(scan, &mask).arg("-q").arg("--report").arg(&path).assert();
        refused(&assert, 0, parts);
        let report = report(&path);
        let codes: Vec<&str> = parts.iter().filter_map(|part| part.strip_prefix('[')?.strip_suffix(']')).collect();
        for code in codes {
            let warnings = report["warnings"].as_array().expect("warnings");
            assert!(warnings.iter().any(|warning| warning["code"] == code), "{warnings:?}");
        }
        report["objects"][0]["volume_ml"].as_f64().expect("a volume")
    };
    let expected = volume_of(&original(), &[]);
    assert!(expected > 0.0);
    type Change<'a> = &'a dyn Fn(&mut Header);
    let zeros: Change<'_> = &|header| header.srow = [[0.0; 4]; 3];
    let directions: Change<'_> = &|header| {
        header.qform_code = 0;
        (0..3).for_each(|axis| header.srow[axis][axis] = header.srow[axis][axis].signum());
    };
    let shift: Change<'_> = &|header| header.qoffset[2] += 10.0;
    let unit: Change<'_> = &|header| header.xyzt_units = 1;
    for (name, change, parts) in [
        ("zeros", zeros, ["the sform cannot be used", "the qform was used", "[affine_unusable]"]),
        ("directions", directions, ["`pixdim` gives", "1 x 1 x 1", "[spacing_conflict]"]),
        ("shift", shift, ["qform is shifted by 10.00 mm", "the sform was used", "[affine_conflict]"]),
        ("unit", unit, ["metres", "millimetres were used", "[unit_unknown]"]),
    ] {
        let scan = with_header(&folder.path().join(format!("{name}.nii.gz")), change);
        let found = volume_of(&scan, &parts);
        assert!((found / expected - 1.0).abs() < 1e-3, "{name}: {found} mL, expected {expected}");
    }
}

/// Some writers count a fourth axis and give it the length 0.
#[test]
fn a_fourth_axis_of_length_0_changes_nothing() {
    let folder = folder!();
    let plain = with_header(&folder.path().join("plain.nii.gz"), |_| ());
    let odd = folder.path().join("odd.nii");
    let mut written = Vec::new();
    let contents = nifti::read(&plain).expect("a scan");
    nifti::write_to(&mut written, &contents.header, 0, nifti::Voxels::F32(&contents.voxels)).expect("memory");
    written[40..42].copy_from_slice(&4_i16.to_le_bytes());
    written[48..56].fill(0);
    fs::write(&odd, written).expect("written");
    let masks = [plain, odd].map(|scan| {
        let mask = folder.path().join("mask.nii.gz");
        said(segment(&scan, &mask).assert());
        fs::read(mask).expect("a mask")
    });
    assert!(masks[0] == masks[1], "the masks differ");
}

/// The same label map, stored along other axes: the same scores.
#[test]
fn a_label_map_in_another_order_gives_the_same_dice() {
    let folder = folder!();
    let grid = Arc::clone(Volume::open(original()).expect("a scan").grid());
    let truth = block(&grid);
    let here = folder.path().join("here.nii.gz");
    truth.save(&here).expect("saved");

    // The axes k, i, j of the scan, with i reversed.
    let [ni, nj, nk] = grid.shape_xyz();
    let mut labels = Vec::new();
    for j in 0..nj {
        for i in (0..ni).rev() {
            labels.extend((0..nk).map(|k| truth.labels().get((k * nj + j) * ni + i).expect("a voxel")));
        }
    }
    let last = (ni - 1) as f64;
    let rows = grid.affine().rows().map(|[i, j, k, origin]| [k, -i, j, origin + last * i]);
    let turned = Arc::new(Grid::new([nk, ni, nj], Affine::new(rows)).expect("a grid"));
    let there = folder.path().join("there.nii.gz");
    Mask::from_labels(labels.clone(), turned).expect("a mask").save(&there).expect("saved");

    let dice = |labels: &Path| {
        let path = folder.path().join("report.json");
        let mut command = segment(&original(), &folder.path().join("mask.nii.gz"));
        command.arg("--truth").arg(labels).args(["--truth-label", "liver=1", "--report"]).arg(&path);
        said(command.assert());
        report(&path)["objects"][0]["dice"].as_f64().expect("a Dice")
    };
    assert!(dice(&here) > 0.0);
    assert_eq!(dice(&here), dice(&there));

    let scored = |labels: &Path| {
        let list = json!({"schema_version": 1, "structures": {"liver": 1},
            "cases": [{"name": "a", "image": original(), "labels": labels}]});
        let cases = folder.path().join("cases.json");
        fs::write(&cases, list.to_string()).expect("written");
        let mut command = Command::new(&*SEGVOL);
        command.args(["eval", "--provider", "cpu", "--no-zoom", "--prompts", "text", "-m"]).arg(&*TINY);
        said(command.arg("--cases").arg(cases).assert())
    };
    assert_eq!(scored(&here), scored(&there));

    // In another order and at another place.
    let moved = Affine::new(rows.map(|[i, j, k, origin]| [i, j, k, origin + 5.0]));
    let moved = Arc::new(Grid::new([nk, ni, nj], moved).expect("a grid"));
    Mask::from_labels(labels, moved).expect("a mask").save(&there).expect("saved");
    let mut command = segment(&original(), &folder.path().join("mask.nii.gz"));
    command.arg("--truth").arg(&there).args(["--truth-label", "liver=1"]);
    refused(&command.assert(), INPUT, &["there.nii.gz", "8.66 mm away", "in the order that comes nearest"]);
}

#[test]
fn scan_and_bundle_swapped_is_said_in_one_line() {
    let folder = folder!();
    let (scan, mask) = (original(), folder.path().join("mask.nii.gz"));
    let run = |line: &[&str], scan: &Path, bundle: &Path| {
        let mut command = Command::new(&*SEGVOL);
        command.args(line).arg("-i").arg(scan).arg("-m").arg(bundle).assert()
    };
    let mask = mask.to_str().expect("UTF-8");
    let prompts = folder.path().join("objects.json");
    fs::write(&prompts, r#"{"schema_version": 1, "objects": [{"text": "liver"}]}"#).expect("written");
    let prompts = prompts.to_str().expect("UTF-8");
    for line in [
        vec!["segment", "--text", "liver", "-o", mask],
        vec!["verify", "--provider", "cpu", "--against-precision", "fp16"],
        vec!["bench", "--prompts", prompts],
    ] {
        refused(&run(&line, &TINY, &scan), USAGE, &["-i and -m are swapped", "is a bundle", "is a NIfTI file"]);
    }
    let mut eval = Command::new(&*SEGVOL);
    eval.args(["eval", "-c"]).arg(&*TINY).arg("-m").arg(prompts);
    refused(&eval.assert(), USAGE, &["-c and -m are swapped", "is a bundle", "is a JSON file"]);

    let line = ["segment", "--text", "liver", "-o", mask];
    refused(&run(&line, &TINY, &TINY), INPUT, &["a folder with a manifest.json", "give a scan here"]);
    refused(&run(&line, &scan, &scan), BUNDLE, &["hint: this is a NIfTI file"]);
    refused(&run(&line, &scan, &TINY.join("manifest.json")), BUNDLE, &["hint: the bundle is the folder"]);
    let checkpoint = data("checkpoints/github.pth");
    refused(
        &run(&line, &scan, &checkpoint),
        BUNDLE,
        &["hint: this is a PyTorch checkpoint: `segvol convert ", "github.pth"],
    );
    let model = folder.path().join("model");
    fs::create_dir(&model).expect("a folder");
    fs::copy(&checkpoint, model.join("SegVol_v1.pth")).expect("copied");
    refused(
        &run(&line, &scan, &model),
        BUNDLE,
        &["hint: there is a checkpoint in it: `segvol convert ", "SegVol_v1.pth"],
    );
    let above = TINY.parent().expect("a folder");
    refused(&run(&line, &scan, above), BUNDLE, &["hint: there is a bundle in it: `"]);
    refused(&run(&line, &checkpoint, &TINY), INPUT, &["found a PyTorch checkpoint; give a scan here"]);
}
