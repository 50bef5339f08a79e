//! UIDs that follow from content.

use sha2::{Digest as _, Sha256};

use super::DicomOptions;

/// The longest UID, in characters.
const MAX_UID: usize = 64;

/// The content that UIDs follow from: equal content has equal UIDs.
#[derive(Clone)]
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    /// Of what kind of object, with which settings.
    pub(crate) fn new(kind: &str, options: &DicomOptions) -> Self {
        let DicomOptions { uid_root, fill_missing, anonymous, interactive } = options;
        let mut fingerprint = Self(Sha256::new());
        fingerprint.add(kind.as_bytes());
        fingerprint.add(format!("{uid_root:?} {fill_missing} {anonymous} {interactive:?}").as_bytes());
        fingerprint
    }

    /// Adds content. Its length counts too, so that no two lists of contents are the same bytes.
    pub(crate) fn add(&mut self, content: &[u8]) {
        self.0.update((content.len() as u64).to_le_bytes());
        self.0.update(content);
    }

    /// The UID of one thing of this content: `what` tells those of one content apart.
    pub(crate) fn uid(&self, what: &str, options: &DicomOptions) -> String {
        let mut one = self.clone();
        one.add(what.as_bytes());
        let digest = one.0.finalize();
        let mut bytes: [u8; 16] = std::array::from_fn(|n| digest[n]);
        // A UUID of version 8, whose other bits are free (RFC 9562).
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let number = u128::from_be_bytes(bytes);
        match &options.uid_root {
            None => format!("2.25.{number}"),
            Some(root) => {
                let digits = MAX_UID.saturating_sub(root.len() + 1).min(38);
                format!("{root}.{}", number % 10_u128.pow(digits as u32))
            }
        }
    }

    /// The first 16 hexadecimal digits of the content's hash.
    pub(crate) fn short(&self) -> String {
        self.0.clone().finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_follow_from_content_and_are_valid() {
        let plain = DicomOptions::default();
        let roots =
            ["1.2", &format!("2.999.{}", "1".repeat(37))].map(|root| plain.clone().uid_root(Some(root.to_owned())));
        for options in [plain.clone(), roots[0].clone(), roots[1].clone()] {
            options.check().expect("a root");
            let of = |kind: &str, contents: &[&str]| {
                let mut fingerprint = Fingerprint::new(kind, &options);
                contents.iter().for_each(|content| fingerprint.add(content.as_bytes()));
                fingerprint.uid("instance", &options)
            };
            let uids =
                [of("SEG", &["ab", "c"]), of("SEG", &["a", "bc"]), of("SEG", &["abc"]), of("RTSTRUCT", &["ab", "c"])];
            for (n, uid) in uids.iter().enumerate() {
                assert!(uid.len() <= 64 && uid.bytes().all(|b| b == b'.' || b.is_ascii_digit()), "{uid}");
                assert!(uid.split('.').all(|part| part == "0" || !part.starts_with('0') && !part.is_empty()), "{uid}");
                assert!(uid.starts_with(options.uid_root.as_deref().unwrap_or("2.25.")));
                assert!(uids[..n].iter().all(|other| other != uid), "{uid}");
            }
            assert_eq!(uids[0], of("SEG", &["ab", "c"]));
        }
        let one = Fingerprint::new("SEG", &plain);
        assert_ne!(one.uid("series", &plain), one.uid("instance", &plain));
    }
}
