//! The names that a model was trained with.
//!
//! A text prompt that the model has never seen still gives a mask, and nothing in the mask shows that it is nonsense. So a
//! bundle has the list of the model's names, and [`Names::advice`] compares a text with it. The text that the model reads
//! is never changed: another spelling is other tokens, and only the user knows what was meant.
//!
//! [`Names::released`] is the list of the released model. [`read`] reads the list of another model from a file.

#![forbid(unsafe_code)]

mod advice;
mod file;
mod nearest;
mod spelling;

use std::borrow::Cow;
use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

pub use advice::{NameAdvice, Reason};
pub use file::{List, NamesError, parse, read};
use nearest::similarity;
use spelling::{Normal, as_tokenized};

/// The most names that a list may have.
pub const MAX_NAMES: usize = 10_000;

/// The longest name, in characters. A text encoder of CLIP reads 77 tokens, which is less.
pub const MAX_CHARACTERS: usize = 200;

/// How many names a search finds that do not contain what was looked for.
const NEAREST: usize = 10;

/// A name that the model was trained with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// The name.
    pub name: String,
    /// Other names of the same structure that the model was trained with too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub synonyms: Vec<String>,
}

impl Name {
    /// The name, then its synonyms.
    pub fn spellings(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name).chain(&self.synonyms).map(String::as_str)
    }
}

impl<T: Into<String>> From<T> for Name {
    fn from(name: T) -> Self {
        Self { name: name.into(), synonyms: Vec::new() }
    }
}

/// The names that a model was trained with: at least one, none of them blank or with signs that cannot be printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Names {
    source: String,
    list: Vec<Name>,
}

/// As [`Names`], from a file that may contain anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    source: String,
    list: Vec<Name>,
}

impl TryFrom<Unchecked> for Names {
    type Error = String;

    fn try_from(Unchecked { source, list }: Unchecked) -> Result<Self, String> {
        Self::new(source, list)
    }
}

/// What a search has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// The names, in the order of the list, or the nearest first.
    pub names: Vec<&'a Name>,
    /// Whether they contain what was looked for. If not, they are only the nearest names.
    pub contained: bool,
}

impl Names {
    /// A list of names. `source` says where it comes from, in one line.
    ///
    /// # Errors
    ///
    /// What is wrong: there is no name or there are more than 10,000, or one is blank, has more than 200 characters, or one
    /// that cannot be printed.
    pub fn new(source: impl Into<String>, list: Vec<Name>) -> Result<Self, String> {
        let source = source.into();
        if list.is_empty() {
            return Err("expected at least one name, found none".to_owned());
        }
        let spellings: Vec<&str> = list.iter().flat_map(Name::spellings).collect();
        if spellings.len() > MAX_NAMES {
            return Err(format!("expected at most {MAX_NAMES} names, found more"));
        }
        for spelling in spellings.into_iter().chain([source.as_str()]) {
            if let Some(wrong) = wrong(spelling) {
                return Err(wrong);
            }
        }
        Ok(Self { source, list })
    }

    /// The 222 names of the data that the released SegVol was trained on.
    ///
    /// # Source
    ///
    /// BAAI-DCAI/M3D, `LaMed/src/dataset/dataset_info.py`, the names of M3D-Seg.
    #[must_use]
    pub fn released() -> Self {
        const SOURCE: &str = "M3D-Seg, the data that the released SegVol was trained on";
        let lines = include_str!("m3d_seg.txt").lines().filter(|line| !line.starts_with('#'));
        Self { source: SOURCE.to_owned(), list: lines.map(Name::from).collect() }
    }

    /// Where the list comes from, in one line.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names, in the order of their source.
    #[must_use]
    pub fn list(&self) -> &[Name] {
        &self.list
    }

    /// Whether the model was trained with this text as a name or a synonym. Upper case and blanks make no difference, because
    /// the tokenizer makes none.
    #[must_use]
    pub fn knows(&self, text: &str) -> bool {
        let text = as_tokenized(text);
        self.list.iter().flat_map(Name::spellings).any(|spelling| as_tokenized(spelling) == text)
    }

    /// What to say about a text that the model was not trained with; `None` if it was.
    #[must_use]
    pub fn advice(&self, text: &str) -> Option<NameAdvice> {
        (!self.knows(text)).then(|| NameAdvice::new(text, &self.list, &self.by_nearness(text)))
    }

    /// The only spelling of a text that the model was trained with, if the model does not know the text itself. Where a text is the
    /// name of a file, nobody has chosen its spelling.
    #[must_use]
    pub fn spelled(&self, text: &str) -> Option<&str> {
        if self.knows(text) {
            return None;
        }
        let asked = Normal::new(text);
        let mut same = self.list.iter().flat_map(Name::spellings).filter(|name| Normal::new(name).is_same_name(&asked));
        same.next().filter(|_| same.next().is_none())
    }

    /// The names that contain every word of `text`, in the order of the list, or else the ten nearest ones. A word counts in
    /// any spelling, and a part of a word is enough. All names if `text` is blank.
    #[must_use]
    pub fn search(&self, text: &str) -> Found<'_> {
        let asked = Normal::new(text);
        let raw = start(text.trim()).to_lowercase();
        let contains = |spelling: &str| {
            let words = Normal::new(spelling).words;
            let has = |part: &String| words.iter().any(|word| word.contains(part));
            spelling.to_lowercase().contains(&raw) || (!asked.words.is_empty() && asked.words.iter().all(has))
        };
        let names: Vec<&Name> = self.list.iter().filter(|name| name.spellings().any(contains)).collect();
        if !names.is_empty() {
            return Found { names, contained: true };
        }
        let nearest = self.by_nearness(text).into_iter().take(NEAREST);
        Found { names: nearest.map(|near| near.name).collect(), contained: false }
    }

    /// All names, the nearest to `text` first.
    fn by_nearness(&self, text: &str) -> Vec<Near<'_>> {
        let (asked, lower) = (Normal::new(text), start(text).to_lowercase());
        let of_name = |name| {
            let near = |spelling| Near {
                similarity: similarity(&asked, &Normal::new(spelling)),
                edits: strsim::osa_distance(&lower, &spelling.to_lowercase()),
                name,
                spelling,
            };
            Name::spellings(name).map(near).min_by(Near::order)
        };
        let mut nearest: Vec<Near<'_>> = self.list.iter().filter_map(of_name).collect();
        nearest.sort_by(Near::order);
        nearest
    }
}

/// Whether two texts are spellings of one name: upper case, blanks, signs between words, the order of the words, British and
/// American English, singular and plural make no difference.
#[must_use]
pub fn is_same_name(a: &str, b: &str) -> bool {
    Normal::new(a).is_same_name(&Normal::new(b))
}

/// How near a name is to a text.
struct Near<'a> {
    similarity: f64,
    /// How many characters differ, for names of the same similarity.
    edits: usize,
    name: &'a Name,
    /// The spelling of the name that is nearest.
    spelling: &'a str,
}

impl Near<'_> {
    /// The nearer one first.
    fn order(&self, other: &Self) -> Ordering {
        other.similarity.total_cmp(&self.similarity).then(self.edits.cmp(&other.edits))
    }
}

/// The part of a text that is compared character by character.
fn start(text: &str) -> String {
    text.chars().take(MAX_CHARACTERS).collect()
}

/// What is wrong with a name; `None` if nothing is.
fn wrong(name: &str) -> Option<String> {
    if name.trim().is_empty() {
        return Some("expected a name, found only blanks".to_owned());
    }
    let length = name.chars().count();
    if length > MAX_CHARACTERS {
        let beginning: String = name.chars().take(20).collect();
        return Some(format!("{beginning:?}…: expected at most {MAX_CHARACTERS} characters, found {length}"));
    }
    // Names are printed, one per line.
    let unprintable = matches!(segvol_base::printable(name), Cow::Owned(_));
    unprintable.then(|| format!("{name:?}: expected a name without control characters and invisible signs"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn demo() -> Names {
        let tumour = Name { name: "liver tumour".to_owned(), synonyms: vec!["liver tumor".to_owned()] };
        let names = ["liver", "spleen", "left kidney", "right kidney"].map(Name::from);
        Names::new("a test", names.into_iter().chain([tumour]).collect()).expect("names")
    }

    fn nearest(names: &Names, text: &str) -> Vec<String> {
        names.advice(text).expect("not known").nearest
    }

    #[test]
    fn the_released_names_are_those_of_its_data() {
        let names = Names::released();
        assert_eq!(names.list().len(), 222);
        let spellings: BTreeSet<&str> = names.list().iter().flat_map(Name::spellings).collect();
        assert_eq!(spellings.len(), 222, "a name is listed twice");
        for name in
            ["liver", "portal vein and splenic vein", "liver tumor 07", "additional 13th thoracic vertebra, T13"]
        {
            assert!(names.knows(name), "{name}");
        }
        assert_eq!(Names::new(names.source(), names.list().to_vec()), Ok(names));
    }

    #[test]
    fn what_the_tokenizer_makes_equal_is_known() {
        let names = demo();
        for known in ["liver", "LIVER", "  Left  Kidney ", "liver tumor", "Liver Tumour"] {
            assert!(names.knows(known) && names.advice(known).is_none(), "{known}");
        }
        for unknown in ["", "  ", "left_kidney", "kidney left", "kidney", "livers", "liver.", "pancreas"] {
            assert!(!names.knows(unknown) && names.advice(unknown).is_some(), "{unknown}");
        }
    }

    #[test]
    fn another_spelling_leads_to_the_trained_one() {
        let (demo, released) = (demo(), Names::released());
        for (names, text, trained) in [
            (&demo, "kidney left", "left kidney"),
            (&demo, "Kidney, Right", "right kidney"),
            (&demo, "LIVER-TUMOR", "liver tumor"),
            (&demo, "liver_tumours", "liver tumour"),
            (&released, "adrenal_gland_left", "adrenal gland left"),
            (&released, "oesophagus", "esophagus"),
            (&released, "Vertebrae_T12", "vertebrae T12"),
            (&released, "kidney_right", "kidney right"),
            (&released, "gall-bladder", "gall bladder"),
            (&released, "urinary bladders", "urinary bladder"),
        ] {
            let advice = names.advice(text).expect("another spelling");
            assert_eq!((advice.reason, advice.nearest[0].as_str()), (Reason::Spelling, trained), "{text}: {advice}");
            assert!(names.knows(trained));
        }
        // Both are trained, and only the user knows which is better.
        assert_eq!(nearest(&released, "kidney_left"), ["kidney left", "left kidney"]);
        assert_eq!(nearest(&released, "liver tumour"), ["liver tumor", "liver tumors"]);
    }

    #[test]
    fn a_file_is_called_by_the_only_name_that_it_spells() {
        let (demo, released) = (demo(), Names::released());
        assert_eq!(demo.spelled("kidney left"), Some("left kidney"));
        assert_eq!(demo.spelled("left kidney"), None);
        assert_eq!(demo.spelled("kidney"), None);
        // The model knows it as it is, and another order of its words too.
        assert_eq!(released.spelled("kidney left"), None);
        // Two names have this spelling.
        assert_eq!(released.spelled("left kidneys"), None);
    }

    #[test]
    fn typing_errors_lead_to_the_nearest_names() {
        let (demo, released) = (demo(), Names::released());
        for (names, text, expected) in [
            (&demo, "liverr", "liver"),
            (&demo, "spelen", "spleen"),
            (&demo, "left kidny", "left kidney"),
            (&demo, "kidney", "left kidney"),
            (&released, "pancras", "pancreas"),
            (&released, "duodenm", "duodenum"),
            (&released, "left lungs lower lobe", "lung lower lobe left"),
            (&released, "suprarenal gland lef", "left suprarenal gland"),
        ] {
            assert!(nearest(names, text).contains(&expected.to_owned()), "{text}: {:?}", names.advice(text));
        }
        let advice = demo.advice("femur").expect("unknown");
        assert_eq!((advice.reason, advice.nearest.len()), (Reason::Unknown, 5));
        let advice = released.advice("patella").expect("unknown");
        assert_eq!((advice.reason, advice.nearest.len()), (Reason::Unknown, 3));
    }

    #[test]
    fn a_search_takes_parts_spellings_and_errors() {
        let found = |names: &Names, text: &str| {
            let found = names.search(text);
            (found.names.iter().map(|name| name.name.clone()).collect::<Vec<_>>(), found.contained)
        };
        let (demo, released) = (demo(), Names::released());
        assert_eq!(found(&demo, "kid"), (vec!["left kidney".to_owned(), "right kidney".to_owned()], true));
        assert_eq!(found(&demo, "kidney, LEFT"), (vec!["left kidney".to_owned()], true));
        assert_eq!(found(&demo, "tumors"), (vec!["liver tumour".to_owned()], true));
        assert_eq!(found(&demo, " ").0.len(), 5);
        let (nearest, contained) = found(&demo, "splen");
        assert!(nearest[0] == "spleen" && !contained, "{nearest:?}");
        assert!(found(&released, "L1").0.iter().all(|name| name.contains("L1")), "{:?}", found(&released, "L1"));
        assert!(found(&released, "oesoph").0.contains(&"esophagus".to_owned()));
        assert_eq!(found(&released, "patella").0.len(), 10);
    }

    #[test]
    fn lists_that_cannot_be_used_are_refused() {
        let refused = |list: &[&str]| {
            let list = list.iter().map(|&name| Name::from(name)).collect();
            Names::new("a test", list).expect_err("refused")
        };
        assert!(refused(&[]).contains("at least one"));
        assert!(refused(&["liver", " "]).contains("blanks"));
        assert!(refused(&["a\u{1b}[2J"]).contains("control characters"));
        assert!(refused(&["a\u{202e}b"]).contains("\\u{202e}"));
        assert!(refused(&[&"é".repeat(201)]).contains("found 201"));
        assert!(refused(&vec!["liver"; 10_001]).contains("at most 10000"));
        for json in [
            r#"{"source": "x", "list": []}"#,
            r#"{"source": "", "list": [{"name": "liver"}]}"#,
            r#"{"source": "x", "list": [{"name": "liver", "synonyms": ["\u0007"]}]}"#,
            r#"{"source": "x", "list": [{"name": "liver"}], "more": 1}"#,
        ] {
            assert!(serde_json::from_str::<Names>(json).is_err(), "{json}");
        }
        let names = demo();
        let json = serde_json::to_string(&names).expect("JSON");
        assert_eq!(serde_json::from_str::<Names>(&json).expect("names"), names);
    }

    #[test]
    fn a_long_text_is_no_burden() {
        let long = "liver tumor ".repeat(1 << 20);
        let advice = Names::released().advice(&long).expect("unknown");
        assert!(advice.to_string().len() < 400, "{advice}");
        assert_eq!(Names::released().search(&"patella ".repeat(1 << 20)).names.len(), 10);
    }
}
