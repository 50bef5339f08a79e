//! Fuzz targets: every reader of files, with the properties that must hold for any file; and the functions of the C
//! API, with the arguments that C can pass (`hostile_c/`).
//!
//! A target accepts any bytes and panics only if a property does not hold. `fuzz/` runs each target under libFuzzer.
//! `tests/hostile_files.rs` runs all targets on the inputs that `fuzz/` keeps, and on mutations of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Once, OnceLock};

use ndarray::Array3;
use segvol::{Orientation, Precision, Profile, Tokenizer, Volume, intensity, parse_prompts};
use segvol_converter::{Checkpoint, Inspection};
use segvol_dicom::pixels::{Frames, PixelData, PixelFormat, TransferSyntax};
use segvol_evaluation::{By, Case, ModelHeader, Settings, cases, format, paired, results_file};
use segvol_measure::Record;
use segvol_onnx::Manifest;
use segvol_onnx::manifest::{MANIFEST_FILE, sealed};

use crate::{checkpoint, hostile_c, hostile_nifti, hostile_nnia, hostile_raster, hostile_segments, models};

/// One fuzz target.
pub struct Target {
    /// The name of the target, and of its binary, its folder and its archive in `fuzz/`.
    pub name: &'static str,
    /// Runs the target on these bytes.
    pub run: fn(&[u8]),
    /// The memory that it may use for a file of any size, in bytes.
    pub memory: usize,
    /// The additional memory that it may use per byte of the file, in bytes.
    pub memory_per_byte: usize,
}

/// The memory that a reader may use for a file of any size, in bytes: buffers, tables, messages.
const FILE: usize = 8 << 20;

/// The memory that C calls and readers of DICOM may use, in bytes. The library allocates a reserve of 32 MiB in addition to what
/// it needs, and frees it without using it.
const CHECKED: usize = 40 << 20;

/// All fuzz targets.
pub const TARGETS: &[Target] = &[
    Target { name: "checkpoint", run: checkpoint, memory: FILE, memory_per_byte: 64 },
    Target { name: "keys", run: keys, memory: FILE, memory_per_byte: 64 },
    Target { name: "safetensors", run: safetensors, memory: FILE, memory_per_byte: 64 },
    Target { name: "manifest", run: manifest, memory: FILE, memory_per_byte: 64 },
    Target { name: "nifti_header", run: hostile_nifti::header, memory: FILE, memory_per_byte: 8 },
    Target { name: "nifti", run: nifti_plain, memory: FILE, memory_per_byte: 32 },
    Target { name: "nifti_gzip", run: hostile_nifti::gzip, memory: FILE, memory_per_byte: 8 * 1032 + 32 },
    Target { name: "nrrd", run: hostile_raster::nrrd, memory: FILE, memory_per_byte: 32 * 1032 },
    Target { name: "metaimage", run: hostile_raster::metaimage, memory: FILE, memory_per_byte: 32 * 1032 },
    Target { name: "prompts", run: prompts, memory: FILE, memory_per_byte: 128 },
    Target { name: "tokenizer", run: tokenizer, memory: FILE, memory_per_byte: 512 },
    Target { name: "vocabulary", run: vocabulary, memory: FILE, memory_per_byte: 512 },
    Target { name: "c_buffer", run: hostile_c::buffer, memory: CHECKED, memory_per_byte: 64 },
    Target { name: "c_prompts", run: hostile_c::prompts, memory: CHECKED, memory_per_byte: 64 },
    Target { name: "c_options", run: hostile_c::options, memory: CHECKED, memory_per_byte: 64 },
    Target { name: "c_mask", run: hostile_c::mask, memory: CHECKED, memory_per_byte: 64 },
    Target { name: "config", run: config, memory: FILE, memory_per_byte: 256 },
    Target { name: "cases", run: case_lists, memory: FILE, memory_per_byte: 128 },
    Target { name: "work_file", run: work_file, memory: FILE, memory_per_byte: 256 },
    Target { name: "segfm", run: segfm_case, memory: FILE, memory_per_byte: 8 * 1032 + 64 },
    Target { name: "results", run: results, memory: FILE, memory_per_byte: 512 },
    // A series in a deflated data set of a deflated archive; an image and its header are in memory at once.
    Target { name: "dicom_file", run: dicom_file, memory: CHECKED, memory_per_byte: 8 * 1032 + 256 },
    Target { name: "dicom_zip", run: dicom_zip, memory: CHECKED, memory_per_byte: 8 * 1032 * 4 + 1024 },
    Target {
        name: "dicom_rle",
        run: |bytes| frame(bytes, "1.2.840.10008.1.2.5"),
        memory: CHECKED,
        memory_per_byte: 64,
    },
    Target {
        name: "dicom_jpeg",
        run: |bytes| frame(bytes, "1.2.840.10008.1.2.4.70"),
        memory: CHECKED,
        memory_per_byte: 64,
    },
    Target {
        name: "dicom_jpegls",
        run: |bytes| frame(bytes, "1.2.840.10008.1.2.4.80"),
        memory: CHECKED,
        memory_per_byte: 64,
    },
    Target {
        name: "dicom_j2k",
        run: |bytes| frame(bytes, "1.2.840.10008.1.2.4.90"),
        memory: CHECKED,
        memory_per_byte: 64,
    },
    // Deflated data sets and layers; the files' objects have one small scan's masks.
    Target { name: "dicom_seg", run: hostile_segments::named, memory: CHECKED, memory_per_byte: 32 * 1032 },
    Target { name: "rtstruct", run: hostile_segments::named, memory: CHECKED, memory_per_byte: 32 * 1032 },
    Target { name: "seg_nrrd", run: hostile_segments::named, memory: CHECKED, memory_per_byte: 32 * 1032 },
    Target { name: "records", run: records, memory: FILE, memory_per_byte: 8 * 1032 + 64 },
    // An array of at most 512 KiB, as `f32`, and encoded again.
    Target { name: "nnia", run: hostile_nnia::array, memory: FILE, memory_per_byte: 64 },
];

/// Runs one target, for libFuzzer.
///
/// # Panics
///
/// If a property does not hold, or there is no such target.
pub fn fuzz(name: &str, bytes: &[u8]) {
    // libFuzzer treats every panic as a crash, also a panic in another library that ours catches and turns into an
    // error.
    static FENCES: Once = Once::new();
    FENCES.call_once(|| std::panic::set_hook(Box::new(|_| ())));
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    (target.run)(bytes);
}

/// A folder for readers that take a path. Every process has its own.
static FOLDER: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("segvol-hostile-{}", std::process::id())));

/// Removes the files that the targets left.
///
/// # Panics
///
/// If they cannot be removed.
pub fn clean() {
    fs::remove_dir_all(&*FOLDER).expect("removed");
}

pub(crate) fn file(name: &str, parts: &[&[u8]]) -> PathBuf {
    fs::create_dir_all(&*FOLDER).expect("a folder");
    let path = FOLDER.join(name);
    // The file is created anew. If it were truncated and written again, ext4 would write it to the disk at once, which
    // takes milliseconds.
    let _missing_at_first = fs::remove_file(&path);
    fs::write(&path, parts.concat()).expect("written");
    path
}

/// Opens a checkpoint and reads all its values.
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

/// A safetensors file of empty tensors with these lines as names, to test the mapping of keys.
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

/// A safetensors file with this header, and as many bytes of tensor data.
fn safetensors(header: &[u8]) {
    let path = file("safetensors", &[&(header.len() as u64).to_le_bytes(), header, header]);
    read_checkpoint(&path, 2 * header.len() + 8);
}

/// A manifest with these contents and a correct hash. If it can be read, writing and reading it again gives the same
/// manifest.
fn manifest(bytes: &[u8]) {
    file(MANIFEST_FILE, &[bytes]);
    let _ = Manifest::read(&FOLDER); // Without a hash file.
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    file(MANIFEST_FILE, &[sealed(text).as_bytes()]);
    let Ok(found) = Manifest::read(&FOLDER) else { return };
    file(MANIFEST_FILE, &[found.to_json().expect("JSON").as_bytes()]);
    assert_eq!(Manifest::read(&FOLDER).expect("it was read before"), found);
    let _ = found.verify(&FOLDER);
}

/// An uncompressed file, and what the runtime makes of its voxels.
fn nifti_plain(bytes: &[u8]) {
    let Some(found) = hostile_nifti::plain(bytes) else { return };
    let [x, y, z] = found.header.shape_xyz;
    if let Ok(mut image) = Array3::from_shape_vec([z, y, x], found.voxels)
        && intensity::normalise(&mut image).is_ok()
    {
        assert!(image.iter().all(|value| (0.0..=1.0).contains(value)), "not in [0, 1]");
    }
    let path = file("scan.nii", &[bytes]);
    let _ = Volume::open(path);
}

/// An objects file. If it can be read, the number of objects is that in the file.
fn prompts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(found) = parse_prompts(text) else { return };
    assert_eq!(listed(bytes, "objects"), Some(found.len()));
}

/// The length of the list with this name in a JSON object, which may begin with a byte order mark.
fn listed(json: &[u8], name: &str) -> Option<usize> {
    let json = json.strip_prefix("\u{feff}".as_bytes()).unwrap_or(json);
    let value: serde_json::Value = serde_json::from_slice(json).expect("it was read as JSON");
    value.get(name)?.as_array().map(Vec::len)
}

/// The size of the vocabulary of the models that tokenizers are tested with.
const VOCABULARY: usize = 49408;

/// Checks a tokenizer like a conversion does, and encodes names with the tokenizer that a bundle would have.
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

/// `vocab.json`, a zero byte, and `merges.txt`.
fn vocabulary(bytes: &[u8]) {
    let at = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    file("merges.txt", &[bytes.get(at + 1..).unwrap_or_default()]);
    try_tokenizer(&file("vocab.json", &[&bytes[..at]]));
}

/// `config.json` beside a checkpoint of the smallest model. If it is accepted, the sizes are those of the checkpoint.
fn config(bytes: &[u8]) {
    let folder = FOLDER.join("micro");
    if !folder.is_dir() {
        fs::create_dir_all(&folder).expect("a folder");
        checkpoint::write_seeded(&folder, &models::micro(), &BTreeMap::new()).expect("written");
    }
    let path = file("config.json", &[bytes]);
    let options = segvol_converter::Options { config: Some(path), ..segvol_converter::Options::default() };
    let Ok(Inspection::Checkpoint(found)) = segvol_converter::inspect(&folder.join("model.safetensors"), &options)
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

/// A case file of the SegFM challenge. What is read fits together.
fn segfm_case(bytes: &[u8]) {
    if let Ok(case) = segvol_segfm::Case::read(&file("case.npz", &[bytes])) {
        let shape = case.shape_dhw();
        assert_eq!(case.volume.voxels().len(), shape.iter().product::<usize>());
        assert!(!case.boxes.is_empty() && case.boxes.len() <= case.element.largest_label() as usize);
        for (index, bounds) in case.boxes.iter().enumerate() {
            assert!(
                (0..3).all(|axis| bounds.min_dhw[axis] <= bounds.max_dhw[axis] && bounds.max_dhw[axis] < shape[axis])
            );
            assert_eq!(bounds.prompt(index + 1).name(), format!("box {}", index + 1));
        }
    }
}

/// A case list of `segvol eval`, and the file of structure names for two folders.
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
    if let Ok(found) = cases::read_folders(&scans, Some((&scans, &names))) {
        assert_eq!(found.len(), 2);
        assert_cases(&found);
    }
}

/// The names of cases must be unique, and the structures valid.
fn assert_cases(found: &[Case]) {
    let names: BTreeSet<&str> = found.iter().map(|case| case.name.as_str()).collect();
    assert!(!found.is_empty() && names.len() == found.len());
    for case in found {
        assert!(!case.structures.is_empty() && case.structures.is_sorted_by_key(|structure| structure.value));
        assert!(
            case.structures
                .iter()
                .all(|structure| (structure.value > 0) == structure.files.is_empty()
                    && !structure.name.trim().is_empty())
        );
    }
}

/// A work file of `segvol eval` with these lines, and the same lines after a correct header. Results that are reused
/// once are reused again.
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
        assert_eq!(fs::read(&path).expect("read").last(), Some(&b'\n'), "an incomplete line is kept");
        assert_eq!(kept().expect("it was read before"), first);
    }
}

/// The header of the evaluation that reuses the work file.
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
        affine: None,
        orientation: Orientation::default(),
        profile: Profile::default(),
        zoom_in: true,
        overlap: 0.5,
        threshold: None,
        straighten: false,
        fill_gaps: false,
        settings: Settings::default(),
    }
}

/// Results of `segvol eval` that `segvol compare` reads. If they can be read, writing and reading them again gives the same, and
/// they can be compared and shown.
fn results(bytes: &[u8]) {
    let path = file("results.json", &[bytes]);
    let Ok(found) = results_file::read(&path) else { return };
    let text = format::rows(&found, &[], format::Format::Json);
    file("results.json", &[text.as_bytes()]);
    assert_eq!(results_file::read(&path).expect("it was read before"), found);
    let kinds = [By::Zoom, By::Prompts, By::Settings, By::Against];
    let comparisons = paired::all(&found, &kinds);
    for paired in comparisons.iter().flat_map(|one| &one.tables).flat_map(|table| &table.groups) {
        assert_eq!(paired.better + paired.worse + paired.equal, paired.objects);
        assert!(paired.mean_difference.is_finite());
        assert!(paired.wilcoxon.is_none_or(|test| (0.0..=1.0).contains(&test.p)), "{paired:?}");
    }
    let names = segvol_evaluation::labels::of(&found);
    let found: Vec<_> = names.into_iter().zip(found).collect();
    let page = segvol_report::Page { results: &found, comparisons: &comparisons, worst: &[], notes: &[] }.html();
    assert!(!page.contains("<script") && !page.contains("NaN"), "{page}");
}

/// Stage outputs for `segvol verify`. If they can be read, writing and reading them again gives the same.
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

/// One frame of a DICOM image. The bytes are Rows, Columns, Bits Allocated, Bits Stored, High Bit and Pixel Representation, then its
/// code stream. The same stream gives the same values, and none that Bits Stored cannot hold.
///
/// The memory of JPEG 2000 is not counted: it is C's. `dicom` limits it before it decodes, and libFuzzer watches it.
fn frame(bytes: &[u8], syntax: &str) {
    let Some((&[rows, columns, allocated, stored, high, signed], stream)) = bytes.split_first_chunk() else { return };
    let format = PixelFormat {
        rows: rows.into(),
        columns: columns.into(),
        bits_allocated: allocated.into(),
        bits_stored: stored.into(),
        high_bit: high.into(),
        signed: signed == 1,
    };
    let fragments = [stream.to_vec()];
    let data = PixelData::Fragments { fragments: &fragments, offsets: &[], extended: Vec::new() };
    let Ok(frames) = Frames::new(format, &TransferSyntax::of(syntax), data, 1) else { return };
    let mut values = vec![0; format.pixels()];
    if frames.decode(0, &mut values, |value| value).is_err() {
        return;
    }
    let (low, high) = if format.signed { (-(1i64 << (stored - 1)), 1 << (stored - 1)) } else { (0, 1 << stored) };
    assert!(values.iter().all(|value| (low..high).contains(value)), "{values:?}");
    let mut again = vec![0; format.pixels()];
    frames.decode(0, &mut again, |value| value).expect("it was decoded before");
    assert_eq!(values, again);
}

/// A DICOM file with one or several frames.
fn dicom_file(bytes: &[u8]) {
    if !bytes.starts_with(b"PK") {
        dicom_scan(bytes);
    }
}

/// A zip archive of a DICOM series.
fn dicom_zip(bytes: &[u8]) {
    if bytes.starts_with(b"PK") {
        dicom_scan(bytes);
    }
}

/// A scan is as large as it says, and lies somewhere.
fn dicom_scan(bytes: &[u8]) {
    for fill_gaps in [false, true] {
        let options = segvol_dicom::ReadOptions::default().fill_gaps(fill_gaps);
        let Ok(scan) = segvol_dicom::read_bytes(bytes.to_vec(), &options) else { continue };
        assert_eq!(scan.voxels.len(), scan.shape_xyz.iter().product::<usize>());
        assert_eq!(scan.source.slices.len(), scan.shape_xyz[2]);
        assert!(fill_gaps || scan.source.slices.iter().all(Option::is_some), "slices were filled");
        assert!(scan.affine_lps.iter().flatten().all(|number| number.is_finite()));
    }
}
