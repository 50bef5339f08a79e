//! Turns the arguments of a C function into Rust values. Checks them, and names the argument in the error.

use std::ffi::{CStr, c_char};

use crate::failure::Failure;
use crate::status::SegvolStatus;
use crate::strings::c_string;

fn null(argument: &str) -> Failure {
    Failure::new(SegvolStatus::Null, format!("{argument}: expected a pointer, found NULL"))
}

/// Refuses NULL and addresses that are not aligned for a `T`.
fn check<T>(pointer: *const T, argument: &str) -> Result<(), Failure> {
    if pointer.is_null() {
        return Err(null(argument));
    }
    if !pointer.is_aligned() {
        return Err(unknown(
            argument,
            &format!("an address that is a multiple of {}", align_of::<T>()),
            format_args!("{pointer:p}"),
        ));
    }
    Ok(())
}

/// Borrows the caller's handle or struct.
///
/// # Safety
/// The pointer is NULL or points to a live `T`.
pub(crate) unsafe fn handle<'a, T>(pointer: *const T, argument: &str) -> Result<&'a T, Failure> {
    check(pointer, argument)?;
    // SAFETY: not NULL; the caller of this function promises the rest.
    Ok(unsafe { &*pointer })
}

/// Checks the pointer through which an output is written.
pub(crate) fn output<T>(pointer: *mut T, argument: &str) -> Result<Output<T>, Failure> {
    check(pointer, argument)?;
    Ok(Output(pointer))
}

/// A pointer through which an output is written: not NULL, and aligned.
pub(crate) struct Output<T>(*mut T);

impl<T> Output<T> {
    /// Writes the output. This is the last step of a function.
    ///
    /// # Safety
    /// The pointer can be written to.
    pub(crate) unsafe fn write(self, value: T) {
        // SAFETY: the caller of this function promises it.
        unsafe { self.0.write(value) }
    }
}

impl<T> Output<*mut T> {
    /// Writes a new handle, which the caller then owns.
    ///
    /// # Safety
    /// The pointer can be written to.
    pub(crate) unsafe fn give(self, value: T) {
        // SAFETY: the caller of this function promises it.
        unsafe { self.0.write(Box::into_raw(Box::new(value))) }
    }
}

/// Takes a handle back and drops it. Does nothing for NULL.
///
/// # Safety
/// The pointer is NULL or came from [`Output::give`], and is not used again.
pub(crate) unsafe fn free<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: the caller of this function promises it.
        let value = unsafe { Box::from_raw(pointer) };
        crate::fence::fence_value((), || drop(value));
    }
}

/// Borrows a string that may be NULL.
///
/// # Safety
/// The string is NULL, or ends with a zero byte and lives as long as the result.
pub(crate) unsafe fn optional_text<'a>(pointer: *const c_char, argument: &str) -> Result<Option<&'a str>, Failure> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller of this function promises it.
    let text = unsafe { CStr::from_ptr(pointer) }.to_str();
    text.map(Some)
        .map_err(|error| Failure::new(SegvolStatus::Utf8, format!("{argument}: expected UTF-8, found {error}")))
}

/// Borrows a string.
///
/// # Safety
/// As for [`optional_text`].
pub(crate) unsafe fn text<'a>(pointer: *const c_char, argument: &str) -> Result<&'a str, Failure> {
    // SAFETY: the caller of this function promises it.
    unsafe { optional_text(pointer, argument) }?.ok_or_else(|| null(argument))
}

/// Borrows `len` elements. The pointer may be NULL if `len` is 0.
///
/// # Safety
/// There are that many elements, and they live as long as the result.
pub(crate) unsafe fn slice<'a, T>(pointer: *const T, len: usize, argument: &str) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    check(pointer, argument)?;
    if len > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Failure::new(SegvolStatus::Argument, format!("{argument}: {len} elements do not fit into memory")));
    }
    // SAFETY: not NULL, aligned and not too long; the caller of this function promises the rest.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// Borrows `len` strings.
///
/// # Safety
/// As for [`slice`] and [`text`].
pub(crate) unsafe fn texts<'a>(
    pointer: *const *const c_char,
    len: usize,
    argument: &str,
) -> Result<Vec<&'a str>, Failure> {
    // SAFETY: the caller of this function promises it.
    let pointers = unsafe { slice(pointer, len, argument) }?;
    let texts = pointers.iter().enumerate();
    // SAFETY: the caller of this function promises it.
    texts.map(|(index, &pointer)| unsafe { text(pointer, &format!("{argument}[{index}]")) }).collect()
}

/// Makes a string that the caller owns and frees with `segvol_string_free`. Zero bytes in it are left out.
pub(crate) fn owned_text(text: String) -> *mut c_char {
    c_string(text).into_raw()
}

/// The failure for a value that is not allowed.
pub(crate) fn unknown(argument: &str, expected: &str, found: impl std::fmt::Display) -> Failure {
    Failure::new(SegvolStatus::Argument, format!("{argument}: expected {expected}, found {found}"))
}
