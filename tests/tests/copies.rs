//! `segvol copy`, and outputs of `segvol segment` that are not NIfTI: what the command writes is the scan, or the masks, in another format.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use segvol::Volume;
use segvol::volume::nifti::{self, Datatype};
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};
use tempfile::TempDir;

const SCAN: &str = "tiny/volumes/lps_int16.nii.gz";
const ODD_SCAN: &str = "tiny/volumes/ras_scaled_odd.nii.gz";

static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("copies");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

fn run(folder: &TempDir, line: &str) -> Assert {
    Command::new(&*SEGVOL).args(line.split_whitespace()).current_dir(folder.path()).assert()
}

#[test]
fn a_copy_has_the_same_voxels_at_the_same_places() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    for (scan, datatype) in [(SCAN, Datatype::I16), (ODD_SCAN, Datatype::F32)] {
        let scan = data(scan);
        let expected = Volume::open(&scan).expect("a scan");
        for name in ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "A.NRRD"] {
            let summary = said(run(&folder, &format!("copy -i {} -o {name}", scan.display())));
            assert!(summary.contains(name) && summary.contains("voxels"), "{summary}");
            let first = fs::read(at(name)).expect("read");
            let found = Volume::open(at(name)).expect("a copy");
            assert_eq!(found.voxels(), expected.voxels(), "{name}");
            let pairs = found
                .grid()
                .affine()
                .rows()
                .into_iter()
                .flatten()
                .zip(expected.grid().affine().rows().into_iter().flatten());
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-12), "{name}");
            assert_eq!(said(run(&folder, &format!("copy -q -i {} -o {name}", scan.display()))), "");
            assert!(fs::read(at(name)).expect("read") == first, "{name}: other bytes");
            // And back again, through a format without NIfTI's header.
            said(run(&folder, &format!("copy -i {name} -o back.nii")));
            let header = nifti::read_header(&at("back.nii")).expect("a header");
            assert!(header.datatype == datatype || datatype == Datatype::F32, "{name}: {:?}", header.datatype);
            assert_eq!(Volume::open(at("back.nii")).expect("a copy").voxels(), expected.voxels(), "{name}");
        }
        // A copy of NIfTI keeps its geometry; a choice of the affine leaves one.
        let [copied, original] = [at("a.nii"), scan.clone()].map(|path| nifti::read_header(&path).expect("a header"));
        assert_eq!((copied.qform_code, copied.sform_code), (original.qform_code, original.sform_code));
        assert_eq!((copied.srow, copied.quatern, copied.pixdim), (original.srow, original.quatern, original.pixdim));
        said(run(&folder, &format!("copy --affine sform -i {} -o chosen.nii", scan.display())));
        let chosen = nifti::read_header(&at("chosen.nii")).expect("a header");
        assert_eq!((chosen.qform_code, chosen.sform_code), (0, 2));
    }
}

#[test]
fn nothing_is_written_where_it_must_not_be() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    fs::copy(data(SCAN), at("scan.nii.gz")).expect("copied");
    fs::write(at("ct.nrrd"), [0; 64]).expect("written");
    let header =
        "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nspacings: 1 1 1\nencoding: raw\ndata file: ct.nrrd\n";
    fs::write(at("ct.nhdr"), header).expect("written");
    let before = fs::read(at("scan.nii.gz")).expect("read");
    for (line, code, parts) in [
        ("copy -i scan.nii.gz -o copy.png", 2, &["--output `copy.png`", ".nii, .nii.gz, .nrrd or .mha"][..]),
        ("copy -i scan.nii.gz -o copy.seg.nrrd", 2, &["copy.seg.nrrd", ".nii, .nii.gz, .nrrd or .mha"]),
        ("copy -i scan.nii.gz -o -", 2, &["cannot go to standard output"]),
        ("copy -i scan.nii.gz -o ./scan.nii.gz", 2, &["is the same file as --input"]),
        ("copy -i ct.nhdr -o ct.nrrd", 2, &["is the same file as --input"]),
        ("copy -i scan.nii.gz -o missing/a.nii", 2, &["the folder `missing` does not exist"]),
        ("copy -i missing.nrrd -o a.nii", 5, &["missing.nrrd", "cannot read"]),
    ] {
        refused(&run(&folder, line), code, parts);
    }
    assert!(fs::read(at("scan.nii.gz")).expect("read") == before && fs::read(at("ct.nrrd")).expect("read") == [0; 64]);
    assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 3);
    said(run(&folder, "copy -i ct.nhdr -o ct.nii"));
}

/// The label map is the same in every format, and the objects of `.seg.nrrd` are the masks of `--per-object`.
#[test]
fn masks_keep_their_names() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    let segment = |line: &str| {
        let names = ["liver", "left kidney"].into_iter().flat_map(|name| ["--text", name]);
        let mut command = Command::new(&*SEGVOL);
        command.args(["segment", "-q", "--provider", "cpu", "-i"]).arg(data(SCAN)).arg("-m").arg(&*TINY).args(names);
        command.args(line.split_whitespace()).current_dir(folder.path()).assert()
    };
    said(segment("-o map.nii.gz --per-object masks"));
    let labels = Volume::open(at("map.nii.gz")).expect("a label map");
    for name in ["map.nrrd", "map.mha"] {
        said(segment(&format!("-o {name}")));
        let found = Volume::open(at(name)).expect("a label map");
        assert_eq!((found.voxels(), found.grid().affine()), (labels.voxels(), labels.grid().affine()), "{name}");
    }
    said(segment("-o objects.seg.nrrd"));
    let first = fs::read(at("objects.seg.nrrd")).expect("read");
    let found = segvol_segments::seg_nrrd::read(&at("objects.seg.nrrd")).expect("read");
    let names: Vec<&str> = found.objects.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(names, ["liver", "left kidney"]);
    for (index, file) in ["masks/liver.nii.gz", "masks/left_kidney.nii.gz"].into_iter().enumerate() {
        let mask = found.mask(index).expect("memory").expect("an object");
        let expected = Volume::open(at(file)).expect("a mask");
        let same = |(n, &value): (usize, &f32)| mask.labels().get(n).map(f32::from) == Some(value);
        assert!(expected.voxels().iter().enumerate().all(same), "{file}");
    }
    said(segment("-o objects.seg.nrrd"));
    assert!(fs::read(at("objects.seg.nrrd")).expect("read") == first, "other bytes");

    // Names beside a label map, and in it.
    said(segment("-o named.nii.gz --labels-file named.txt"));
    assert!(fs::read_to_string(at("named.txt")).expect("text").contains("\"left kidney\""));
    assert_eq!(Volume::open(at("named.nii.gz")).expect("a label map").voxels(), labels.voxels());
    assert_eq!(nifti::read_header(&at("named.nii.gz")).expect("a header").vox_offset, 352 + 48);
    said(segment("-o named.nii.gz --labels-file named.ctbl"));
    assert!(fs::read_to_string(at("named.ctbl")).expect("text").contains("\n2 left_kidney "));
    refused(
        &segment("-o a.nii --labels-file a.csv"),
        2,
        &["--labels-file `a.csv`", ".txt (ITK-SNAP) or .ctbl (3D Slicer)"],
    );
    refused(&segment("-o a.txt"), 2, &["a.txt", ".seg.nrrd", ".mha"]);
}
