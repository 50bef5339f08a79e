//! Directions of a volume's axes in the patient.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// For each axis of the patient (x, y, z): the letter of the direction in which it grows, and that of the opposite direction.
const LETTERS: [(char, char); 3] = [('R', 'L'), ('A', 'P'), ('S', 'I')];

/// The directions of three axes, such as RAS: the first axis grows to the patient's right, the second to the front
/// (anterior), the third to the head (superior). The other directions are L, P and I. There are 48 codes.
///
/// Letters say where an axis *goes*, as in nibabel and MONAI. Some programs, among them ITK-SNAP, say where it comes from: their
/// "RAI" is LPS here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AxisCodes([(usize, bool); 3]);

impl AxisCodes {
    /// Right, anterior, superior: the axes of NIfTI.
    pub const RAS: Self = Self([(0, false), (1, false), (2, false)]);

    /// Superior, posterior, left: the axes of a NumPy array `[k, j, i]` of a scan that is stored as DICOM and ITK do (LPS).
    pub const SPL: Self = Self([(2, false), (1, true), (0, true)]);

    /// Codes from, for each of three axes: the patient's axis along which it runs (0 = x to the right, 1 = y to the front, 2 = z
    /// to the head), and whether it runs in the opposite direction. `None` if two run along the same axis, or one along none.
    #[must_use]
    pub fn new(axes: [(usize, bool); 3]) -> Option<Self> {
        let all = (0..3).all(|patient| axes.iter().any(|&(axis, _)| axis == patient));
        all.then_some(Self(axes))
    }

    /// For each axis: the patient's axis along which it runs (0, 1 or 2), and whether it runs in the opposite direction.
    #[must_use]
    pub fn axes(self) -> [(usize, bool); 3] {
        self.0
    }
}

impl fmt::Display for AxisCodes {
    /// Three upper-case letters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (axis, opposite) in self.0 {
            let (letter, other) = LETTERS[axis];
            write!(f, "{}", if opposite { other } else { letter })?;
        }
        Ok(())
    }
}

impl FromStr for AxisCodes {
    type Err = String;

    /// Reads three letters in upper or lower case.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |reason: String| Err(format!("expected three letters, such as ras or lps; found {text:?}: {reason}"));
        let letters: Vec<char> = text.chars().collect();
        let [a, b, c] = letters[..] else { return wrong(format!("{} letters", letters.len())) };
        let mut axes = [(0, false); 3];
        for (axis, letter) in axes.iter_mut().zip([a, b, c]) {
            let upper = letter.to_ascii_uppercase();
            let found = LETTERS.iter().position(|&(to, from)| upper == to || upper == from);
            let Some(patient) = found else {
                return wrong(format!("{letter:?} is none of r, l, a, p, s and i"));
            };
            *axis = (patient, upper == LETTERS[patient].1);
        }
        for (first, second) in [(0, 1), (0, 2), (1, 2)] {
            if axes[first].0 == axes[second].0 {
                return wrong(format!("{} and {} are the same axis", letters[first], letters[second]));
            }
        }
        Ok(Self(axes))
    }
}

/// The axes in which a model sees a scan.
///
/// In JSON and as text: `stored`, or a code in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Orientation {
    /// Axes are permuted and flipped to the patient's axes that are nearest to these codes. The result for a patient then does
    /// not depend on the order in which the file stores the axes.
    Axes(AxisCodes),
    /// Axes stay as the file stores them. The released demo does this: it requests RAS, but does not pass the affine
    /// that the conversion would need.
    Stored,
}

impl Orientation {
    /// RAS+ axes.
    #[allow(non_upper_case_globals, reason = "a variant, until there were other codes")]
    pub const Ras: Self = Self::Axes(AxisCodes::RAS);
}

impl Default for Orientation {
    /// RAS.
    fn default() -> Self {
        Self::Ras
    }
}

impl fmt::Display for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Axes(codes) => f.write_str(&codes.to_string().to_lowercase()),
            Self::Stored => f.write_str("stored"),
        }
    }
}

impl FromStr for Orientation {
    type Err = String;

    /// Reads `stored` or a code, in upper or lower case.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("stored") {
            return Ok(Self::Stored);
        }
        let or_stored = |error: String| error.replacen("expected", "expected stored, or", 1);
        text.parse().map(Self::Axes).map_err(or_stored)
    }
}

impl Serialize for Orientation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Orientation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_48_codes_are_read_back_in_both_cases() {
        let mut codes = BTreeSet::new();
        let letters = ['r', 'l', 'a', 'p', 's', 'i', 'x'];
        for text in letters.iter().flat_map(|a| letters.iter().flat_map(move |b| letters.map(|c| format!("{a}{b}{c}"))))
        {
            let Ok(code) = text.parse::<AxisCodes>() else { continue };
            assert_eq!(code.to_string(), text.to_uppercase());
            assert_eq!(text.to_uppercase().parse(), Ok(code));
            assert_eq!(AxisCodes::new(code.axes()), Some(code));
            assert_eq!(Orientation::Axes(code).to_string(), text);
            codes.insert(code);
        }
        assert_eq!(codes.len(), 48);
        assert_eq!("pir".parse::<AxisCodes>().map(AxisCodes::axes), Ok([(1, true), (2, true), (0, false)]));
        assert_eq!(AxisCodes::new([(0, false), (0, true), (2, false)]), None);
    }

    #[test]
    fn a_wrong_code_says_why() {
        for (text, part) in [
            ("rls", "r and l are the same axis"),
            ("RAA", "A and A are the same axis"),
            ("sai", "s and i are the same axis"),
            ("rax", "'x' is none of"),
            ("ra", "2 letters"),
            ("", "0 letters"),
            ("rasl", "4 letters"),
            ("rаs", "is none of"),
        ] {
            let error = text.parse::<Orientation>().expect_err(text);
            assert!(error.starts_with("expected stored, or three letters") && error.contains(part), "{error}");
        }
    }

    #[test]
    fn orientations_are_one_word_in_json() {
        for (text, orientation) in [("\"ras\"", Orientation::Ras), ("\"stored\"", Orientation::Stored)] {
            assert_eq!(serde_json::to_string(&orientation).expect("JSON"), text);
            assert_eq!(serde_json::from_str::<Orientation>(&text.to_uppercase()).expect("read"), orientation);
        }
        assert!(
            serde_json::from_str::<Orientation>("\"rrs\"").is_err_and(|error| error.to_string().contains("same axis"))
        );
    }
}
