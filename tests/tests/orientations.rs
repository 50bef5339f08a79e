//! A patient has the same mask in whatever order the file stores the axes.

use std::collections::BTreeMap;

use assert_cmd::Command;
use segvol::volume::Affine;
use segvol::{Mask, Model, Orientation, PointLabel, Profile, Prompt, Segmentation, Space, Volume};
use segvol_tests::command::{SEGVOL, said};
use segvol_tests::golden::data;
use segvol_tests::{bundle, checkpoint, models};

const PERMUTATIONS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// An order in which a file can store a volume: file axis `a` is axis `permutation[a]` of the original, reversed if bit
/// `a` of `backwards` is set.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Order {
    permutation: [usize; 3],
    backwards: u8,
}

/// All 48 orders.
fn orders() -> impl Iterator<Item = Order> {
    PERMUTATIONS.into_iter().flat_map(|permutation| (0..8).map(move |backwards| Order { permutation, backwards }))
}

impl Order {
    /// The voxel of the original that the stored volume has at `ijk`. `shape` is the shape of the original.
    fn original(self, shape: [usize; 3], ijk: [usize; 3]) -> [usize; 3] {
        let mut voxel = [0; 3];
        for (file_axis, axis) in self.permutation.into_iter().enumerate() {
            let last = shape[axis] - 1;
            voxel[axis] = if self.backwards >> file_axis & 1 == 1 { last - ijk[file_axis] } else { ijk[file_axis] };
        }
        voxel
    }

    /// For every voxel of the stored volume, in file order: the index of that voxel in the original's file order.
    fn places(self, shape: [usize; 3]) -> Vec<usize> {
        let [ni, nj, nk] = self.permutation.map(|axis| shape[axis]);
        let mut places = Vec::with_capacity(ni * nj * nk);
        for k in 0..nk {
            for j in 0..nj {
                for i in 0..ni {
                    let [x, y, z] = self.original(shape, [i, j, k]);
                    places.push((z * shape[1] + y) * shape[0] + x);
                }
            }
        }
        places
    }

    /// The volume stored in this order, at the same position in the patient.
    fn store(self, volume: &Volume) -> Volume {
        let shape = volume.shape_xyz();
        let voxels = self.places(shape).into_iter().map(|place| volume.voxels()[place]).collect();
        let at = |ijk: [usize; 3]| volume.grid().affine().apply(self.original(shape, ijk).map(|n| n as f64));
        let origin = at([0, 0, 0]);
        let steps = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map(at);
        let rows = [0, 1, 2].map(|row| {
            let step = |axis: usize| steps[axis][row] - origin[row];
            [step(0), step(1), step(2), origin[row]]
        });
        Volume::new(self.permutation.map(|axis| shape[axis]), voxels, Affine::new(rows)).expect("a volume")
    }

    /// The labels of a mask of the stored volume, in the original's file order.
    fn restore(self, mask: &Mask, shape: [usize; 3]) -> Vec<u16> {
        let places = self.places(shape);
        let mut labels = vec![0; places.len()];
        for (index, place) in places.into_iter().enumerate() {
            labels[place] = mask.labels().get(index).expect("one label per voxel");
        }
        labels
    }
}

fn model() -> Model {
    // An open model does not need its files, so the folder can be removed.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    bundle::open(&bundle::seeded(folder.path(), &models::tiny(), &BTreeMap::new()))
}

/// A phantom, and prompts for it in millimetres.
fn phantom() -> (Volume, Vec<Prompt>) {
    let volume = Volume::open(data("tiny/volumes/ras_scaled_odd.nii.gz")).expect("a volume");
    let shape = volume.shape_xyz();
    let mm = |share: f64| volume.grid().affine().apply(shape.map(|n| (n as f64 * share).floor()));
    let (a, b) = (mm(0.3), mm(0.7));
    let (min, max) = (std::array::from_fn(|i| a[i].min(b[i])), std::array::from_fn(|i| a[i].max(b[i])));
    let prompts = vec![
        Prompt::text("liver"),
        Prompt::text("spleen").bounding_box(min, max).space(Space::Ras),
        Prompt::new().point(mm(0.5), PointLabel::Foreground).space(Space::Ras),
    ];
    (volume, prompts)
}

fn masks(model: &Model, volume: Volume, prompts: &[Prompt], orientation: Orientation, profile: Profile) -> Vec<Mask> {
    let options = bundle::released().orientation(orientation).profile(profile);
    let study = model.study_with(volume, &options).expect("a study");
    let found = study.segment_all(prompts).expect("segmentations");
    let mask = |found: &Segmentation| {
        let mask = found.mask().expect("memory");
        assert_eq!(found.bounding_box_ijk(), mask.bounding_box_ijk(1), "found without a mask");
        mask
    };
    found.iter().map(mask).collect()
}

#[test]
fn all_48_ways_to_store_a_scan_give_one_mask() {
    let model = model();
    let (volume, prompts) = phantom();
    let shape = volume.shape_xyz();
    for profile in [Profile::Default, Profile::Released] {
        let first = orders().next().expect("48 orders");
        let expected = masks(&model, first.store(&volume), &prompts, Orientation::Ras, profile);
        let expected: Vec<Vec<u16>> = expected.iter().map(|mask| first.restore(mask, shape)).collect();
        assert!(expected.iter().all(|labels| labels.contains(&0) && labels.contains(&1)), "masks that say nothing");

        for order in orders() {
            let stored = order.store(&volume);
            let affine = *stored.grid().affine();
            let found = masks(&model, stored, &prompts, Orientation::Ras, profile);
            for ((found, expected), prompt) in found.iter().zip(&expected).zip(&prompts) {
                assert_eq!(*found.grid().affine(), affine, "{order:?}");
                let differ = order.restore(found, shape).iter().zip(expected).filter(|(a, b)| a != b).count();
                assert_eq!(differ, 0, "{order:?}, {profile:?}, {prompt:?}: voxels differ");
            }
        }
    }
}

/// The near miss: without reorienting the axes, the mask differs.
#[test]
fn axes_as_stored_give_masks_that_differ() {
    let model = model();
    let (volume, prompts) = phantom();
    let shape = volume.shape_xyz();
    let mask = |order: Order| {
        let found = masks(&model, order.store(&volume), &prompts[..1], Orientation::Stored, Profile::Default);
        order.restore(&found[0], shape)
    };
    let expected = mask(Order { permutation: [0, 1, 2], backwards: 0 });
    for order in [Order { permutation: [0, 1, 2], backwards: 1 }, Order { permutation: [1, 0, 2], backwards: 0 }] {
        assert_ne!(mask(order), expected, "{order:?}");
    }
}

#[test]
fn a_mask_on_disk_lies_where_the_scan_lies() {
    let model = model();
    let dir = tempfile::tempdir().expect("a folder");
    let prompts = [Prompt::text("liver")];
    for name in segvol_tests::golden::VOLUMES {
        let volume = Volume::open(data(&format!("tiny/volumes/{name}.nii.gz"))).expect("a volume");
        let (shape, header) = (volume.shape_xyz(), volume.grid().nifti_header().into_owned());
        let affine = *volume.grid().affine();
        let mask = masks(&model, volume, &prompts, Orientation::Ras, Profile::Default).remove(0);
        let path = dir.path().join("mask.nii.gz");
        mask.save(&path).expect("saved");

        let read = Volume::open(&path).expect("a volume");
        assert_eq!(read.shape_xyz(), shape, "{name}");
        assert_eq!(*read.grid().affine(), affine, "{name}");
        let found = read.grid().nifti_header();
        assert_eq!((found.sform_code, found.qform_code), (header.sform_code, header.qform_code), "{name}");
        assert_eq!((found.srow, found.pixdim), (header.srow, header.pixdim), "{name}");
        let labels: Vec<u16> = read.voxels().iter().map(|&voxel| voxel as u16).collect();
        let expected: Vec<u16> = (0..labels.len()).map(|i| mask.labels().get(i).expect("a label")).collect();
        assert_eq!(labels, expected, "{name}");
    }
}

/// A bundle says which axes its model was trained with. They are the default, and others are a warning.
#[test]
fn the_axes_of_the_bundle_are_the_default_and_others_are_a_warning() {
    let folder = segvol_tests::folder!();
    let checkpoint = checkpoint::write_seeded(folder.path(), &models::tiny(), &BTreeMap::new()).expect("written");
    let config = folder.path().join("config.json");
    let sizes = std::fs::read_to_string(&config).expect("read");
    let bundle = |axes: &str| {
        let with_axes = sizes.replacen('{', &format!("{{\"axes\": \"{axes}\","), 1);
        std::fs::write(&config, format!("\u{feff}{with_axes}")).expect("written");
        let bundle = folder.path().join(axes);
        bundle::converted(&checkpoint, &bundle, &segvol_converter::Options::default());
        bundle
    };
    let (volume, prompts) = phantom(); // Stored in RAS.
    let (lps, stored) = (bundle::open(&bundle("lps")), bundle::open(&bundle("STORED")));
    let unknown = model();
    let mask = |model: &Model, orientation: Option<Orientation>| {
        let study = model.study_with(&volume, &bundle::released().orientation(orientation)).expect("a study");
        let codes: Vec<_> = study.warnings().iter().map(|warning| warning.code).collect();
        assert_eq!(study.options().orientation, Some(model.orientation(&bundle::released().orientation(orientation))));
        let found = study.segment(&prompts[0]).expect("segmented");
        let unexpected = codes.contains(&segvol::WarningCode::OrientationUnexpected);
        (found.mask().expect("memory").voxels_of(1).expect("memory"), unexpected)
    };
    let code = |text: &str| Some(text.parse::<Orientation>().expect("a code"));
    let (ras, of_unknown) = (mask(&unknown, code("ras")), mask(&unknown, code("lps")));
    assert_ne!(ras.0, of_unknown.0, "the axes matter");
    assert_eq!(mask(&unknown, None), (ras.0.clone(), false));
    assert!(!of_unknown.1, "nothing is known that could be unexpected");
    // The three bundles have the same weights.
    assert_eq!(mask(&lps, None), (of_unknown.0.clone(), false));
    assert_eq!(mask(&lps, code("LPS")), (of_unknown.0.clone(), false));
    assert_eq!(mask(&lps, code("ras")), (ras.0.clone(), true));
    assert_eq!(mask(&lps, code("stored")), (ras.0.clone(), true), "the file stores RAS");
    assert_eq!(mask(&stored, None), (ras.0.clone(), false));
    assert_eq!(mask(&stored, code("ras")), (ras.0, false), "what the file stores anyway");
    assert_eq!(mask(&stored, code("lps")), (of_unknown.0, true));

    let manifest = std::fs::read_to_string(folder.path().join("lps/manifest.json")).expect("read");
    assert!(manifest.contains("\"axes\": \"LPS\""), "{manifest}");
    let inspected = |axes: &str| said(Command::new(&*SEGVOL).arg("inspect").arg(folder.path().join(axes)).assert());
    assert!(inspected("lps").contains("  axes        LPS\n"), "{}", inspected("lps"));
    assert!(inspected("STORED").contains("  axes        as stored in the file\n"));

    std::fs::write(&config, sizes.replacen('{', "{\"axes\": \"LRS\",", 1)).expect("written");
    let error =
        segvol_converter::convert(&checkpoint, &folder.path().join("bad"), &segvol_converter::Options::default());
    let error = error.expect_err("no such axes").to_string();
    assert!(
        error.contains("config.json") && error.contains("`axes`") && error.contains("L and R are the same axis"),
        "{error}"
    );
}

#[test]
fn the_report_names_the_orientation_and_the_expected_axes() {
    let folder = segvol_tests::folder!();
    let here = |name: &str| folder.path().join(name);
    let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo");
    bundle::converted(&demo.join("SegVol_demo.pth"), &here("bundle"), &segvol_converter::Options::default());
    let report = |arguments: &[&str]| {
        let mut command = Command::new(&*SEGVOL);
        command.args(["segment", "--text", "liver", "--no-zoom", "-q", "--provider", "cpu", "-i"]);
        command.arg(demo.join("phantom.nii.gz")).arg("-m").arg(here("bundle")).args(arguments);
        let assert = command.arg("-o").arg(here("mask.nii.gz")).arg("--report").arg(here("run.json")).assert();
        let text = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        let report: serde_json::Value =
            serde_json::from_slice(&std::fs::read(here("run.json")).expect("a report")).expect("JSON");
        (report["settings"].clone(), text)
    };
    let (settings, text) = report(&[]);
    assert_eq!((&settings["orientation"], &settings["expected_axes"]), (&"ras".into(), &"ras".into()), "{settings}");
    assert!(!text.contains("orientation_unexpected"), "{text}");
    let (settings, text) = report(&["--profile", "released", "--orientation", "stored"]);
    assert_eq!(settings["orientation"], "stored");
    assert!(
        text.contains("the model expects RAS axes, and sees LPS") && text.contains("[orientation_unexpected]"),
        "{text}"
    );
    let (settings, text) = report(&["--orientation", "PIR"]);
    assert_eq!(settings["orientation"], "pir");
    assert!(text.contains("and sees PIR"), "{text}");
}
