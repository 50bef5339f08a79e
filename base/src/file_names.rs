//! File names for things that people named.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization as _;

/// The longest stem, in characters: most file systems allow 255 bytes for a name with its extension.
const MAX_CHARACTERS: usize = 100;

/// A name as the stem of a file name: letters, digits and `-` stay, everything else becomes `_`.
#[must_use]
pub fn stem(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c == '-' { c } else { '_' };
    let stem: String = name.trim().chars().map(plain).take(MAX_CHARACTERS).collect();
    if stem.is_empty() { "object".to_owned() } else { stem }
}

/// One [`stem`] per name. Where two would be equal, or differ only in upper and lower case, later ones get a number from 2.
#[must_use]
pub fn unique_stems<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut unique = |name: &str| {
        let plain = stem(name);
        let mut candidate = plain.clone();
        for number in 2_u64.. {
            if taken.insert(candidate.to_lowercase()) {
                break;
            }
            candidate = format!("{plain}_{number}");
        }
        candidate
    };
    names.into_iter().map(&mut unique).collect()
}

/// A name as disks compare it that ignore upper and lower case, and how letters are composed.
#[must_use]
pub fn folded(name: &str) -> String {
    name.nfc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_have_no_character_that_file_systems_dislike() {
        assert_eq!(stem(" left/right: kidney "), "left_right__kidney");
        assert_eq!(stem("Leber-Läsion"), "Leber-Läsion");
        assert_eq!(stem("  "), "object");
        assert_eq!(stem(&"a".repeat(300)).len(), 100);
    }

    #[test]
    fn equal_stems_get_numbers() {
        let names = ["liver", "Liver", "liver", "liver_2", ""];
        assert_eq!(unique_stems(names), ["liver", "Liver_2", "liver_3", "liver_2_2", "object"]);
    }
}
