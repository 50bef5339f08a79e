//! Asking for memory before it is needed, so that a lack of it is an error and not the end of the process.

/// There is not as much memory as a step needs; each kind of error says so in its own variant.
#[derive(Debug)]
pub(crate) struct NoRoom {
    pub(crate) what: &'static str,
    pub(crate) bytes: usize,
}

/// What is left for everything small after a large piece: messages, tables, buffers of files, threads' own. No less, since
/// glibc takes a freed piece of up to 32 MiB for a sign that such pieces come often, and gives fewer back.
const SLACK: usize = 32 << 20;

/// Asks the operating system for `bytes` in one piece, and [`SLACK`] beside them, and gives them back.
///
/// Where memory is limited (`ulimit -v`, a container without overcommitment) this is what fails first. Threads that
/// allocate at the same moment may still take what was found.
///
/// # Errors
///
/// [`NoRoom`] if there is none.
pub(crate) fn ask(what: &'static str, bytes: usize) -> Result<(), NoRoom> {
    let mut room = Vec::<u8>::new();
    let found = room.try_reserve_exact(bytes.saturating_add(SLACK));
    // Looked at from outside, so that the compiler does not leave the allocation out.
    std::hint::black_box(&mut room);
    found.map_err(|_| NoRoom { what, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused() {
        ask("a kilobyte", 1 << 10).expect("room");
        let error = crate::Error::from(ask("the moon", 1 << 60).expect_err("an exbibyte")).to_string();
        assert!(error.contains("the moon") && error.contains("1152921504606846976"), "{error}");
    }
}
