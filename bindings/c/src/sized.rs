//! Structs that grow from version to version: the caller's may be shorter or longer than this library's.
//!
//! Each begins with its own size. Fields that an older program does not have get their defaults. Fields of a newer
//! program that this library does not know must be zero, so that the program asks for nothing that would be ignored.

use std::mem::MaybeUninit;

use crate::arguments::{output, unknown};
use crate::failure::Failure;

/// A struct that begins with its size and that later versions only extend.
///
/// # Safety The type is `repr(C)`, its first field is `size: usize`, every bit pattern is a value, and it has no
/// padding at its end.
pub(crate) unsafe trait Versioned: Copy {
    /// The name in C.
    const NAME: &'static str;
    /// The size in the first version.
    const FIRST_SIZE: usize;
    /// The value for a program that sets no field.
    const DEFAULT: Self;
}

fn check<T: Versioned>(size: usize, argument: &str) -> Result<(), Failure> {
    // An older struct ends between two fields, none of which is longer than the alignment.
    let whole = size >= size_of::<T>() || size.is_multiple_of(align_of::<T>());
    if (T::FIRST_SIZE..=1 << 16).contains(&size) && whole {
        return Ok(());
    }
    let expected = format!("`size` set by the init function of {}, at least {}", T::NAME, T::FIRST_SIZE);
    Err(unknown(argument, &expected, size))
}

/// Reads the caller's struct.
///
/// # Safety
/// `pointer` is aligned and not NULL, and as many bytes can be read as the first field says.
pub(crate) unsafe fn read<T: Versioned>(pointer: *const T, argument: &str) -> Result<T, Failure> {
    // SAFETY: a `Versioned` begins with its size.
    let size = unsafe { pointer.cast::<usize>().read() };
    check::<T>(size, argument)?;
    let known = size.min(size_of::<T>());
    let mut value = MaybeUninit::new(T::DEFAULT);
    // SAFETY: `known` bytes can be read and fit into `value`; every bit pattern is a value.
    let value = unsafe {
        value.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(pointer.cast(), known);
        value.assume_init()
    };
    // SAFETY: `size` bytes can be read.
    let beyond = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>().add(known), size - known) };
    if beyond.iter().any(|&byte| byte != 0) {
        let expected = format!("zeros after the {} bytes that this version of {} has", size_of::<T>(), T::NAME);
        return Err(unknown(
            argument,
            &expected,
            format_args!("a field that is set in {size} bytes; the program is newer than libsegvol"),
        ));
    }
    Ok(value)
}

/// Writes the defaults and `size` into the caller's struct of `size` bytes. Bytes that this library does not know
/// become zero.
///
/// # Safety
/// `pointer` is NULL, which is refused, or `size` bytes can be written.
pub(crate) unsafe fn init<T: Versioned>(pointer: *mut T, size: usize, argument: &str) -> Result<(), Failure> {
    output(pointer, argument)?;
    check::<T>(size, argument)?;
    // SAFETY: `size` bytes can be written.
    unsafe { write(pointer, size, &T::DEFAULT) };
    Ok(())
}

/// As [`init`], but writes `value` into a struct that is already initialised.
///
/// # Safety
/// `pointer` is not NULL, and as many bytes can be written as its first field says.
pub(crate) unsafe fn fill<T: Versioned>(pointer: *mut T, value: &T, argument: &str) -> Result<(), Failure> {
    // SAFETY: a `Versioned` begins with its size.
    let size = unsafe { pointer.cast::<usize>().read() };
    check::<T>(size, argument)?;
    // SAFETY: `size` bytes can be written.
    unsafe { write(pointer, size, value) };
    Ok(())
}

/// # Safety
/// `size` bytes, at least those of a `usize`, can be written.
unsafe fn write<T: Versioned>(pointer: *mut T, size: usize, value: &T) {
    let known = size.min(size_of::<T>());
    let bytes = pointer.cast::<u8>();
    // SAFETY: `size` bytes can be written, and `known` bytes can be read; the first bytes are the size.
    unsafe {
        bytes.copy_from_nonoverlapping(std::ptr::from_ref(value).cast(), known);
        bytes.add(known).write_bytes(0, size - known);
        pointer.cast::<usize>().write(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::SegvolStatus;

    /// The library's struct, to which `c` was added after the first version.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Grown {
        size: usize,
        a: u64,
        b: u64,
        c: u64,
    }

    // SAFETY: no padding, and every bit pattern is a value.
    unsafe impl Versioned for Grown {
        const NAME: &'static str = "Grown";
        const FIRST_SIZE: usize = 24;
        const DEFAULT: Self = Self { size: size_of::<Self>(), a: 1, b: 2, c: 3 };
    }

    #[test]
    fn an_older_program_gets_defaults_and_keeps_its_memory() {
        // The last word does not belong to the struct.
        let mut memory = [u64::MAX; 4];
        let pointer = memory.as_mut_ptr().cast::<Grown>();
        // SAFETY: 24 bytes can be read and written.
        unsafe { init(pointer, 24, "grown") }.expect("an older size");
        assert_eq!(memory, [24, 1, 2, u64::MAX]);
        memory[1] = 7;
        // SAFETY: 24 bytes can be read.
        let read = unsafe { read(memory.as_ptr().cast::<Grown>(), "grown") }.expect("an older struct");
        assert_eq!((read.a, read.b, read.c), (7, 2, 3));
        let value = Grown { a: 4, b: 5, c: 6, ..Grown::DEFAULT };
        // SAFETY: 24 bytes can be written.
        unsafe { fill(memory.as_mut_ptr().cast::<Grown>(), &value, "grown") }.expect("an older struct");
        assert_eq!(memory, [24, 4, 5, u64::MAX]);
    }

    #[test]
    fn a_newer_program_must_not_set_unknown_fields() {
        let mut memory = [u64::MAX; 6];
        // SAFETY: 48 bytes can be read and written.
        unsafe { init(memory.as_mut_ptr().cast::<Grown>(), 48, "grown") }.expect("a newer size");
        assert_eq!(memory, [48, 1, 2, 3, 0, 0]);
        // SAFETY: 48 bytes can be read.
        unsafe { read(memory.as_ptr().cast::<Grown>(), "grown") }.expect("unknown fields are zero");
        memory[5] = 1;
        // SAFETY: 48 bytes can be read.
        let error = unsafe { read(memory.as_ptr().cast::<Grown>(), "grown") }.expect_err("an unknown field is set");
        assert_eq!(error.status, SegvolStatus::Argument);
        assert!(error.message.contains("grown") && error.message.contains("newer"), "{}", error.message);
    }

    #[test]
    fn a_struct_that_was_not_initialised_is_refused() {
        for size in [0, 8, 23, 25, 31, usize::MAX] {
            let memory = [size as u64, 0, 0, 0];
            // SAFETY: the size is refused before anything else is read.
            let error = unsafe { read(memory.as_ptr().cast::<Grown>(), "grown") }.expect_err("no size");
            assert!(error.message.contains("grown: expected `size`"), "{}", error.message);
        }
    }
}
