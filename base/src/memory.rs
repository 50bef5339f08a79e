//! Checks that enough memory is available before a large allocation. Too little memory is then an error, and does not
//! abort the process.

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
    /// How much must stay free beside it, in bytes.
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

/// The reserve beside a large allocation, in bytes. It is for small allocations: messages, tables, file buffers, thread
/// stacks.
///
/// It is not smaller because of glibc: after a block of up to 32 MiB is freed, glibc serves later blocks of that size
/// from its heap, which returns less memory to the system.
const RESERVE: usize = 32 << 20;

/// An allocation smaller than this many bytes is left to the reserve: [`check_available_if_large`] does not check it.
const LARGE: usize = 1 << 20;

/// Checks that `count` elements of `T` can be allocated in one block, with a reserve of 32 MiB beside them.
///
/// Where addresses are limited (`ulimit -v`, Linux), the limit and what the process has mapped are compared. Otherwise the check
/// allocates that much memory and frees it again: in a container without overcommit, this allocation is the first to fail.
/// Under a limit this would itself make the allocations of other threads fail. Another thread that allocates at the same moment
/// can still use up the memory that was found.
///
/// # Errors
///
/// [`OutOfMemory`] if the allocation fails; `what` names the purpose in its message.
pub fn check_available<T>(what: impl Into<Cow<'static, str>>, count: usize) -> Result<(), OutOfMemory> {
    let bytes = count.saturating_mul(size_of::<T>());
    let all = bytes.saturating_add(RESERVE);
    let fits = match addresses_left() {
        Some(left) => all as u64 <= left,
        None => {
            let mut reserved = Vec::<u8>::new();
            let result = reserved.try_reserve_exact(all);
            // Keeps the compiler from removing the unused allocation.
            std::hint::black_box(&mut reserved);
            result.is_ok()
        }
    };
    if fits { Ok(()) } else { Err(OutOfMemory { what: what.into(), bytes, reserve_bytes: RESERVE }) }
}

/// Bytes that the process may still map; `None` if there is no limit.
#[cfg(target_os = "linux")]
fn addresses_left() -> Option<u64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current?;
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').next()?.parse().ok()?;
    Some(limit.saturating_sub(pages.saturating_mul(rustix::param::page_size() as u64)))
}

#[cfg(not(target_os = "linux"))]
fn addresses_left() -> Option<u64> {
    None
}

/// Like [`check_available`], for one of many allocations: less than 1 MiB is left to the reserve and not checked.
///
/// # Errors
///
/// [`OutOfMemory`] if the allocation fails.
pub fn check_available_if_large<T>(what: impl Into<Cow<'static, str>>, count: usize) -> Result<(), OutOfMemory> {
    if count.saturating_mul(size_of::<T>()) < LARGE { Ok(()) } else { check_available::<T>(what, count) }
}

/// Allocates memory in `vec` for `more` elements beside those that it has. Where addresses are limited, a large allocation leaves
/// the reserve of [`check_available`] to other threads.
///
/// # Errors
///
/// [`OutOfMemory`] if the allocation fails; `bytes` is the size of all elements together.
pub fn reserve<T>(what: &'static str, vec: &mut Vec<T>, more: usize) -> Result<(), OutOfMemory> {
    let bytes = vec.len().saturating_add(more).saturating_mul(size_of::<T>());
    if bytes >= LARGE && addresses_left().is_some_and(|left| bytes.saturating_add(RESERVE) as u64 > left) {
        return Err(OutOfMemory { what: what.into(), bytes, reserve_bytes: RESERVE });
    }
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
