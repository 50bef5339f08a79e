//! `prompts.json`: several objects, each with a text, points and a box in any combination.
//!
//! ```json
//! {
//!   "schema_version": 1,
//!   "space": "voxel",
//!   "objects": [
//!     {"text": "liver"},
//!     {"name": "lesion", "text": "liver tumor", "points": [[211, 160, 47, 1], [190, 150, 47, 0]]},
//!     {"name": "spleen", "box": [300, 220, 30, 380, 300, 60], "space": "voxel"}
//!   ]
//! }
//! ```
//!
//! - `space` MUST be `voxel`, `ras`, `lps` or `window`. It MAY be set at the top level for all objects, and in an object for
//!   its own points and box. The default is `voxel`.
//! - An object MUST have a `text`, a `box` or at least one point.
//! - A point is `[i, j, k]` or `[i, j, k, label]`. The label is 1 inside the object (the default) and 0 outside it.
//! - A box is `[i0, j0, k0, i1, j1, k1]`, both corners inclusive.
//! - Unknown fields are errors, so that a misspelt field is not ignored.

use segvol_base::ErrorKind;
use serde::Deserialize;

use segvol_volume::PointLabel;

use super::{Prompt, Space};

/// The version of the layout of `prompts.json` that this program reads.
const SCHEMA_VERSION: u32 = 1;

/// Why a prompts file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromptFileError {
    /// The text is not JSON, or has another layout.
    #[error("prompts file: {0}")]
    Syntax(#[from] serde_json::Error),
    /// The file has another version of the layout.
    #[error("prompts file: expected schema_version {SCHEMA_VERSION}, found {0}")]
    Version(u32),
    /// The file has no object.
    #[error("prompts file: expected at least one object, found none")]
    NoObjects,
    /// A point has a wrong number of values, or a label other than 0 and 1.
    #[error(
        "prompts file: object {object}, point {point}: expected [i, j, k] or [i, j, k, label] with label 0 or 1, found {found:?}"
    )]
    BadPoint {
        /// Index of the object, from 0.
        object: usize,
        /// Index of the point, from 0.
        point: usize,
        /// The values of the point.
        found: Vec<f64>,
    },
}

impl PromptFileError {
    /// The kind of failure, which says what the caller can change.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Syntax(_) | Self::Version(_) | Self::NoObjects | Self::BadPoint { .. } => ErrorKind::Input,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema_version: u32,
    #[serde(default)]
    space: Space,
    objects: Vec<Object>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    name: Option<String>,
    text: Option<String>,
    #[serde(default)]
    points: Vec<Vec<f64>>,
    #[serde(rename = "box")]
    bounding_box: Option<[f64; 6]>,
    space: Option<Space>,
}

/// Reads the text of a prompts file.
///
/// [`Study::segment`](crate::Study::segment) checks later whether a prompt fits a scan.
///
/// # Errors
///
/// - [`PromptFileError::Syntax`] if the text is not JSON or has another layout, with the line.
/// - [`PromptFileError::Version`] if the layout has another version.
/// - [`PromptFileError::NoObjects`] if there is no object.
/// - [`PromptFileError::BadPoint`] if a point has a wrong number of values or a wrong label, with the object.
pub fn parse_prompts(text: &str) -> Result<Vec<Prompt>, PromptFileError> {
    let file: File = serde_json::from_str(text)?;
    if file.schema_version != SCHEMA_VERSION {
        return Err(PromptFileError::Version(file.schema_version));
    }
    if file.objects.is_empty() {
        return Err(PromptFileError::NoObjects);
    }
    let objects = file.objects.into_iter().enumerate();
    objects.map(|(index, object)| prompt(index, object, file.space)).collect()
}

fn prompt(index: usize, object: Object, space: Space) -> Result<Prompt, PromptFileError> {
    let mut prompt = Prompt::new().space(object.space.unwrap_or(space));
    if let Some(name) = object.name {
        prompt = prompt.named(name);
    }
    if let Some(text) = object.text {
        prompt = prompt.with_text(text);
    }
    for (point, found) in object.points.into_iter().enumerate() {
        let (at, label) = match found[..] {
            [i, j, k] => ([i, j, k], PointLabel::Foreground),
            [i, j, k, 1.0] => ([i, j, k], PointLabel::Foreground),
            [i, j, k, 0.0] => ([i, j, k], PointLabel::Background),
            _ => return Err(PromptFileError::BadPoint { object: index, point, found }),
        };
        prompt = prompt.point(at, label);
    }
    if let Some([i0, j0, k0, i1, j1, k1]) = object.bounding_box {
        prompt = prompt.bounding_box([i0, j0, k0], [i1, j1, k1]);
    }
    Ok(prompt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_objects_with_any_mix() {
        let text = r#"{"schema_version": 1, "space": "ras", "objects": [
            {"text": "liver"},
            {"name": "lesion", "points": [[1, 2, 3], [4, 5, 6.5, 0]], "space": "lps"},
            {"text": "spleen", "box": [0, 1, 2, 3, 4, 5]}]}"#;
        let expected = vec![
            Prompt::text("liver").space(Space::Ras),
            Prompt::new()
                .named("lesion")
                .point([1.0, 2.0, 3.0], PointLabel::Foreground)
                .point([4.0, 5.0, 6.5], PointLabel::Background)
                .space(Space::Lps),
            Prompt::text("spleen").bounding_box([0.0, 1.0, 2.0], [3.0, 4.0, 5.0]).space(Space::Ras),
        ];
        assert_eq!(parse_prompts(text).expect("a good file"), expected);
    }

    #[test]
    fn names_what_is_wrong() {
        let error = |text| parse_prompts(text).expect_err("a bad file").to_string();
        assert!(error("{").contains("line 1"));
        assert!(error(r#"{"schema_version": 2, "objects": []}"#).contains("found 2"));
        assert!(error(r#"{"schema_version": 1, "objects": []}"#).contains("at least one object"));
        assert!(error(r#"{"schema_version": 1, "objects": [{"txt": "liver"}]}"#).contains("txt"));
        let point = error(r#"{"schema_version": 1, "objects": [{"text": "a"}, {"points": [[1, 2, 3, 7]]}]}"#);
        assert!(point.contains("object 1, point 0"), "{point}");
    }
}
