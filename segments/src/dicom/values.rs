//! Values as DICOM writes them.

use dicom_core::header::Length;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

use crate::codes::Code;

/// The most characters of a decimal string (DS).
const MAX_DS: usize = 16;

/// A number as a decimal string of at most 16 characters: the nearest one that fits.
pub(crate) fn ds(number: f64) -> String {
    let fixed = (0..=MAX_DS).map(|digits| format!("{number:.digits$}"));
    let scientific = (0..=MAX_DS).map(|digits| format!("{number:.digits$e}"));
    let shortest = [format!("{number}"), format!("{number:e}")].into_iter();
    let fits = shortest.chain(fixed).chain(scientific).map(|text| trimmed(&text)).filter(|text| text.len() <= MAX_DS);
    let error = |text: &str| text.parse::<f64>().map_or(f64::INFINITY, |found| (found - number).abs());
    let nearest = fits.min_by(|a, b| error(a).total_cmp(&error(b)).then(a.len().cmp(&b.len())));
    nearest.unwrap_or_else(|| "0".to_owned())
}

/// Without zeros at the end, and without a sign before zero.
fn trimmed(text: &str) -> String {
    let (mantissa, exponent) =
        text.split_once('e').map_or((text, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    match exponent.filter(|exponent| *exponent != "0") {
        Some(exponent) => format!("{mantissa}E{exponent}"),
        None if mantissa == "-0" => "0".to_owned(),
        None => mantissa.to_owned(),
    }
}

/// An element with a text. A backslash would end a value, and control characters are not allowed: both become blanks.
pub(crate) fn text(tag: Tag, vr: VR, value: &str) -> InMemElement {
    let value: String = value.chars().map(|c| if c == '\\' || c.is_control() { ' ' } else { c }).collect();
    DataElement::new(tag, vr, PrimitiveValue::from(value.trim().to_owned()))
}

/// An element with several texts, each of them as it is.
pub(crate) fn number(tag: Tag, values: impl IntoIterator<Item = f64>) -> InMemElement {
    let values: Vec<String> = values.into_iter().map(ds).collect();
    DataElement::new(tag, VR::DS, PrimitiveValue::Strs(values.into()))
}

/// An element without a value.
pub(crate) fn empty(tag: Tag, vr: VR) -> InMemElement {
    DataElement::new(tag, vr, PrimitiveValue::Empty)
}

/// A text of at most 64 characters, as the value representations LO and PN allow: a longer one ends in an ellipsis.
pub(crate) fn fits_lo(text: &str) -> String {
    const MOST: usize = 64;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST - 3).chain("...".chars()).collect()
}

/// A sequence.
pub(crate) fn item_sequence(tag: Tag, items: Vec<InMemDicomObject>) -> InMemElement {
    DataElement::new(tag, VR::SQ, DataSetSequence::new(items, Length::UNDEFINED))
}

/// A code, as an item of a sequence.
pub(crate) fn code_item(code: &Code) -> InMemDicomObject {
    InMemDicomObject::from_element_iter([
        text(tags::CODE_VALUE, VR::SH, &code.value),
        text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, &code.scheme),
        text(tags::CODE_MEANING, VR::LO, &fits_lo(&code.meaning)),
    ])
}

/// A sequence with one code.
pub(crate) fn code_sequence(tag: Tag, code: &Code) -> InMemElement {
    item_sequence(tag, vec![code_item(code)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimal_strings_are_short_and_exact_where_possible() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (0.7, "0.7"),
            (-123.456789, "-123.456789"),
            (-249.51171875, "-249.51171875"),
            (0.1 + 0.2, "0.3"),
            (1e300, "1E300"),
            (1.5e-9, "1.5E-9"),
        ] {
            assert_eq!(ds(number), expected, "{number:e}");
        }
        assert_eq!(ds(-std::f64::consts::FRAC_1_SQRT_2).len(), 16);
    }

    proptest! {
        #[test]
        fn every_number_fits_with_at_least_nine_digits(number in prop::num::f64::NORMAL) {
            let text = ds(number);
            prop_assert!(text.len() <= 16, "{text}");
            let found: f64 = text.parse().expect("a number");
            prop_assert!((found - number).abs() <= number.abs() * 1e-8, "{number:e}: {text}");
        }
    }

    #[test]
    fn texts_cannot_end_a_value() {
        let value =
            |text: &str| super::text(tags::SERIES_DESCRIPTION, VR::LO, text).to_str().expect("text").into_owned();
        assert_eq!((value("a\\b\n"), value(" liver ")), ("a b".to_owned(), "liver".to_owned()));
        assert_eq!((fits_lo(&"ä".repeat(64)), fits_lo(&"ä".repeat(65))), ("ä".repeat(64), "ä".repeat(61) + "..."));
    }
}
