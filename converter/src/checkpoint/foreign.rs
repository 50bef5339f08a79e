//! Files that are mistaken for checkpoints: what they are, and the next step.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use segvol_base::printable;

/// Number of bytes at the start and at the end of a file that are looked at.
pub(super) const HEAD_BYTES: u64 = 4096;
const TAIL_BYTES: u64 = 1 << 20;

/// Formats that begin with fixed bytes, each with what it is and the next step.
const MAGICS: &[(&[u8], &str)] = &[
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; run `git lfs pull` to download it"),
    (b"/annex/objects/", "a git-annex pointer, not the file itself; run `git annex get` to download it"),
    (b"\x1f\x8b", "a gzip file; unpack it first, for example with gunzip"),
    (b"BZh", "a bzip2 file; unpack it first"),
    (b"\xfd7zXZ\0", "an xz file; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (b"\x93NUMPY", "a NumPy array, which is one tensor and not a model"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras saves; save the model with PyTorch or safetensors"),
    (b"GGUF", "a GGUF file; give the PyTorch or safetensors file that it was made from"),
    (b"\x08\x03\x12", "an ONNX graph or a TensorFlow file; give the checkpoint that it was made from"),
    (b"\x08\x04\x12", "an ONNX graph; give the checkpoint that it was made from"),
    (b"\x08\x06\x12", "an ONNX graph; give the checkpoint that it was made from"),
    (b"\x08\x07\x12", "an ONNX graph; give the checkpoint that it was made from"),
    (b"\x08\x08\x12", "an ONNX graph; give the checkpoint that it was made from"),
    (b"\x08\x09\x12", "an ONNX graph; give the checkpoint that it was made from"),
    (b"\x08\x0a\x12", "an ONNX graph; give the checkpoint that it was made from"),
    (b"\x00\x05\x16\x07", "an AppleDouble file, which macOS stores beside a file; give the file without `._`"),
    (b"%PDF", "a PDF document"),
    (b"\x5c\x01\0\0", "a NIfTI file: a scan, not a checkpoint"),
];

/// What a file is that begins with `head`, as the end of a sentence; `None` if it may be a checkpoint.
pub(super) fn by_head(head: &[u8]) -> Option<String> {
    if let Some((_, found)) = MAGICS.iter().find(|(start, _)| head.starts_with(start)) {
        return Some((*found).to_owned());
    }
    // A local header's flags: bit 0 is encryption.
    if head.starts_with(b"PK\x03\x04") && head.get(6).is_some_and(|flags| flags & 1 == 1) {
        return Some("an encrypted zip archive; unpack it first".to_owned());
    }
    let text = text(head)?;
    let start: String = text.chars().take(60).collect();
    let start = printable(start.trim());
    Some(if text.starts_with('<') {
        format!("a web page or XML (`{start}`); perhaps it was downloaded instead of the file")
    } else if text.starts_with(['{', '[']) {
        format!("JSON text (`{start}`); perhaps an error was downloaded instead of the file")
    } else {
        format!("a text file (`{start}`)")
    })
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

/// What a file is that could not be read as a checkpoint, or has no tensors, as the end of a sentence.
pub(super) fn by_contents(file: &mut File) -> io::Result<Option<&'static str>> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut parts = Vec::new();
    for from in [0, length.saturating_sub(TAIL_BYTES)] {
        file.seek(SeekFrom::Start(from))?;
        file.by_ref().take(TAIL_BYTES).read_to_end(&mut parts)?;
    }
    let has = |text: &[u8]| parts.windows(text.len()).any(|window| window == text);
    // Names of files in a zip archive are in its directory, at its end.
    let zip = parts.starts_with(b"PK");
    Ok(if zip && (has(b"serialized_exported_program") || has(b"exported_program")) {
        Some("a program of torch.export; save the model's state_dict() with torch.save")
    } else if zip && has(b"/code/__torch__") {
        Some("a TorchScript program; save the model's state_dict() with torch.save")
    } else if zip && has(b"model.weights.h5") {
        Some("a Keras model; save the model with PyTorch or safetensors")
    } else if has(b"numpy.core.multiarray") || has(b"numpy._core.multiarray") {
        Some("NumPy arrays instead of tensors; save tensors, for example with torch.from_numpy")
    } else if zip && has(b".npy") && !has(b"data.pkl") {
        Some("NumPy arrays (.npz); save tensors with torch.save or safetensors")
    } else if zip && !has(b"data.pkl") {
        Some("a zip archive without a checkpoint; if a checkpoint is in it, unpack it first")
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn files_that_are_no_checkpoints_are_named() {
        for (head, part) in [
            (&b"version https://git-lfs.github.com/spec/v1\noid sha256:91\n"[..], "LFS"),
            (b"<!DOCTYPE html><html><head><title>Google Drive", "web page"),
            (b"{\"error\":\"Repository not found\"}", "Repository not found"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"PK\x03\x04\x14\0\x01\0", "encrypted"),
            (b"Entry not found in the repository", "a text file (`Entry not found"),
            (b"\x08\x08\x12\x07pytorch", "ONNX"),
            (b"\x93NUMPY\x01\0", "NumPy"),
        ] {
            let found = by_head(head).unwrap_or_else(|| panic!("{head:?}"));
            assert!(found.contains(part), "{found}");
        }
        for head in [&b"PK\x03\x04\x14\0\0\0"[..], b"\x80\x02}q\0", b"\x10\0\0\0\0\0\0\0{\"a\":1}", b"", b"I7\n."] {
            assert_eq!(by_head(head), None, "{head:?}");
        }
    }

    #[test]
    fn archives_of_other_programs_are_named() {
        for (contents, part) in [
            (&b"PK\x03\x04...m/code/__torch__.py...data.pkl"[..], Some("TorchScript")),
            (b"PK\x03\x04...serialized_exported_program.json", Some("torch.export")),
            (b"PK\x03\x04...weights.npy...", Some(".npz")),
            (b"PK\x03\x04...readme.txt...", Some("zip archive")),
            (b"PK\x03\x04...data.pkl...cnumpy._core.multiarray\n_reconstruct", Some("NumPy arrays")),
            (b"PK\x03\x04...data.pkl...", None),
            (b"\x80\x02}q\0.", None),
        ] {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(contents).expect("written");
            let found = by_contents(&mut file).expect("read");
            assert_eq!(found.map(|found| found.contains(part.unwrap_or("?"))), part.map(|_| true), "{found:?}");
        }
    }
}
