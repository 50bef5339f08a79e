//! Load: many calls in parallel, many in sequence, and large scans give the same masks and use bounded memory.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "the memory taken is what docs/reliability.md quotes")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use segvol::volume::Affine;
use segvol::{Model, Options, PointLabel, Prompt, Provider, Study, StudyOptions, Volume};
use segvol_tests::golden::data;
use segvol_tests::seeded::uniform01;
use segvol_tests::{bundle, models};

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("load");
    let bundle = bundle::seeded(&folder, &models::tiny(), &BTreeMap::new());
    Model::open(&bundle, &Options::default().provider(Provider::Cpu)).expect("a bundle")
});

/// Lets only one test run at a time, because memory is measured for the whole process.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A value of `/proc/self/status`, in bytes.
fn status(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("read");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a line");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

/// The result of `work`, and the increase of peak memory over the memory before, in bytes.
fn measured<T>(work: impl FnOnce() -> T) -> (T, usize) {
    fs::write("/proc/self/clear_refs", "5").expect("the peak is forgotten");
    let before = status("VmRSS");
    let result = work();
    (result, status("VmHWM").saturating_sub(before))
}

const SCANS: [&str; 4] = ["awkward_sizes", "lps_int16", "ras_scaled_odd", "sheared_slp"];

/// The size of the embedding cache of a study, in bytes.
const CACHE: usize = 8 << 20;

fn study(name: &str) -> Study {
    let volume = Volume::open(data(&format!("tiny/volumes/{name}.nii.gz"))).expect("a scan");
    MODEL.study_with(volume, &StudyOptions::default().cache_bytes(CACHE)).expect("a study")
}

fn prompts(volume: &Study) -> Vec<Prompt> {
    let middle = volume.grid().shape_xyz().map(|n| (n / 2) as f64);
    let corner = middle.map(|n| (n / 2.0).floor());
    vec![
        Prompt::text("liver"),
        Prompt::new().named("click").point(middle, PointLabel::Foreground),
        Prompt::text("spleen").bounding_box(corner, middle),
    ]
}

/// The bits of every logit.
fn bits(name: &str) -> Vec<Vec<u32>> {
    let study = study(name);
    let found = study.segment_all(&prompts(&study)).expect("segmented");
    found.iter().map(|found| found.logits().expect("memory").iter().map(|logit| logit.to_bits()).collect()).collect()
}

#[test]
fn eight_studies_side_by_side_give_what_they_give_alone() {
    let _turn = turn();
    let names: Vec<&str> = SCANS.into_iter().cycle().take(8).collect();
    let alone: Vec<_> = names.iter().map(|name| bits(name)).collect();
    let (together, taken) = measured(|| {
        thread::scope(|scope| {
            let threads: Vec<_> = names.iter().map(|name| scope.spawn(|| bits(name))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
        })
    });
    for ((name, alone), together) in names.iter().zip(&alone).zip(&together) {
        assert!(alone == together, "{name}: other logits when run in parallel");
    }
    let voxels: usize = names.iter().map(|name| study(name).grid().voxels()).sum();
    // The last term is for ONNX Runtime, which serves the callers one after the other.
    let allowed = BYTES_PER_VOXEL * voxels + 8 * CACHE + (16 << 20);
    eprintln!("eight studies of {voxels} voxels: {taken} bytes of {allowed}");
    assert!(taken <= allowed, "{taken} bytes for eight studies of {voxels} voxels, allowed {allowed}");
}

/// Many segmentations in sequence, each from a file to the file of its mask.
fn in_a_row(rounds: usize) {
    let _turn = turn();
    let folder = segvol_tests::folder!();
    let mask = folder.path().join("mask.nii.gz");
    let round = |index: usize| {
        let study = study(SCANS[index % SCANS.len()]);
        let found = study.segment(&prompts(&study)[index % 3]).expect("segmented");
        study.label_map(&[found]).expect("memory").save(&mask).expect("saved");
    };
    // The first runs let the allocators and ONNX Runtime's arenas grow to their final size.
    let settled = rounds / 4;
    (0..settled).for_each(round);
    let before = status("VmRSS");
    (settled..rounds).for_each(round);
    let growth = status("VmRSS").saturating_sub(before);
    eprintln!("{} segmentations after {settled}: {growth} bytes more", rounds - settled);
    assert!(growth < 16 << 20, "{growth} bytes more after {rounds} segmentations than after {settled}");
}

#[test]
fn segmentations_in_a_row_hold_no_memory() {
    in_a_row(24);
}

#[test]
#[ignore = "500 segmentations; run with --ignored"]
fn five_hundred_segmentations_in_a_row_hold_no_memory() {
    in_a_row(500);
}

/// The memory that a scan may use per voxel, in bytes, in addition to cached embeddings and the model's own memory.
const BYTES_PER_VOXEL: usize = 24;

fn many_slices(slices: usize, zoom_in: bool) {
    let _turn = turn();
    let shape = [96, 96, slices];
    let voxels = shape.iter().product::<usize>();
    let noise = uniform01("slices");
    let values = (0..voxels).zip(noise).map(|(index, noise)| {
        let (i, j) = ((index % 96) as f64 - 48.0, (index / 96 % 96) as f64 - 48.0);
        (if i * i + j * j < 1900.0 { 40.0 } else { -1000.0 } + 60.0 * noise) as f32
    });
    let options = StudyOptions::default().cache_bytes(CACHE).zoom_in(zoom_in);
    MODEL.stages().encode_text(&["liver"]).expect("encoded"); // Opens the model before memory is measured.
    let (mask, taken) = measured(|| {
        let volume = Volume::new(shape, values.collect(), Affine::from_spacing([0.8, 0.8, 0.6])).expect("a volume");
        let study = MODEL.study_with(volume, &options).expect("a study");
        study.segment(&Prompt::text("liver")).expect("segmented").mask().expect("memory")
    });
    assert_eq!(mask.shape_xyz(), shape);
    let allowed = BYTES_PER_VOXEL * voxels + CACHE + (64 << 20);
    eprintln!("{slices} slices of 96 x 96, zoom-in {zoom_in}: {taken} bytes of {allowed}");
    assert!(taken <= allowed, "{taken} bytes for {voxels} voxels, allowed {allowed}");
}

#[test]
fn two_thousand_slices_are_zoomed_out_within_the_stated_memory() {
    many_slices(2000, false);
}

#[test]
#[ignore = "thousands of windows; run with --ignored"]
fn two_thousand_slices_are_segmented_within_the_stated_memory() {
    many_slices(2000, true);
}
