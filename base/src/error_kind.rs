//! One classification of errors, for exit codes, C statuses, HTTP and Python.

use serde::{Deserialize, Serialize};

/// The kind of a failure. It says what the user can do about it.
///
/// Every public error of the toolkit has a `kind()`. The enum is exhaustive on purpose: code that maps kinds to exit
/// codes or C statuses uses a `match` without `_`, so a new kind cannot be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// An option or argument is wrong: change the call.
    Usage,
    /// A scan, mask, prompt, checkpoint or list cannot be used: change the input.
    Input,
    /// The bundle is damaged, incomplete, or not a bundle: convert again.
    Bundle,
    /// ONNX Runtime or one of its execution providers is not available or does not start: change the machine or the
    /// provider.
    Provider,
    /// There is not enough memory.
    Memory,
    /// The caller cancelled the call.
    Cancelled,
    /// Any other failure while running, such as a full disk or an error inside ONNX Runtime.
    Runtime,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Usage, Self::Input, Self::Bundle, Self::Provider, Self::Memory, Self::Cancelled, Self::Runtime];

    /// Its name in files: the one that it is serialised as.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Input => "input",
            Self::Bundle => "bundle",
            Self::Provider => "provider",
            Self::Memory => "memory",
            Self::Cancelled => "cancelled",
            Self::Runtime => "runtime",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_json() {
        for kind in ErrorKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.name());
        }
    }
}
