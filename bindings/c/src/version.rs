//! The library's version, messages, and memory that is handed out.

use std::ffi::{CString, c_char};

use crate::fence::{fence_value, last_error};

/// The interface that this header describes. A library of another number cannot be used with it.
pub const SEGVOL_ABI_VERSION: u32 = 1;

/// The version that this header came with.
pub const SEGVOL_VERSION_MAJOR: u32 = 0;
/// The version that this header came with.
pub const SEGVOL_VERSION_MINOR: u32 = 1;
/// The version that this header came with.
pub const SEGVOL_VERSION_PATCH: u32 = 0;

/// The loaded library's version, such as `0.1.0`. Never NULL, never to be freed.
///
/// Any thread, any time.
#[unsafe(no_mangle)]
pub extern "C" fn segvol_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The loaded library's interface: equal to SEGVOL_ABI_VERSION, or the program was compiled for another library.
///
/// Any thread, any time.
#[unsafe(no_mangle)]
pub extern "C" fn segvol_abi_version() -> u32 {
    SEGVOL_ABI_VERSION
}

/// What went wrong in this thread's last call that failed: which argument, what was expected, what was found. Empty
/// before the first failure; a call that succeeds leaves it as it is. UTF-8, never NULL, never to be freed; it lives
/// until the next call of this thread that fails.
///
/// Any thread, any time.
#[unsafe(no_mangle)]
pub extern "C" fn segvol_last_error() -> *const c_char {
    last_error()
}

/// Frees a text that the caller owns: one that a function gave by a `char **`. NULL is nothing.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_string_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: it came from `owned_text`, as this function's comment asks.
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
