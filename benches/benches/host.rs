//! Benchmarks of everything around ONNX Runtime, at sizes that take about a minute in total: `cargo bench -p
//! segvol-benches --bench host`.

#![allow(missing_docs, reason = "criterion's macros generate an undocumented function")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array3;
use segvol::intensity::normalise;
use segvol::resize::{Trilinear, resize_nearest_exact};
use segvol::stitched;
use segvol_converter::seeded::{self, uniform01};
use segvol_onnx::Architecture;
use segvol_tests::models;

/// A scan of `[D, H, W]`: soft tissue with noise in air.
fn scan(shape: [usize; 3]) -> Array3<f32> {
    let mut noise = uniform01("scan");
    Array3::from_shape_simple_fn(shape, || {
        let u = noise.next().unwrap_or(0.5);
        (if u < 0.5 { -1000.0 } else { 400.0 * u - 260.0 }) as f32
    })
}

fn image(c: &mut Criterion) {
    let shape = [64, 128, 128];
    let volume = scan(shape);
    let voxels = volume.len() as u64;
    let mut group = c.benchmark_group("image");
    group.throughput(Throughput::Elements(voxels));
    group.bench_function("normalise 64x128x128", |bench| {
        bench.iter_batched(
            || volume.clone(),
            |mut volume| normalise(&mut volume).map(|()| volume),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("resize to a window 32x256x256", |bench| {
        bench.iter(|| resize_nearest_exact(black_box(volume.view()), [32, 256, 256]));
    });
    group.finish();
}

fn logits(c: &mut Criterion) {
    let window = Architecture::RELEASED.window_dhw;
    let low_res = scan(Architecture::RELEASED.low_res_dhw());
    let upsampling = Trilinear::new(Architecture::RELEASED.low_res_dhw(), window);
    let mut group = c.benchmark_group("logits");
    group.throughput(Throughput::Elements(window.iter().product::<usize>() as u64));
    group.bench_function("upsample to a window", |bench| bench.iter(|| upsampling.apply(black_box(low_res.view()))));
    group.finish();

    let (crop, small) = ([64, 192, 192], scan([32, 96, 96]));
    let mut group = c.benchmark_group("stitch");
    group.throughput(Throughput::Elements(crop.iter().product::<usize>() as u64));
    group.bench_function("a lattice over 64x192x192", |bench| {
        bench.iter(|| stitched(crop, black_box(&small), 0.5).expect("enough memory"));
    });
    group.finish();
}

/// A model small enough to convert in milliseconds.
fn small() -> Architecture {
    let mut small = models::tiny();
    small.text_encoder.vocabulary = 512;
    small
}

fn model(c: &mut Criterion) {
    let Ok(dir) = tempfile::tempdir() else { return };
    let Ok(checkpoint) = seeded::write(dir.path(), &small(), &BTreeMap::new()) else { return };
    let bundle = dir.path().join("bundle");
    let options = segvol_converter::Options { force: true, ..segvol_converter::Options::default() };
    c.bench_function("convert a small checkpoint", |bench| {
        bench.iter(|| segvol_converter::convert(black_box(&checkpoint), &bundle, &options));
    });

    let Ok(tokenizer) = tokenizers::Tokenizer::from_file(dir.path().join("tokenizer.json")) else { return };
    c.bench_function("tokenise a name", |bench| {
        bench.iter(|| {
            tokenizer.encode(black_box("A computerized tomography of a portal vein and splenic vein."), true).is_ok()
        });
    });
}

criterion_group! {
    name = host;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .sample_size(30);
    targets = image, logits, model
}
criterion_main!(host);
