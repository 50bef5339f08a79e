//! A scan and a prompt give the logits of the released code, in both orientations.
//!
//! With profile `released`, regions of interest, windows and the prompts in them are exactly those of the released
//! code. `near_misses.rs` has the wrong results that these tolerances reject. With `--nocapture`, the tests print the
//! error of every run.

#![allow(clippy::print_stderr, reason = "the measured errors are quoted in the README")]

use std::collections::BTreeMap;

use segvol::resize::resize_nearest_exact;
use segvol::{Model, Orientation, Study, Volume};
use segvol_tests::compare::{INTENSITY, LOGITS, max_error, relative_l2, wrong_signs};
use segvol_tests::golden::{Goldens, Run, data, volume_record};
use segvol_tests::{bundle, models};

fn study(model: &Model, volume: &str, orientation: Orientation, zoom_in: bool) -> Study {
    let volume = Volume::open(data(&format!("tiny/volumes/{volume}.nii.gz"))).expect("a volume");
    let options = bundle::released().orientation(orientation).zoom_in(zoom_in);
    model.study_with(volume, &options).expect("a study")
}

/// Checks the crop, the image and its zoom-out, which do not depend on a prompt.
fn check_image(volume: &str, model: &Model, orientation: Orientation, name: &str, goldens: &Goldens) {
    let record = volume_record(volume);
    let crop = match orientation {
        Orientation::Stored => record.stored.expect("recorded"),
        _ => record.ras,
    };
    let study = study(model, volume, orientation, true);
    assert_eq!(study.crop().padded_start_dhw(), crop.start, "{volume}, {name}");
    assert_eq!(study.crop().padded_end_dhw(), crop.end, "{volume}, {name}");

    let (shape, image) = goldens.floats(&format!("{name}.image"));
    assert_eq!(study.image().shape(), shape, "{volume}, {name}");
    let error = max_error(study.image().as_slice().expect("standard layout"), &image);
    assert!(error <= INTENSITY, "{volume}, {name}: image: {error:.1e}");

    let window_dhw = model.stages().architecture().window_dhw;
    let zoom_out = resize_nearest_exact(study.image().view(), window_dhw);
    let expected = goldens.values(&format!("{name}.zoom_out_image"));
    let error = max_error(zoom_out.as_slice().expect("standard layout"), &expected);
    assert!(error <= INTENSITY, "{volume}, {name}: zoom-out image: {error:.1e}");
}

/// Checks the run of one prompt.
fn check_run(study: &Study, run: &Run, name: &str, goldens: &Goldens) {
    let found = study.segment(&run.prompt()).unwrap_or_else(|error| panic!("{name}: {error}"));

    let roi = found.region_of_interest().map(|roi| {
        let ([d0, h0, w0], [d1, h1, w1]) = (roi.region.min_dhw, roi.max_before_cut_dhw);
        [d0, h0, w0, d1, h1, w1]
    });
    assert_eq!(roi, run.roi(), "{name}: region of interest");
    assert_eq!(found.windows().total, run.windows.unwrap_or(0), "{name}: windows");
    assert_eq!(found.windows().skipped, 0, "{name}: windows");

    let zoom_out = goldens.values(&format!("{name}.zoom_out_logits"));
    let error = relative_l2(found.zoom_out_logits().as_slice().expect("standard layout"), &zoom_out);
    assert!(error <= LOGITS, "{name}: zoom-out logits: relative L2 {error:.1e}");

    let (shape, expected) = goldens.floats(&format!("{name}.logits"));
    let logits = found.logits().expect("memory");
    assert_eq!(logits.shape(), shape, "{name}");
    let logits = logits.as_slice().expect("standard layout");
    let error = relative_l2(logits, &expected);
    eprintln!("{name}: logits: relative L2 {error:.1e}, {LOGITS:.0e} allowed");
    assert!(error <= LOGITS, "{name}: logits: relative L2 {error:.1e}");
    assert_eq!(wrong_signs(logits, &expected), 0, "{name}: voxels on the wrong side");
}

/// Checks every recorded run of one phantom. Returns the number of runs.
fn check_volume(volume: &str) -> usize {
    let record = volume_record(volume);
    let goldens = Goldens::load(&format!("tiny/volumes/{volume}.safetensors.gz"));
    let mut runs = 0;
    for (variant, weights) in &record.variants {
        let folder = segvol_tests::folder!();
        let bundle = bundle::seeded(folder.path(), &models::tiny(), &weights.bias_added);
        let model = bundle::open(&bundle);
        for (name, orientation, prompts) in
            [("ras", Orientation::Ras, &weights.ras), ("stored", Orientation::Stored, &weights.stored)]
        {
            if prompts.is_empty() {
                continue;
            }
            check_image(volume, &model, orientation, name, &goldens);
            let studies: BTreeMap<bool, Study> =
                [true, false].map(|zoom_in| (zoom_in, study(&model, volume, orientation, zoom_in))).into();
            for (prompt, run) in prompts {
                let name = format!("{variant}.{name}.{prompt}");
                check_run(&studies[&run.zoom_in], run, &name, &goldens);
                runs += 1;
            }
        }
    }
    runs
}

#[test]
fn odd_sizes_match_the_released_code() {
    assert_eq!(check_volume("awkward_sizes"), 1);
}

#[test]
fn integer_voxels_stored_lps_match_the_released_code() {
    assert_eq!(check_volume("lps_int16"), 13);
}

#[test]
fn scaled_voxels_match_the_released_code() {
    assert_eq!(check_volume("ras_scaled_odd"), 8);
}

#[test]
fn sheared_axes_match_the_released_code() {
    assert_eq!(check_volume("sheared_slp"), 4);
}

#[test]
fn a_scan_smaller_than_the_window_matches_the_released_code() {
    assert_eq!(check_volume("smaller_than_window"), 10);
}
