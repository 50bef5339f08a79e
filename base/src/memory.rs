//! Checks memory before it is allocated, so that too little of it is an error and not the end of the process.

use std::borrow::Cow;
use std::fmt;

use crate::ErrorKind;

/// There is not enough memory for a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfMemory {
    /// What needs the memory.
    pub what: Cow<'static, str>,
    /// How much it needs, in bytes.
    pub bytes: usize,
    /// What must be free beside it, in bytes.
    pub reserve_bytes: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not enough memory for {}: {} bytes needed", self.what, self.bytes)?;
        match self.reserve_bytes {
            0 => Ok(()),
            reserve => write!(f, " (plus a reserve of {} MiB)", reserve >> 20),
        }
    }
}

impl std::error::Error for OutOfMemory {}

impl OutOfMemory {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Memory
    }
}

/// The reserve beside a large allocation, for everything small: messages, tables, file buffers, thread stacks. It is not
/// smaller, because glibc takes a freed piece of up to 32 MiB as a sign that such pieces come often, and then returns
/// fewer of them to the system.
const RESERVE: usize = 32 << 20;

/// A piece smaller than this comes out of the reserve and is not checked by [`check_available_if_large`].
const LARGE: usize = 1 << 20;

/// Checks that `count` elements of `T` can be allocated in one piece, with a reserve of 32 MiB beside them.
///
/// The memory is reserved and released again. Where memory is limited (`ulimit -v`, a container without overcommit) this
/// is what fails first. Threads that allocate at the same moment may still take what was found.
///
/// # Errors
///
/// [`OutOfMemory`] if the allocation fails.
pub fn check_available<T>(what: impl Into<Cow<'static, str>>, count: usize) -> Result<(), OutOfMemory> {
    let bytes = count.saturating_mul(size_of::<T>());
    let mut reserved = Vec::<u8>::new();
    let result = reserved.try_reserve_exact(bytes.saturating_add(RESERVE));
    // Observed, so that the compiler does not remove the allocation.
    std::hint::black_box(&mut reserved);
    result.map_err(|_| OutOfMemory { what: what.into(), bytes, reserve_bytes: RESERVE })
}

/// As [`check_available`], for one of many pieces: less than 1 MiB comes out of the reserve and is not checked.
///
/// # Errors
///
/// [`OutOfMemory`] if the allocation fails.
pub fn check_available_if_large<T>(what: impl Into<Cow<'static, str>>, count: usize) -> Result<(), OutOfMemory> {
    if count.saturating_mul(size_of::<T>()) < LARGE { Ok(()) } else { check_available::<T>(what, count) }
}

/// Makes `vec` hold `more` elements beside those that it has.
///
/// # Errors
///
/// [`OutOfMemory`] if the allocation fails; `bytes` is the size of all elements together.
pub fn reserve<T>(what: &'static str, vec: &mut Vec<T>, more: usize) -> Result<(), OutOfMemory> {
    let bytes = vec.len().saturating_add(more).saturating_mul(size_of::<T>());
    vec.try_reserve_exact(more).map_err(|_| OutOfMemory { what: what.into(), bytes, reserve_bytes: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused() {
        check_available::<u8>("a kilobyte", 1 << 10).expect("enough memory");
        let error = check_available::<f32>("the moon", 1 << 58).expect_err("an exbibyte");
        assert_eq!(error.kind(), ErrorKind::Memory);
        let message = error.to_string();
        assert!(message.contains("the moon") && message.contains("1152921504606846976"), "{message}");
        check_available::<f32>("more than addresses", usize::MAX).expect_err("more than addresses");
        check_available_if_large::<f32>("more than addresses", usize::MAX).expect_err("more than addresses");
        let error = reserve("the moon", &mut vec![0_f32; 2], 1 << 58).expect_err("an exbibyte");
        assert_eq!(error.to_string(), "not enough memory for the moon: 1152921504606846984 bytes needed");
    }
}
