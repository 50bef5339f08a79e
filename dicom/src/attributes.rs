//! Values of attributes, forgiving about how they are written and strict about what they say.

use dicom_core::Tag;
use dicom_core::value::PrimitiveValue;
use dicom_object::InMemDicomObject;

/// What an attribute's text is made of: without blanks and zero bytes around it; `None` if it is absent or empty.
pub(crate) fn text(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let text = value(object, tag)?.to_str().trim_matches(blank).to_owned();
    (!text.is_empty()).then_some(text)
}

/// An identifier; as [`text`], of the first value.
pub(crate) fn identifier(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let text = text(object, tag)?;
    let first = text.split('\\').next().unwrap_or_default().trim_matches(blank);
    (!first.is_empty()).then(|| first.to_owned())
}

fn blank(c: char) -> bool {
    c.is_whitespace() || c == '\0'
}

/// The values of a text with several.
pub(crate) fn texts(object: &InMemDicomObject, tag: Tag) -> Vec<String> {
    let Some(value) = value(object, tag) else { return Vec::new() };
    value
        .to_multi_str()
        .iter()
        .flat_map(|text| text.split('\\'))
        .map(|text| text.trim_matches(blank).to_owned())
        .collect()
}

/// Numbers. `None` if the attribute is absent or empty.
///
/// # Errors
///
/// The value as it is, if it is not `N` finite numbers.
pub(crate) fn numbers<const N: usize>(object: &InMemDicomObject, tag: Tag) -> Result<Option<[f64; N]>, String> {
    let Some(value) = value(object, tag) else { return Ok(None) };
    let all: Option<Vec<f64>> = match value {
        PrimitiveValue::Empty => return Ok(None),
        PrimitiveValue::Str(_) | PrimitiveValue::Strs(_) => {
            let parts = texts(object, tag);
            if parts.iter().all(String::is_empty) {
                return Ok(None);
            }
            parts.iter().map(|text| text.parse().ok()).collect()
        }
        other => other.to_multi_float64().ok(),
    };
    let numbers = all.filter(|numbers| numbers.iter().all(|number| number.is_finite()));
    match numbers.and_then(|numbers| <[f64; N]>::try_from(numbers).ok()) {
        Some(numbers) => Ok(Some(numbers)),
        None => {
            let shown: String = value.to_str().chars().take(80).collect();
            Err(shown)
        }
    }
}

/// One number, as [`numbers`].
pub(crate) fn number(object: &InMemDicomObject, tag: Tag) -> Result<Option<f64>, String> {
    Ok(numbers::<1>(object, tag)?.map(|[number]| number))
}

/// A whole number from 0 on; `None` if it is absent or anything else.
pub(crate) fn count(object: &InMemDicomObject, tag: Tag) -> Option<u32> {
    let number = number(object, tag).ok()??;
    (number >= 0.0 && number <= f64::from(u32::MAX) && number.fract() == 0.0).then_some(number as u32)
}

/// The items of a sequence.
pub(crate) fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.get(tag).and_then(|element| element.value().items()).unwrap_or_default()
}

fn value(object: &InMemDicomObject, tag: Tag) -> Option<&PrimitiveValue> {
    object.get(tag)?.value().primitive()
}
