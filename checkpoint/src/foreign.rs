//! Files and folders that are mistaken for checkpoints: what they are, and the next step.
//!
//! Each kind is one row of a table: by the bytes at a fixed place, by words of a text, by the names in an archive or
//! folder, or by the file's own name if its contents do not tell.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use flate2::read::GzDecoder;
use segvol_base::printable;

use super::{safetensors, tar};
use segvol_archive::region::Region;
use segvol_archive::zip::Archive;

/// Number of bytes at the start of a file that are looked at.
pub(super) const HEAD_BYTES: u64 = 4096;

const FRAMEWORK: &str = "give the checkpoint that it was made from, or save the weights with PyTorch or safetensors";

/// Formats that have fixed bytes at a fixed place, each with what it is and the next step. [`told`] fills in what is
/// in braces.
const MAGICS: &[(usize, &[u8], &str)] = &[
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself; run `git lfs pull` to download it"),
    (0, b"/annex/objects/", "a git-annex pointer, not the file itself; run `git annex get` to download it"),
    (0, b"BZh", "a bzip2 file; unpack it first, for example with bunzip2"),
    (0, b"\xfd7zXZ\0", "an xz file; unpack it first, for example with unxz"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file; unpack it first, for example with unzstd"),
    (0, b"\x04\x22\x4d\x18", "an LZ4 file; unpack it first, for example with unlz4"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (0, b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (0, b"\x93NUMPY", "a NumPy array, which is one tensor and not a model"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras saves; {}"),
    (0, b"GGUF", "a GGUF file; {}"),
    (4, b"TFL3", "a TensorFlow Lite model; {}"),
    (0, b"\x08\x01\x12", "a TensorFlow SavedModel; {}"),
    (0, b"ftrt", "a TensorRT engine; {}"),
    (0, b"ptrt", "a TensorRT engine; {}"),
    (0, b"MATLAB ", "a MATLAB file; {}"),
    (0, b"\x00\x05\x16\x07", "an AppleDouble file, which macOS stores beside a file; give the file without `._`"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\x7fELF", "a program or library"),
    (0, b"MZ", "a program or library"),
    (0, b"\x5c\x01\0\0", "a NIfTI file: a scan, not a checkpoint"),
    (0, b"\0\0\x01\x5c", "a NIfTI file: a scan, not a checkpoint"),
    (0, b"\x1c\x02\0\0", "a NIfTI file: a scan, not a checkpoint"),
    (128, b"DICM", "a DICOM file: a scan, not a checkpoint"),
    (0, b"NRRD000", "an NRRD file: a scan, not a checkpoint"),
];

/// Words of text files, all of which must be there.
const TEXTS: &[(&[&str], &str)] = &[
    (&["{", "\"weight_map\""], "the index of a checkpoint in several files; give one that lies beside all of them"),
    (&["{", "\"schema_version\"", "\"precisions\""], "the manifest of a bundle, which is converted already"),
    (&["{", "\"added_tokens\""], "a tokenizer; give the file with the model's weights"),
    (&["{", "\"architectures\""], "a model's configuration; give the file with its weights"),
    (&["{", "\"spatial_size\""], "a model's configuration; give the file with its weights"),
    (&["model_checkpoint_path:"], "TensorFlow's list of checkpoints; {}"),
    (&["<net ", "<layers>"], "an OpenVINO graph; {}"),
    (&["NDims = "], "a MetaImage header: a scan, not a checkpoint"),
    (&["\nimport "], "a Python program; give the checkpoint that it loads or saves"),
    (&["\nfrom ", " import "], "a Python program; give the checkpoint that it loads or saves"),
    (&["\ndef ", "):\n"], "a Python program; give the checkpoint that it loads or saves"),
];

/// Ends of names in a zip archive. What they begin with is the file's own name.
const ARCHIVES: &[(&str, &str)] = &[
    ("serialized_exported_program.json", "a program of torch.export; save the model's state_dict() with torch.save"),
    ("/archive_format", "a program of torch.export; save the model's state_dict() with torch.save"),
    ("/constants.pkl", "a TorchScript program; save the model's state_dict() with torch.save"),
    ("model.weights.h5", "a Keras model; {}"),
    (".mlmodel", "a Core ML model; {}"),
];

/// Names of files whose contents say nothing, by their beginning and end.
const NAMES: &[(&str, &str, &str)] = &[
    ("", ".distcp", "a part of a checkpoint of torch.distributed.checkpoint; {dcp}"),
    ("", ".metadata", "a part of a checkpoint of torch.distributed.checkpoint; {dcp}"),
    ("zero_pp_rank_", "_states.pt", "a part of a DeepSpeed ZeRO checkpoint; {zero}"),
    ("bf16_zero_pp_rank_", "_states.pt", "a part of a DeepSpeed ZeRO checkpoint; {zero}"),
    ("fp16_zero_pp_rank_", "_states.pt", "a part of a DeepSpeed ZeRO checkpoint; {zero}"),
    ("", ".ckpt.index", "the index of a TensorFlow checkpoint; {}"),
    ("", ".data-00000-of-00001", "the numbers of a TensorFlow checkpoint; {}"),
    ("", ".pb", "a TensorFlow graph; {}"),
    ("", ".mlmodel", "a Core ML model; {}"),
    ("", ".engine", "a TensorRT engine; {}"),
    ("", ".plan", "a TensorRT engine; {}"),
    ("segvol_", ".weights", "the weights of a bundle, which is converted already"),
    ("segvol_", ".onnx", "a graph of a bundle, which is converted already"),
    ("", ".onnx", "an ONNX graph; {}"),
    ("", ".onnx.data", "the weights of an ONNX graph; {}"),
    ("", ".onnx_data", "the weights of an ONNX graph; {}"),
    ("", ".nii", "a NIfTI file: a scan, not a checkpoint"),
    ("", ".dcm", "a DICOM file: a scan, not a checkpoint"),
];

const DISTRIBUTED: &str = "make one file of its folder: \
    python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pth (the function dcp_to_torch_save)";
const ZERO: &str = "make one file of its folder with the program zero_to_fp32.py in it";

/// Names in a folder, by their beginning and end.
const FOLDERS: &[(&str, &str, &str)] = &[
    ("", ".distcp", "a distributed checkpoint (torch.distributed.checkpoint); {dcp}"),
    ("zero_to_fp32.py", "", "a DeepSpeed ZeRO checkpoint; {zero}"),
    ("zero_pp_rank_", "_states.pt", "a DeepSpeed ZeRO checkpoint; {zero}"),
    ("global_step", "", "a DeepSpeed ZeRO checkpoint; {zero}"),
    ("saved_model.pb", "", "a TensorFlow SavedModel; {}"),
    ("", ".ckpt.index", "a TensorFlow checkpoint; {}"),
    ("Manifest.json", "", "a Core ML model; {}"),
    ("manifest.ocdbt", "", "an Orbax checkpoint of JAX; {}"),
    ("segvol_image_encoder", ".onnx", "a bundle, which is converted already"),
    (
        "data.pkl",
        "",
        "an unpacked checkpoint: give the file itself, which is a zip archive, or pack the folder again: zip -0 -r model.pth FOLDER",
    ),
    ("", ".dcm", "a folder of DICOM files: a scan, not a checkpoint"),
];

/// Starts of pickles of protocol 0, which are text.
const TEXT_PICKLES: [&str; 5] = ["(dp", "(lp", "L119547037146038801333356L", "ccollections\n", "ccopy_reg\n"];

/// A row's words.
fn told(what: &str) -> String {
    what.replace("{}", FRAMEWORK).replace("{dcp}", DISTRIBUTED).replace("{zero}", ZERO)
}

/// Whether a name has this beginning and end.
fn is_named(name: &str, start: &str, end: &str) -> bool {
    name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
}

fn by_name(name: &str, rows: &[(&str, &str, &str)]) -> Option<String> {
    rows.iter().find(|(start, end, _)| is_named(name, start, end)).map(|(.., what)| told(what))
}

/// What a file is that begins with `head`, as the end of a sentence; `None` if it may be a checkpoint.
pub(super) fn by_head(head: &[u8]) -> Option<String> {
    // Its first bytes are a length, and those of a tar archive a name: any may be there.
    if safetensors::begins(head) || tar::begins(head) {
        return None;
    }
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if let Some((.., what)) = MAGICS.iter().find(|(at, magic, _)| has(*at, magic)) {
        return Some(told(what));
    }
    if head.starts_with(b"\x1f\x8b") {
        return Some(gzip(head));
    }
    // A local header's flags: bit 0 is encryption.
    if head.starts_with(b"PK\x03\x04") && head.get(6).is_some_and(|flags| flags & 1 == 1) {
        return Some("an encrypted zip archive; unpack it first".to_owned());
    }
    // ONNX: field 1, the version of its format, then one of the other fields.
    if let [8, 2..=32, 0x12 | 0x1a | 0x22 | 0x32 | 0x3a | 0x42, ..] = head {
        return Some(told("an ONNX graph; {}"));
    }
    // MessagePack: a map of few entries, whose first key is a short text.
    if let [0x81..=0x8f, length @ 0xa1..=0xbf, rest @ ..] = head
        && rest.get(..usize::from(length - 0xa0)).is_some_and(|key| key.iter().all(u8::is_ascii_graphic))
    {
        return Some(told("a MessagePack file, as Flax saves; {}"));
    }
    let text = text(head)?;
    if TEXT_PICKLES.iter().any(|start| text.starts_with(start)) {
        return None;
    }
    let start: String = text.chars().take(60).collect();
    let start = printable(start.trim());
    let line = format!("\n{text}");
    let is_marked_up = text.starts_with(['<', '{', '[']);
    let says =
        |words: &[&str]| words.iter().all(|word| line.contains(word) && !(is_marked_up && word.starts_with('\n')));
    if let Some((_, what)) = TEXTS.iter().find(|(words, _)| says(words)) {
        return Some(told(what));
    }
    Some(if text.starts_with('<') {
        format!("a web page or XML (`{start}`); perhaps it was downloaded instead of the file")
    } else if text.starts_with(['{', '[']) {
        format!("JSON text (`{start}`); perhaps an error was downloaded instead of the file")
    } else {
        format!("a text file (`{start}`)")
    })
}

/// What a gzip file is, by the start of its contents.
fn gzip(head: &[u8]) -> String {
    let mut contents = Vec::new();
    // A head that is cut off gives what it has.
    let _ = GzDecoder::new(head).take(512).read_to_end(&mut contents);
    let is_nifti = contents.get(344..347).is_some_and(|magic| magic == b"n+1" || magic == b"ni1");
    if is_nifti || contents.starts_with(b"\x1c\x02\0\0n+2") {
        "a compressed NIfTI file: a scan, not a checkpoint".to_owned()
    } else if tar::begins(&contents) {
        "a tar archive, compressed with gzip; unpack it first, for example with tar -xzf".to_owned()
    } else {
        "a gzip file; unpack it first, for example with gunzip".to_owned()
    }
}

/// The text that a file begins with; `None` if it is no text.
fn text(head: &[u8]) -> Option<&str> {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut off at the end.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let text = valid.trim_start_matches('\u{feff}').trim_start();
    let plain = |c: char| !c.is_control() || c.is_whitespace();
    // A short one may be anything, such as an old pickle of a number.
    (text.len() >= 8 && text.chars().all(plain)).then_some(text)
}

/// What a zip archive with these entries is, unless it may be a checkpoint.
pub(super) fn archive<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    let known = ARCHIVES.iter().find(|(part, _)| names.clone().any(|name| name.ends_with(part)));
    if let Some((_, what)) = known {
        return Some(told(what));
    }
    if names.clone().any(|name| name == "data.pkl" || name.ends_with("/data.pkl")) {
        return None;
    }
    if names.clone().any(|name| name.ends_with(".npy")) {
        return Some("NumPy arrays (.npz); save tensors with torch.save or safetensors".to_owned());
    }
    Some(format!("a zip archive {}", contents(names)))
}

/// The end of a sentence about an archive that is no checkpoint: what is in it, and the next step.
fn contents<'a>(names: impl Iterator<Item = &'a str> + Clone) -> String {
    let checkpoint = |name: &&str| {
        let end = name.rsplit('.').next().unwrap_or_default();
        matches!(end, "pth" | "pt" | "ckpt" | "bin" | "safetensors" | "tar")
    };
    match names.clone().find(checkpoint) {
        Some(name) => format!("with `{}` in it; unpack it first", printable(name)),
        None => match names.count() {
            0 => "without any file".to_owned(),
            _ => "without a checkpoint; if one is in it under another name, unpack it first".to_owned(),
        },
    }
}

/// What a file is that could not be read as a checkpoint, or has no tensors, as the end of a sentence.
pub(super) fn by_contents(path: &Path, file: &File) -> io::Result<Option<String>> {
    let region = Region::of_file(file.try_clone()?)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if let Some(found) = by_name(&name, NAMES) {
        return Ok(Some(found));
    }
    if path.extension().is_some_and(|end| end == "bin") && path.with_extension("xml").is_file() {
        return Ok(Some(told("the weights of an OpenVINO graph; {}")));
    }
    let length = region.length();
    let head = region.read(0, length.min(HEAD_BYTES) as usize)?;
    let has = |text: &[u8]| head.windows(text.len()).any(|window| window == text);
    if has(b"torch.distributed.checkpoint.metadata") {
        return Ok(Some(told("a part of a checkpoint of torch.distributed.checkpoint; {dcp}")));
    }
    if has(b"joblib.numpy_pickle") {
        return Ok(Some(told("a file of joblib; {}")));
    }
    if let Some(end) = length.checked_sub(8)
        && region.read(end, 8)? == *b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
    {
        return Ok(Some(told("the index of a TensorFlow checkpoint; {}")));
    }
    if tar::begins(&head) {
        let entries = tar::entries(&region).unwrap_or_default();
        let names = entries.iter().map(|(name, _)| name.as_str());
        let is_checkpoint = names.clone().any(|name| name == "pickle");
        return Ok((!is_checkpoint).then(|| format!("a tar archive {}", contents(names))));
    }
    if head.starts_with(b"PK") {
        return Ok(Archive::read(region).ok().and_then(|zip| archive(zip.names())));
    }
    Ok(None)
}

/// What a folder of files with these names is, as the end of a sentence; `None` if the names do not tell.
pub(super) fn folder(names: &[String]) -> Option<String> {
    let has = |start: &str, end: &str| names.iter().any(|name| is_named(name, start, end));
    FOLDERS.iter().find(|(start, end, _)| has(start, end)).map(|(.., what)| told(what))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_that_are_no_checkpoints_are_named() {
        let dicom = [&[0; 128][..], b"DICM"].concat();
        for (head, part) in [
            (&b"version https://git-lfs.github.com/spec/v1\noid sha256:91\n"[..], "LFS"),
            (b"<!DOCTYPE html><html><head><title>Google Drive", "web page"),
            (b"{\"error\":\"Repository not found\"}", "Repository not found"),
            (b"{\"metadata\": {}, \"weight_map\": {\"a\": \"b\"}}", "the index"),
            (b"{\"architectures\": [\"SegVol\"]}", "configuration"),
            (b"import torch\nmodel = 1\n", "Python program"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"PK\x03\x04\x14\0\x01\0", "encrypted"),
            (b"Entry not found in the repository", "a text file (`Entry not found"),
            (b"\x08\x08\x12\x07pytorch", "ONNX"),
            (b"\x08\x0b:\x07pytorch", "ONNX"),
            (b"\x08\x01\x12\xff", "SavedModel"),
            (b"\x81\xa6params\x83", "Flax"),
            (b"\x1c\0\0\0TFL3\0", "TensorFlow Lite"),
            (b"\x93NUMPY\x01\0", "NumPy"),
            (b"<?xml version=\"1.0\"?>\n<net name=\"x\"><layers>", "OpenVINO"),
            (&dicom, "DICOM"),
        ] {
            let found = by_head(head).unwrap_or_else(|| panic!("{head:?}"));
            assert!(found.contains(part) && !found.contains("{}"), "{found}");
        }
        for head in [
            &b"PK\x03\x04\x14\0\0\0"[..],
            b"\x80\x02}q\0",
            b"\x10\0\0\0\0\0\0\0{\"a\":1}",
            b"",
            b"I7\n.",
            b"L119547037146038801333356L\n.",
            b"(dp0\nVmodel\np1\n",
            // A header of 23,117 bytes: MZ.
            b"MZ\0\0\0\0\0\0{\"a\":1}",
        ] {
            assert_eq!(by_head(head), None, "{head:?}");
        }
    }

    #[test]
    fn archives_of_other_programs_are_named() {
        for (names, part) in [
            (&["m/code/__torch__.py", "m/constants.pkl", "m/data.pkl"][..], Some("TorchScript")),
            (&["m/archive_format", "m/data.pkl"], Some("torch.export")),
            (&["archive_format/data.pkl", "archive_format/version"], None),
            (&["serialized_exported_program.json"], Some("torch.export")),
            (&["weights.npy"], Some(".npz")),
            (&["readme.txt"], Some("without a checkpoint")),
            (&["models/SegVol_v1.pth", "readme.txt"], Some("`models/SegVol_v1.pth`")),
            (&["m/data.pkl", "m/data/0"], None),
            (&[], Some("without any file")),
        ] {
            let found = archive(names.iter().copied());
            assert_eq!(
                found.as_ref().map(|found| found.contains(part.unwrap_or("?"))),
                part.map(|_| true),
                "{found:?}"
            );
        }
    }

    #[test]
    fn files_and_folders_are_named_by_their_names() {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, part) in [
            ("__0_0.distcp", "dcp_to_torch"),
            ("zero_pp_rank_0_mp_rank_00_model_states.pt", "zero_to_fp32.py"),
            ("x.data-00000-of-00001", "TensorFlow"),
            ("segvol_image_encoder.weights", "bundle"),
        ] {
            let path = dir.path().join(name);
            fs::write(&path, [7; 600]).expect("written");
            let found = by_contents(&path, &File::open(&path).expect("opened")).expect("read");
            assert!(found.as_ref().is_some_and(|found| found.contains(part)), "{name}: {found:?}");
        }
        let found = folder(&["__0_0.distcp".to_owned()]);
        assert!(found.as_ref().is_some_and(|found| found.contains("dcp_to_torch")), "{found:?}");
        let plain = dir.path().join("plain.bin");
        fs::write(&plain, [7; 600]).expect("written");
        assert_eq!(by_contents(&plain, &File::open(&plain).expect("opened")).expect("read"), None);
    }
}
