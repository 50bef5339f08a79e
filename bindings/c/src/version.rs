//! The version of the library, error messages, and strings that the caller owns.

use std::ffi::{CString, c_char};
use std::sync::OnceLock;

use crate::fence::{fence_value, last_error};
use crate::strings::c_string;

/// The version of the binary interface that this header describes. A library with another number does not fit the
/// header.
pub const SEGVOL_ABI_VERSION: u32 = 1;

/// The major version of the library that this header belongs to.
pub const SEGVOL_VERSION_MAJOR: u32 = 0;
/// The minor version of the library that this header belongs to.
pub const SEGVOL_VERSION_MINOR: u32 = 1;
/// The patch version of the library that this header belongs to.
pub const SEGVOL_VERSION_PATCH: u32 = 0;

/// Returns the version of the loaded library, such as `0.1.0`.
///
/// The string is static: never NULL, and never to be freed.
/// Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn segvol_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Returns the interface version of the loaded library. If it differs from SEGVOL_ABI_VERSION, the program was compiled
/// for another library.
///
/// Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn segvol_abi_version() -> u32 {
    SEGVOL_ABI_VERSION
}

/// Returns the version of the ONNX Runtime library that this process has loaded, such as `1.32.0`. NULL before the first model is
/// opened, because nothing is loaded then.
///
/// The string is static and never to be freed.
/// Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn segvol_onnxruntime_version() -> *const c_char {
    static VERSION: OnceLock<CString> = OnceLock::new();
    fence_value(std::ptr::null(), || {
        if let Some(version) = segvol::onnxruntime_version() {
            return VERSION.get_or_init(|| c_string(version)).as_ptr();
        }
        std::ptr::null()
    })
}

/// Returns the message of the last failed call of this thread: which argument, what was expected, what was found.
///
/// The message is UTF-8, and empty before the first failure. A call that succeeds does not change it. It is never NULL
/// and never to be freed, and it stays valid until the next failed call of this thread.
/// Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn segvol_last_error() -> *const c_char {
    last_error()
}

/// Frees a string that the caller owns: one that a function returned through a `char **`. NULL is allowed and does
/// nothing.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_string_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: the string came from `owned_text`, as this function's documentation requires.
        let text = unsafe { CString::from_raw(text) };
        fence_value((), || drop(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_version_is_the_crates() {
        let header = format!("{SEGVOL_VERSION_MAJOR}.{SEGVOL_VERSION_MINOR}.{SEGVOL_VERSION_PATCH}");
        assert_eq!(header, env!("CARGO_PKG_VERSION"));
    }
}
