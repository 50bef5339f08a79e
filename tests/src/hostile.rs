//! What bytes from anywhere are put through: every reader of files, with what must hold whatever the file says; and the
//! functions that C calls, with what it may hand over (`hostile_c/`).
//!
//! A target takes any bytes, and panics only where a promise is broken. `fuzz/` runs each under libFuzzer;
//! `tests/hostile_files.rs` runs all of them on the inputs that `fuzz/` keeps and on mutations of those.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Once, OnceLock};

use flate2::Compression;
use flate2::write::GzEncoder;
use ndarray::Array3;
use segvol::nifti::{self, Header, NiftiError, NiftiVolume, Voxels};
use segvol::{Orientation, Precision, Profile, Tokenizer, Volume, intensity, parse_prompts};
use segvol_converter::{Checkpoint, Inspection};
use segvol_evaluation::{Case, ModelHeader, Settings, cases};
use segvol_measure::Record;
use segvol_onnx::Manifest;
use segvol_onnx::manifest::{MANIFEST_FILE, sealed};

use crate::{checkpoint, hostile_c, models};

/// One reader.
pub struct Target {
    /// Its name, which is also that of its binary, its folder and its archive in `fuzz/`.
    pub name: &'static str,
    /// Puts bytes through it.
    pub run: fn(&[u8]),
    /// Bytes of memory that it may take, however small the file.
    pub memory: usize,
    /// Bytes of memory per byte of the file that it may take beside them.
    pub memory_per_byte: usize,
}

/// What a reader of files may take, however small they are: buffers, tables, messages.
const FILE: usize = 8 << 20;

/// What calls may take: the library asks for 32 MiB beside what it needs, and gives them back untouched.
const CALLS: usize = 40 << 20;

/// Every reader.
pub const TARGETS: &[Target] = &[
    Target { name: "checkpoint", run: checkpoint, memory: FILE, memory_per_byte: 64 },
    Target { name: "keys", run: keys, memory: FILE, memory_per_byte: 64 },
    Target { name: "safetensors", run: safetensors, memory: FILE, memory_per_byte: 64 },
    Target { name: "manifest", run: manifest, memory: FILE, memory_per_byte: 64 },
    Target { name: "nifti_header", run: nifti_header, memory: FILE, memory_per_byte: 8 },
    Target { name: "nifti", run: nifti_plain, memory: FILE, memory_per_byte: 32 },
    Target { name: "nifti_gzip", run: nifti_gzip, memory: FILE, memory_per_byte: 8 * 1032 + 32 },
    Target { name: "prompts", run: prompts, memory: FILE, memory_per_byte: 128 },
    Target { name: "tokenizer", run: tokenizer, memory: FILE, memory_per_byte: 512 },
    Target { name: "vocabulary", run: vocabulary, memory: FILE, memory_per_byte: 512 },
    Target { name: "c_buffer", run: hostile_c::buffer, memory: CALLS, memory_per_byte: 64 },
    Target { name: "c_prompts", run: hostile_c::prompts, memory: CALLS, memory_per_byte: 64 },
    Target { name: "c_options", run: hostile_c::options, memory: CALLS, memory_per_byte: 64 },
    Target { name: "c_mask", run: hostile_c::mask, memory: CALLS, memory_per_byte: 64 },
    Target { name: "config", run: config, memory: FILE, memory_per_byte: 256 },
    Target { name: "cases", run: case_lists, memory: FILE, memory_per_byte: 128 },
    Target { name: "work_file", run: work_file, memory: FILE, memory_per_byte: 256 },
    Target { name: "records", run: records, memory: FILE, memory_per_byte: 8 * 1032 + 64 },
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
    // Made anew: a file that is cut to nothing and written again goes to the disk at once on ext4, which takes milliseconds.
    let _missing_at_first = fs::remove_file(&path);
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
    assert_eq!(listed(bytes, "objects"), Some(found.len()));
}

/// How many elements the list of this name has that stands third in a JSON object; the object may be an array.
fn listed(json: &[u8], name: &str) -> Option<usize> {
    let value: serde_json::Value = serde_json::from_slice(json).expect("it was read as JSON");
    value.get(name).or_else(|| value.get(2))?.as_array().map(Vec::len)
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

/// `config.json` beside a checkpoint of the smallest model: where it is taken, the sizes are those of the checkpoint.
fn config(bytes: &[u8]) {
    let folder = FOLDER.join("micro");
    if !folder.is_dir() {
        fs::create_dir_all(&folder).expect("a folder");
        checkpoint::write_seeded(&folder, &models::micro(), &BTreeMap::new()).expect("written");
    }
    let path = file("config.json", &[bytes]);
    let Ok(Inspection::Checkpoint(found)) = segvol_converter::inspect(&folder.join("model.safetensors"), Some(&path))
    else {
        panic!("a checkpoint that cannot be opened")
    };
    let Some(sizes) = found.architecture else { return };
    let expected = models::micro();
    assert_eq!((sizes.channels, sizes.image_tokens()), (expected.channels, expected.image_tokens()));
    assert_eq!(sizes.text_encoder.vocabulary, expected.text_encoder.vocabulary);
    for (heads, width) in [
        (sizes.image_encoder.heads, sizes.channels),
        (sizes.text_encoder.heads, sizes.text_encoder.width),
        (sizes.mask_decoder.heads, sizes.channels / 2),
    ] {
        assert!(heads > 0 && width % heads == 0, "{heads} heads of {width} channels");
    }
}

/// A case list of `segvol eval`, and the file of names beside two folders.
fn case_lists(bytes: &[u8]) {
    let list = file("cases.json", &[bytes]);
    if let Ok(found) = cases::read_list(&list) {
        assert_eq!(listed(bytes, "cases"), Some(found.len()));
        assert_cases(&found);
    }
    let scans = FOLDER.join("scans");
    if !scans.is_dir() {
        fs::create_dir_all(&scans).expect("a folder");
        for name in ["a.nii", "b.nii.gz"] {
            fs::write(scans.join(name), "").expect("written");
        }
    }
    let names = file("names.json", &[bytes]);
    if let Ok(found) = cases::read_folders(&scans, &scans, &names) {
        assert_eq!(found.len(), 2);
        assert_cases(&found);
    }
}

/// Names that differ, and structures that can be asked for.
fn assert_cases(found: &[Case]) {
    let names: BTreeSet<&str> = found.iter().map(|case| case.name.as_str()).collect();
    assert!(!found.is_empty() && names.len() == found.len());
    for case in found {
        assert!(!case.structures.is_empty() && case.structures.is_sorted_by_key(|structure| structure.value));
        assert!(case.structures.iter().all(|structure| structure.value > 0 && !structure.name.trim().is_empty()));
    }
}

/// A work file of `segvol eval`, with these lines as they are, and behind a header that is right: what is taken over once is
/// taken over again.
fn work_file(bytes: &[u8]) {
    static HEAD: OnceLock<Vec<u8>> = OnceLock::new();
    let path = FOLDER.join("work.jsonl");
    let kept = || segvol_evaluation::kept_in_work_file(&path, &work_header());
    let head = HEAD.get_or_init(|| {
        file("work.jsonl", &[]);
        assert!(kept().expect("a new file").is_empty());
        fs::read(&path).expect("read")
    });
    for parts in [&[bytes][..], &[head, bytes]] {
        file("work.jsonl", parts);
        let Ok(first) = kept() else { continue };
        assert_eq!(fs::read(&path).expect("read").last(), Some(&b'\n'), "a line that was cut off is kept");
        assert_eq!(kept().expect("it was read before"), first);
    }
}

/// The header of the evaluation that takes the work file over.
fn work_header() -> segvol_evaluation::Header {
    let model = |name: &str| ModelHeader {
        manifest_sha256: name.to_owned(),
        provider: "cpu".to_owned(),
        precision: Precision::Fp32,
    };
    segvol_evaluation::Header {
        tool: "segvol".to_owned(),
        model: model("a"),
        against: Some(model("b")),
        orientation: Orientation::default(),
        profile: Profile::default(),
        zoom_in: true,
        overlap: 0.5,
        settings: Settings::default(),
    }
}

/// Stage outputs for `segvol verify`: what is read is written as it was read.
fn records(bytes: &[u8]) {
    let Ok(found) = Record::read(&file("record", &[bytes])) else { return };
    let sizes = models::micro();
    let _ = segvol_measure::prompts::Prompts::of_record(&found, &sizes);
    let _ = segvol_measure::prompts::Case::of_record(&found, &sizes);
    for name in found.tensors.keys() {
        let _ = found.matching(name.strip_suffix("@index").unwrap_or(name), &[0.5; 7]);
    }
    let path = FOLDER.join("record.again");
    found.write(&path).expect("written");
    let again = Record::read(&path).expect("our own file");
    assert_eq!((&again.masks, &again.metadata), (&found.masks, &found.metadata));
    assert_eq!(again.tensors.len(), found.tensors.len());
    for (name, tensor) in &found.tensors {
        let (a, b) = (tensor, &again.tensors[name]);
        let bits = |tensor: &segvol::Tensor| {
            tensor.floats().map(|values| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>())
        };
        assert_eq!((a.shape(), a.ints(), bits(a)), (b.shape(), b.ints(), bits(b)), "`{name}`");
    }
}
