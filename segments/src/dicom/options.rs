//! How DICOM objects are written.

use std::collections::BTreeSet;

use crate::error::SegmentsError;

/// The longest root of UIDs: 20 digits stay for the number below it.
const MAX_ROOT: usize = 43;

/// How DICOM objects are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DicomOptions {
    /// The root of new UIDs, such as that of an institution. `None`: UIDs are made from hashes, under `2.25`.
    pub uid_root: Option<String>,
    /// Whether identifiers and dates that the source lacks are made up, from its content. Without it, they are an error.
    pub fill_missing: bool,
    /// Whether what says who the patient is, is left out or replaced. UIDs are kept, because they say what is segmented.
    pub anonymous: bool,
    /// The labels of objects whose points or boxes a person has placed: their segmentation is `SEMIAUTOMATIC`.
    pub interactive: BTreeSet<u16>,
}

impl DicomOptions {
    /// Sets [`uid_root`](Self::uid_root).
    #[must_use]
    pub fn uid_root(mut self, uid_root: Option<String>) -> Self {
        self.uid_root = uid_root;
        self
    }

    /// Sets [`fill_missing`](Self::fill_missing).
    #[must_use]
    pub fn fill_missing(mut self, fill_missing: bool) -> Self {
        self.fill_missing = fill_missing;
        self
    }

    /// Sets [`anonymous`](Self::anonymous).
    #[must_use]
    pub fn anonymous(mut self, anonymous: bool) -> Self {
        self.anonymous = anonymous;
        self
    }

    /// Sets [`interactive`](Self::interactive).
    #[must_use]
    pub fn interactive(mut self, labels: impl IntoIterator<Item = u16>) -> Self {
        self.interactive = labels.into_iter().collect();
        self
    }

    /// Checks the root of UIDs.
    ///
    /// # Errors
    ///
    /// [`SegmentsError::UidRoot`] if it is no UID, or too long for more digits to follow.
    pub fn check(&self) -> Result<(), SegmentsError> {
        let Some(root) = &self.uid_root else { return Ok(()) };
        let refused = |reason| Err(SegmentsError::UidRoot { root: root.clone(), reason });
        let parts: Vec<&str> = root.split('.').collect();
        if parts.iter().any(|part| part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit())) {
            return refused("expected numbers with single dots between them, such as 1.2.826.0.1.3680043.10.1");
        }
        if parts.iter().any(|part| part.len() > 1 && part.starts_with('0')) {
            return refused("a number must not begin with 0");
        }
        let second = parts.get(1).map_or(usize::MAX, |second| second.parse().unwrap_or(usize::MAX));
        if !matches!(parts[0], "0" | "1" | "2") || (parts[0] != "2" && second > 39) || parts.len() < 2 {
            return refused("expected at least two numbers: 0, 1 or 2, then one that is at most 39 after 0 or 1");
        }
        if root.len() > MAX_ROOT {
            return refused("expected at most 43 characters, so that 20 more fit into the 64 of a UID");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_of_uids_are_uids() {
        let check = |root: &str| DicomOptions::default().uid_root(Some(root.to_owned())).check();
        for root in ["1.2", "2.25", "2.999.0.7", "1.2.826.0.1.3680043.10.1", "0.39.1"] {
            check(root).expect(root);
        }
        let long = format!("1.2.{}", "9".repeat(40));
        for root in ["", "1", "1.", ".1", "1..2", "1.2.", "1.02", "3.1", "1.40", "a.b", "1.2 ", "1.-2", "1.٣", &long] {
            let error = check(root).expect_err(root);
            assert!(error.to_string().contains("UID root"), "{error}");
        }
        DicomOptions::default().check().expect("none");
    }
}
