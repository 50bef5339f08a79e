//! Asking for memory before it is needed, so that a lack of it is an error and not the end of the process.

use std::fmt;

/// There is not as much memory as a step needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom {
    /// What it was for.
    pub what: &'static str,
    /// How much, in bytes.
    pub bytes: usize,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected room for {} bytes of memory and 32 MiB to spare, found less", self.what, self.bytes)
    }
}

impl std::error::Error for NoRoom {}

/// What is left for everything small after a large piece: messages, tables, buffers of files, threads' own. No less, since
/// glibc takes a freed piece of up to 32 MiB for a sign that such pieces come often, and gives fewer back.
const SLACK: usize = 32 << 20;

/// Asks the operating system for `count` elements in one piece, and 32 MiB beside them, and gives them back.
///
/// Where memory is limited (`ulimit -v`, a container without overcommitment) this is what fails first. Threads that
/// allocate at the same moment may still take what was found.
///
/// # Errors
///
/// [`NoRoom`] if there is none.
pub fn ask<T>(what: &'static str, count: usize) -> Result<(), NoRoom> {
    let bytes = count.saturating_mul(size_of::<T>());
    let mut room = Vec::<u8>::new();
    let found = room.try_reserve_exact(bytes.saturating_add(SLACK));
    // Looked at from outside, so that the compiler does not leave the allocation out.
    std::hint::black_box(&mut room);
    found.map_err(|_| NoRoom { what, bytes })
}

/// As [`ask`], for one of many pieces: less than 1 MiB is what 32 MiB to spare are for, and is not asked for.
///
/// # Errors
///
/// [`NoRoom`] if there is none.
pub fn ask_if_large<T>(what: &'static str, count: usize) -> Result<(), NoRoom> {
    if count.saturating_mul(size_of::<T>()) < 1 << 20 { Ok(()) } else { ask::<T>(what, count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused() {
        ask::<u8>("a kilobyte", 1 << 10).expect("room");
        let error = ask::<f32>("the moon", 1 << 58).expect_err("an exbibyte").to_string();
        assert!(error.contains("the moon") && error.contains("1152921504606846976"), "{error}");
        ask::<f32>("beyond all numbers", usize::MAX).expect_err("more than addresses");
        ask_if_large::<f32>("beyond all numbers", usize::MAX).expect_err("more than addresses");
    }
}
