//! A segmentation at the released sizes: a 724 MB checkpoint, a scan of 256 x 256 x 154 voxels, a mask on its grid.
//!
//! The weights come from a formula, so the mask has no meaning. The test checks sizes, windows and geometry.

#![allow(clippy::print_stderr, reason = "the times are half of what it is run for")]

use std::collections::BTreeMap;
use std::time::Instant;

use segvol::volume::Affine;
use segvol::{Model, Options, Precision, Prompt, Provider, Report, Volume};
use segvol_tests::checkpoint::write_seeded;
use segvol_tests::seeded::uniform01;
use segvol_tests::{bits, bundle, models};

const SHAPE_XYZ: [usize; 3] = [256, 256, 154];

/// A body of soft tissue with noise, surrounded by air, stored left-posterior-superior.
fn scan() -> Volume {
    let [x, y, z] = SHAPE_XYZ;
    let voxels = (0..x * y * z).zip(uniform01("scan")).map(|(index, noise)| {
        let (i, j) = ((index % x) as f64, (index / x % y) as f64);
        let body = ((i - 128.0) / 120.0).powi(2) + ((j - 128.0) / 90.0).powi(2) < 1.0;
        (if body { 40.0 } else { -1000.0 } + 60.0 * (noise - 0.5)) as f32
    });
    let affine = Affine::new([[-0.8, 0.0, 0.0, 102.0], [0.0, -0.8, 0.0, 102.0], [0.0, 0.0, 1.5, -115.0]]);
    Volume::new(SHAPE_XYZ, voxels.collect(), affine).expect("a scan")
}

#[test]
#[ignore = "writes 2 GB; run with --ignored"]
fn a_full_size_fp16_bundle_is_half_of_fp32_s() {
    let folder = segvol_tests::folder!();
    let checkpoint = write_seeded(folder.path(), &models::full(), &BTreeMap::new()).expect("a checkpoint");
    let [fp32, fp16] = [Precision::Fp32, Precision::Fp16].map(|precision| {
        let options = segvol_converter::Options { precisions: [precision].into(), ..Default::default() };
        let manifest = bundle::converted(&checkpoint, &folder.path().join(precision.name()), &options);
        manifest.files().map(|file| file.bytes).sum::<u64>()
    });
    eprintln!("bytes: fp32 {fp32}, fp16 {fp16}: {:.4}", fp16 as f64 / fp32 as f64);
    assert!(fp16 as f64 <= 0.51 * fp32 as f64, "{fp16} of {fp32}");
}

/// The promise "same bytes" at the released sizes: threads, and company in a batch.
#[test]
#[ignore = "writes 1.5 GB and takes about two minutes; run with --ignored"]
fn threads_and_batches_change_no_bit_at_full_size() {
    let folder = segvol_tests::folder!();
    let bundle = bundle::seeded(folder.path(), &models::full(), &BTreeMap::new());
    let found = bits::differences(&bundle, &[1, 2, 3, 8], &[1, 3, 5, 7, 9]);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
#[ignore = "writes 1.5 GB and takes about a minute and a half; run with --ignored"]
fn a_full_size_model_segments_a_full_size_scan() {
    let folder = segvol_tests::folder!();
    let start = Instant::now();
    let bundle = bundle::seeded(folder.path(), &models::full(), &BTreeMap::new());
    eprintln!("seeded checkpoint and conversion: {:.1} s", start.elapsed().as_secs_f64());

    let start = Instant::now();
    let model = Model::open(&bundle, &Options::default().provider(Provider::Cpu)).expect("a bundle");
    assert_eq!(model.names().map(|names| names.list().len()), Some(222), "the released sizes have the released names");
    eprintln!("bundle opened, hashes checked: {:.1} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let study = model.study(scan()).expect("a study");
    let prompts =
        [Prompt::text("liver"), Prompt::text("spleen").bounding_box([60.0, 60.0, 20.0], [200.0, 200.0, 130.0])];
    let found = study.segment_all(&prompts).expect("segmented");
    eprintln!("two objects: {:.1} s, {:?}", start.elapsed().as_secs_f64(), study.statistics());

    let statistics = study.statistics();
    let windows: Vec<usize> = found.iter().map(|found| found.windows().total).collect();
    let most = windows.iter().copied().max().unwrap_or(0);
    assert!(most >= 4, "random weights mark voxels everywhere, so every part of the scan has windows: {windows:?}");
    assert!(statistics.windows_encoded < 1 + windows.iter().sum::<usize>(), "{statistics:?}: {windows:?} are shared");
    for found in &found {
        assert!(found.logits().expect("memory").iter().all(|logit| logit.is_finite()), "{}", found.name());
    }
    let mask = study.label_map(&found).expect("memory");
    assert_eq!(mask.shape_xyz(), SHAPE_XYZ);
    assert_eq!(mask.labels().len(), SHAPE_XYZ.iter().product::<usize>());
    let report = Report::new(&model, &study, &prompts, &found);
    assert_eq!(report.objects.len(), 2);
    assert!(report.objects[0].voxels.zoom_in > 0, "random weights mark about half of the voxels");

    // The same prompts again encode no further window.
    study.segment(&prompts[0]).expect("segmented");
    assert_eq!(study.statistics().windows_encoded, statistics.windows_encoded);
}
