//! A DICOM series from folder to mask: the command and C give the masks of the same voxels in NIfTI, and what is written refers to the
//! series.

#![expect(unsafe_code, reason = "plays a C caller")]

#[path = "../../dicom/tests/writer/mod.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the tests of the reader, which use the rest")]
mod writer;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::LazyLock;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use segvol::Volume;
use segvol::mask::Labels;
use segvol_capi::status::SegvolStatus;
use segvol_capi::volume::{
    SegvolReadOptions, SegvolVolume, segvol_read_options_init, segvol_volume_free, segvol_volume_open,
    segvol_volume_open_with, segvol_volume_shape,
};
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};
use tempfile::TempDir;
use writer::{
    COLUMNS, INTERCEPT, NUMBER, POSITION, ROWS, SERIES, SIGNED, SOP_INSTANCE, SPACING, Set, Syntax, THICKNESS,
};

const SCAN: &str = "tiny/volumes/lps_int16.nii.gz";

static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dicom");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

fn run(folder: &TempDir, line: &str) -> Assert {
    Command::new(&*SEGVOL).args(line.split_whitespace()).current_dir(folder.path()).assert()
}

/// The scan's slices as images of a series. The scan's axes are those of DICOM: left, back, head.
fn images(volume: &Volume, series: &str, number: &str) -> Vec<Set> {
    let [columns, rows, slices] = volume.shape_xyz();
    let affine = volume.grid().affine();
    let [dx, dy, dz] = affine.spacing_mm();
    let slice = |k: usize| {
        let voxels = &volume.voxels()[k * rows * columns..][..rows * columns];
        let stored: Vec<u16> = voxels.iter().map(|&hu| (hu as i16) as u16).collect();
        let [x, y, z] = affine.apply([0.0, 0.0, k as f64]);
        writer::image(k)
            .text(SERIES, b"UI", series)
            .text(NUMBER, b"IS", number)
            .text((8, 0x20), b"DA", "20200304")
            .text(SOP_INSTANCE, b"UI", format!("{series}.{k}"))
            .numbers(POSITION, &[-x, -y, z])
            .numbers(SPACING, &[dy, dx])
            .numbers(THICKNESS, &[dz])
            .numbers(INTERCEPT, &[0.0])
            .word(ROWS, rows as u16)
            .word(COLUMNS, columns as u16)
            .word(SIGNED, 1)
            .pixels(&stored)
    };
    (0..slices).map(slice).collect()
}

fn write(folder: &Path, images: &[Set], syntax: Syntax) {
    fs::create_dir_all(folder).expect("a folder");
    // The names say nothing about the order.
    for (k, image) in images.iter().enumerate() {
        fs::write(folder.join(format!("{}", k * 7919 % 1009)), image.file(syntax)).expect("written");
    }
}

fn labels(path: &Path) -> Vec<f32> {
    Volume::open(path).expect("a label map").into_voxels()
}

#[test]
fn a_series_has_the_masks_of_the_same_voxels_in_nifti() {
    let folder = segvol_tests::folder!();
    let scan = data(SCAN);
    let volume = Volume::open(&scan).expect("a scan");
    write(&folder.path().join("series"), &images(&volume, "1.2.3.77", "3"), Syntax::ImplicitLittle);
    let prompts = format!("-m {} --text liver --text spleen -q", TINY.display());
    said(run(&folder, &format!("segment -i {} {prompts} -o nifti.nii", scan.display())));
    said(run(&folder, &format!("segment -i series {prompts} -o dicom.nii --rtstruct rt.dcm --report report.json")));
    assert_eq!(labels(&folder.path().join("dicom.nii")), labels(&folder.path().join("nifti.nii")));
    // What DICOM outputs hold is what the label map holds, and they are truth for the scan in NIfTI's place.
    said(run(&folder, &format!("segment -i series {prompts} -o seg.dcm")));
    let again = fs::read(folder.path().join("seg.dcm")).expect("read");
    said(run(&folder, &format!("segment -i series {prompts} -o seg.dcm")));
    assert!(fs::read(folder.path().join("seg.dcm")).expect("read") == again, "the same bytes");
    for truth in ["seg.dcm", "rt.dcm"] {
        let found =
            run(&folder, &format!("segment -i series {prompts} -o again.nii --truth {truth} --report again.json"));
        found.success();
        let report = fs::read_to_string(folder.path().join("again.json")).expect("read");
        let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
        let objects = report["objects"].as_array().expect("objects");
        let filled = objects.iter().filter(|object| object["voxels"]["zoom_in"].as_u64() > Some(0)).count();
        assert!(filled > 0);
        for object in objects {
            assert!(object["dice"].as_f64().is_none_or(|dice| dice == 1.0), "{truth}: {object}");
        }
        assert!(objects.iter().any(|object| object["dice"] == 1.0), "{truth}");
    }
}

#[test]
fn outputs_of_dicom_need_a_series_and_say_so_before_the_work() {
    let folder = segvol_tests::folder!();
    let line = format!("segment -i {} -m {} --text liver", data(SCAN).display(), TINY.display());
    refused(&run(&folder, &format!("{line} -o liver.dcm")), 2, &["DICOM scan", "--input"]);
    refused(&run(&folder, &format!("{line} -o liver.nii --rtstruct liver.dcm")), 2, &["DICOM scan"]);
    refused(&run(&folder, &format!("{line} -o liver.nii --seg labelmap")), 2, &["--seg", ".dcm"]);
    refused(&run(&folder, &format!("{line} -o liver.dcm --labels-file liver.txt")), 2, &["--labels-file"]);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn a_cohort_writes_dicom_as_segment_does() {
    let folder = segvol_tests::folder!();
    let volume = Volume::open(data(SCAN)).expect("a scan");
    write(&folder.path().join("scans/a"), &images(&volume, "1.2.3.77", "3"), Syntax::ImplicitLittle);
    fs::copy(data(SCAN), folder.path().join("scans/b.nii.gz")).expect("copied");
    let prompts = format!("-m {} --text liver --text spleen -q", TINY.display());
    let mut seen = Vec::new();
    for (out, options) in [("plain", ""), ("map", "--seg labelmap --anonymous --uid-root 1.2.826.99 --fill-missing")] {
        said(run(&folder, &format!("segment -i scans/a {prompts} -o {out}.dcm {options}")));
        let found =
            run(&folder, &format!("cohort --images scans {prompts} --out {out} --pattern {{id}}.dcm {options}"));
        refused(&found, 1, &["scan \"b\": ", "DICOM scan", "1 of 2 scans failed"]);
        let bytes = |name: &str| fs::read(folder.path().join(name)).expect("read");
        assert!(bytes(&format!("{out}/a.dcm")) == bytes(&format!("{out}.dcm")), "the same bytes: {options}");
        seen.push(bytes(&format!("{out}.dcm")));
    }
    assert!(seen[0] != seen[1]);
    let cohort = format!("cohort --images scans {prompts} --out map --resume");
    let found = run(&folder, &format!("{cohort} --pattern {{id}}.dcm --seg labelmap"));
    refused(&found, 2, &["another dicom.anonymous: true, now false"]);
    let found = run(&folder, &format!("{cohort} --anonymous"));
    refused(&found, 2, &["--anonymous: expected a --pattern that ends in .dcm"]);
    let found = run(&folder, &format!("{cohort} --pattern {{id}}.dcm --uid-root 1..2"));
    refused(&found, 2, &["UID root"]);
}

#[test]
fn a_page_reads_scans_as_their_run_did() {
    let folder = segvol_tests::folder!();
    let volume = Volume::open(data(SCAN)).expect("a scan");
    let mut images = images(&volume, "1.2.3.77", "3");
    images.remove(2);
    write(&folder.path().join("scans/a"), &images, Syntax::ImplicitLittle);
    let cohort = format!("cohort --images scans -m {} --text liver -q --out out", TINY.display());
    refused(&run(&folder, &cohort), 1, &["slice"]);
    run(&folder, &format!("{cohort} --fill-gaps").replace("--out out", "--out filled")).success();
    run(&folder, "cohort summary filled --images scans --html page.html").success();
    let page = fs::read_to_string(folder.path().join("page.html")).expect("a page");
    assert!(page.contains("data:image/png;base64,"), "a picture of the scan that lacks a slice: {page}");
}

/// The shape of a scan that C opens, or the status.
fn open_in_c(path: &Path, series: Option<&str>, fill_gaps: i32) -> Result<[usize; 3], SegvolStatus> {
    let path = CString::new(path.to_string_lossy().as_bytes()).expect("no zero byte");
    let series = series.map(|series| CString::new(series).expect("no zero byte"));
    let mut options = SegvolReadOptions { size: 0, affine: 0, fill_gaps: 0, series: ptr::null() };
    let mut volume: *mut SegvolVolume = ptr::null_mut();
    let mut shape = [0; 3];
    // SAFETY: strings end with a zero byte, options are initialised by their function, and the volume is freed once.
    unsafe {
        assert!(matches!(segvol_read_options_init(&raw mut options, size_of::<SegvolReadOptions>()), SegvolStatus::Ok));
        options.series = series.as_ref().map_or(ptr::null(), |series| series.as_ptr());
        options.fill_gaps = fill_gaps;
        let status = match (&series, fill_gaps) {
            (None, 0) => segvol_volume_open(path.as_ptr(), &raw mut volume),
            _ => segvol_volume_open_with(path.as_ptr(), &raw const options, &raw mut volume),
        };
        if !matches!(status, SegvolStatus::Ok) {
            assert!(volume.is_null());
            return Err(status);
        }
        assert!(matches!(segvol_volume_shape(volume, shape.as_mut_ptr()), SegvolStatus::Ok));
        segvol_volume_free(volume);
    }
    Ok(shape)
}

#[test]
fn a_c_program_chooses_a_series_and_fills_gaps() {
    let folder = segvol_tests::folder!();
    let volume = Volume::open(data(SCAN)).expect("a scan");
    let shape = volume.shape_xyz();
    let all = images(&volume, "1.2.3.77", "3");
    write(&folder.path().join("both/a"), &all, Syntax::ExplicitLittle);
    write(&folder.path().join("both/b"), &images(&volume, "1.2.3.78", "4"), Syntax::ExplicitBig);
    let mut gap = all;
    gap.remove(shape[2] / 2);
    write(&folder.path().join("gap"), &gap, Syntax::ExplicitLittle);
    let at = |name: &str| folder.path().join(name);
    assert!(matches!(open_in_c(&at("both"), None, 0), Err(SegvolStatus::File)));
    assert!(matches!(open_in_c(&at("both"), Some("9"), 0), Err(SegvolStatus::File)));
    for (name, series) in [("both/a", None), ("both", Some("1.2.3.78")), ("both", Some("3"))] {
        assert_eq!(open_in_c(&at(name), series, 0).ok(), Some(shape), "{name} {series:?}");
    }
    assert!(matches!(open_in_c(&at("gap"), None, 0), Err(SegvolStatus::File)));
    assert_eq!(open_in_c(&at("gap"), None, 1).ok(), Some(shape));
}

#[test]
fn a_label_map_of_a_series_is_as_large_as_the_series() {
    let folder = segvol_tests::folder!();
    let volume = Volume::open(data(SCAN)).expect("a scan");
    write(&folder.path().join("series"), &images(&volume, "1.2.3.77", "3"), Syntax::Deflated);
    let series = Volume::open(folder.path().join("series")).expect("a scan");
    assert_eq!(series.voxels(), volume.voxels());
    let mask = segvol::Mask::from_labels(Labels::from(vec![1_u8; volume.voxels().len()]), series.grid().clone());
    let mask = mask.expect("a mask");
    assert!(mask.save(folder.path().join("mask.nii")).is_ok());
    let error = mask.save(folder.path().join("series/0")).expect_err("no name of a mask").to_string();
    assert!(error.contains("series/0"), "{error}");
}
