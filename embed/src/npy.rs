//! The header of a `.npy` file.
//!
//! # Source
//! NumPy, `numpy/lib/format.py`, version 1.0 of the format.

use segvol::FloatType;

/// The bytes before the first number of an array in C order: the magic string, the version, the length of the rest, and a Python
/// dictionary, padded to a multiple of 64.
pub(crate) fn header(shape: &[usize], dtype: FloatType) -> Vec<u8> {
    let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let descr = match dtype {
        FloatType::Float32 => "<f4",
        FloatType::Float16 => "<f2",
    };
    let mut dictionary = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({},), }}", shape.join(", "));
    const BEFORE: usize = 10;
    let end = (BEFORE + dictionary.len() + 1).next_multiple_of(64) - BEFORE;
    dictionary = format!("{dictionary:<width$}\n", width = end - 1);
    let length = u16::try_from(dictionary.len()).expect("five numbers fit into a header");
    [b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], dictionary.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_numpys() {
        let found = header(&[3, 768], FloatType::Float32);
        let dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 768,), }";
        assert_eq!(found.len(), 128);
        assert_eq!(&found[..10], b"\x93NUMPY\x01\x00\x76\x00");
        assert_eq!(found[10..].trim_ascii_end(), dictionary.as_bytes());
        assert_eq!(found.last(), Some(&b'\n'));
        for windows in [1, 10, 1 << 20, usize::MAX] {
            let found = header(&[windows, 8, 16, 16, 768], FloatType::Float16);
            assert_eq!(found.len() % 64, 0);
            assert_eq!(usize::from(u16::from_le_bytes([found[8], found[9]])) + 10, found.len());
        }
    }
}
