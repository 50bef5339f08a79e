//! Shards: parts of a cohort that machines do without talking to each other.

use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// One of `count` parts of a cohort, by the hash of the ids: a scan stays in its part whatever else is in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    /// Whether a scan is part of it.
    #[must_use]
    pub fn has(self, id: &str) -> bool {
        let hash = Sha256::digest(id);
        let first = hash.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        first % self.count == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected I/N with I from 0 to N - 1, for example 0/4, found {text:?}");
        let (index, count) = text.split_once('/').ok_or_else(expected)?;
        let [index, count] = [index, count].map(|number| number.trim().parse::<u64>());
        match (index, count) {
            (Ok(index), Ok(count)) if index < count => Ok(Self { index, count }),
            _ => Err(expected()),
        }
    }
}
