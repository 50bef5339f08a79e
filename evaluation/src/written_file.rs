//! A file that an evaluation has written.

use serde::{Deserialize, Serialize};

/// A file that belongs to a result, such as a mask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenFile {
    /// Its path.
    pub path: String,
    /// The SHA-256 of its content.
    pub sha256: String,
}
