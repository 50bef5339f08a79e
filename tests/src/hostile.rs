//! What bytes from anywhere are put through: every reader of files, with what must hold whatever the file says; and the
//! functions that C calls, with what it may hand over (`hostile_c/`).
//!
//! A target takes any bytes, and panics only where a promise is broken. `fuzz/` runs each under libFuzzer;
//! `tests/hostile_files.rs` runs all of them on the kept corpus and on mutations of it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Once};

use flate2::Compression;
use flate2::write::GzEncoder;
use ndarray::Array3;
use segvol::nifti::{self, Header, NiftiError, NiftiVolume, Voxels};
use segvol::{Tokenizer, Volume, intensity, parse_prompts};
use segvol_converter::Checkpoint;
use segvol_onnx::Manifest;
use segvol_onnx::manifest::{MANIFEST_FILE, sealed};

use crate::hostile_c;

/// One reader.
pub struct Target {
    /// Its name: that of its corpus and of its binary in `fuzz/`.
    pub name: &'static str,
    /// Puts bytes through it.
    pub run: fn(&[u8]),
    /// Bytes of memory per byte of the file that it may take, beside [`MEMORY`].
    pub memory_per_byte: usize,
}

/// Bytes of memory that every target may take, however small the file: buffers, tables, messages.
pub const MEMORY: usize = 8 << 20;

/// Every reader.
pub const TARGETS: [Target; 14] = [
    Target { name: "checkpoint", run: checkpoint, memory_per_byte: 64 },
    Target { name: "keys", run: keys, memory_per_byte: 64 },
    Target { name: "safetensors", run: safetensors, memory_per_byte: 64 },
    Target { name: "manifest", run: manifest, memory_per_byte: 64 },
    Target { name: "nifti_header", run: nifti_header, memory_per_byte: 8 },
    Target { name: "nifti", run: nifti_plain, memory_per_byte: 32 },
    Target { name: "nifti_gzip", run: nifti_gzip, memory_per_byte: 8 * 1032 + 32 },
    Target { name: "prompts", run: prompts, memory_per_byte: 128 },
    Target { name: "tokenizer", run: tokenizer, memory_per_byte: 512 },
    Target { name: "vocabulary", run: vocabulary, memory_per_byte: 512 },
    Target { name: "c_buffer", run: hostile_c::buffer, memory_per_byte: 64 },
    Target { name: "c_prompts", run: hostile_c::prompts, memory_per_byte: 64 },
    Target { name: "c_options", run: hostile_c::options, memory_per_byte: 64 },
    Target { name: "c_mask", run: hostile_c::mask, memory_per_byte: 64 },
];

/// Runs one target, for libFuzzer.
///
/// # Panics
///
/// If a promise is broken, or there is no such target.
pub fn fuzz(name: &str, bytes: &[u8]) {
    // libFuzzer takes every panic for a crash, also one of a library that ours fences in: those are errors.
    static FENCES: Once = Once::new();
    FENCES.call_once(|| std::panic::set_hook(Box::new(|_| ())));
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    (target.run)(bytes);
}

/// A folder of this process's own, for readers that take a path.
static FOLDER: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("segvol-hostile-{}", std::process::id())));

/// Removes the files that targets have left.
///
/// # Panics
///
/// If the operating system refuses.
pub fn clean() {
    fs::remove_dir_all(&*FOLDER).expect("removed");
}

fn file(name: &str, parts: &[&[u8]]) -> PathBuf {
    fs::create_dir_all(&*FOLDER).expect("a folder");
    let path = FOLDER.join(name);
    fs::write(&path, parts.concat()).expect("written");
    path
}

/// Opens a checkpoint and reads every number of it.
fn checkpoint(bytes: &[u8]) {
    read_checkpoint(&file("checkpoint", &[bytes]), bytes.len());
}

fn read_checkpoint(path: &Path, file_bytes: usize) {
    let Ok(checkpoint) = Checkpoint::open(path) else { return };
    let names: Vec<String> = checkpoint.tensors().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        let tensor = checkpoint.get(&name).expect("it was listed");
        let bytes = tensor.elements() * tensor.dtype.size();
        assert!(bytes <= file_bytes, "`{name}` has {bytes} bytes, the file {file_bytes}");
        if let Ok(values) = checkpoint.read(&name) {
            assert_eq!(values.len(), 4 * tensor.elements(), "`{name}`");
            assert!(values.as_chunks().0.iter().all(|&four| f32::from_le_bytes(four).is_finite()), "`{name}`");
        }
    }
}

/// A safetensors file of empty tensors with these lines as names: what becomes of keys.
fn keys(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut header = serde_json::Map::new();
    for key in text.lines() {
        header.insert(key.to_owned(), serde_json::json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}));
    }
    let header = serde_json::Value::Object(header).to_string();
    let path = file("keys", &[&(header.len() as u64).to_le_bytes(), header.as_bytes()]);
    read_checkpoint(&path, header.len() + 8);
}

/// A safetensors file with this header, and as many bytes of tensors.
fn safetensors(header: &[u8]) {
    let path = file("safetensors", &[&(header.len() as u64).to_le_bytes(), header, header]);
    read_checkpoint(&path, 2 * header.len() + 8);
}

/// A manifest with these contents, its hash right; what is read is written as it was read.
fn manifest(bytes: &[u8]) {
    file(MANIFEST_FILE, &[bytes]);
    let _ = Manifest::read(&FOLDER); // Without a hash.
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    file(MANIFEST_FILE, &[sealed(text).as_bytes()]);
    let Ok(found) = Manifest::read(&FOLDER) else { return };
    file(MANIFEST_FILE, &[found.to_json().expect("JSON").as_bytes()]);
    assert_eq!(Manifest::read(&FOLDER).expect("it was read before"), found);
    let _ = found.verify(&FOLDER);
}

/// A header, and what a mask's header on its grid says.
fn nifti_header(bytes: &[u8]) {
    let Ok(header) = Header::parse(bytes) else { return };
    let affine = header.affine(&mut Vec::new());
    let copy = header.encode(0, "");
    let copy = Header::parse(&copy).expect("our own header");
    assert_eq!(copy.shape_xyz, header.shape_xyz);
    match (affine, copy.affine(&mut Vec::new())) {
        (Ok(a), Ok(b)) => assert_eq!(a, b, "a mask would lie elsewhere"),
        (Err(_), Err(_)) => {}
        (a, b) => panic!("one header has an affine, its copy has not: {a:?}, {b:?}"),
    }
}

fn read(bytes: &[u8]) -> Result<NiftiVolume, NiftiError> {
    nifti::read_from(bytes, Some(bytes.len() as u64))
}

/// A plain file: the length that is known changes nothing but what is asked for at once.
fn nifti_plain(bytes: &[u8]) {
    let (known, unknown) = (read(bytes), nifti::read_from(bytes, None));
    match (&known, &unknown) {
        (Ok(a), Ok(b)) => assert!(same(a, b), "a pipe gives other voxels"),
        (Err(_), Err(_)) => {}
        _ => panic!("only one is read: {known:?}, {unknown:?}"),
    }
    let Ok(found) = known else { return };
    assert_eq!(found.voxels.len(), found.header.voxels());
    let [x, y, z] = found.header.shape_xyz;
    if let Ok(mut image) = Array3::from_shape_vec([z, y, x], found.voxels.clone())
        && intensity::normalise(&mut image).is_ok()
    {
        assert!(image.iter().all(|value| (0.0..=1.0).contains(value)), "not in [0, 1]");
    }
    // A mask on that grid is read again.
    let mut mask = Vec::new();
    nifti::write_to(&mut mask, &found.header, 0, Voxels::U8(&vec![1; found.voxels.len()])).expect("memory");
    assert!(read(&mask).expect("our own file").voxels.iter().all(|&label| label == 1.0));
    let path = file("scan.nii", &[bytes]);
    let _ = Volume::open(path);
}

fn same(a: &NiftiVolume, b: &NiftiVolume) -> bool {
    let bits = |volume: &NiftiVolume| volume.voxels.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    bits(a) == bits(b)
}

/// A compressed stream as it is; and a plain file, compressed in two members.
fn nifti_gzip(bytes: &[u8]) {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let _ = read(bytes);
        return;
    }
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    };
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let packed = [gzip(first), gzip(second)].concat();
    match (read(bytes), read(&packed)) {
        (Ok(a), Ok(b)) => assert!(same(&a, &b), "compression changes voxels"),
        (Err(_), Err(_)) => {}
        (a, b) => panic!("only one is read: {a:?}, {b:?}"),
    }
}

/// An objects file: what is read has as many objects as were written.
fn prompts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(found) = parse_prompts(text) else { return };
    let value: serde_json::Value = serde_json::from_str(text).expect("it was read as JSON");
    assert_eq!(value["objects"].as_array().map(Vec::len), Some(found.len()));
}

/// The vocabulary of the models that tokenizers are tried for.
const VOCABULARY: usize = 49408;

/// Checks a tokenizer as a conversion does, and puts names through the one that a bundle would have.
fn try_tokenizer(path: &Path) {
    let Ok(json) = segvol_converter::check_tokenizer(path, VOCABULARY) else { return };
    let path = file("bundle_tokenizer.json", &[&json]);
    let entry = segvol_onnx::manifest::Tokenizer {
        file: segvol_onnx::manifest::FileEntry { name: String::new(), bytes: 0, sha256: String::new() },
        prompt_template: "A computerized tomography of a {}.".to_owned(),
        end_id: 49407,
    };
    let Ok(tokenizer) = Tokenizer::open(&path, &entry, VOCABULARY, 77) else { return };
    for name in ["liver", "Left  kidney", "\u{5fc3}\u{810f} 7-\u{1f9e0}", "a", &"rib left 4 ".repeat(40)] {
        if let Ok(ids) = tokenizer.encode(name) {
            assert!(ids.len() <= 77 && ids.iter().all(|&id| (0..VOCABULARY as i64).contains(&id)), "{ids:?}");
        }
    }
}

/// `tokenizer.json`.
fn tokenizer(bytes: &[u8]) {
    try_tokenizer(&file("tokenizer.json", &[bytes]));
}

/// `vocab.json`, a zero byte, and the `merges.txt` beside it.
fn vocabulary(bytes: &[u8]) {
    let at = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    file("merges.txt", &[bytes.get(at + 1..).unwrap_or_default()]);
    try_tokenizer(&file("vocab.json", &[&bytes[..at]]));
}
