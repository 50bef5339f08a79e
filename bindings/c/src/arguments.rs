//! What C hands over, as Rust has it: checked, and named in the message if it is wrong.

use std::ffi::{CStr, CString, c_char};

use crate::failure::Failure;
use crate::status::SegvolStatus;

fn null(argument: &str) -> Failure {
    Failure::new(SegvolStatus::Null, format!("{argument}: expected a pointer, found NULL"))
}

/// Refuses NULL, and what cannot be a `T` for its address alone.
fn check<T>(pointer: *const T, argument: &str) -> Result<(), Failure> {
    if pointer.is_null() {
        return Err(null(argument));
    }
    if !pointer.is_aligned() {
        return Err(unknown(
            argument,
            &format!("an address that {} divides", align_of::<T>()),
            format_args!("{pointer:p}"),
        ));
    }
    Ok(())
}

/// A handle or struct of the caller's.
///
/// # Safety
/// It is NULL or a live `T`.
pub(crate) unsafe fn handle<'a, T>(pointer: *const T, argument: &str) -> Result<&'a T, Failure> {
    check(pointer, argument)?;
    // SAFETY: not NULL; the rest is promised by the caller of this function.
    Ok(unsafe { &*pointer })
}

/// Where an output goes.
pub(crate) fn output<T>(pointer: *mut T, argument: &str) -> Result<Output<T>, Failure> {
    check(pointer, argument)?;
    Ok(Output(pointer))
}

/// Where an output goes: not NULL, and aligned.
pub(crate) struct Output<T>(*mut T);

impl<T> Output<T> {
    /// Writes the output; the last thing that a body does.
    ///
    /// # Safety
    /// The pointer may be written.
    pub(crate) unsafe fn write(self, value: T) {
        // SAFETY: the caller of this function promises it.
        unsafe { self.0.write(value) }
    }
}

impl<T> Output<*mut T> {
    /// Writes a handle that the caller must free.
    ///
    /// # Safety
    /// The pointer may be written.
    pub(crate) unsafe fn give(self, value: T) {
        // SAFETY: the caller of this function promises it.
        unsafe { self.0.write(Box::into_raw(Box::new(value))) }
    }
}

/// Takes a handle back and drops it; NULL is nothing.
///
/// # Safety
/// It is NULL or came from [`Output::give`], and is not used again.
pub(crate) unsafe fn free<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: the caller of this function promises it.
        let value = unsafe { Box::from_raw(pointer) };
        crate::fence::fence_value((), || drop(value));
    }
}

/// A text that may be NULL.
///
/// # Safety
/// It is NULL or ends in a zero byte, and lives while it is used.
pub(crate) unsafe fn optional_text<'a>(pointer: *const c_char, argument: &str) -> Result<Option<&'a str>, Failure> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller of this function promises it.
    let text = unsafe { CStr::from_ptr(pointer) }.to_str();
    text.map(Some)
        .map_err(|error| Failure::new(SegvolStatus::Utf8, format!("{argument}: expected UTF-8, found {error}")))
}

/// A text.
///
/// # Safety
/// As for [`optional_text`].
pub(crate) unsafe fn text<'a>(pointer: *const c_char, argument: &str) -> Result<&'a str, Failure> {
    // SAFETY: the caller of this function promises it.
    unsafe { optional_text(pointer, argument) }?.ok_or_else(|| null(argument))
}

/// `len` elements, which may be NULL if there are none.
///
/// # Safety
/// There are that many, aligned, and they live while they are used.
pub(crate) unsafe fn slice<'a, T>(pointer: *const T, len: usize, argument: &str) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    check(pointer, argument)?;
    if len > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Failure::new(SegvolStatus::Argument, format!("{argument}: {len} elements fit no memory")));
    }
    // SAFETY: not NULL, not too long; the rest is promised by the caller of this function.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// `len` texts.
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

/// A text that the caller must free with `segvol_string_free`.
pub(crate) fn owned_text(mut text: String) -> *mut c_char {
    text.retain(|c| c != '\0');
    CString::new(text).unwrap_or_default().into_raw()
}

/// The text of a number of an enum.
pub(crate) fn unknown(argument: &str, expected: &str, found: impl std::fmt::Display) -> Failure {
    Failure::new(SegvolStatus::Argument, format!("{argument}: expected {expected}, found {found}"))
}
