//! What to say about a text that a model was not trained with.

use std::fmt;

use serde::Serialize;

use crate::{Name, Near};

/// Names at least this similar are meant: one letter wrong in three, or one word of two.
const SIMILAR: f64 = 0.65;

/// How much less similar than the nearest name another one may be that is mentioned beside it.
const AS_SIMILAR: f64 = 0.15;

/// How many names are mentioned.
const MENTIONED: usize = 3;

/// A list of this length is mentioned as a whole.
const SHORT_LIST: usize = 12;

/// The longest part of a text that is repeated in a message, in characters.
const SHOWN: usize = 60;

/// Why a model does not know a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Reason {
    /// The model was trained with another spelling of this name, which gives other tokens.
    Spelling,
    /// The model was trained with a name that is nearly the same.
    Similar,
    /// The model was trained with no name like this.
    Unknown,
}

/// What to say about a text that a model was not trained with. [`fmt::Display`] gives one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NameAdvice {
    /// The text.
    pub text: String,
    /// Why the model does not know it.
    pub reason: Reason,
    /// The nearest names of the model, at most three, the nearest first. All names in the order of the list if there are at most
    /// 12 and none of them is near.
    pub nearest: Vec<String>,
    /// How many names the model knows.
    pub known: usize,
}

impl NameAdvice {
    /// `names` are all names of the model, and `nearest` the same, the nearest first.
    pub(crate) fn new(text: &str, names: &[Name], nearest: &[Near<'_>]) -> Self {
        let best = nearest.first().map_or(0.0, |near| near.similarity);
        let least = SIMILAR.max(best - AS_SIMILAR);
        let spelled = |least: f64| -> Vec<String> {
            let near = nearest.iter().take_while(|near| near.similarity >= least);
            near.take(MENTIONED).map(|near| near.spelling.to_owned()).collect()
        };
        let (reason, nearest) = if best >= 1.0 {
            (Reason::Spelling, spelled(1.0))
        } else if best >= SIMILAR {
            (Reason::Similar, spelled(least))
        } else if names.len() <= SHORT_LIST {
            (Reason::Unknown, names.iter().map(|name| name.name.clone()).collect())
        } else {
            (Reason::Unknown, nearest.iter().take(MENTIONED).map(|near| near.name.name.clone()).collect())
        };
        Self { text: text.to_owned(), reason, nearest, known: names.len() }
    }
}

impl fmt::Display for NameAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown: String = self.text.chars().take(SHOWN).collect();
        if shown.len() < self.text.len() {
            shown.push('…');
        }
        let quoted: Vec<String> = self.nearest.iter().map(|name| format!("{name:?}")).collect();
        let list = |word: &str| match &quoted[..] {
            [others @ .., last] if !others.is_empty() => format!("{} {word} {last}", others.join(", ")),
            all => all.join(", "),
        };
        let known = self.known;
        match self.reason {
            Reason::Spelling => {
                write!(f, "the model was trained with another spelling of {shown:?}: did you mean {}?", list("or"))
            }
            Reason::Similar => {
                write!(f, "the model was not trained with the name {shown:?}: did you mean {}?", list("or"))
            }
            Reason::Unknown if known == self.nearest.len() => write!(
                f,
                "the model was not trained with the name {shown:?}, so the mask may show anything; it knows {}",
                list("and")
            ),
            Reason::Unknown => write!(
                f,
                "the model was not trained with the name {shown:?}, so the mask may show anything; of the {known} names that it knows, the nearest are {}",
                list("and")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Name, Names};

    #[test]
    fn the_sentence_names_the_text_and_what_is_near() {
        let names = ["liver", "left kidney", "right kidney"].map(Name::from);
        let names = Names::new("a test", names.into()).expect("names");
        let said = |text: &str| names.advice(text).expect("not known").to_string();
        assert_eq!(
            said("kidney_left"),
            r#"the model was trained with another spelling of "kidney_left": did you mean "left kidney"?"#
        );
        assert_eq!(
            said("kidney"),
            r#"the model was not trained with the name "kidney": did you mean "left kidney" or "right kidney"?"#
        );
        assert_eq!(
            said("femur"),
            r#"the model was not trained with the name "femur", so the mask may show anything; it knows "liver", "left kidney" and "right kidney""#
        );
        let said = Names::released().advice("patella\u{1b}[2J").expect("not known").to_string();
        assert!(said.contains(r#""patella\u{1b}[2J""#) && said.contains("of the 222 names that it knows"), "{said}");
    }
}
