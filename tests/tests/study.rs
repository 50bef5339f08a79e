//! One study with many prompts: prompts share windows, results do not depend on other prompts or the size of the cache,
//! and a call can be cancelled.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use segvol::mask::Labels;
use segvol::provider::CpuOptions;
use segvol::{
    Cancellation, Error, Follower, Model, Options, PointLabel, Precision, Profile, Progress, Prompt, Provider,
    ProviderOptions, Segmentation, Space, Study, StudyOptions, Volume,
};
use segvol_tests::golden::data;
use segvol_tests::{bits, bundle, models};
use tempfile::TempDir;

const SCAN: &str = "tiny/volumes/lps_int16.nii.gz";

/// A seeded model, its options, and the folder of its files.
fn model() -> (Model, Options, TempDir) {
    let folder = segvol_tests::folder!();
    let bundle = bundle::seeded(folder.path(), &models::tiny(), &BTreeMap::new());
    let options = Options::default().provider(Provider::Cpu);
    (Model::open(&bundle, &options).expect("a bundle"), options, folder)
}

fn scan() -> Volume {
    Volume::open(data(SCAN)).expect("a scan")
}

/// Prompts of every kind, including texts with two padded lengths.
fn prompts() -> Vec<Prompt> {
    let foreground = PointLabel::Foreground;
    vec![
        Prompt::text("liver"),
        Prompt::text("portal vein and splenic vein"),
        Prompt::text("spleen").bounding_box([20.0, 15.0, 5.0], [50.0, 45.0, 20.0]),
        Prompt::text("left kidney").point([36.0, 30.0, 13.0], foreground),
        Prompt::new()
            .named("clicks")
            .point([36.0, 30.0, 13.0], foreground)
            .point([50.0, 40.0, 8.0], PointLabel::Background),
        Prompt::new().named("box").bounding_box([30.0, 20.0, 8.0], [40.0, 35.0, 16.0]),
        Prompt::new()
            .named("both")
            .point([36.0, 30.0, 13.0], foreground)
            .bounding_box([30.0, 20.0, 8.0], [40.0, 35.0, 16.0]),
    ]
}

/// Asserts that two segmentations have bit-identical logits.
fn assert_same_bits(a: &Segmentation, b: &Segmentation, what: &str) {
    let (a, b) = (a.logits().expect("memory"), b.logits().expect("memory"));
    assert_eq!(a.shape(), b.shape(), "{what}");
    let differing = a.iter().zip(&b).filter(|(a, b)| a.to_bits() != b.to_bits());
    let worst = differing.clone().map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
    assert_eq!(differing.count(), 0, "{what}: voxels that differ, by at most {worst:e}");
}

#[test]
fn order_and_cache_change_no_bit_and_nor_does_company_if_objects_are_independent() {
    let (model, _, _folder) = model();
    let prompts = prompts();
    let reversed: Vec<Prompt> = prompts.iter().rev().cloned().collect();
    for independent in [false, true] {
        let options = StudyOptions::default().independent(independent);
        let together = model.study_with(scan(), &options).expect("a study").segment_all(&prompts).expect("segmented");
        let study = model.study_with(scan(), &options.clone().cache_bytes(0)).expect("a study");
        let backwards = study.segment_all(&reversed).expect("segmented");
        let one_by_one = model.study_with(scan(), &options).expect("a study");
        for (index, prompt) in prompts.iter().enumerate() {
            let name = prompt.name();
            let backwards = &backwards[prompts.len() - 1 - index];
            assert_same_bits(&together[index], backwards, &format!("{name}: backwards and without a cache"));
            if independent {
                let alone = one_by_one.segment(prompt).expect("segmented");
                assert_same_bits(&alone, &together[index], &format!("{name}: alone and with others"));
            }
        }
    }
}

/// Sharing saves windows; the same question again encodes nothing and gives the same bits, also after other questions.
#[test]
fn objects_share_windows_and_a_question_again_gives_the_same_bits() {
    let (model, _, _folder) = model();
    let prompts = prompts();
    let encoded = |independent| {
        let options = StudyOptions::default().independent(independent);
        let study = model.study_with(scan(), &options).expect("a study");
        study.segment_all(&prompts).expect("segmented");
        study.statistics().windows_encoded
    };
    let (shared, apart) = (encoded(false), encoded(true));
    assert!(shared < apart, "{shared} windows for all together, {apart} for each by itself");

    let study = model.study(scan()).expect("a study");
    let first = study.segment_all(&prompts).expect("segmented");
    let encoded = study.statistics().windows_encoded;
    for prompt in &prompts {
        study.segment(prompt).expect("segmented");
    }
    assert_eq!(study.statistics().windows_encoded, encoded, "every object is held by windows of the first call");
    for (a, b) in first.iter().zip(study.segment_all(&prompts).expect("segmented")) {
        assert_same_bits(a, &b, a.name());
    }
    study.forget_windows();
    let fresh = model.study(scan()).expect("a study").segment(&prompts[0]).expect("segmented");
    assert_same_bits(&study.segment(&prompts[0]).expect("segmented"), &fresh, "after the windows are forgotten");
}

/// With the demo model, whose sums are long enough for ONNX Runtime to divide them among threads. `full_size.rs` has the same
/// for the released sizes.
#[test]
fn threads_and_batches_change_no_bit_of_the_demo_model() {
    let folder = segvol_tests::folder!();
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/SegVol_demo.pth");
    let precisions = [Precision::Fp32, Precision::Fp16].into();
    let bundle = folder.path().join("bundle");
    bundle::converted(&checkpoint, &bundle, &segvol_converter::Options { precisions, ..Default::default() });
    let found = bits::differences(&bundle, &[1, 2, 3, 5, 8, 16], &[1, 2, 3, 5, 7, 9]);
    assert!(found.is_empty(), "{found:#?}");
    for precision in [Precision::Fp32, Precision::Fp16] {
        let found = bits::differences_of_windows(&bundle, precision, &[1, 2, 3, 8], &[1, 2, 3, 4]);
        assert!(found.is_empty(), "{precision}: {found:#?}");
    }
}

/// Windows that are encoded together: the same logits, and the observer sees every window in its order and can stop at each.
#[test]
fn windows_in_batches_change_no_bit_and_are_reported_one_by_one() {
    let (model, options, _folder) = model();
    let every_window = StudyOptions::default().profile(Profile::Released).overlap(0.75);
    // The released program refuses a box with points.
    let prompts: Vec<Prompt> = prompts().into_iter().filter(|prompt| prompt.name() != "both").collect();
    let mut seen = Vec::new();
    let study = model.study_with(scan(), &every_window).expect("a study");
    let expected = study.segment_observed(&prompts, &mut |progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    });
    let expected = expected.expect("segmented");
    let total = seen.last().expect("windows").total;
    assert!(total > 9, "several batches: {total}");
    for batch in [2_u16, 3, 4, 64] {
        let cpu = CpuOptions::default().window_batch(batch);
        let options = options.clone().provider_options(ProviderOptions::default().cpu(cpu));
        let model = Model::open(model.bundle(), &options).expect("a bundle");
        for cache in [0, 1 << 20, 2 << 30] {
            let options = every_window.clone().cache_bytes(cache);
            let study = model.study_with(scan(), &options).expect("a study");
            let mut reported = Vec::new();
            let found = study.segment_observed(&prompts, &mut |progress| {
                reported.push(progress);
                ControlFlow::Continue(())
            });
            let found = found.expect("segmented");
            assert_eq!(reported, seen, "batches of {batch}");
            for (a, b) in expected.iter().zip(&found) {
                assert_same_bits(a, b, &format!("{}: batches of {batch}, cache of {cache}", a.name()));
                assert_eq!(a.windows(), b.windows());
            }
            assert_eq!(study.statistics().windows_encoded, total, "each window once");
            // Windows in the cache, beside others that must be encoded again.
            let again = study.segment(&prompts[2]).expect("segmented");
            assert_same_bits(&again, &expected[2], &format!("again: batches of {batch}, cache of {cache}"));

            for stop in [1, 2, 3, total - 1] {
                let mut last = 0;
                let stopped = study.segment_observed(&prompts, &mut |progress| {
                    last = progress.done;
                    if last < stop { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                assert!(matches!(stopped, Err(Error::Cancelled)), "batches of {batch}, stopped at {stop}");
                assert_eq!(last, stop, "nothing is reported after a stop");
            }
        }
    }
}

/// The prompts in a seeded random order, and the original index of each.
fn shuffled(count: usize, random: &mut impl Iterator<Item = f64>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        let other = (random.next().expect("endless") * (last + 1) as f64) as usize;
        order.swap(last, other);
    }
    order
}

/// Twenty runs with one and two threads, caches from no bytes to more than enough, and prompts in any order. All logits
/// are identical in every bit, and the label map's file in every byte.
#[test]
fn threads_cache_order_and_runs_change_no_byte() {
    const CACHES: [usize; 5] = [0, 1, 1 << 20, 8 << 20, 2 << 30];
    let (model, options, folder) = model();
    let (one, two) = (options.clone().threads(1), options.clone().threads(2));
    let models = [&one, &two].map(|options| Model::open(model.bundle(), options).expect("a bundle"));
    let prompts = prompts();
    let expected = model.study(scan()).expect("a study");
    let found = expected.segment_all(&prompts).expect("segmented");
    let path = folder.path().join("labels.nii.gz");
    let file = |study: &segvol::Study, found: &[Segmentation]| {
        study.label_map(found).expect("memory").save(&path).expect("saved");
        std::fs::read(&path).expect("read")
    };
    let bytes = file(&expected, &found);
    let mut random = segvol_tests::seeded::uniform01("order of prompts");
    for run in 0..20 {
        let cache = CACHES[run % CACHES.len()];
        let study = models[run % 2].study_with(scan(), &StudyOptions::default().cache_bytes(cache)).expect("a study");
        let order = shuffled(prompts.len(), &mut random);
        let asked: Vec<Prompt> = order.iter().map(|&at| prompts[at].clone()).collect();
        let again = study.segment_all(&asked).expect("segmented");
        let what = format!("run {run}, {} threads, cache {cache}, order {order:?}", run % 2 + 1);
        let mut sorted: Vec<(usize, Segmentation)> = order.into_iter().zip(again).collect();
        sorted.sort_by_key(|(at, _)| *at);
        for (at, again) in &sorted {
            assert_same_bits(again, &found[*at], &format!("{what}: {}", again.name()));
        }
        let sorted: Vec<Segmentation> = sorted.into_iter().map(|(_, again)| again).collect();
        assert!(file(&study, &sorted) == bytes, "{what}: another file");
    }
}

#[test]
fn every_window_is_encoded_once_however_many_objects_and_calls_need_it() {
    let (model, _, _folder) = model();
    let study = model.study(scan()).expect("a study");
    let first = study.segment_all(&prompts()).expect("segmented");
    let encoded = study.statistics().windows_encoded;
    let needed: usize = first.iter().map(|found| found.windows().total).sum();
    assert!(encoded > 1 && encoded < needed, "{encoded} windows encoded, {needed} needed by one object each");
    study.segment_all(&prompts()).expect("segmented");
    assert_eq!(study.statistics().windows_encoded, encoded, "a second call encodes nothing");

    let forgetful = model.study_with(scan(), &StudyOptions::default().cache_bytes(0)).expect("a study");
    forgetful.segment_all(&prompts()).expect("segmented");
    assert_eq!(forgetful.statistics().windows_encoded, encoded, "within one call the cache is not needed");
}

#[test]
fn overlaps_go_to_the_higher_logit() {
    let (model, _, _folder) = model();
    let study = model.study(scan()).expect("a study");
    let found = study.segment_all(&prompts()[..2]).expect("segmented");
    let Labels::U8(labels) = study.label_map(&found).expect("memory").into_labels() else {
        panic!("two labels fit a byte")
    };
    let maps: Vec<Vec<f32>> = found.iter().map(|found| found.logit_map().expect("memory")).collect();
    let mut both = 0;
    for (voxel, &label) in labels.iter().enumerate() {
        let (a, b) = (maps[0][voxel], maps[1][voxel]);
        both += usize::from(a > 0.0 && b > 0.0);
        // NaN, which is outside of the crop, is not positive.
        let expected = match (a > 0.0, b > 0.0) {
            (true, true) if b > a => 2,
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => 0,
        };
        assert_eq!(label, expected, "voxel {voxel}: logits {a} and {b}");
    }
    assert!(both > 100, "the masks overlap in {both} voxels");
    let probabilities = found[0].probability_map().expect("memory");
    for (&logit, &probability) in maps[0].iter().zip(&probabilities) {
        let expected = if logit.is_nan() { 0.0 } else { 1.0 / (1.0 + f64::from(-logit).exp()) };
        assert!((f64::from(probability) - expected).abs() < 1e-6, "logit {logit}: {probability}");
    }
}

#[test]
fn a_study_takes_at_most_as_many_objects_as_there_are_labels() {
    let (model, _, _folder) = model();
    assert_eq!(model.options().provider, Provider::Cpu);
    let study = model.study(scan()).expect("a study");
    let error = study.segment_all(&vec![Prompt::text("liver"); 65536]).expect_err("more than 65535 objects");
    assert!(error.to_string().contains("65536"), "{error}");
}

#[test]
fn an_observer_sees_every_window_and_can_stop() {
    let (model, _, _folder) = model();
    let study = model.study(scan()).expect("a study");
    let mut seen = Vec::new();
    let found = study.segment_observed(&prompts()[..1], &mut |progress| {
        seen.push((progress.done, progress.total));
        ControlFlow::Continue(())
    });
    let total = found.expect("segmented")[0].windows().total + 1;
    assert_eq!(seen, (1..=total).map(|done| (done, total)).collect::<Vec<_>>());

    let stopped = study.segment_observed(&prompts()[..1], &mut |progress| {
        if progress.done < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert!(matches!(stopped, Err(Error::Cancelled)));
    study.segment(&prompts()[0]).expect("a stopped study goes on");
}

/// Keeps the coarse segmentations, how many windows were encoded by then, and the steps in their order.
struct Watcher<'a> {
    study: &'a Study,
    coarse: Vec<Segmentation>,
    steps: Vec<String>,
    /// Is asked after the coarse segmentations.
    answer: &'a dyn Fn() -> ControlFlow<()>,
}

impl Follower for Watcher<'_> {
    fn coarse(&mut self, coarse: &[Segmentation]) -> ControlFlow<()> {
        self.steps.push(format!("coarse after {}", self.study.statistics().windows_encoded));
        self.coarse.extend_from_slice(coarse);
        (self.answer)()
    }

    fn progress(&mut self, progress: Progress) -> ControlFlow<()> {
        self.steps.push(progress.done.to_string());
        ControlFlow::Continue(())
    }
}

#[test]
fn a_follower_gets_the_coarse_masks_after_one_window_and_changes_nothing() {
    let (model, _, _folder) = model();
    let prompts = prompts();
    let expected = model.study(scan()).expect("a study").segment_all(&prompts).expect("segmented");
    let study = model.study(scan()).expect("a study");
    let go_on = || ControlFlow::Continue(());
    let mut watcher = Watcher { study: &study, coarse: vec![], steps: vec![], answer: &go_on };
    let found = study.segment_followed(&prompts, &mut watcher, &Cancellation::new()).expect("segmented");
    let Watcher { coarse, steps, .. } = watcher;
    assert_eq!(steps[..3], ["coarse after 1", "1", "2"]);
    assert_eq!(steps.iter().filter(|step| step.starts_with("coarse")).count(), 1);
    assert_eq!((coarse.len(), found.len()), (prompts.len(), prompts.len()));
    let mut changed = 0;
    for ((coarse, found), expected) in coarse.iter().zip(&found).zip(&expected) {
        assert_same_bits(found, expected, &format!("{}: followed and not", found.name()));
        let labels = |mask: segvol::Mask| mask.voxels_of(1).expect("memory");
        let mask = labels(coarse.mask().expect("memory"));
        assert!(mask == labels(found.zoom_out_mask().expect("memory")), "{}", found.name());
        assert_eq!((coarse.name(), coarse.region_of_interest()), (found.name(), found.region_of_interest()));
        assert_eq!(coarse.voxels().zoom_in, mask.iter().filter(|&&inside| inside).count() as u64);
        changed += usize::from(mask != labels(found.mask().expect("memory")));
    }
    assert!(changed > 0, "the zoom-in pass changes no mask, so this test compares nothing");
}

#[test]
fn a_follower_can_stop_at_the_coarse_masks_unless_they_are_the_result() {
    let (model, _, _folder) = model();
    let (prompts, cancellation) = (&prompts()[..1], Cancellation::new());
    let study = model.study(scan()).expect("a study");
    let stop = || ControlFlow::Break(());
    let request = || {
        cancellation.request();
        ControlFlow::Continue(())
    };
    for answer in [&stop as &dyn Fn() -> ControlFlow<()>, &request] {
        let mut watcher = Watcher { study: &study, coarse: vec![], steps: vec![], answer };
        let stopped = study.segment_followed(prompts, &mut watcher, &cancellation);
        assert!(matches!(stopped, Err(Error::Cancelled)));
        assert_eq!(watcher.steps[0], "coarse after 1", "the second call encodes its window no more");
        assert_eq!(watcher.coarse.len(), 1);
        assert_eq!(study.statistics().windows_encoded, 1);
    }
    cancellation.withdraw();
    study.segment(&prompts[0]).expect("a stopped study goes on");

    let coarse_only = model.study_with(scan(), &StudyOptions::default().zoom_in(false)).expect("a study");
    let mut watcher = Watcher { study: &coarse_only, coarse: vec![], steps: vec![], answer: &stop };
    let found = coarse_only.segment_followed(prompts, &mut watcher, &cancellation).expect("complete");
    assert_same_bits(&watcher.coarse[0], &found[0], "without a zoom-in pass");
}

#[test]
fn a_box_in_voxels_and_in_millimetres_gives_one_mask() {
    let (model, _, _folder) = model();
    let study = model.study(scan()).expect("a study");
    let (low, high) = ([20.0, 15.0, 5.0], [50.0, 45.0, 20.0]);
    let in_voxels = study.segment(&Prompt::new().bounding_box(low, high)).expect("segmented");
    let affine = *study.grid().affine();
    let (a, b) = (affine.apply(low), affine.apply(high));
    let sorted = |a: [f64; 3], b: [f64; 3]| {
        let least: [f64; 3] = std::array::from_fn(|axis| a[axis].min(b[axis]));
        let greatest: [f64; 3] = std::array::from_fn(|axis| a[axis].max(b[axis]));
        Prompt::new().bounding_box(least, greatest)
    };
    let lps = |[x, y, z]: [f64; 3]| [-x, -y, z];
    for prompt in [sorted(a, b).space(Space::Ras), sorted(lps(a), lps(b)).space(Space::Lps)] {
        let found = study.segment(&prompt).expect("segmented");
        assert_same_bits(&found, &in_voxels, &format!("{prompt:?}"));
    }
}
