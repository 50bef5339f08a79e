//! Text files that people write: byte order marks, other encodings, and files of another kind under the name of a text.

/// The text of a file, without a byte order mark.
///
/// # Errors
///
/// What was found instead of UTF-8, as the end of a sentence: "a gzip file".
pub fn decode(bytes: &[u8]) -> Result<&str, String> {
    let utf16 = "text in UTF-16; save it as UTF-8";
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(utf16.to_owned());
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some(kind) = binary(bytes) {
        return Err(kind.to_owned());
    }
    // UTF-16 without a mark: every other byte of a Latin text is 0.
    if let [0, 9..=126, ..] | [9..=126, 0, ..] = bytes {
        return Err(utf16.to_owned());
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        format!("a byte that is not UTF-8 on line {line}; save the file as UTF-8")
    })
}

/// The kind of a file whose first bytes are those of no text.
fn binary(bytes: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 14] = [
        (b"\x1f\x8b", "a gzip file"),
        (b"PK\x03\x04", "a ZIP file (documents of Office are such files)"),
        (b"BZh", "a bzip2 file"),
        (b"\xfd7zXZ", "an xz file"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
        (b"\x00\x05\x16\x07", "a file with macOS attributes (AppleDouble), which can be deleted"),
        (b"\x00\x05\x16\x00", "a file with macOS attributes (AppleSingle)"),
        (b"\x89PNG", "a PNG picture"),
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"%PDF", "a PDF document"),
        (b"\x89HDF", "an HDF5 file"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x5c\x01\x00\x00", "a NIfTI file"),
        (b"\x00\x00\x01\x5c", "a NIfTI file"),
    ];
    if bytes.get(128..132) == Some(b"DICM") {
        return Some("a DICOM file");
    }
    KINDS.iter().find(|(start, _)| bytes.starts_with(start)).map(|&(_, kind)| kind)
}

/// The kind of a text that is known by its first characters, as the end of a sentence; `None` if it is not.
#[must_use]
pub fn kind_of(text: &str) -> Option<&'static str> {
    let text = text.trim_start();
    if text.is_empty() {
        return Some("an empty file");
    }
    if text.starts_with("version https://git-lfs") {
        return Some("a Git LFS pointer: the file itself was not downloaded; `git lfs pull` does so");
    }
    if text.starts_with('<') {
        return Some("HTML or XML; perhaps a page was downloaded instead of the file");
    }
    text.starts_with("NRRD").then_some("an NRRD file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_text_and_other_encodings_are_named() {
        assert_eq!(decode(b"\xef\xbb\xbfa\r\n"), Ok("a\r\n"));
        assert_eq!(decode(b""), Ok(""));
        for utf16 in [&b"\xff\xfe{\x00"[..], b"\xfe\xff\x00{", b"{\x00\"\x00", b"\x00{\x00\""] {
            assert!(decode(utf16).is_err_and(|found| found.contains("UTF-16")), "{utf16:?}");
        }
        let found = decode(b"a\nb\nL\xe4sion").expect_err("Latin-1");
        assert!(found.contains("line 3"), "{found}");
        assert_eq!(decode(b"\x1f\x8b\x08"), Err("a gzip file".to_owned()));
        assert!(decode(b"\x00\x05\x16\x07\x00\x02").is_err_and(|found| found.contains("AppleDouble")));
        assert!(decode(&[&[0; 128][..], b"DICM"].concat()).is_err_and(|found| found == "a DICOM file"));
        assert!(kind_of("\n <!DOCTYPE html>").is_some_and(|kind| kind.contains("HTML")));
        assert_eq!((kind_of(" \r\n"), kind_of("{}")), (Some("an empty file"), None));
    }
}
