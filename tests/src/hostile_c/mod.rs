//! Fuzz targets for the C interface: structs with arbitrary numbers in them. Pointers are NULL or valid, as `segvol.h`
//! requires.
//!
//! The bytes of an input are read as a recipe for one call of `libsegvol`. The expected result is computed here a second
//! time, in wide integers, so a target also fails if a call accepts what it should refuse, or returns other voxels.

#![allow(unsafe_code)] // These targets call functions for C.

mod buffer;
mod mask;
mod options;
mod prompts;

use std::any::TypeId;
use std::ffi::{CStr, CString, c_char};
use std::mem::offset_of;
use std::ptr::{self, NonNull};

use segvol_capi::options::SegvolOptions;
use segvol_capi::status::SegvolStatus;
use segvol_capi::version::segvol_last_error;

pub(crate) use buffer::buffer;
pub(crate) use mask::mask;
pub(crate) use options::options;
pub(crate) use prompts::prompts;

/// Integers at the limits of types and ranges.
const ENDS: [u64; 15] = [
    (1 << 8) - 1,
    1 << 8,
    (1 << 16) - 1,
    1 << 16,
    (1 << 16) + 1,
    (1 << 31) - 1,
    1 << 31,
    1 << 32,
    1 << 60,
    (1 << 61) - 1,
    1 << 62,
    i64::MAX as u64 - 7,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX - 7,
];

/// Floating-point numbers at the limits of ranges.
const REAL_ENDS: [f64; 10] =
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 1e-7, 1e20, -0.0];

/// The largest size of a struct that the library accepts.
const MAX_STRUCT: usize = 1 << 16;

/// Reads numbers and strings from bytes. Returns zeros when there are no more bytes.
struct Recipe<'a>(&'a [u8]);

impl Recipe<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn eight(&mut self) -> [u8; 8] {
        std::array::from_fn(|_| self.byte())
    }

    /// Small numbers take one byte: 0 to 223, then -16 to -1, then [`ENDS`]. After 255, eight bytes follow.
    fn number(&mut self) -> u64 {
        match self.byte() {
            255 => u64::from_le_bytes(self.eight()),
            tag @ 240.. => ENDS[usize::from(tag) - 240],
            tag @ 224.. => u64::from(tag).wrapping_sub(240),
            tag => u64::from(tag),
        }
    }

    fn int(&mut self) -> i32 {
        self.number() as i32
    }

    /// Small numbers take one byte, in quarters. -118 to -127 are [`REAL_ENDS`]. After -128, eight bytes follow.
    fn real(&mut self) -> f64 {
        match i32::from(self.byte() as i8) {
            -128 => f64::from_le_bytes(self.eight()),
            tag @ ..-117 => REAL_ENDS[(tag + 127) as usize],
            tag => f64::from(tag) / 4.0,
        }
    }

    fn reals<const N: usize>(&mut self) -> [f64; N] {
        std::array::from_fn(|_| self.real())
    }

    fn text(&mut self) -> Option<CString> {
        let len = self.byte().checked_sub(1)? % 32;
        let bytes: Vec<u8> = (0..len).map(|_| self.byte()).take_while(|&byte| byte != 0).collect();
        CString::new(bytes).ok()
    }

    /// The size that a struct claims, and the value of the bytes after those that the library knows.
    fn size<T>(&mut self) -> (usize, u8) {
        let size = match self.byte() {
            0 => size_of::<T>(),
            1 => self.number() as usize,
            more => size_of::<T>() + usize::from(more) - 2,
        };
        (size, if size > size_of::<T>() { self.byte() } else { 0 })
    }
}

/// Whether the library accepts a struct that claims this size.
fn may_be<T: 'static>(size: usize) -> bool {
    // The options of the first version end before `axes`, and those of later ones between two fields; the other structs have not
    // grown.
    let grown = TypeId::of::<T>() == TypeId::of::<SegvolOptions>() && size >= offset_of!(SegvolOptions, axes);
    let older = grown && size.is_multiple_of(align_of::<T>());
    (older && size < size_of::<T>()) || (size_of::<T>()..=MAX_STRUCT).contains(&size)
}

fn is_good<T: 'static>((size, beyond): (usize, u8)) -> bool {
    may_be::<T>(size) && (size == size_of::<T>() || beyond == 0)
}

/// Number of bytes that must exist for a struct of this size. For a size that must be refused: as few as the check needs.
fn promised<T: 'static>(size: usize) -> usize {
    if may_be::<T>(size) { size } else { size.clamp(size_of::<usize>(), size_of::<T>()) }
}

/// Puts a struct that claims `size` into memory, at the offset `at`, and makes the memory exactly long enough.
fn put<T: Copy + 'static>(memory: &mut Vec<u64>, at: usize, value: &T, (size, beyond): (usize, u8)) {
    let len = promised::<T>(size);
    let words = (at + len).div_ceil(8);
    memory.resize(words.max(memory.len()), 0);
    // SAFETY: there are `at + len` bytes; a `T` has only numbers and pointers, no padding, and begins with its size.
    unsafe {
        let start = memory.as_mut_ptr().cast::<u8>().add(at);
        start.write_bytes(beyond, len);
        start.copy_from_nonoverlapping(ptr::from_ref(value).cast(), len.min(size_of::<T>()));
        start.cast::<usize>().write_unaligned(size);
    }
}

fn bytes_of(memory: &[u64]) -> Vec<u8> {
    memory.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// The message of the last failed call.
fn message() -> String {
    // SAFETY: the message is valid until this thread's next failure.
    unsafe { CStr::from_ptr(segvol_last_error()) }.to_string_lossy().into_owned()
}

/// Checks that the status is one that the input must cause, and that the message begins with the argument.
fn refused(status: SegvolStatus, message: &str, problems: &[SegvolStatus], argument: &str) {
    assert!(problems.contains(&status), "{status:?}, not one of {problems:?}: {message}");
    assert!(message.starts_with(argument), "{message:?} does not name `{argument}`");
}

/// Checks that an init function writes exactly as many bytes as the size says, or none.
fn init<T: 'static>(recipe: &mut Recipe<'_>, init: unsafe extern "C" fn(*mut T, usize) -> SegvolStatus) {
    let (size, _) = recipe.size::<T>();
    let mut memory = vec![u64::MAX; promised::<T>(size).div_ceil(8) + 1];
    // SAFETY: there are as many bytes as the call may write.
    let status = unsafe { init(memory.as_mut_ptr().cast(), size) };
    if !may_be::<T>(size) {
        assert_eq!((status, memory.iter().all(|&word| word == u64::MAX)), (SegvolStatus::Argument, true));
        return;
    }
    assert_eq!((status, memory[0]), (SegvolStatus::Ok, size as u64));
    let bytes = bytes_of(&memory);
    assert!(
        bytes[size.min(size_of::<T>())..size].iter().all(|&byte| byte == 0),
        "bytes that the library does not know must be 0"
    );
    assert!(bytes[size..].iter().all(|&byte| byte == u8::MAX), "more bytes were written than the size says");
}

/// An address that no handle has, to see whether a handle was written.
fn nowhere<T>() -> *mut T {
    NonNull::dangling().as_ptr()
}

/// A pointer to the string, or NULL.
fn pointer(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(ptr::null(), |text| text.as_ptr())
}
