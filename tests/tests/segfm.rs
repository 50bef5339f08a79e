//! Case files of the SegFM challenge: the label maps are those of the released program.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use flate2::read::GzDecoder;
use safetensors::SafeTensors;
use segvol::Volume;
use segvol_segfm::{Case, SegfmError};
use segvol_tests::command::SEGVOL;
use segvol_tests::golden::{VOLUMES, data};
use segvol_tests::programs::{Boxes, segfm};
use segvol_tests::{bundle, models};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

fn segvol() -> Command {
    Command::new(&*SEGVOL)
}

/// Runs `segvol segfm` on a case file or folder.
fn segmented(bundle: &Path, input: &Path, output: &Path) -> Assert {
    let mut command = segvol();
    command.args(["segfm", "--provider", "cpu", "-m"]).arg(bundle).arg("-i").arg(input).arg("-o").arg(output);
    command.assert()
}

/// An `.npy` array of version 1.
fn npy(description: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let text = format!("{{'descr': '{description}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    let length = u16::try_from(text.len()).expect("short").to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), data].concat()
}

/// The boxes as NumPy 1 pickles them with protocol 2: `_reconstruct`, then its state.
fn pickled(boxes: &[[i64; 6]]) -> Vec<u8> {
    let keys = ["z_min", "z_mid_y_min", "z_mid_x_min", "z_max", "z_mid_y_max", "z_mid_x_max"];
    let mut text = String::from("cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR(I1\n(I");
    text.push_str(&format!("{}\ntcnumpy\ndtype\n(VO8\nI00\nI01\ntR(I3\nV|\nNNNI-1\nI-1\nI63\ntbI00\n(", boxes.len()));
    for corners in boxes {
        let pairs = keys.iter().zip(corners).map(|(key, corner)| format!("V{key}\nI{corner}\n"));
        text.push_str(&format!("({}Vz_mid\nI0\nd", pairs.collect::<String>()));
    }
    text.push_str("ltb.");
    text.into_bytes()
}

fn case_file(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut archive = ZipWriter::new(File::create(path).expect("a file"));
    for (name, bytes) in arrays {
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        archive.start_file(format!("{name}.npy"), stored).expect("an entry");
        archive.write_all(bytes).expect("written");
    }
    archive.finish().expect("written");
}

fn boxes_of(weights: &Boxes) -> Vec<[i64; 6]> {
    weights.order.iter().map(|name| weights.boxes[name].corners.map(|c| c as i64)).collect()
}

/// A phantom and its boxes as a case file: float32, which holds every voxel as it was read.
fn phantom_case(path: &Path, volume: &str, weights: &Boxes) {
    let volume = Volume::open(data(&format!("tiny/volumes/{volume}.nii.gz"))).expect("a volume");
    let [width, height, depth] = volume.shape_xyz();
    let voxels: Vec<u8> = volume.voxels().iter().flat_map(|voxel| voxel.to_le_bytes()).collect();
    let boxes = boxes_of(weights);
    case_file(
        path,
        &[
            ("imgs", npy("<f4", &[depth, height, width], &voxels)),
            ("boxes", npy("|O", &[boxes.len()], &pickled(&boxes))),
            ("spacing", npy("<f8", &[3], &[0; 24])),
        ],
    );
}

/// The program's label map, if it was recorded.
fn label_map_of(volume: &str, variant: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(data(&format!("tiny/programs/{volume}.segfm.safetensors.gz"))).expect("goldens");
    GzDecoder::new(file).read_to_end(&mut bytes).expect("gzip");
    let tensors = SafeTensors::deserialize(&bytes).expect("goldens");
    // A case of one box was recorded without its map.
    tensors.tensor(&format!("{variant}.label_map")).ok().map(|map| map.data().to_vec())
}

/// The array of an output: its header's dictionary, and its data.
fn segs(path: &Path) -> (String, Vec<u8>) {
    let mut archive = ZipArchive::new(File::open(path).expect("an output")).expect("a zip archive");
    assert_eq!(archive.len(), 1, "only the label map");
    let mut bytes = Vec::new();
    archive.by_name("segs.npy").expect("segs").read_to_end(&mut bytes).expect("unpacked");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = String::from_utf8(bytes[10..10 + length].to_vec()).expect("a text");
    (text, bytes.split_off(10 + length))
}

fn seeded(folder: &Path, bias_added: &BTreeMap<String, f32>) -> PathBuf {
    bundle::seeded(&folder.join("model"), &models::tiny(), bias_added)
}

#[test]
fn label_maps_are_those_of_the_program() {
    let mut maps = 0;
    for volume in VOLUMES {
        for (variant, weights) in &segfm(volume).variants {
            let folder = segvol_tests::folder!();
            let bundle = seeded(folder.path(), &weights.bias_added);
            let (input, output) = (folder.path().join("case.npz"), folder.path().join("out"));
            phantom_case(&input, volume, weights);
            segmented(&bundle, &input, &output).success();
            let (header, found) = segs(&output.join("case.npz"));
            assert!(header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': ("), "{header}");
            let found: Vec<u8> =
                found.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes) as u8).collect();
            if let Some(expected) = label_map_of(volume, variant) {
                assert_eq!(found.len(), expected.len(), "{volume}, {variant}");
                // A logit that is all but zero may be on the other side of it.
                let wrong = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
                assert!(wrong <= 2, "{volume}, {variant}: {wrong} voxels differ");
                maps += 1;
            }
            for (index, voxels) in weights.label_voxels.iter().enumerate() {
                let count = found.iter().filter(|&&label| usize::from(label) == index + 1).count();
                assert!(count.abs_diff(*voxels) <= 2, "{volume}, {variant}: a later box overwrites an earlier one");
            }
        }
    }
    assert_eq!(maps, 5);
}

/// The file was written by NumPy, with compressed arrays and pickle protocol 4.
#[test]
fn a_case_file_of_numpy_gives_the_label_map_of_the_program() {
    let case = Case::read(&data("tiny/programs/smaller_than_window.segfm.npz")).expect("a case");
    let expected = &segfm("smaller_than_window").variants["focus0.03"];
    let corners = |at: &segvol_segfm::CaseBox| [at.min_dhw, at.max_dhw].concat();
    let found: Vec<_> = case.boxes.iter().map(corners).collect();
    let wanted: Vec<Vec<usize>> = expected.order.iter().map(|name| expected.boxes[name].corners.to_vec()).collect();
    assert_eq!((found, case.warnings.len()), (wanted, 0));

    let folder = segvol_tests::folder!();
    let bundle = seeded(folder.path(), &expected.bias_added);
    fs::create_dir(folder.path().join("inputs")).expect("a folder");
    fs::copy(&case.path, folder.path().join("inputs/a.npz")).expect("copied");
    fs::write(folder.path().join("inputs/._a.npz"), "of another system").expect("written");
    let run = || segvol().current_dir(folder.path()).args(["segfm", "--provider", "cpu", "-m"]).arg(&bundle).assert();
    let output = run().success().get_output().stdout.clone();
    let output = String::from_utf8(output).expect("a text");
    assert!(output.starts_with("inputs/a.npz: 2 boxes, 2 windows encoded, "), "{output}");
    let (_, labels) = segs(&folder.path().join("outputs/a.npz"));
    let labels: Vec<u8> = labels.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes) as u8).collect();
    let expected = label_map_of("smaller_than_window", "focus0.03").expect("recorded");
    let wrong = labels.iter().zip(&expected).filter(|(a, b)| a != b).count();
    assert!(wrong <= 2, "{wrong} voxels differ");
    let first = fs::read(folder.path().join("outputs/a.npz")).expect("an output");
    run().success();
    assert_eq!(fs::read(folder.path().join("outputs/a.npz")).expect("an output"), first, "the same bytes");
}

#[test]
fn a_label_map_has_the_type_of_the_scan() {
    let weights = &segfm("smaller_than_window").variants["focus0.03"];
    let folder = segvol_tests::folder!();
    let bundle = seeded(folder.path(), &weights.bias_added);
    let boxes = boxes_of(weights);
    // A ball of 200 in a box of 20, in all types.
    let (depth, height, width) = (8, 40, 40);
    let voxels: Vec<u8> = (0..depth * height * width)
        .map(|at| {
            let (d, h, w) = (at / (height * width), at / width % height, at % width);
            let far = (d as i32 - 4).pow(2) * 25 + (h as i32 - 20).pow(2) + (w as i32 - 20).pow(2);
            if far < 150 { 110 + (at % 7) as u8 } else { 20 + (at % 5) as u8 }
        })
        .collect();
    let mut labels: Vec<Vec<u8>> = Vec::new();
    for (description, size) in
        [("|u1", 1), ("|i1", 1), ("<i2", 2), ("<u2", 2), ("<i4", 4), ("<u4", 4), ("<i8", 8), ("<u8", 8)]
    {
        let wide = |voxel: &u8| (0..size).map(|byte| if byte == 0 { *voxel } else { 0 }).collect::<Vec<_>>();
        let bytes: Vec<u8> = voxels.iter().flat_map(wide).collect();
        let input = folder.path().join("case.npz");
        let pickle = npy("|O", &[boxes.len()], &pickled(&boxes));
        case_file(&input, &[("imgs", npy(description, &[depth, height, width], &bytes)), ("boxes", pickle)]);
        let output = folder.path().join("out");
        segmented(&bundle, &input, &output).success();
        let (header, found) = segs(&output.join("case.npz"));
        assert!(header.contains(description), "{header}");
        labels.push(found.chunks(size).map(|number| number[0]).collect());
    }
    assert!(labels.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(labels[0].contains(&2), "the second box has a mask");
}

#[test]
fn what_is_no_case_is_named() {
    let folder = segvol_tests::folder!();
    let path = folder.path().join("case.npz");
    let image = || npy("|u1", &[2, 3, 4], &[7; 24]);
    let boxes = |boxes: &[[i64; 6]]| npy("|O", &[boxes.len()], &pickled(boxes));
    let good = [0, 0, 0, 1, 2, 3];
    for (arrays, part) in [
        (vec![("imgs", image())], "expected the key `boxes`; found `imgs`"),
        (vec![("boxes", boxes(&[good]))], "expected the key `imgs`; found `boxes`"),
        (vec![], "expected the key `imgs`; found nothing"),
        (vec![("imgs", image()), ("boxes", boxes(&[]))], "at least one box"),
        (
            vec![("imgs", image()), ("boxes", npy("<f4", &[1, 6], &[0; 24]))],
            "`boxes`: expected an array of dictionaries; found one of float32 numbers",
        ),
        (
            vec![("imgs", npy("|u1", &[2, 3, 4, 3], &[7; 72])), ("boxes", boxes(&[good]))],
            "three axes, [D, H, W]; found the shape [2, 3, 4, 3]",
        ),
        (
            vec![("imgs", npy("<f4", &[2, 3, 4], &[7; 24])), ("boxes", boxes(&[good]))],
            "expected 96 bytes of numbers, found 24",
        ),
        (
            vec![("imgs", npy("<f4", &[usize::MAX, 3, 4], &[7; 24])), ("boxes", boxes(&[good]))],
            "more than a machine has",
        ),
        (vec![("imgs", npy("|O", &[1], &pickled(&[good]))), ("boxes", boxes(&[good]))], "found one of Python objects"),
        (
            vec![("imgs", image()), ("boxes", boxes(&[good, [1, 0, 0, 0, 2, 3]]))],
            "box 2, [1, 0, 0] to [0, 2, 3] (z, y, x): expected no minimum above its maximum",
        ),
        (
            vec![("imgs", image()), ("boxes", boxes(&[[0, 0, 4, 1, 2, 5]]))],
            "begins outside the scan: the scan has [2, 3, 4] voxels",
        ),
        (vec![("imgs", image()), ("boxes", boxes(&[[0, -1, 0, 1, 2, 3]]))], "begins outside the scan"),
        (
            vec![("imgs", npy("|b1", &[2, 3, 4], &[1; 24])), ("boxes", boxes(&[good, good]))],
            "2 boxes: expected at most 1",
        ),
    ] {
        case_file(&path, &arrays);
        let error = Case::read(&path).expect_err(part);
        let shown = error.to_string();
        assert!(shown.contains(part), "{part}: {shown}");
        assert!(matches!(error, SegfmError::TooManyBoxes { .. }) || shown.contains("case.npz"), "{shown}");
    }
    for (contents, part) in
        [("PK", "found a text file"), ("PK\x03\x04 cut", "the file is truncated"), ("a text", "found a text file")]
    {
        fs::write(&path, contents).expect("written");
        let error = Case::read(&path).expect_err("no archive").to_string();
        assert!(error.contains("expected a NumPy archive (.npz)") && error.contains(part), "{error}");
    }
    case_file(&path, &[("imgs", image()), ("boxes", boxes(&[[0, 0, 0, 9, 9, 9]]))]);
    let cut = Case::read(&path).expect("cut");
    assert_eq!((cut.boxes[0].max_dhw, cut.warnings.len()), ([1, 2, 3], 1));
}

/// A directory that states two gigabytes for 600 bytes: memory is checked for what a file states, so this must not be believed.
#[test]
fn a_size_that_no_compression_reaches_is_damage() {
    let folder = segvol_tests::folder!();
    let path = folder.path().join("case.npz");
    let mut bytes = fs::read(data("tiny/programs/smaller_than_window.segfm.npz")).expect("a case");
    let directory = bytes.windows(4).position(|four| four == b"PK\x01\x02").expect("a directory");
    bytes[directory + 24..directory + 28].copy_from_slice(&0x7d00_0000_u32.to_le_bytes());
    fs::write(&path, bytes).expect("written");
    let error = Case::read(&path).expect_err("damaged").to_string();
    assert!(error.contains("entry `imgs.npy` is damaged"), "{error}");
}

/// A pickle that would run a command, in the place of the boxes.
#[test]
fn a_pickle_is_never_run() {
    let folder = segvol_tests::folder!();
    let (path, touched) = (folder.path().join("case.npz"), folder.path().join("touched"));
    let call = format!("cposix\nsystem\n(Vtouch {}\ntR.", touched.display());
    case_file(&path, &[("imgs", npy("|u1", &[2, 3, 4], &[7; 24])), ("boxes", npy("|O", &[1], call.as_bytes()))]);
    let error = Case::read(&path).expect_err("no boxes").to_string();
    assert!(error.contains("expected an array of dictionaries"), "{error}");
    assert!(!touched.exists());
}

#[test]
fn one_bad_case_of_a_folder_fails_alone() {
    let weights = &segfm("smaller_than_window").variants["focus0.03"];
    let folder = segvol_tests::folder!();
    let bundle = seeded(folder.path(), &weights.bias_added);
    let (inputs, outputs) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&inputs).expect("a folder");
    fs::copy(data("tiny/programs/smaller_than_window.segfm.npz"), inputs.join("good.npz")).expect("copied");
    fs::write(inputs.join("bad.npz"), "nothing").expect("written");
    let segfm = |input: &Path, output: &Path| segmented(&bundle, input, output);
    let failed = segfm(&inputs, &outputs).code(1);
    let stderr = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
    assert!(stderr.contains("bad.npz") && stderr.contains("1 of 2 cases failed"), "{stderr}");
    assert!(outputs.join("good.npz").exists() && !outputs.join("bad.npz").exists());
    // The same bad case alone has the exit code of its error.
    segfm(&inputs.join("bad.npz"), &outputs).code(5);
    // Outputs are not inputs.
    let before = fs::read(inputs.join("good.npz")).expect("a case");
    segfm(&inputs, &inputs).code(2);
    assert_eq!(fs::read(inputs.join("good.npz")).expect("a case"), before);
    segfm(&folder.path().join("missing"), &outputs).code(5);
}
