//! The profiles `huggingface`, `huggingface-nearest` and `segfm` give the logits of the released programs.
//!
//! `program_near_misses.rs` has the wrong results that these tolerances reject. With `--nocapture`, the tests print the error of
//! every run.

#![allow(clippy::print_stderr, reason = "the measured errors are quoted in the documentation")]

use std::collections::BTreeMap;
use std::fs;

use segvol::resize::{resize_nearest, resize_nearest_exact};
use segvol::{
    Error, Model, Orientation, PointLabel, Profile, Prompt, PromptError, Segmentation, Space, Study, StudyOptions,
    Volume,
};
use segvol_tests::compare::{INTENSITY, LOGITS, max_error, relative_l2, wrong_signs};
use segvol_tests::golden::{Goldens, VOLUMES, data};
use segvol_tests::programs::{hugging_face, segfm, voxel_box};
use segvol_tests::{bundle, models};

fn study(model: &Model, volume: &str, profile: Profile, zoom_in: bool) -> Study {
    let volume = Volume::open(data(&format!("tiny/volumes/{volume}.nii.gz"))).expect("a volume");
    let options = StudyOptions::default().profile(profile).zoom_in(zoom_in);
    let study = model.study_with(volume, &options).expect("a study");
    assert_eq!(study.options().orientation, Some(Orientation::Stored), "the program sees the axes as stored");
    study
}

/// Checks region, windows and logits of one run.
fn check(found: &Segmentation, roi: Option<[usize; 6]>, windows: usize, goldens: &Goldens, name: &str) {
    let region = found.region_of_interest().map(|roi| {
        let ([d0, h0, w0], [d1, h1, w1]) = (roi.region.min_dhw, roi.max_before_cut_dhw);
        [d0, h0, w0, d1, h1, w1]
    });
    assert_eq!(region, roi, "{name}: region of interest");
    assert_eq!(found.windows().total, windows, "{name}: windows");
    assert_eq!(found.windows().skipped, 0, "{name}: windows");
    let logits = found.logits().expect("memory");
    for (pass, values) in [("zoom_out_logits", found.zoom_out_logits()), ("logits", &logits)] {
        let sample = goldens.sample(&format!("{name}.{pass}"));
        let values = sample.pick(values.as_slice().expect("standard layout"));
        let error = relative_l2(&values, &sample.value);
        eprintln!("{name}: {pass}: relative L2 {error:.1e}, {LOGITS:.0e} allowed");
        assert!(error <= LOGITS, "{name}: {pass}: relative L2 {error:.1e}");
        assert_eq!(wrong_signs(&values, &sample.value), 0, "{name}: {pass}: voxels on the wrong side");
    }
}

/// Checks every recorded run of Hugging Face's file on one phantom. Returns the number of runs.
fn check_hugging_face(volume: &str) -> usize {
    let record = hugging_face(volume);
    let goldens = Goldens::load(&format!("tiny/programs/{volume}.huggingface.safetensors.gz"));
    let mut runs = 0;
    for (variant, weights) in &record.variants {
        let folder = segvol_tests::folder!();
        let model = bundle::open(&bundle::seeded(folder.path(), &models::tiny(), &weights.bias_added));
        for (revision, profile, prompts) in
            [("main", Profile::Huggingface, &weights.main), ("nearest", Profile::HuggingfaceNearest, &weights.nearest)]
        {
            for (prompt, run) in prompts {
                let name = format!("{variant}.{revision}.{prompt}");
                let study = study(&model, volume, profile, run.zoom_in);
                assert_eq!((study.crop().start_dhw, study.crop().end_dhw), (record.stored.start, record.stored.end));
                let found = study.segment(&run.prompt()).unwrap_or_else(|error| panic!("{name}: {error}"));
                check(&found, run.roi(), run.windows.unwrap_or(0), &goldens, &name);
                // Signs of logits that are all but zero may differ.
                assert!(found.voxels().zoom_in.abs_diff(run.voxels as u64) <= 2, "{name}: {:?}", found.voxels());
                runs += 1;
            }
        }
    }
    let folder = segvol_tests::folder!();
    let model = bundle::open(&bundle::seeded(folder.path(), &models::tiny(), &BTreeMap::new()));
    let window = model.stages().architecture().window_dhw;
    let study = study(&model, volume, Profile::HuggingfaceNearest, true);
    let expected = goldens.sample("nearest.zoom_out_image");
    let error = |image: &ndarray::Array3<f32>| {
        max_error(&expected.pick(image.as_slice().expect("standard layout")), &expected.value)
    };
    assert!(error(&resize_nearest(study.image().view(), window)) <= INTENSITY, "{volume}: zoom-out image");
    assert!(error(&resize_nearest_exact(study.image().view(), window)) > 1e-2, "{volume}: the other resizing differs");
    runs
}

/// Checks every recorded box of the SegFM program on one phantom, and the label map. Returns the number of boxes.
fn check_segfm(volume: &str) -> usize {
    let record = segfm(volume);
    let goldens = Goldens::load(&format!("tiny/programs/{volume}.segfm.safetensors.gz"));
    let mut boxes = 0;
    for (variant, weights) in &record.variants {
        let folder = segvol_tests::folder!();
        let model = bundle::open(&bundle::seeded(folder.path(), &models::tiny(), &weights.bias_added));
        let study = study(&model, volume, Profile::Segfm, true);
        assert_eq!((study.crop().start_dhw, study.crop().end_dhw), (record.stored.start, record.stored.end));
        let prompts: Vec<Prompt> =
            weights.order.iter().map(|name| voxel_box(name, weights.boxes[name].corners)).collect();
        let found = study.segment_all(&prompts).expect("segmentations");
        for (name, found) in weights.order.iter().zip(&found) {
            let run = &weights.boxes[name];
            check(found, run.roi, run.windows.unwrap_or(0), &goldens, &format!("{variant}.{name}"));
            assert!(found.voxels().zoom_in.abs_diff(run.voxels as u64) <= 2, "{name}: {:?}", found.voxels());
            let lost = found.warnings().iter().any(|warning| warning.code == segvol::WarningCode::PromptLost);
            assert_eq!(lost, run.zoom_out_box[0] == -1, "{name}: a box that the program does not see has a warning");
            boxes += 1;
        }
    }
    boxes
}

#[test]
fn every_program_has_its_goldens() {
    let mut runs = (0, 0, 0);
    for volume in VOLUMES {
        for weights in hugging_face(volume).variants.values() {
            runs.0 += weights.main.len();
            runs.1 += weights.nearest.len();
        }
        runs.2 += segfm(volume).variants.values().map(|weights| weights.boxes.len()).sum::<usize>();
    }
    assert_eq!(runs, (13, 10, 13));
}

#[test]
fn odd_sizes_match_hugging_face_and_segfm() {
    assert_eq!((check_hugging_face("awkward_sizes"), check_segfm("awkward_sizes")), (2, 1));
}

#[test]
fn integer_voxels_match_hugging_face_and_segfm() {
    assert_eq!((check_hugging_face("lps_int16"), check_segfm("lps_int16")), (6, 3));
}

#[test]
fn scaled_voxels_match_hugging_face_and_segfm() {
    assert_eq!((check_hugging_face("ras_scaled_odd"), check_segfm("ras_scaled_odd")), (4, 2));
}

#[test]
fn sheared_axes_match_hugging_face_and_segfm() {
    assert_eq!((check_hugging_face("sheared_slp"), check_segfm("sheared_slp")), (4, 3));
}

#[test]
fn a_scan_smaller_than_the_window_matches_hugging_face_and_segfm() {
    assert_eq!((check_hugging_face("smaller_than_window"), check_segfm("smaller_than_window")), (7, 4));
}

#[test]
fn hugging_face_is_the_demo_with_the_axes_as_stored() {
    let folder = segvol_tests::folder!();
    let model = bundle::open(&bundle::seeded(folder.path(), &models::tiny(), &BTreeMap::new()));
    let logits = |options: &StudyOptions| {
        let volume = Volume::open(data("tiny/volumes/lps_int16.nii.gz")).expect("a volume");
        let study = model.study_with(volume, options).expect("a study");
        let found = study.segment(&Prompt::text("liver")).expect("a segmentation");
        // A mask that fills its region forgets the zoom-out pass.
        (found.zoom_out_logits().clone(), found.logits().expect("memory"))
    };
    let demo = StudyOptions::default().profile(Profile::Released);
    let huggingface = logits(&StudyOptions::default().profile(Profile::Huggingface));
    assert_eq!(huggingface, logits(&demo.clone().orientation(Orientation::Stored)), "to the bit");
    assert_ne!(huggingface, logits(&demo.orientation(Orientation::Ras)));
    assert_ne!(huggingface, logits(&StudyOptions::default().profile(Profile::HuggingfaceNearest)));
}

#[test]
fn other_axes_than_the_programs_are_refused() {
    for profile in [Profile::Huggingface, Profile::HuggingfaceNearest, Profile::Segfm] {
        let options = StudyOptions::default().profile(profile);
        assert!(options.check().is_ok() && options.clone().orientation(Orientation::Stored).check().is_ok());
        let error = options.orientation(Orientation::Ras).check().expect_err("not what the program sees");
        assert!(matches!(error, Error::Setting { name: "orientation", .. }), "{error}");
    }
}

#[test]
fn a_box_with_points_is_refused_where_the_program_refuses_it() {
    let folder = segvol_tests::folder!();
    let model = bundle::open(&bundle::seeded(folder.path(), &models::tiny(), &BTreeMap::new()));
    let both = Prompt::new()
        .bounding_box([1.0, 8.0, 14.0], [5.0, 36.0, 44.0])
        .point([4.0, 20.0, 30.0], PointLabel::Foreground)
        .space(Space::Window);
    for profile in [Profile::Released, Profile::Huggingface, Profile::HuggingfaceNearest] {
        let volume = || Volume::open(data("tiny/volumes/smaller_than_window.nii.gz")).expect("a volume");
        let options = StudyOptions::default().profile(profile);
        let coarse = model.study_with(volume(), &options.clone().zoom_in(false)).expect("a study").segment(&both);
        assert!(coarse.expect("the zoom-out pass takes both").voxels().zoom_in > 0);
        let error = model.study_with(volume(), &options).expect("a study").segment(&both).expect_err("refused");
        assert!(matches!(error, Error::Prompt(PromptError::Profile { .. })), "{error}");
    }
}

#[test]
fn embeddings_of_one_profile_are_not_those_of_another() {
    let folder = segvol_tests::folder!();
    let model = bundle::open(&bundle::seeded(&folder.path().join("model"), &models::tiny(), &BTreeMap::new()));
    let kept = folder.path().join("embeddings");
    let logits = |profile: Profile, folder: Option<&std::path::Path>| {
        let volume = Volume::open(data("tiny/volumes/lps_int16.nii.gz")).expect("a volume");
        let options = StudyOptions::default().profile(profile).embeddings(folder.map(ToOwned::to_owned));
        let study = model.study_with(volume, &options).expect("a study");
        let found = study.segment(&Prompt::text("liver")).expect("a segmentation");
        (found.logits().expect("memory"), study.statistics().windows_encoded)
    };
    let profiles = [Profile::Huggingface, Profile::HuggingfaceNearest, Profile::Released];
    for profile in profiles {
        assert_eq!(logits(profile, Some(&kept)).0, logits(profile, None).0, "{profile}");
    }
    assert!(fs::read_dir(&kept).expect("a folder").next().is_some());
    for profile in profiles {
        let (found, encoded) = logits(profile, Some(&kept));
        assert_eq!((found, encoded), (logits(profile, None).0, 0), "{profile}: all are kept");
    }
}
