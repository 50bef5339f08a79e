//! Names of sessions, which nobody can guess.

use std::fmt;

/// The name of a session: 128 random bits, as 32 hexadecimal digits. Whoever knows it may use the session.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(String);

impl SessionId {
    /// A new name; `None` if the operating system has no random numbers.
    pub(crate) fn random() -> Option<Self> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).ok()?;
        Some(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The first digits, for logs: enough to tell sessions apart, too few to use one.
    pub(crate) fn short(&self) -> &str {
        &self.0[..6]
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({}…)", self.short())
    }
}
