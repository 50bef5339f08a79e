//! The files that the command lines of the pages name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use ::safetensors::Dtype;
use ::safetensors::tensor::TensorView;
use assert_cmd::Command;
use segvol::nifti::{Datatype, Header};
use segvol::volume::Affine;
use segvol::{Grid, Mask, Volume};
use segvol_onnx::Manifest;
use segvol_onnx::manifest::MANIFEST_FILE;
use segvol_segments::{Provenance, Segment, Segments, seg_nrrd};
use segvol_tests::command::SEGVOL;
use segvol_tests::golden::data;
use segvol_tests::seeded::{uniform01, write_tokenizer};
use segvol_tests::{bundle, models};
use serde_json::json;

/// A folder with all of them, made once for all pages.
pub(crate) static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("words");
    // The bundle of the tiny model: FOLDER/bundle.
    let _bundle = bundle::seeded(&folder, &models::tiny(), &BTreeMap::new());
    scans(&folder);
    odd_scans(&folder);
    dicom(&folder);
    objects(&folder);
    bundles(&folder);
    checkpoints(&folder);
    cases(&folder);
    work_files(&folder);
    cohorts(&folder);
    folder
});

const SHAPE: [usize; 3] = [40, 30, 20];

fn write(path: PathBuf, contents: impl AsRef<[u8]>) {
    fs::write(&path, contents).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// A ball of tissue in air, with some noise.
fn ball([x, y, z]: [usize; 3]) -> Vec<f32> {
    let at = |n: usize, size: usize| (n as f64 + 0.5) / size as f64 * 2.0 - 1.0;
    let inside = |index: usize| {
        let (i, j, k) = (index % x, index / x % y, index / (x * y));
        at(i, x).powi(2) + at(j, y).powi(2) + at(k, z).powi(2) < 0.8
    };
    let noise = uniform01("ball");
    (0..x * y * z).zip(noise).map(|(n, noise)| (if inside(n) { 40.0 } else { -1000.0 } + 50.0 * noise) as f32).collect()
}

fn volume(shape: [usize; 3], voxels: Vec<f32>) -> Volume {
    Volume::new(shape, voxels, Affine::from_spacing([0.8, 0.8, 2.5])).expect("a volume")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn save(path: PathBuf, volume: &Volume) {
    segvol::mask::save_logits(path, volume.voxels(), volume.grid()).expect("saved");
}

/// The ball as a file of 16 bits, with another header.
fn encoded(change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let volume = volume(SHAPE, ball(SHAPE));
    let mut header = volume.grid().nifti_header().into_owned();
    (header.datatype, header.bitpix) = (Datatype::I16, 16);
    change(&mut header);
    let mut bytes = header.encode(0, "");
    bytes.extend(volume.voxels().iter().flat_map(|&voxel| (voxel as i16).to_le_bytes()));
    bytes
}

/// The ball as a file with other bytes in its header.
fn patched(patches: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = encoded(|_| ());
    for (offset, patch) in patches {
        bytes[*offset..][..patch.len()].copy_from_slice(patch);
    }
    bytes
}

/// Scans and label maps that can be used, and files that cannot.
fn scans(folder: &Path) {
    let here = |name: &str| folder.join(name);
    fs::copy(data("tiny/volumes/ras_scaled_odd.nii.gz"), here("scan.nii.gz")).expect("copied");
    fs::copy(data("tiny/volumes/lps_int16.nii.gz"), here("other_shape.nii.gz")).expect("copied");
    let scan = Volume::open(here("scan.nii.gz")).expect("a scan");
    let [ni, nj, nk] = scan.shape_xyz();
    let block = |at: usize, n: usize| (n / 3..2 * n / 3).contains(&at);
    let label = |n: usize| u8::from(block(n % ni, ni) && block(n / ni % nj, nj) && block(n / (ni * nj), nk));
    let labels: Vec<u8> = (0..ni * nj * nk).map(label).collect();
    let halves = labels.iter().map(|&label| f32::from(label) / 2.0).collect();
    let affine = Affine::new(scan.grid().affine().rows());
    save(here("halves.nii"), &Volume::new(scan.shape_xyz(), halves, affine).expect("a volume"));
    let [[a, b, c, d], y, z] = scan.grid().affine().rows();
    let ones = labels.iter().map(|&label| f32::from(label)).collect();
    let moved = Affine::new([[a, b, c, d + 1.0], y, z]);
    save(here("moved.nii"), &Volume::new(scan.shape_xyz(), ones, moved).expect("a volume"));
    let constant = vec![7.0; labels.len()];
    save(here("flat_scan.nii"), &Volume::new(scan.shape_xyz(), constant, affine).expect("a volume"));
    Mask::from_labels(labels, Arc::clone(scan.grid())).expect("a mask").save(here("labels.nii.gz")).expect("saved");

    let between = Affine::new([[a, b, c, d + a / 2.0], y, z]);
    let between = Arc::new(Grid::new(scan.shape_xyz(), between).expect("a grid"));
    for (name, grid) in [("organs.seg.nrrd", scan.grid()), ("moved.seg.nrrd", &between)] {
        let segments = Segments {
            grid: Arc::clone(grid),
            segments: vec![Segment { name: "spleen".to_owned(), label: 1 }],
            mask: &|_| Mask::from_labels(vec![1_u8; grid.voxels()], Arc::clone(grid)),
            provenance: Provenance::default(),
        };
        seg_nrrd::save(&here(name), &segments).expect("saved");
    }
    write(here("damaged.seg.nrrd"), "NRRD0004\nSegment0_Name:=liver\n\n");
    let nrrd = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nendian: little\nencoding: raw\n";
    let space = "space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n";
    write(here("short.nrrd"), format!("{nrrd}{space}\n1234"));
    write(here("bzip2.nrrd"), format!("{}{space}\n", nrrd.replace("raw", "bzip2")));
    write(here("outside.nhdr"), format!("{nrrd}{space}data file: ../secrets.raw\n"));
    write(here("unknown_space.nrrd"), format!("{nrrd}space dimension: 3\n{}\n{}", &space[11..], "a".repeat(128)));
    let meta = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_SHORT\nElementSpacing = 1 1 1\n";
    write(here("channels.mha"), format!("{meta}ElementNumberOfChannels = 3\nElementDataFile = LOCAL\n"));
    write(here("missing.mhd"), format!("{meta}ElementDataFile = missing.raw\n"));
    write(here("text.nii.gz"), "not a scan");
    write(here("slice.dcm"), [&[0; 128], b"DICM".as_slice(), &[0; 400]].concat());
    fs::create_dir(here("series")).expect("a folder");
    write(here("series/IM0001"), fs::read(here("slice.dcm")).expect("read"));
    write(here("pointer.nii.gz"), "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    // A pickle of one tensor that belongs to a distributed model.
    let key = "image_encoder.patch_embedding.position_embeddings";
    let distributed = [
        b"\x80\x02}X",
        &(key.len() as u32).to_le_bytes()[..],
        key.as_bytes(),
        b"ctorch._utils\n_rebuild_wrapper_subclass\n(ctorch.distributed.tensor\nDTensor\ntRs.",
    ];
    write(here("distributed.pth"), distributed.concat());
    write(here("cut.pth"), b"\x80\x02}X\x05\0\0\0mod");
    write(here("page.nii.gz"), "<!DOCTYPE html>\n<html><title>Sign in</title></html>\n");
    let archive = [vec![b'a'; 257], b"ustar\0".to_vec(), vec![0; 500]].concat();
    write(here("archive.nii.gz"), gzip(&archive));
    write(here("short_header.nii"), &encoded(|_| ())[..100]);
    write(here("short_voxels.nii"), &encoded(|_| ())[..2000]);
    let packed = fs::read(here("scan.nii.gz")).expect("read");
    write(here("cut.nii.gz"), &packed[..packed.len() / 2]);
    // The checksum comes before the length, in the last eight bytes.
    let mut damaged = packed;
    let checksum = damaged.len() - 8;
    damaged[checksum] ^= 1;
    write(here("damaged.nii.gz"), damaged);
    write(here("pair.hdr"), patched(&[(344, b"ni1\0")]));
    write(here("colour.nii"), patched(&[(70, &128_i16.to_le_bytes()), (72, &24_i16.to_le_bytes())]));
    write(here("vectors.nii"), patched(&[(40, &5_i16.to_le_bytes()), (50, &3_i16.to_le_bytes())]));
    write(here("singular.nii"), encoded(|header| header.srow[2] = [0.0; 4]));
    let mut voxels = ball(SHAPE);
    voxels[(7 * 30 + 5) * 40 + 3] = f32::NAN;
    save(here("nan.nii"), &volume(SHAPE, voxels));
    save(here("flat.nii"), &volume(SHAPE, vec![7.0; SHAPE.iter().product()]));
}

/// Two series of two slices, and an archive without its end.
fn dicom(folder: &Path) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut file = fs::read(corpus.join("dicom_file/two_frames")).expect("a file with two frames");
    fs::create_dir_all(folder.join("two_series")).expect("a folder");
    write(folder.join("two_series/a"), &file);
    let uid = file.windows(6).position(|bytes| bytes == b"1.2.3\0").expect("its Series Instance UID");
    file[uid + 4] = b'4';
    write(folder.join("two_series/b"), &file);
    let archive = fs::read(corpus.join("dicom_zip/stored")).expect("an archive");
    write(folder.join("cut.zip"), &archive[..archive.len() / 2]);
}

/// Scans that are segmented with a warning.
fn odd_scans(folder: &Path) {
    let with = |name: &str, change: &dyn Fn(&mut Header)| write(folder.join(name), encoded(change));
    let scale = |header: &mut Header, factor: f64| {
        header.srow = header.srow.map(|row| row.map(|value| value * factor));
        header.pixdim[1..4].iter_mut().for_each(|value| *value *= factor);
    };
    with("metres.nii", &|header| {
        scale(header, 1e-3);
        header.xyzt_units = 1;
    });
    with("micrometres.nii", &|header| {
        scale(header, 1e3);
        header.xyzt_units = 3;
    });
    with("silent_metres.nii", &|header| scale(header, 1e-3));
    with("unknown_unit.nii", &|header| header.xyzt_units = 5);
    with("no_forms.nii", &|header| (header.sform_code, header.qform_code) = (0, 0));
    with("negative_spacing.nii", &|header| {
        (header.sform_code, header.qform_code) = (0, 0);
        header.pixdim = [1.0, 0.8, 0.8, -2.5, 0.0, 0.0, 0.0, 0.0];
    });
    // LPS, with a qform that says the same.
    let with_qform = |header: &mut Header| {
        (header.srow[0][0], header.srow[1][1]) = (-0.8, -0.8);
        (header.qform_code, header.quatern) = (1, [0.0, 0.0, 1.0]);
    };
    with("shifted.nii", &|header| {
        with_qform(header);
        header.qoffset = [4.0, 3.0, 0.0];
    });
    with("mirrored.nii", &|header| {
        with_qform(header);
        header.quatern = [0.0; 3];
    });
    with("no_sform.nii", &|header| {
        with_qform(header);
        header.srow = [[0.0; 4]; 3];
    });
    with("directions.nii", &|header| (0..3).for_each(|axis| header.srow[axis][axis] = 1.0));
    with("wrong_unit.nii", &|header| header.xyzt_units = 1);
    with("sheared.nii", &|header| header.srow[0][1] = 0.1);
    with("slope.nii", &|header| header.scl_slope = f64::NAN);
    write(folder.join("trailing.nii"), [encoded(|_| ()), b"more".to_vec()].concat());
    let not_hu = ball(SHAPE).into_iter().map(|voxel| (voxel + 1000.0) * 1.7).collect();
    save(folder.join("not_hu.nii"), &volume(SHAPE, not_hu));
    save(folder.join("one_slice.nii"), &volume([40, 30, 1], ball([40, 30, 1])));
    save(folder.join("body.nii"), &volume(SHAPE, ball(SHAPE)));
}

/// Objects files.
fn objects(folder: &Path) {
    for (name, version, objects) in [
        ("objects.json", 1, json!([{"text": "liver"}])),
        ("version.json", 2, json!([{"text": "liver"}])),
        ("unknown_field.json", 1, json!([{"txt": "liver"}])),
        ("empty_object.json", 1, json!([{"name": "liver"}])),
        ("no_objects.json", 1, json!([])),
        ("short_point.json", 1, json!([{"points": [[1, 2]]}])),
        ("flat_point.json", 1, json!([{"text": "spleen"}, {"points": [20, 20, 12]}])),
        ("quoted_numbers.json", 1, json!([{"points": [["20", "20", "12"]]}])),
        ("wrong_smoothing.json", 1, json!([{"text": "liver", "postprocess": {"smooth_mm": "2 mm"}}])),
        ("unknown_step.json", 1, json!([{"text": "liver", "postprocess": {"largest": true}}])),
        ("nested_box.json", 1, json!([{"box": [[1, 2, 3], [30, 30, 20]]}])),
    ] {
        write(folder.join(name), json!({"schema_version": version, "objects": objects}).to_string());
    }
    let good = r#"{"schema_version": 1, "objects": [{"text": "liver"}]}"#;
    write(folder.join("list.json"), r#"[{"text": "liver"}]"#);
    write(folder.join("comma.json"), good.replace("}]", "},\n]"));
    write(folder.join("quotes.json"), good.replace('"', "'"));
    write(folder.join("utf16.json"), good.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
}

/// Copies of the bundle with something wrong.
fn bundles(folder: &Path) {
    let copy = |name: &str| {
        fs::create_dir(folder.join(name)).expect("a folder");
        for entry in fs::read_dir(folder.join("bundle")).expect("a folder") {
            let entry = entry.expect("an entry");
            fs::copy(entry.path(), folder.join(name).join(entry.file_name())).expect("copied");
        }
        folder.join(name)
    };
    let weights = "segvol_mask_decoder.weights";
    let damaged = copy("damaged").join(weights);
    let mut bytes = fs::read(&damaged).expect("read");
    bytes[0] ^= 1;
    write(damaged, bytes);
    fs::remove_file(copy("incomplete").join(weights)).expect("removed");
    #[cfg(unix)]
    {
        let linked = copy("linked").join(weights);
        fs::remove_file(&linked).expect("removed");
        std::os::unix::fs::symlink(".git/annex/objects/SHA256E-s1--0/SHA256E-s1--0", linked).expect("a link");
    }
    write(copy("not_json").join(MANIFEST_FILE), "{");
    let version = copy("version").join(MANIFEST_FILE);
    let text = fs::read_to_string(&version).expect("read");
    write(version, text.replacen("\"schema_version\": ", "\"schema_version\": 9", 1));
    // A bundle that knows the released names.
    let named = copy("named");
    let mut manifest = Manifest::read(&named).expect("a bundle");
    manifest.names = Some(segvol::Names::released());
    write(named.join(MANIFEST_FILE), manifest.to_json().expect("JSON"));
}

/// Checkpoints of the smallest model, whole and not.
fn checkpoints(folder: &Path) {
    for name in ["micro", "no_tokenizer"] {
        let here = folder.join(name);
        fs::create_dir(&here).expect("a folder");
        write(here.join("config.json"), models::config_json(&models::micro()));
        fs::copy(data("checkpoints/github.pth"), here.join("SegVol_v1.pth")).expect("copied");
    }
    fs::create_dir(folder.join("occupied")).expect("a folder");
    write(folder.join("occupied").join("notes.txt"), "not a bundle");
    write_tokenizer(&folder.join("micro"), &models::micro()).expect("written");
    write(folder.join("names.json"), r#"{"liver": "hepar"}"#);
    write(folder.join("released.json"), models::config_json(&models::full()));
    safetensors(&folder.join("other.safetensors"), &["weight"]);
    let (position, adapter) = (
        "image_encoder.patch_embedding.position_embeddings",
        ["lora_A", "lora_B"]
            .map(|part| format!("base_model.model.image_encoder.blocks.0.attn.qkv.{part}.default.weight")),
    );
    let [a, b] = [adapter[0].as_str(), adapter[1].as_str()];
    safetensors(&folder.join("adapted.safetensors"), &[&format!("base_model.model.{position}"), a, b]);
    safetensors(&folder.join("adapters.safetensors"), &[a, b]);
    let keys: Vec<(String, Vec<usize>)> =
        models::keys(&models::micro()).into_iter().chain([("image_encoder.head.weight".to_owned(), vec![1])]).collect();
    let numbers: Vec<(&String, &Vec<usize>, Vec<u8>)> =
        keys.iter().map(|(key, shape)| (key, shape, vec![0; 4 * shape.iter().product::<usize>()])).collect();
    let views = numbers
        .iter()
        .map(|(key, shape, bytes)| (*key, TensorView::new(Dtype::F32, (*shape).clone(), bytes).expect("a tensor")));
    write(folder.join("micro/extra.safetensors"), ::safetensors::serialize(views, None).expect("serialised"));
    fs::create_dir(folder.join("several")).expect("a folder");
    for name in ["first.pth", "second.pth"] {
        fs::copy(data("checkpoints/github.pth"), folder.join("several").join(name)).expect("copied");
    }
    fs::create_dir(folder.join("parts")).expect("a folder");
    let part = |number: usize| format!("model-0000{number}-of-00002.safetensors");
    safetensors(&folder.join("parts").join(part(1)), &["a"]);
    let map = json!({"weight_map": {"a": part(1), "b": part(2)}});
    write(folder.join("parts/model.safetensors.index.json"), map.to_string());
    write(folder.join("leaving.index.json"), json!({"weight_map": {"a": "../other.safetensors"}}).to_string());
}

/// A safetensors file with tensors of one number.
fn safetensors(path: &Path, names: &[&str]) {
    let view = || TensorView::new(Dtype::F32, vec![1], &[0; 4]).expect("a tensor");
    let views = names.iter().map(|name| (*name, view()));
    write(path.to_owned(), ::safetensors::serialize(views, None).expect("serialised"));
}

/// Case lists: FOLDER/cases/NAME.json.
fn cases(folder: &Path) {
    fs::create_dir(folder.join("cases")).expect("a folder");
    let list = |name: &str, text: String| write(folder.join("cases").join(name), text);
    let with = |name: &str, structures: serde_json::Value, cases: serde_json::Value| {
        list(name, json!({"schema_version": 1, "structures": structures, "cases": cases}).to_string());
    };
    let case = |image: &str, labels: &str| json!({"image": format!("../{image}"), "labels": format!("../{labels}")});
    let named = |name: &str, image: &str, labels: &str| {
        let mut case = case(image, labels);
        case["name"] = name.into();
        case
    };
    let (good, liver) = (case("scan.nii.gz", "labels.nii.gz"), json!({"liver": 1}));
    with("good.json", liver.clone(), json!([good]));
    with("no_truth.json", liver.clone(), json!([{"image": "../scan.nii.gz"}]));
    with("some_truth.json", liver.clone(), json!([good, {"name": "b", "image": "../scan.nii.gz"}]));
    with("no_cases.json", liver.clone(), json!([]));
    with("misspelt.json", liver.clone(), json!([{"image": "a.nii", "label": "b.nii"}]));
    with("same_name.json", liver.clone(), json!([good, good]));
    with("value.json", json!({"liver": 70000}), json!([good]));
    with("absent.json", json!({"left kidney": 3}), json!([good]));
    list("version.json", json!({"schema_version": 2, "cases": [good]}).to_string());
    list("no_structures.json", json!({"schema_version": 1, "cases": [good]}).to_string());
    let twice = r#"{"schema_version": 1, "structures": {"liver": 1, "liver": 2}, "cases": []}"#;
    list("twice.json", twice.to_owned());
    let mut spleen = named("structure", "scan.nii.gz", "labels.nii.gz");
    spleen["structures"] = json!({"spleen": 9});
    with(
        "bad_cases.json",
        liver,
        json!([
            named("no scan", "missing.nii.gz", "labels.nii.gz"),
            named("no label map", "scan.nii.gz", "text.nii.gz"),
            named("shape", "scan.nii.gz", "other_shape.nii.gz"),
            named("place", "scan.nii.gz", "moved.nii"),
            named("values", "scan.nii.gz", "halves.nii"),
            named("flat", "flat_scan.nii", "labels.nii.gz"),
            spleen,
        ]),
    );
    with("mixed_names.json", json!({"1": "liver", "2": 3}), json!([good]));
    with("name_twice.json", json!({"1": "liver", "2": "liver"}), json!([good]));
    let mut convention = good.clone();
    convention["convention"] = "amos".into();
    let list_of = json!({"schema_version": 1, "conventions": {"btcv": {"liver": 6}}, "cases": [convention]});
    list("convention.json", list_of.to_string());
    data_sets(folder);
}

/// Folders for `--data`: FOLDER/data/NAME.
fn data_sets(folder: &Path) {
    let copy = |from: &str, to: &str| {
        let to = folder.join("data").join(to);
        fs::create_dir_all(to.parent().expect("a parent")).expect("a folder");
        fs::copy(folder.join(from), to).expect("copied");
    };
    let scan = |to: &str| copy("scan.nii.gz", to);
    let map = |to: &str| copy("labels.nii.gz", to);
    let dataset = |name: &str, text: &str| write(folder.join("data").join(name).join("dataset.json"), text);
    scan("mixed/a.nii.gz");
    map("mixed/a_labels.nii.gz");
    scan("mixed/b/ct.nii.gz");
    map("mixed/b/segmentations/liver.nii.gz");
    scan("two_maps/a.nii.gz");
    map("two_maps/a_labels.nii.gz");
    map("two_maps/a_seg.nii.gz");
    scan("nnunet/imagesTr/a_0000.nii.gz");
    for (name, text) in [
        ("channels", r#"{"channel_names": {"0": "CT", "1": "PET"}, "labels": {"background": 0, "liver": 1}}"#),
        ("splits", r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}}"#),
    ] {
        for split in ["Tr", "Ts"] {
            scan(&format!("{name}/images{split}/a_0000.nii.gz"));
            map(&format!("{name}/labels{split}/a.nii.gz"));
        }
        dataset(name, text);
    }
    fs::remove_dir_all(folder.join("data/channels/imagesTs")).expect("removed");
    fs::remove_dir_all(folder.join("data/channels/labelsTs")).expect("removed");
    scan("folders/a/ct.nii.gz");
    map("folders/a/segmentations/liver.nii.gz");
    scan("folders/b/ct.nii.gz");
}

/// A work file of `eval`, and a damaged one.
fn work_files(folder: &Path) {
    let mut eval = Command::new(&*SEGVOL);
    eval.args(["eval", "--provider", "cpu", "-m", "bundle", "--cases", "cases/good.json", "--prompts", "text"]);
    eval.args(["--no-zoom", "--work", "other.jsonl"]).current_dir(folder).assert().success();
    let text = fs::read_to_string(folder.join("other.jsonl")).expect("read");
    let header = text.lines().next().expect("a header");
    write(folder.join("damaged.jsonl"), format!("{header}\nnot a record\n"));
}

/// The output folder of a cohort, one whose manifest is damaged, lists with mistakes, and scans that cannot be done.
fn cohorts(folder: &Path) {
    let at = |name: &str| folder.join("cohorts").join(name);
    fs::create_dir_all(at("scans/deep")).expect("made");
    fs::create_dir_all(at("damaged")).expect("made");
    fs::create_dir_all(at("foreign/scan")).expect("made");
    for name in ["scan.nii.gz", "twice.nii.gz", "deep/twice.nii.gz"] {
        fs::copy(folder.join("scan.nii.gz"), at("scans").join(name)).expect("copied");
    }
    write(at("scans/damaged.nii.gz"), "no scan");
    write(at("foreign/scan/liver.nii.gz"), "somebody's mask");
    for (name, text) in [
        ("empty.jsonl", ""),
        ("field.jsonl", "{\"path\": \"scans/scan.nii.gz\"}\n{\"pth\": \"scan.nii.gz\"}\n"),
        ("not_json.jsonl", "scans/scan.nii.gz\n"),
        ("one.jsonl", "{\"path\": \"scans/scan.nii.gz\"}\n"),
        (
            "ids.jsonl",
            "{\"path\": \"scans/scan.nii.gz\", \"id\": \"../scan\"}\n{\"path\": \"done/scan/liver.nii.gz\", \"id\": \"b\"}\n",
        ),
        ("prompts.jsonl", "{\"path\": \"scans/scan.nii.gz\", \"prompts\": [{\"points\": [[1, 2]]}]}\n"),
    ] {
        write(at(name), text);
    }
    let mut cohort = Command::new(&*SEGVOL);
    cohort.args(["cohort", "--provider", "cpu", "-q", "--no-zoom", "-m", "bundle", "--text", "liver"]);
    cohort.args(["--images", "cohorts/one.jsonl", "--out", "cohorts/done"]).current_dir(folder).assert().success();
    let text = fs::read_to_string(at("done/manifest.jsonl")).expect("read");
    let header = text.lines().next().expect("a header");
    write(at("damaged/manifest.jsonl"), format!("{header}\nnot a record\n"));
}
