//! Codes and colours of objects, by name.
//!
//! Archives search by codes, not by names: SNOMED CT has one for most of the structures that the released model was trained with.
//! `codes.tsv` lists all 222 names with their codes, or without one where no code says the same.

use std::sync::LazyLock;

use segvol_names::is_same_name;
use sha2::{Digest as _, Sha256};

/// A code of a coding scheme, as DICOM writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Code {
    /// The code, at most 16 characters.
    pub value: String,
    /// The coding scheme: `SCT` is SNOMED CT, `DCM` is DICOM's own.
    pub scheme: String,
    /// What the code means, in words: at most 64 characters.
    pub meaning: String,
}

impl Code {
    /// A code.
    #[must_use]
    pub fn new(value: impl Into<String>, scheme: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self { value: value.into(), scheme: scheme.into(), meaning: meaning.into() }
    }

    /// A code of SNOMED CT.
    #[must_use]
    pub fn snomed(value: &str, meaning: &str) -> Self {
        Self::new(value, "SCT", meaning)
    }
}

/// What an object is, and how to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codes {
    /// What it is in general, such as an anatomical structure.
    pub category: Code,
    /// What it is: DICOM's Segmented Property Type.
    pub kind: Code,
    /// On which side it is, if it is one of a pair.
    pub modifier: Option<Code>,
    /// Where it is, if the type does not say so: the liver of a tumour.
    pub region: Option<Code>,
    /// On which side that place is.
    pub region_modifier: Option<Code>,
    /// The colour to show it in: red, green, blue.
    pub color: [u8; 3],
}

impl Codes {
    /// Whether there is a code for the name. Without one, category and type are "Tissue".
    #[must_use]
    pub fn is_coded(&self) -> bool {
        self.kind.value != TISSUE.0
    }
}

/// The code of what has no code of its own.
const TISSUE: (&str, &str) = ("85756007", "Tissue");

/// What the columns of `codes.tsv` have for a name.
struct Row {
    name: &'static str,
    codes: Codes,
}

static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let lines = include_str!("codes.tsv").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(row).collect()
});

/// A line of the table; `None` if it is none. A test reads them all.
fn row(line: &'static str) -> Option<Row> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[name, category, kind, meaning, side, region, region_meaning, color, _source] = fields.as_slice() else {
        return None;
    };
    let mut channels = color.split(',').map(|channel| channel.parse::<u8>().ok());
    let color = [channels.next()??, channels.next()??, channels.next()??];
    let category = match category {
        "anatomy" => Code::snomed("123037004", "Anatomical Structure"),
        "altered" => Code::snomed("49755003", "Morphologically Altered Structure"),
        "object" => Code::snomed("260787004", "Physical object"),
        "tissue" => Code::snomed(TISSUE.0, TISSUE.1),
        "" => return Some(Row { name, codes: tissue(color) }),
        _ => return None,
    };
    let side = match side {
        "left" => Some(Code::snomed("7771000", "Left")),
        "right" => Some(Code::snomed("24028007", "Right")),
        _ => None,
    };
    let region = (!region.is_empty()).then(|| Code::snomed(region, region_meaning));
    let (modifier, region_modifier) = if region.is_some() { (None, side) } else { (side, None) };
    let codes = Codes { category, kind: Code::snomed(kind, meaning), modifier, region, region_modifier, color };
    Some(Row { name, codes })
}

/// What has no code of its own.
fn tissue(color: [u8; 3]) -> Codes {
    let tissue = Code::snomed(TISSUE.0, TISSUE.1);
    Codes { category: tissue.clone(), kind: tissue, modifier: None, region: None, region_modifier: None, color }
}

/// The codes of a name in any spelling: `Liver`, `kidney_right` and `right kidney` are found. What is not in the table is "Tissue",
/// in a colour that follows from the name.
#[must_use]
pub fn of_name(name: &str) -> Codes {
    let table = &*TABLE;
    let found =
        table.iter().find(|row| row.name == name).or_else(|| table.iter().find(|row| is_same_name(row.name, name)));
    found.map_or_else(|| tissue(color_of(name)), |row| row.codes.clone())
}

/// A bright colour that follows from a text.
fn color_of(name: &str) -> [u8; 3] {
    let digest = Sha256::digest(name.as_bytes());
    // Six sectors of 256 steps; the other channels are neither dark nor white.
    let hue = u16::from_be_bytes([digest[0], digest[1]]) % 1536;
    let low = 40 + digest[2] % 64;
    let high = 200 + digest[3] % 56;
    let (sector, step) = (hue / 256, u32::from(hue % 256));
    let between = |share: u32| (u32::from(low) + (u32::from(high) - u32::from(low)) * share / 255) as u8;
    let (rising, falling) = (between(step), between(255 - step));
    match sector {
        0 => [high, rising, low],
        1 => [falling, high, low],
        2 => [low, high, rising],
        3 => [low, falling, high],
        4 => [rising, low, high],
        _ => [high, low, falling],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use segvol_names::Names;

    use super::*;

    /// Verhoeff's check digit, which is the last of a SNOMED CT identifier: 0 if it is right.
    fn verhoeff(digits: &str) -> usize {
        // The dihedral group of order 10, and powers of the permutation (1 5 8 9 4 2 7 0)(3 6).
        let product = |a: usize, b: usize| match (a < 5, b < 5) {
            (true, true) => (a + b) % 5,
            (true, false) => 5 + (a + b - 5) % 5,
            (false, true) => 5 + (a - 5 + 5 - b) % 5,
            (false, false) => (a + 5 - b) % 5,
        };
        let permute = |digit: usize| [1, 5, 7, 6, 2, 8, 3, 0, 9, 4][digit];
        digits.bytes().rev().enumerate().fold(0, |check, (place, digit)| {
            let digit = (0..place % 8).fold(usize::from(digit - b'0'), |digit, _| permute(digit));
            product(check, digit)
        })
    }

    fn all_codes() -> BTreeSet<(String, String)> {
        let each = |row: &Row| {
            let Codes { category, kind, modifier, region, region_modifier, .. } = row.codes.clone();
            [Some(category), Some(kind), modifier, region, region_modifier]
        };
        let codes = TABLE.iter().flat_map(each).flatten();
        codes.map(|code| (code.value, code.meaning)).collect()
    }

    #[test]
    fn every_trained_name_has_a_row_and_only_four_have_no_code() {
        let names: Vec<String> = Names::released().list().iter().map(|name| name.name.clone()).collect();
        let rows: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
        assert_eq!(rows, names, "the rows are those of the list, each once");
        let without: Vec<&str> = TABLE.iter().filter(|row| !row.codes.is_coded()).map(|row| row.name).collect();
        assert_eq!(without, ["arytenoid", "cricopharyngeal inlet", "metastasectomie", "prostate or uterus"]);
    }

    #[test]
    fn codes_are_well_formed_and_one_code_has_one_meaning() {
        for (wrong, what) in [("10200014", "a changed digit"), ("12000004", "exchanged digits")] {
            assert!(verhoeff("10200004") == 0 && verhoeff(wrong) != 0, "{what}");
        }
        let codes = all_codes();
        assert!(codes.len() > 120, "{}", codes.len());
        for (value, meaning) in &codes {
            assert!((6..=16).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit()), "{value}");
            assert!(!value.starts_with('0') && verhoeff(value) == 0, "{value} {meaning}: the check digit is wrong");
            assert!((1..=64).contains(&meaning.len()) && meaning.is_ascii(), "{meaning}");
        }
        let values: BTreeSet<&String> = codes.iter().map(|(value, _)| value).collect();
        let meanings: BTreeSet<String> = codes.iter().map(|(_, meaning)| meaning.to_lowercase()).collect();
        assert_eq!((values.len(), meanings.len()), (codes.len(), codes.len()));
    }

    #[test]
    fn sides_are_those_of_the_names() {
        let mut sided = 0;
        for Row { name, codes } in TABLE.iter() {
            let words: Vec<&str> = name.split(' ').collect();
            for (word, value, meaning) in [("left", "7771000", "Left"), ("right", "24028007", "Right")] {
                let side = codes.modifier.as_ref().or(codes.region_modifier.as_ref());
                let is_this = side.is_some_and(|side| (side.value.as_str(), side.meaning.as_str()) == (value, meaning));
                let in_code = codes.kind.meaning.to_lowercase().split(' ').any(|part| part == word);
                assert_eq!(words.contains(&word), is_this || in_code, "{name}: {codes:?}");
                assert!(!(is_this && in_code), "{name}: the side is said twice");
                sided += usize::from(is_this);
            }
        }
        assert!(sided > 70, "{sided}");
    }

    #[test]
    fn names_are_found_in_any_spelling() {
        let code = |name: &str| {
            let codes = of_name(name);
            (codes.kind.value, codes.modifier.map(|side| side.meaning))
        };
        let side = |side: &str| Some(side.to_owned());
        for name in ["liver", "Liver", " LIVER"] {
            assert_eq!(code(name), ("10200004".to_owned(), None), "{name}");
        }
        for name in ["right kidney", "kidney right", "Kidney_Right", "KidneyRight", "kidney, right", "kidney_r"] {
            assert_eq!(code(name), ("64033007".to_owned(), side("Right")), "{name}");
        }
        assert_eq!(code("Vertebra_T12"), code("vertebrae T12"));
        let tumor = of_name("liver tumour");
        assert_eq!((tumor.kind.meaning.as_str(), tumor.region.map(|code| code.meaning)), ("Neoplasm", side("Liver")));
        let adrenal = of_name("right suprarenal tumor");
        assert_eq!((adrenal.modifier, adrenal.region_modifier.map(|code| code.meaning)), (None, side("Right")));
    }

    #[test]
    fn what_is_unknown_is_tissue_in_a_colour_of_its_own() {
        let [a, b] = ["patella", "lesion 1"].map(of_name);
        for codes in [&a, &b] {
            assert!(!codes.is_coded() && codes.category.value == "85756007" && codes.modifier.is_none());
        }
        assert_eq!(a, of_name("patella"));
        let colors: BTreeSet<[u8; 3]> = (0..100).map(|n| of_name(&format!("object {n}")).color).collect();
        assert!(colors.len() > 95, "{}", colors.len());
        for color in colors {
            let (low, high) = (color.iter().min().copied(), color.iter().max().copied());
            assert!(low < Some(105) && high >= Some(200), "{color:?} is grey");
        }
        let _ = (of_name(""), of_name("\u{0}"));
    }
}
