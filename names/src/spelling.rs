//! Spellings of a name: which texts are one text to the model, and which are one name to a reader.

/// The longest part of a text that is compared, in characters. The longest name of the released data has 36.
const MAX_CHARACTERS: usize = 256;

/// The text as the model's tokenizer splits it before it looks anything up: in lower case, as runs of letters, single
/// digits and runs of other signs, with one blank between them. Texts with the same result have the same token ids.
///
/// # Source
///
/// openai/CLIP, `clip/simple_tokenizer.py`, the pattern of `SimpleTokenizer`, without its English contractions.
pub(crate) fn as_tokenized(text: &str) -> String {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Blank,
        Letter,
        Digit,
        Sign,
    }
    let kind = |c: char| match c {
        c if c.is_whitespace() => Kind::Blank,
        c if c.is_alphabetic() => Kind::Letter,
        c if c.is_numeric() => Kind::Digit,
        _ => Kind::Sign,
    };
    let mut split = String::with_capacity(text.len());
    let mut before = Kind::Blank;
    for c in text.chars() {
        let now = kind(c);
        if now != Kind::Blank {
            if !split.is_empty() && (now != before || now == Kind::Digit) {
                split.push(' ');
            }
            split.extend(c.to_lowercase());
        }
        before = now;
    }
    split
}

/// A name without the differences between spellings: upper case, blanks, `_`, `-` and commas, the order of the words,
/// British and American English, singular and plural, `l` for left and `r` for right, zeros before a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Normal {
    /// The words in their order.
    pub(crate) words: Vec<String>,
    /// The words in alphabetical order, with blanks between them.
    pub(crate) sorted: String,
    /// The words in their order, without blanks: `gall bladder` is also written `gallbladder`.
    pub(crate) glued: String,
}

impl Normal {
    /// Only the first 256 characters count.
    pub(crate) fn new(text: &str) -> Self {
        let words = words(text);
        let mut sorted = words.clone();
        sorted.sort_unstable();
        Self { sorted: sorted.join(" "), glued: words.concat(), words }
    }

    /// Whether both are spellings of one name.
    pub(crate) fn is_same_name(&self, other: &Self) -> bool {
        !self.words.is_empty() && (self.sorted == other.sorted || self.glued == other.glued)
    }
}

/// The words of a text, each in its normal form.
fn words(text: &str) -> Vec<String> {
    let mut split = split(text);
    let mut words: Vec<String> = Vec::with_capacity(split.len());
    let mut rest = split.drain(..).peekable();
    while let Some(word) = rest.next() {
        let number_follows = rest.peek().is_some_and(|next| is_number(next));
        let one_letter = word.chars().count() == 1 && !is_number(&word);
        words.push(match word.as_str() {
            // `T 12` is `T12`.
            _ if one_letter && number_follows => word + without_zeros(&rest.next().unwrap_or_default()),
            "of" | "the" | "a" | "an" => continue,
            "l" | "lt" => "left".to_owned(),
            "r" | "rt" => "right".to_owned(),
            number if is_number(number) => without_zeros(number).to_owned(),
            _ => singular(&american(&word)),
        });
    }
    words
}

/// Splits at blanks and signs, between `kidneyLeft`, and between letters and the number that follows them. An apostrophe
/// is left out. A single letter keeps its number: `T12`.
fn split(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for c in text.chars().take(MAX_CHARACTERS) {
        if matches!(c, '\'' | '\u{2019}') {
            continue;
        }
        let letters = word.chars().take_while(|c| c.is_alphabetic()).count();
        let ends = !c.is_alphanumeric()
            || (before.is_lowercase() && c.is_uppercase())
            || (before.is_alphabetic() && c.is_numeric() && letters > 1);
        if ends && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.chars().all(char::is_numeric)
}

fn without_zeros(number: &str) -> &str {
    let rest = number.trim_start_matches('0');
    if rest.is_empty() { "0" } else { rest }
}

/// `oesophagus` as `esophagus`, `haematoma` as `hematoma`, `tumour` as `tumor`, `fibre` as `fiber`.
fn american(word: &str) -> String {
    // The plural of Latin words: `vertebrae`.
    let word = word.strip_suffix("ae").map_or_else(|| word.to_owned(), |stem| format!("{stem}a"));
    let mut word = word.replace("ae", "e").replace("oe", "e").replace("grey", "gray");
    for (british, american) in [("our", "or"), ("ours", "ors"), ("tre", "ter"), ("bre", "ber"), ("bres", "bers")] {
        if let Some(stem) = word.strip_suffix(british).filter(|stem| !stem.is_empty()) {
            word = format!("{stem}{american}");
            break;
        }
    }
    word
}

/// An English word without the `s` of its plural.
fn singular(word: &str) -> String {
    let short = word.chars().count() <= 3;
    match word.strip_suffix("ies") {
        _ if short || ["ss", "us", "is"].iter().any(|end| word.ends_with(end)) => word.to_owned(),
        Some(stem) => format!("{stem}y"),
        None => word.strip_suffix('s').unwrap_or(word).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_sees_no_difference_in_upper_case_blanks_and_numbers() {
        for (a, b) in [
            ("liver", " LIVER "),
            ("left  kidney", "Left\tkidney"),
            ("vertebrae T12", "vertebrae t 12"),
            ("rib left 1", "rib left1"),
        ] {
            assert_eq!(as_tokenized(a), as_tokenized(b));
        }
        for (a, b) in [
            ("left kidney", "left_kidney"),
            ("left kidney", "kidney left"),
            ("gall bladder", "gallbladder"),
            ("tumor", "tumour"),
            ("liver", "liver."),
            ("vertebra T13", "vertebra, T13"),
        ] {
            assert_ne!(as_tokenized(a), as_tokenized(b));
        }
    }

    #[test]
    fn spellings_of_one_name_are_equal() {
        for (a, b) in [
            ("left kidney", "kidney left"),
            ("left kidney", "kidney, left"),
            ("left kidney", "kidney_left"),
            ("left kidney", "KidneyLeft"),
            ("left kidney", "Kidney-L"),
            ("left kidney", "lt. kidneys"),
            ("right kidney", "kidney_r"),
            ("liver tumor", "tumours of the liver"),
            ("esophagus", "Oesophagus"),
            ("hematoma", "haematoma"),
            ("celiac trunk", "coeliac_trunk"),
            ("muscle fiber", "muscle fibres"),
            ("gall bladder", "gallbladder"),
            ("vertebrae T12", "Vertebra_T12"),
            ("vertebrae T12", "T-12 vertebra"),
            ("vertebrae L1", "vertebra L 01"),
            ("rib left 1", "left rib 01"),
            ("rib left 1", "rib_left1"),
            ("additional 13th thoracic vertebra T13", "additional 13th thoracic vertebra, T13"),
            ("head of femur left", "left femur head"),
            ("biopsy", "biopsies"),
        ] {
            assert!(
                Normal::new(a).is_same_name(&Normal::new(b)),
                "{a}: {:?}, {b}: {:?}",
                Normal::new(a),
                Normal::new(b)
            );
        }
    }

    #[test]
    fn other_names_stay_different() {
        for (a, b) in [
            ("left kidney", "right kidney"),
            ("vertebrae L1", "vertebrae T1"),
            ("vertebrae L1", "vertebrae L11"),
            ("rib left 1", "rib left 11"),
            ("rib left 10", "rib left 1"),
            ("colon", "colon cancer"),
            ("uterus", "ureter"),
            ("ileum", "ilium"),
            ("", "---"),
        ] {
            assert!(!Normal::new(a).is_same_name(&Normal::new(b)), "{a}, {b}");
        }
    }

    #[test]
    fn odd_and_long_texts_are_read() {
        for text in ["", "'", "___", "\u{202e}", "肝臓", "e\u{301}", "0", "00", "a", "l 0", "ae", "s", "\u{130}"] {
            let _ = (Normal::new(text), as_tokenized(text));
        }
        assert!(Normal::new(&"liver ".repeat(1 << 16)).words.len() < 64);
        assert_eq!(Normal::new("l").words, ["left"]);
        assert_eq!(Normal::new("000").words, ["0"]);
    }
}
