//! File names for things that people named.

use std::collections::{BTreeMap, BTreeSet};

use unicode_normalization::UnicodeNormalization as _;

/// The longest file name with its extension, in bytes, that common file systems allow.
pub const MAX_BYTES: usize = 255;

/// The stem of a name that has no letter left.
const NAMELESS: &str = "object";

/// A file's name without extension, for one of several things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stem {
    /// The stem.
    pub text: String,
    /// Whether it is another one than [`stem`] gives, or a shortened one: then a user cannot guess it from the name.
    pub is_unexpected: bool,
}

/// A name as the stem of a file name: letters, digits and `-` stay, and everything else becomes `_`.
///
/// | case                                      | stem                                     |
/// |-------------------------------------------|------------------------------------------|
/// | letters with combining marks              | composed (Unicode NFC)                   |
/// | `-` at the beginning                      | `_`, so that no command takes it as an option |
/// | a name that Windows reserves, such as `con` | with `_` at the end                    |
/// | nothing but spaces                        | `object`                                 |
///
/// The stem can be of any length: [`unique_stems`] shortens it.
#[must_use]
pub fn stem(name: &str) -> String {
    // Letters for Unicode, but invisible ones: the fillers of Hangul.
    let is_blank = |c: char| matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}');
    let plain = |c: char| if (c.is_alphanumeric() || c == '-') && !is_blank(c) { c } else { '_' };
    let mut stem: String = name.trim().nfc().map(plain).collect();
    if stem.starts_with('-') {
        stem.replace_range(..1, "_");
    }
    if stem.is_empty() {
        NAMELESS.clone_into(&mut stem);
    }
    if is_reserved(&stem) {
        stem.push('_');
    }
    stem
}

/// Devices of Windows, which no file can be called there, with or without an extension.
fn is_reserved(stem: &str) -> bool {
    let name = stem.to_uppercase();
    let numbered = |device: &str| {
        let number = name.strip_prefix(device).unwrap_or_default();
        number.chars().count() == 1 && number.contains(|c: char| c.is_ascii_digit() || "¹²³".contains(c))
    };
    ["CON", "PRN", "AUX", "NUL"].contains(&name.as_str()) || numbered("COM") || numbered("LPT")
}

/// One [`stem`] for each name, all different, in the order of the names.
///
/// Stems are different also on a disk that ignores upper and lower case or how letters are composed. If several names have the
/// same stem, one of them keeps it: a name that equals it, otherwise the first. The others get a number from 2 on, with
/// which no other name's stem is taken. The same names always give the same stems.
///
/// `extension` is the longest extension that follows a stem, such as `.nii.gz`: stems are cut, between two characters, so that
/// no file name is longer than [`MAX_BYTES`].
#[must_use]
pub fn unique_stems<'a>(names: impl IntoIterator<Item = &'a str>, extension: &str) -> Vec<Stem> {
    let room = MAX_BYTES.saturating_sub(extension.len());
    let names: Vec<(&str, String)> = names.into_iter().map(|name| (name, stem(name))).collect();
    let plain: Vec<&str> = names.iter().map(|(_, stem)| cut(stem, room)).collect();
    let mut stems: Vec<Option<String>> = vec![None; names.len()];
    let mut taken = BTreeSet::new();
    for must_equal in [true, false] {
        for (index, (name, _)) in names.iter().enumerate() {
            if (!must_equal || *name == plain[index]) && stems[index].is_none() && taken.insert(folded(plain[index])) {
                stems[index] = Some(plain[index].to_owned());
            }
        }
    }
    // The next number to try for each stem: all that are lower are taken.
    let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
    let mut numbered = |plain: &str| loop {
        let number = numbers.entry(folded(plain)).or_insert(2);
        let ending = format!("_{number}");
        *number += 1;
        let candidate = format!("{}{ending}", cut(plain, room.saturating_sub(ending.len())));
        if taken.insert(folded(&candidate)) {
            return candidate;
        }
    };
    let given = stems.into_iter().zip(plain).map(|(stem, plain)| stem.unwrap_or_else(|| numbered(plain)));
    given.zip(&names).map(|(text, (_, expected))| Stem { is_unexpected: text != *expected, text }).collect()
}

/// The beginning of a text, at most this many bytes, without half a character.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// A name as disks compare it that ignore upper and lower case, and how letters are composed.
#[must_use]
pub fn folded(name: &str) -> String {
    name.nfc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stems(names: &[&str]) -> Vec<String> {
        unique_stems(names.iter().copied(), ".nii.gz").into_iter().map(|stem| stem.text).collect()
    }

    #[test]
    fn stems_have_no_character_that_file_systems_dislike() {
        for (name, expected) in [
            (" left/right: kidney ", "left_right__kidney"),
            ("Leber-Läsion", "Leber-Läsion"),
            ("La\u{308}sion", "Läsion"),
            ("  ", "object"),
            ("..", "__"),
            (".hidden", "_hidden"),
            ("-rf", "_rf"),
            ("liver. ", "liver_"),
            ("a\u{1b}[2J\nb", "a__2J_b"),
            ("a\u{202e}b\u{200b}c\u{3164}", "a_b_c_"),
            ("NUL", "NUL_"),
            ("Con", "Con_"),
            ("com1", "com1_"),
            ("LPT³", "LPT³_"),
            ("com10", "com10"),
            ("console", "console"),
            ("nul.nii", "nul_nii"),
            ("肝臓", "肝臓"),
        ] {
            assert_eq!(stem(name), expected, "{name:?}");
        }
    }

    #[test]
    fn who_is_free_of_clashes_keeps_its_stem() {
        assert_eq!(stems(&["lesion", "lesion", "lesion_2"]), ["lesion", "lesion_3", "lesion_2"]);
        assert_eq!(stems(&["lesion_2", "lesion", "lesion"]), ["lesion_2", "lesion", "lesion_3"]);
        // The name that equals the stem keeps it.
        assert_eq!(stems(&["a/b", "a_b", "a:b"]), ["a_b_2", "a_b", "a_b_3"]);
        assert_eq!(
            stems(&["liver", "Liver", "liver", "liver_2", ""]),
            ["liver", "Liver_3", "liver_4", "liver_2", "object"]
        );
        assert_eq!(stems(&["", "object", "con", "con_", "CON"]), ["object_2", "object", "con__2", "con_", "CON__3"]);
    }

    #[test]
    fn names_that_a_disk_takes_for_one_get_different_stems() {
        assert_eq!(stems(&["L\u{e4}sion", "La\u{308}sion", "LÄSION"]), ["Läsion", "Läsion_2", "LÄSION_3"]);
        assert_eq!(stems(&["straße", "STRASSE"]), ["straße", "STRASSE_2"]);
        assert_eq!(stems(&["σας", "ΣΑΣ"]), ["σας", "ΣΑΣ_2"]);
        let unexpected: Vec<bool> =
            unique_stems(["a b", "a_b", "c"], ".nii.gz").into_iter().map(|stem| stem.is_unexpected).collect();
        assert_eq!(unexpected, [true, false, false]);
    }

    #[test]
    fn a_file_name_fits_and_is_cut_between_characters() {
        for letter in ["a", "ä", "肝", "𝔞"] {
            let long = letter.repeat(300);
            let other = format!("{long}b");
            let found = unique_stems([long.as_str(), &other, &long], ".nii.gz");
            let texts: BTreeSet<&str> = found.iter().map(|stem| stem.text.as_str()).collect();
            assert_eq!(texts.len(), 3, "{letter}");
            for Stem { text, is_unexpected } in &found {
                let bytes = format!("{text}.nii.gz").len();
                assert!((MAX_BYTES - 4..=MAX_BYTES).contains(&bytes) && *is_unexpected, "{text}: {bytes}");
                assert!(text.trim_end_matches("_2").trim_end_matches("_3").chars().all(|c| letter.contains(c)));
            }
        }
        let hundred = "a".repeat(100);
        assert!(!unique_stems([hundred.as_str()], ".nii.gz")[0].is_unexpected);
    }

    #[test]
    fn many_equal_names_have_different_stems() {
        let names = vec!["lesion"; 2000];
        let stems = stems(&names);
        assert_eq!(stems.iter().collect::<BTreeSet<_>>().len(), 2000);
        assert_eq!(stems.last().map(String::as_str), Some("lesion_2000"));
    }
}
