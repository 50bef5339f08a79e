//! What the user is warned of: intensities that are not those of a body, prompts that are probably mistakes, and masks that
//! contradict their prompts. The demo model's masks show what padding and metal do to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use segvol::{
    Mask, Model, Options, PointLabel, Profile, Prompt, Provider, Report, StudyOptions, Truth, Volume, WarningCode,
};
use segvol_tests::bundle;
use segvol_tests::command::SEGVOL;

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo").join(name)
}

static BUNDLE: LazyLock<PathBuf> = LazyLock::new(|| {
    let bundle = Path::new(env!("CARGO_TARGET_TMPDIR")).join("warnings-demo");
    bundle::converted(
        &demo("SegVol_demo.pth"),
        &bundle,
        &segvol_converter::Options { force: true, ..Default::default() },
    );
    bundle
});

static MODEL: LazyLock<Model> =
    LazyLock::new(|| Model::open(&*BUNDLE, &Options::default().provider(Provider::Cpu)).expect("a bundle"));

/// The demo's phantom, with each voxel changed by its place `(i, j, k)`, in [-1, 1], and its intensity.
fn phantom(change: impl Fn([f64; 3], f32) -> f32) -> Volume {
    let volume = Volume::open(demo("phantom.nii.gz")).expect("a scan");
    let shape = volume.shape_xyz();
    let place = |index: usize| {
        let ijk = [index % shape[0], index / shape[0] % shape[1], index / (shape[0] * shape[1])];
        [0, 1, 2].map(|axis| (ijk[axis] as f64 + 0.5) / shape[axis] as f64 * 2.0 - 1.0)
    };
    let voxels = volume.voxels().iter().enumerate().map(|(index, &value)| change(place(index), value)).collect();
    Volume::new(shape, voxels, *volume.grid().affine()).expect("a volume")
}

/// The codes of the study's warnings, the liver's Dice, and its mask.
fn liver(volume: Volume, profile: Profile) -> (Vec<WarningCode>, f64, Mask) {
    let truth = BTreeMap::from([("liver".to_owned(), 1)]);
    let truth = Truth::open(demo("phantom_labels.nii.gz"), volume.grid(), truth).expect("the truth");
    let study = MODEL.study_with(volume, &StudyOptions::default().profile(profile)).expect("a study");
    let mask = study.segment(&Prompt::text("liver")).expect("segmented").mask().expect("memory");
    (study.warnings().iter().map(|warning| warning.code).collect(), truth.dice("liver", &mask).expect("a liver"), mask)
}

#[test]
fn padding_outside_the_circle_is_air() {
    let clean = liver(phantom(|_, value| value), Profile::Default);
    assert_eq!(clean.0, []);
    for padding in [-3024.0, -2000.0, -32768.0] {
        let padded = || phantom(|[i, j, _], value| if i * i + j * j > 1.0 { padding } else { value });
        let (codes, dice, _) = liver(padded(), Profile::Default);
        assert_eq!(codes, [WarningCode::IntensityPadding], "{padding}");
        assert!(dice > 0.93, "{padding}: {dice}");
        // The released code takes it for a part of the body. At -2000 this happens to change little.
        let (codes, dice, _) = liver(padded(), Profile::Released);
        assert_eq!(codes, [WarningCode::IntensityPadding], "{padding}");
        assert!(dice < 0.7 || padding == -2000.0, "{padding}: {dice}");
    }
    // Air that is a little darker than -1024 becomes -1024: this changes nothing that the normalisation keeps.
    let darker = phantom(|_, value| if value < -1000.0 { value - 60.0 } else { value });
    assert_eq!(liver(darker, Profile::Default).0, []);
}

#[test]
fn metal_does_not_count_for_the_normalisation() {
    let clean = liver(phantom(|_, value| value), Profile::Default);
    for metal in [3071.0, 20_000.0] {
        // Two rods of 30 mL each beside the spine.
        let rod = |[i, j, k]: [f64; 3]| ((i.abs() - 0.45) * 4.0).powi(2) + (j * 3.0).powi(2) < 0.04 && k < -0.5;
        let with_metal = || phantom(|at, value| if rod(at) { metal } else { value });
        let (codes, dice, _) = liver(with_metal(), Profile::Default);
        assert_eq!(codes, [WarningCode::IntensityMetal], "{metal}");
        assert!((dice - clean.1).abs() < 0.01, "{metal}: {dice}, without {}", clean.1);
        let (codes, dice, _) = liver(with_metal(), Profile::Released);
        assert_eq!(codes, [WarningCode::IntensityMetal], "{metal}");
        assert!(dice < 0.1, "{metal}: {dice}");
    }
}

#[test]
fn intensities_that_are_not_hounsfield_units_are_named() {
    let grey = |value: f32| ((value + 160.0) / 400.0 * 255.0).clamp(0.0, 255.0);
    type Change<'a> = &'a dyn Fn(f32) -> f32;
    let cases: [(&str, Change<'_>, WarningCode); 7] = [
        ("plus 1024", &|value| value + 1024.0, WarningCode::IntensityOffset),
        ("plus 1000", &|value| value + 1000.0, WarningCode::IntensityOffset),
        ("8 bits", &|value| grey(value).round(), WarningCode::IntensityEightBit),
        ("8 bits as fractions", &grey, WarningCode::IntensityEightBit),
        ("0 to 1", &|value| grey(value) / 255.0, WarningCode::IntensityUnitRange),
        ("-1 to 1", &|value| grey(value) / 127.5 - 1.0, WarningCode::IntensityUnitRange),
        ("magnetic resonance", &|value| (value + 1000.0).max(0.0) * 1.7, WarningCode::IntensityNotHounsfield),
    ];
    for (about, change, code) in cases {
        let volume = phantom(|_, value| change(value));
        let found: Vec<WarningCode> = volume.warnings().iter().map(|warning| warning.code).collect();
        assert_eq!(found, [code], "{about}: {:?}", volume.warnings());
    }
    let labels = Volume::open(demo("phantom_labels.nii.gz")).expect("a label map");
    assert_eq!(labels.warnings()[0].code, WarningCode::IntensityLabelMap);
    let one = phantom(|[i, j, k], _| f32::from(u8::from(i * i + j * j + k * k < 0.3)));
    assert_eq!(one.warnings()[0].code, WarningCode::IntensityLabelMap);
}

#[test]
fn prompts_and_masks_that_contradict_each_other_are_warned_of() {
    let study = MODEL.study(phantom(|_, value| value)).expect("a study");
    let codes = |prompt: &Prompt| -> Vec<WarningCode> {
        study.segment(prompt).expect("segmented").warnings().iter().map(|warning| warning.code).collect()
    };
    let (inside, outside) = (PointLabel::Foreground, PointLabel::Background);
    let liver = Prompt::text("liver");
    assert_eq!(codes(&liver), []);
    // (40, 45, 30) is liver in the label map, (1, 1, 1) is air, (100, 56, 34) is the spleen.
    assert_eq!(codes(&liver.clone().point([40.0, 45.0, 30.0], inside)), []);
    let negative = codes(&Prompt::new().point([40.0, 45.0, 30.0], outside));
    assert!(negative.contains(&WarningCode::PromptNegativeOnly), "{negative:?}");
    assert!(!codes(&liver.clone().point([100.0, 56.0, 34.0], outside)).contains(&WarningCode::PromptNegativeOnly));
    let in_air = codes(&liver.clone().point([3.0, 3.0, 30.0], inside));
    assert!(in_air.contains(&WarningCode::PromptInAir) || in_air.contains(&WarningCode::PromptMoved), "{in_air:?}");
    assert!(in_air.contains(&WarningCode::MaskContradictsPoint), "{in_air:?}");
    let box_in_air = codes(&liver.clone().bounding_box([2.0, 2.0, 30.0], [8.0, 8.0, 34.0]));
    assert!(
        box_in_air.contains(&WarningCode::PromptInAir) || box_in_air.contains(&WarningCode::PromptMoved),
        "{box_in_air:?}"
    );

    // Each object's own mask, and what is left of it in the label map.
    let prompts = [liver.clone(), liver.named("liver again")];
    let found = study.segment_all(&prompts).expect("segmented");
    let report = Report::new(&MODEL, &study, &prompts, &found);
    let [first, second] = &report.objects[..] else { panic!("two objects") };
    assert_eq!(first.voxels_in_label_map, first.voxels.zoom_in);
    assert_eq!((second.voxels.zoom_in, second.voxels_in_label_map), (first.voxels.zoom_in, 0));
    assert!(first.warnings.is_empty());
    assert!(second.warnings.iter().any(|warning| warning.code == WarningCode::MaskOverlap), "{:?}", second.warnings);
    let map = study.label_map(&found).expect("memory");
    let in_map = map.voxels_of(1).expect("memory").iter().filter(|&&inside| inside).count();
    assert_eq!(in_map as u64, first.voxels_in_label_map);
}

/// Warnings are on standard error with their codes, also with `-q`, and in the report; standard output has the summary only.
#[test]
fn warnings_go_to_standard_error_and_the_report() {
    let folder = segvol_tests::folder!();
    let report = folder.path().join("report.json");
    let run = |options: &str| {
        let mut command = Command::new(&*SEGVOL);
        command.arg("segment").arg("-m").arg(&*BUNDLE).arg("-i").arg(demo("phantom.nii.gz"));
        command.args("--provider cpu --no-zoom --point 40,45,30,0".split(' ')).args(options.split_whitespace());
        command.arg("-o").arg(folder.path().join("mask.nii.gz")).arg("--report").arg(&report);
        let output = command.output().expect("the command runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
    };
    let (code, output, errors) = run("");
    assert_eq!(code, 0, "{errors}");
    assert!(output.starts_with("1  object  ") && !output.contains("warning"), "{output}");
    let lines: Vec<&str> = errors.lines().collect();
    assert!(lines.iter().all(|line| line.starts_with("warning: ") && line.ends_with(']')), "{errors}");
    assert!(lines[0].ends_with(" [prompt_negative_only]"), "{errors}");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).expect("read")).expect("JSON");
    assert_eq!(json["objects"][0]["warnings"][0]["code"], "prompt_negative_only");

    let (code, output, quiet) = run("-q");
    assert_eq!((code, output.as_str()), (0, ""));
    assert_eq!(quiet, errors);
    for (options, expected) in [
        ("--fail-on-warning", 7),
        ("--fail-on-warning=any", 7),
        ("--fail-on-warning=mask_empty,prompt-negative-only", 7),
        ("--fail-on-warning=intensity_metal", 0),
        ("--fail-on-warning=metal", 2),
    ] {
        std::fs::remove_file(&report).expect("removed");
        let (code, _, errors) = run(options);
        assert_eq!(code, expected, "{options}: {errors}");
        // The outputs are there, unless the option itself is wrong.
        assert_eq!(report.exists(), expected != 2, "{options}");
        if expected == 2 {
            assert!(errors.contains("intensity_metal"), "{errors}");
            run("");
        }
    }
}
