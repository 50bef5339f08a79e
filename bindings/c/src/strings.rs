//! Strings for C.

use std::ffi::CString;

/// Makes a C string. Zero bytes, which would end it early, are left out.
pub(crate) fn c_string(mut text: String) -> CString {
    text.retain(|c| c != '\0');
    CString::new(text).expect("all zero bytes were removed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_bytes_are_left_out() {
        assert_eq!(c_string("\0a\0b\0".to_owned()).as_c_str(), c"ab");
        assert_eq!(c_string(String::new()).as_c_str(), c"");
    }
}
