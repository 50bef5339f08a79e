//! Asking for memory before it is needed, so that a lack of it is an error and not the end of the process.

use crate::error::Error;

/// Asks the operating system for `bytes` in one piece, and gives them back.
///
/// Where memory is limited (`ulimit -v`, a container without overcommitment) this is what fails first. Threads that
/// allocate at the same moment may still take what was found.
///
/// # Errors
///
/// [`Error::Memory`] if there is no room.
pub(crate) fn ask(what: &'static str, bytes: usize) -> Result<(), Error> {
    let mut room = Vec::<u8>::new();
    let found = room.try_reserve_exact(bytes);
    // Looked at from outside, so that the compiler does not leave the allocation out.
    std::hint::black_box(&mut room);
    found.map_err(|_| Error::Memory { what, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused() {
        ask("a kilobyte", 1 << 10).expect("room");
        let error = ask("the moon", 1 << 60).expect_err("an exbibyte").to_string();
        assert!(error.contains("the moon") && error.contains("1152921504606846976"), "{error}");
    }
}
