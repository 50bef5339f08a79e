//! `segvol embed`: the numbers are those of the image encoder, and every token is where its affine says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use ndarray::{Array3, s};
use safetensors::{Dtype, SafeTensors};
use segvol::resize::resize_nearest_exact;
use segvol::volume::Affine;
use segvol::{Cancellation, Error, Model, Orientation, Prompt, Study, StudyOptions, Volume, WindowKey};
use segvol_embed::{Affine4, Placed, lattice_windows, planned_windows};
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::faults::names;
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const SCAN: &str = "tiny/volumes/lps_int16.nii.gz";

static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("embed");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

static MODEL: LazyLock<Model> = LazyLock::new(|| bundle::open(&TINY));

fn study(options: &StudyOptions) -> Study {
    MODEL.study_with(Volume::open(data(SCAN)).expect("a scan"), options).expect("a study")
}

fn lattice(study: &Study) -> Vec<WindowKey> {
    lattice_windows(study, MODEL.stages().architecture().window_dhw)
}

fn embed(folder: &TempDir, line: &str) -> Command {
    let mut command = Command::new(&*SEGVOL);
    command.args(["embed", "--provider", "cpu", "-i"]).arg(data(SCAN)).arg("-m").arg(&*TINY);
    command.args(line.split_whitespace()).current_dir(folder.path());
    command
}

/// A file of the command.
struct Found(Vec<u8>);

impl Found {
    fn read(path: &Path) -> Self {
        Self(fs::read(path).expect("a file"))
    }

    fn bytes(&self, name: &str, dtype: Dtype) -> (Vec<usize>, Vec<u8>) {
        let tensors = SafeTensors::deserialize(&self.0).expect("safetensors");
        let tensor = tensors.tensor(name).expect(name);
        assert_eq!(tensor.dtype(), dtype, "{name}");
        assert_eq!(tensor.data().as_ptr().align_offset(1), 0);
        (tensor.shape().to_vec(), tensor.data().to_vec())
    }

    fn embeddings(&self) -> (Vec<usize>, Vec<f32>) {
        let (shape, bytes) = self.bytes("embeddings", Dtype::F32);
        (shape, bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }

    fn triples(&self, name: &str) -> Vec<[i64; 3]> {
        let (shape, bytes) = self.bytes(name, Dtype::I64);
        let values: Vec<i64> = bytes.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect();
        assert_eq!(shape, [values.len() / 3, 3]);
        values.as_chunks().0.to_vec()
    }

    fn metadata(&self, key: &str) -> String {
        let (_, header) = SafeTensors::read_metadata(&self.0).expect("a header");
        header.metadata().as_ref().expect("metadata")[key].clone()
    }
}

/// What the image encoder gives for a window, from the image of the crop and the numbers in a file.
fn expected(study: &Study, start: [i64; 3], shown: [[i64; 3]; 2], is_zoom_out: bool) -> Vec<f32> {
    let window = MODEL.stages().architecture().window_dhw;
    let (image, stages) = (study.image(), MODEL.stages());
    let embedding = if is_zoom_out {
        stages.encode_zoom_out(resize_nearest_exact(image.view(), window).view())
    } else {
        let mut cut = Array3::<f32>::zeros(window);
        let range = |axis: usize, offset: i64| (shown[0][axis] - offset) as usize..(shown[1][axis] - offset) as usize;
        let [from, to] = [[0; 3], start].map(|offset| [0, 1, 2].map(|axis| range(axis, offset[axis])));
        let ([d, h, w], [pd, ph, pw]) = (from, to);
        cut.slice_mut(s![pd, ph, pw]).assign(&image.slice(s![d, h, w]));
        stages.encode_image(cut.view())
    };
    embedding.expect("encoded").values().expect("values").into_owned()
}

/// Every choice of windows, all tokens, against the encoder; their means; and again, to the byte.
#[test]
fn embeddings_are_the_encoders_for_every_choice_of_windows() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    let architecture = MODEL.stages().architecture();
    let (tokens, channels) = (architecture.image_tokens(), architecture.channels);
    let plan = "--windows plan --text liver --text spleen --overlap 0.5";
    let study_ = study(&StudyOptions::default());
    for (choice, count) in [("--windows zoom-out", Some(1)), ("--windows grid --overlap 0.3", None), (plan, None)] {
        said(embed(&folder, &format!("-o none.safetensors --pool none {choice}")).assert());
        let said_ = said(embed(&folder, &format!("-o mean.safetensors {choice}")).assert());
        let (none, mean) = (Found::read(&at("none.safetensors")), Found::read(&at("mean.safetensors")));
        let (shape, values) = none.embeddings();
        let windows = shape[0];
        assert!(count.map_or(windows > 2, |count| windows == count), "{choice}: {windows}");
        let [gd, gh, gw] = architecture.grid_dhw();
        assert_eq!(shape, [windows, gd, gh, gw, channels], "{choice}");
        let passes = none.bytes("window_pass", Dtype::U8).1;
        let (starts, shown) =
            (none.triples("window_start"), ["shown_start", "shown_end"].map(|name| none.triples(name)));
        for (index, all) in values.chunks_exact(tokens * channels).enumerate() {
            let shown = [shown[0][index], shown[1][index]];
            let expected = expected(&study_, starts[index], shown, passes[index] == 0);
            assert!(all == expected, "{choice}: window {index}");
        }
        let (shape, means) = mean.embeddings();
        assert_eq!(shape, [windows, channels], "{choice}");
        assert!(said_.contains(&format!("[{windows}, {channels}] float32")), "{said_}");
        for (all, mean) in values.chunks_exact(tokens * channels).zip(means.chunks_exact(channels)) {
            for (channel, mean) in mean.iter().enumerate() {
                let sum: f64 = all.iter().skip(channel).step_by(channels).map(|&value| f64::from(value)).sum();
                assert!((sum / tokens as f64 - f64::from(*mean)).abs() < 1e-6, "{choice}");
            }
        }
        said(embed(&folder, &format!("-o again.safetensors --pool none {choice}")).assert());
        assert!(fs::read(at("again.safetensors")).expect("read") == none.0, "{choice}: other bytes");
        assert_eq!(mean.metadata("manifest_sha256"), MODEL.manifest_sha256());
        assert_eq!(mean.metadata("orientation"), "ras");
        assert_eq!([mean.metadata("precision"), mean.metadata("provider")], ["fp32", "cpu"]);
        assert_eq!(mean.metadata("grid_dhw"), format!("[{gd},{gh},{gw}]"));
    }
}

/// The plan is what a segmentation encodes, and windows in the folder of embeddings are not encoded again.
#[test]
fn planned_windows_are_those_that_a_segmentation_encodes() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    let mut segment = Command::new(&*SEGVOL);
    segment.args(["segment", "--provider", "cpu", "-i"]).arg(data(SCAN)).arg("-m").arg(&*TINY);
    let objects = ["--text", "liver", "--text", "left kidney"];
    said(segment.args(objects).args(["-o", "m.nii", "--embeddings", "e"]).current_dir(folder.path()).assert());
    let stored: BTreeSet<String> =
        names(&at("e")).iter().map(|name| name.split('.').nth(1).expect("an item").to_owned()).collect();
    assert!(stored.len() > 2, "{stored:?}");
    let mut with_folder = embed(&folder, "-o p.safetensors --windows plan --pool none --embeddings e");
    let text = said(with_folder.args(objects).assert());
    assert!(text.contains(&format!("0 windows encoded, {} loaded", stored.len())), "{text}");
    let found = Found::read(&at("p.safetensors"));
    let triples = ["window_start", "shown_start", "shown_end"].map(|name| found.triples(name));
    let passes = found.bytes("window_pass", Dtype::U8).1;
    let item = |index: usize| {
        let words: Vec<String> = triples.iter().flat_map(|all| all[index].map(|n| n.to_string())).collect();
        if passes[index] == 0 { "out".to_owned() } else { format!("in_{}", words.join("_")) }
    };
    assert_eq!((0..passes.len()).map(item).collect::<BTreeSet<_>>(), stored);
    // Without the folder they are the same numbers, each window encoded once.
    let text = said(embed(&folder, "-o q.safetensors --windows plan --pool none").args(objects).assert());
    assert!(text.contains(&format!("{} windows encoded, 0 loaded", stored.len())), "{text}");
    assert!(fs::read(at("q.safetensors")).expect("read") == found.0);
}

#[test]
fn a_pair_for_numpy_has_the_same_numbers_and_geometry() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    let choice = "--windows grid --overlap 0 --pool none";
    said(embed(&folder, &format!("-o a.safetensors {choice}")).assert());
    said(embed(&folder, &format!("-o b.npy {choice}")).assert());
    said(embed(&folder, &format!("-o c.npy {choice} --dtype float16 -q")).assert());
    assert_eq!(names(folder.path()), ["a.safetensors", "b.json", "b.npy", "c.json", "c.npy"]);
    let whole = Found::read(&at("a.safetensors"));
    let (shape, values) = whole.embeddings();
    for (name, width, descr) in [("b", 4, "'<f4'"), ("c", 2, "'<f2'")] {
        let bytes = fs::read(at(&format!("{name}.npy"))).expect("read");
        let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let text = String::from_utf8_lossy(&bytes[10..header]).into_owned();
        let written: Vec<String> = shape.iter().map(ToString::to_string).collect();
        assert!(text.contains(descr) && text.contains(&format!("({},)", written.join(", "))), "{text}");
        assert_eq!(bytes.len() - header, width * values.len());
        for (bytes, value) in bytes[header..].chunks_exact(width).zip(&values) {
            let found = match width {
                4 => f32::from_le_bytes(bytes.try_into().expect("four")),
                _ => half::f16::from_le_bytes(bytes.try_into().expect("two")).to_f32(),
            };
            let expected = if width == 4 { *value } else { half::f16::from_f32(*value).to_f32() };
            assert!(found == expected, "{name}");
        }
        let json: Value = serde_json::from_slice(&fs::read(at(&format!("{name}.json"))).expect("read")).expect("JSON");
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(json["npy"], serde_json::json!({"file": format!("{name}.npy"), "sha256": hash}));
        let starts: Vec<[i64; 3]> = json["placed"]
            .as_array()
            .expect("windows")
            .iter()
            .map(|one| serde_json::from_value(one["start_dhw"].clone()).expect("three numbers"))
            .collect();
        assert_eq!(starts, whole.triples("window_start"));
        assert_eq!(json["manifest_sha256"], MODEL.manifest_sha256());
    }
}

/// The voxel or token at `dhw`, in millimetres.
fn at(affine: &Affine4, dhw: [f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|row| (0..3).map(|axis| affine[row][axis] * dhw[axis]).sum::<f64>() + affine[row][3])
}

/// A scan with air around a body whose intensities say where each voxel is.
fn ramp(body: [usize; 3], affine: Affine) -> Volume {
    let shape = [body[0] + 7, body[1] + 5, body[2] + 4];
    let value = |n: usize| {
        let ijk = [n % shape[0], n / shape[0] % shape[1], n / (shape[0] * shape[1])];
        let inside = (0..3).all(|axis| (2..2 + body[axis]).contains(&ijk[axis]));
        let part = |axis: usize| (ijk[axis].wrapping_sub(2) as f32) / body[axis] as f32;
        if inside { 700.0 * part(0) + 230.0 * part(1) + 90.0 * part(2) } else { -1000.0 }
    };
    Volume::new(shape, (0..shape.iter().product()).map(value).collect(), affine).expect("a scan")
}

/// Every voxel of a window is found in the file at the place that the affine says, in all orders of axes, for windows of both passes,
/// in scans that are larger and smaller than a window.
#[test]
fn a_voxel_of_a_window_is_where_its_affine_says() {
    let oblique = Affine::new([[-0.7, 0.1, 0.0, 80.0], [0.05, 0.1, 2.9, -40.0], [0.0, 0.8, -0.3, 17.0]]);
    let axial = Affine::new([[0.8, 0.0, 0.0, -60.0], [0.0, 0.9, 0.0, -50.0], [0.0, 0.0, 2.5, 5.0]]);
    let architecture = MODEL.stages().architecture();
    for (affine, body) in [(axial, [90, 61, 19]), (oblique, [75, 21, 57]), (axial, [40, 30, 5])] {
        for orientation in ["stored", "ras", "lps", "sar"] {
            let orientation: Orientation = orientation.parse().expect("a code");
            let volume = ramp(body, affine);
            let options = StudyOptions::default().orientation(orientation).straighten(true);
            let study = MODEL.study_with(&volume, &options).expect("a study");
            let image = study.image();
            // Between the percentiles at which it is clipped, a voxel's value is a straight line of its intensity.
            let intensity = |ijk: [f64; 3]| -> f32 {
                (0..3).map(|axis| [700.0, 230.0, 90.0][axis] * ((ijk[axis] - 2.0) as f32) / body[axis] as f32).sum()
            };
            let seen_of = |ijk: [f64; 3]| {
                let oriented = study.axes().to_dhw(ijk);
                let seen = study.shear().map_or(oriented, |shear| shear.to_straight(oriented));
                seen.map(|n| n.round() as usize)
            };
            let is_sheared = affine.shear() > 0.01;
            assert_eq!(study.shear().is_some(), is_sheared, "{orientation}");
            let middle = |share: usize| seen_of(body.map(|n| (2 + n * share / 8) as f64));
            let [a, b] = [middle(3), middle(5)];
            let x = [a, b].map(|seen| intensity(study.seen_to_ijk(seen.map(|n| n as f64))));
            let y = [a, b].map(|seen| image[[0, 1, 2].map(|axis| seen[axis] - study.crop().start_dhw[axis])]);
            let expected = |value: f32| y[0] + (value - x[0]) * (y[1] - y[0]) / (x[1] - x[0]);
            let windows = [vec![WindowKey::ZoomOut], lattice(&study)].concat();
            let mut checked = 0;
            for window in &windows {
                let placed = Placed::of(&study, window, architecture);
                let inverse = volume.grid().inverse();
                let (window_dhw, start, shown) =
                    (architecture.window_dhw, window.start_dhw(), window.shown_dhw(study.crop().shape_dhw()));
                for n in 0..window_dhw.iter().product::<usize>() {
                    let [_, h, w] = window_dhw;
                    let dhw = [n / (h * w), n / w % h, n % w];
                    let here = inverse.apply(self::at(&placed.window_affine, dhw.map(|n| n as f64)));
                    let seen = if window.is_zoom_out() {
                        // The nearest voxel of the crop.
                        let scale = |axis: usize| image.shape()[axis] as f64 / window_dhw[axis] as f64;
                        Some([0, 1, 2].map(|axis| ((dhw[axis] as f64 + 0.5) * scale(axis)) as usize))
                    } else {
                        let crop = [0, 1, 2].map(|axis| dhw[axis] as isize + start[axis]);
                        let is_shown =
                            (0..3).all(|axis| (shown[axis].0 as isize..shown[axis].1 as isize).contains(&crop[axis]));
                        is_shown.then(|| crop.map(|n| n as usize))
                    };
                    let nearest = here.map(|at| at.round());
                    let is_in_body = (0..3).all(|axis| {
                        let (low, high) = (2.0 + 0.2 * body[axis] as f64, 2.0 + 0.8 * body[axis] as f64);
                        (low..high).contains(&nearest[axis])
                    });
                    let (Some(seen), true) = (seen, is_in_body) else { continue };
                    // Half a voxel of each axis, where the zoom-out window is coarser or finer than the scan.
                    let slack = if window.is_zoom_out() { [700.0, 230.0, 90.0] } else { [0.0; 3] };
                    let slack: f32 = (0..3).map(|axis| slack[axis] / body[axis] as f32 * 0.51).sum();
                    let scale = (y[1] - y[0]) / (x[1] - x[0]);
                    let found = image[seen];
                    let error = (found - expected(intensity(here))).abs();
                    // Half a voxel of a straight axis is a little of the others, too.
                    let slack = if is_sheared { 1.3 * slack } else { slack };
                    assert!(error <= slack * scale + 2e-4, "{orientation} {body:?} {dhw:?}: {error}");
                    let inside = |axis: usize| {
                        placed.min_ijk[axis] as f64 - 0.51 <= here[axis]
                            && here[axis] <= placed.max_ijk[axis] as f64 + 0.51
                    };
                    assert!((0..3).all(inside), "{placed:?} {here:?}");
                    checked += 1;
                }
                // A token is in the middle of its patch.
                let patch = architecture.patch_dhw;
                for token in [[0, 0, 0], [1, 2, 3], [0, 1, 2]] {
                    let centre = [0, 1, 2]
                        .map(|axis| token[axis] as f64 * patch[axis] as f64 + (patch[axis] as f64 - 1.0) / 2.0);
                    let [a, b] =
                        [self::at(&placed.affine, token.map(f64::from)), self::at(&placed.window_affine, centre)];
                    assert!((0..3).all(|axis| (a[axis] - b[axis]).abs() < 1e-9), "{token:?}: {a:?} {b:?}");
                }
            }
            assert!(checked > 1000, "{checked}");
        }
    }
}

/// What changes at a place in the patient changes most the token whose patch is there.
#[test]
fn the_token_at_a_place_is_the_one_that_sees_it() {
    let affine = Affine::new([[-0.8, 0.0, 0.0, 60.0], [0.0, -0.9, 0.0, 50.0], [0.0, 0.0, 2.5, 5.0]]);
    let body = [64, 48, 8];
    let plain = ramp(body, affine);
    let architecture = MODEL.stages().architecture();
    let ([gd, gh, gw], channels) = (architecture.grid_dhw(), architecture.channels);
    let embeddings = |volume: &Volume| {
        let study = MODEL.study(volume).expect("a study");
        let windows = lattice(&study);
        let mut found = Vec::new();
        study
            .embed(&windows, &mut |_, values| {
                found.extend_from_slice(values);
                ControlFlow::Continue(())
            })
            .expect("embedded");
        (found, Placed::of(&study, &windows[0], architecture), windows.len())
    };
    let (before, placed, windows) = embeddings(&plain);
    assert_eq!(windows, 1);
    for token in [[0, 0, 0], [1, 2, 1], [0, 1, 3], [1, 0, 2]] {
        let centre = plain.grid().inverse().apply(at(&placed.affine, token.map(f64::from)));
        let mut voxels = plain.voxels().to_vec();
        let [ni, nj, _] = plain.shape_xyz();
        for (n, voxel) in voxels.iter_mut().enumerate() {
            let ijk = [n % ni, n / ni % nj, n / (ni * nj)];
            let distance = (0..3).map(|axis| (ijk[axis] as f64 - centre[axis]).abs() / [8.0, 8.0, 2.0][axis]);
            if distance.fold(0.0, f64::max) < 0.9 {
                *voxel = 1000.0 - *voxel;
            }
        }
        let (after, ..) = embeddings(&Volume::new(plain.shape_xyz(), voxels, affine).expect("a scan"));
        let change: Vec<f32> = before
            .chunks_exact(channels)
            .zip(after.chunks_exact(channels))
            .map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>())
            .collect();
        assert_eq!(change.len(), gd * gh * gw);
        let most = (0..change.len()).max_by(|&a, &b| change[a].total_cmp(&change[b])).expect("tokens");
        let [d, h, w] = token.map(|n: u8| usize::from(n));
        assert_eq!(most, (d * gh + h) * gw + w, "{token:?}: {change:?}");
    }
}

#[test]
fn windows_of_another_scan_are_refused_and_a_stop_is_one() {
    let own = study(&StudyOptions::default());
    let other = MODEL.study(ramp([90, 61, 19], Affine::from_spacing([1.0, 1.0, 3.0]))).expect("a study");
    let windows: Vec<WindowKey> = lattice(&other);
    let mut calls = 0;
    let error = own.embed(&windows, &mut |_, _| {
        calls += 1;
        ControlFlow::Continue(())
    });
    assert!(matches!(error, Err(Error::Setting { name: "windows", .. })) && calls == 0, "{error:?}");
    let stopped = other.embed(&windows, &mut |index, _| {
        if index == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    let cancellation = Cancellation::new();
    cancellation.request();
    let stopped = own.embed_cancellable(&lattice(&own), &mut |_, _| ControlFlow::Continue(()), &cancellation);
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    assert_eq!(own.statistics().windows_encoded, 0);
    let planned = planned_windows(&own, &[Prompt::text("liver")], &cancellation);
    assert!(matches!(planned, Err(Error::Cancelled)), "{planned:?}");
}

#[test]
fn what_cannot_be_written_or_means_nothing_is_refused_before_any_work() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    fs::copy(data(SCAN), at("ct.json")).expect("copied");
    for (line, parts) in [
        ("-o a.npz", &["a.npz: expected a name that ends in .safetensors or .npy"][..]),
        ("-o -", &["--output", "standard output"]),
        ("-o missing/a.npy", &["missing", "does not exist"]),
        ("-o a.safetensors --text liver", &["--text: only the windows of --windows plan depend on objects"]),
        ("-o a.safetensors --windows grid --box 1,2,3,4,5,6", &["--box: only"]),
        ("-o a.safetensors --windows plan", &["nothing to segment"]),
        ("-o a.safetensors --no-zoom", &["--no-zoom: changes nothing with --windows zoom-out"]),
        ("-o a.safetensors --windows grid --threshold 0.3", &["--threshold: changes nothing with --windows grid"]),
        ("-o a.safetensors --overlap 0.5", &["--overlap: changes nothing"]),
        ("-o a.safetensors --windows grid --overlap 1", &["overlap: expected at least 0 and at most 0.95"]),
        ("-o a.npy --embeddings a.json/x", &["--embeddings", "a.json"]),
        ("-o a.safetensors --dtype int8", &["expected float32 or float16"]),
    ] {
        refused(&embed(&folder, line).assert(), 2, parts);
    }
    // The geometry of `ct.npy` would replace the scan.
    let mut over = Command::new(&*SEGVOL);
    over.args(["embed", "-i", "ct.json", "-o", "ct.npy", "-m"]).arg(&*TINY).current_dir(folder.path());
    refused(&over.assert(), 2, &["--output (its geometry) `ct.json`", "--input"]);
    assert_eq!(names(folder.path()), ["ct.json"]);
}
