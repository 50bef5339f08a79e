//! `.safetensors` files: a JSON header, then the bytes of every tensor, row-major and without gaps.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex};

use safetensors::tensor::Metadata;

use super::dtype::Dtype;
use super::tensor::{Source, Span, Tensor};

/// Longest header accepted: that of the full model has 60 kB, and three times that with an optimiser.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// The header's length comes first, as an unsigned little-endian number of this many bytes.
const LENGTH_BYTES: u64 = 8;

/// Whether a file that begins with `head` is a safetensors file: it starts with a plausible length and a JSON object.
pub(super) fn begins(head: &[u8]) -> bool {
    let Some((length, json)) = head.split_first_chunk() else { return false };
    json.first() == Some(&b'{') && u64::from_le_bytes(*length) <= MAX_HEADER_BYTES
}

/// The tensors of a file, by the file's names.
pub(super) fn tensors(mut file: File, file_bytes: u64) -> Result<BTreeMap<String, Tensor>, String> {
    let io = |error: io::Error| error.to_string();
    let mut length = [0; LENGTH_BYTES as usize];
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    file.read_exact(&mut length).map_err(io)?;
    let length = u64::from_le_bytes(length);
    if length > file_bytes.saturating_sub(LENGTH_BYTES) {
        return Err(format!("expected a header of {length} bytes, found {file_bytes} bytes in the whole file"));
    }
    let mut header = Vec::new();
    Read::by_ref(&mut file).take(length).read_to_end(&mut header).map_err(io)?;
    // Parsing also checks that each tensor has as many bytes as its shape needs, and starts where the previous one
    // ends.
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| format!("header: {error}"))?;

    let data = LENGTH_BYTES + length;
    let (expected, found) = (metadata.data_len() as u64, file_bytes.saturating_sub(data));
    if expected != found {
        return Err(format!("expected {expected} bytes of tensors after the header, found {found}"));
    }
    let file = Arc::new(Mutex::new(file));
    let mut tensors = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        let (start, end) = info.data_offsets;
        let dtype = dtype(info.dtype)
            .ok_or_else(|| format!("tensor `{name}`: expected an element type of PyTorch, found {}", info.dtype))?;
        let span = Span { file: Arc::clone(&file), offset: data + start as u64, length: end - start };
        let tensor = Tensor { dtype, shape: info.shape.clone(), source: Source::Safetensors(span) };
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

fn dtype(dtype: safetensors::Dtype) -> Option<Dtype> {
    use safetensors::Dtype as Stored;
    Some(match dtype {
        Stored::F64 => Dtype::Float64,
        Stored::F32 => Dtype::Float32,
        Stored::F16 => Dtype::Float16,
        Stored::BF16 => Dtype::BFloat16,
        Stored::I64 => Dtype::Other("int64", 8),
        Stored::I32 => Dtype::Other("int32", 4),
        Stored::I16 => Dtype::Other("int16", 2),
        Stored::I8 => Dtype::Other("int8", 1),
        Stored::U64 => Dtype::Other("uint64", 8),
        Stored::U32 => Dtype::Other("uint32", 4),
        Stored::U16 => Dtype::Other("uint16", 2),
        Stored::U8 => Dtype::Other("uint8", 1),
        Stored::BOOL => Dtype::Other("bool", 1),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(header: &str, data: usize) -> (File, u64) {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&(header.len() as u64).to_le_bytes()).expect("written");
        file.write_all(header.as_bytes()).expect("written");
        file.write_all(&vec![0; data]).expect("written");
        (file, (8 + header.len() + data) as u64)
    }

    const HEADER: &str = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

    #[test]
    fn a_file_gives_its_tensors() {
        let (file, bytes) = file(HEADER, 8);
        let tensors = tensors(file, bytes).expect("a file");
        assert_eq!(tensors["a"].shape, [2]);
        assert_eq!(tensors["a"].read().expect("read"), [0; 8]);
    }

    #[test]
    fn a_file_that_is_cut_short_is_refused() {
        let (file, bytes) = file(HEADER, 7);
        let error = tensors(file, bytes).expect_err("too short");
        assert!(error.contains("expected 8 bytes"), "{error}");
    }

    #[test]
    fn a_header_that_is_cut_short_is_refused() {
        let (file, bytes) = file(HEADER, 0);
        let error = tensors(file, bytes - 1).expect_err("too short");
        assert!(error.contains("expected a header"), "{error}");
    }

    #[test]
    fn a_shape_that_claims_more_than_the_file_has_is_refused() {
        let header = HEADER.replace("[2]", "[1000000000000]");
        let (file, bytes) = file(&header, 8);
        tensors(file, bytes).expect_err("a shape without bytes");
    }

    #[test]
    fn a_pickle_is_not_taken_for_one() {
        assert!(!begins(b"\x80\x02}q\0(X\x10\0"));
        assert!(!begins(b"PK\x03\x04\0\0\x08\x08{"));
        assert!(begins(b"\x40\0\0\0\0\0\0\0{"));
    }
}
