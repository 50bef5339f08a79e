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
//! - `postprocess` MAY be set at the top level for the masks of all objects, and in an object for its own, whose fields take precedence:
//!   `{"keep_with_prompt": true, "smooth_mm": 1.5, "fill_holes": true, "min_volume_ml": 0.5, "largest_component": true,
//!   "neighbours": 26}`, or some of these. A length or volume of 0 is off. Readers that do not write masks ignore it.
//! - Unknown fields are errors, so that a misspelt field is not ignored.

use segvol_base::ErrorKind;
use segvol_base::json::{At, Document, Fields, JsonError};
use segvol_postprocess::{Neighbours, Overrides, checked_min_volume_ml, checked_smooth_mm};
use segvol_volume::PointLabel;

use crate::prompt::{Prompt, Space};

/// The version of the layout of `prompts.json` that this program reads.
pub const SCHEMA_VERSION: u32 = 1;

const FILE: &str = r#"an object with `schema_version` and `objects`, for example {"schema_version": 1, "objects": [{"text": "liver"}]}"#;
const SCAN: &str = r#"a list of objects, for example [{"text": "liver"}]"#;
const FIELDS: &[&str] = &["schema_version", "space", "postprocess", "objects"];
const OBJECTS: &str = r#"a list of at least one object, for example [{"text": "liver"}]"#;
const OBJECT: &str = r#"an object, for example {"text": "liver"}"#;
const POINT: &str = "[i, j, k] or [i, j, k, 1|0], for example [211, 160, 47, 1]";
const POSTPROCESS: &str = r#"an object, for example {"largest_component": true, "min_volume_ml": 0.5}"#;
const BOX: &str = "[i0, j0, k0, i1, j1, k1], for example [300, 220, 30, 380, 300, 60]";

/// Why a prompts file could not be read: what was expected and what was found, with the object, the field and the line.
#[derive(Debug, thiserror::Error)]
#[error("prompts file: {0}")]
pub struct PromptFileError(#[from] pub JsonError);

impl PromptFileError {
    /// The kind of failure, which says what the caller can change.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

/// Reads the text of a prompts file. A byte order mark before it is ignored.
///
/// Whether a prompt fits a scan is checked when it is placed in it.
///
/// # Errors
///
/// [`PromptFileError`] if the text is not JSON, has another layout or version, or no object.
pub fn parse_prompts(text: &str) -> Result<Vec<Prompt>, PromptFileError> {
    let document = Document::parse(text)?;
    let root = document.root();
    let fields = root.fields(FILE, FIELDS, |_| false)?;
    fields.check_version(SCHEMA_VERSION)?;
    Ok(objects(&fields)?)
}

/// Reads the objects that a list of scans has for one of them: a prompts file without its version, or only its list of objects.
///
/// # Errors
///
/// [`JsonError`] if it is neither, or has no object.
pub fn prompts_of_scan(at: &At<'_>) -> Result<Vec<Prompt>, JsonError> {
    if at.is_list() {
        return listed(at, Space::default(), Overrides::default());
    }
    objects(&at.fields(SCAN, FIELDS, |_| false)?)
}

fn objects(fields: &Fields<'_>) -> Result<Vec<Prompt>, JsonError> {
    let space = fields.get("space").map(|at| space(&at)).transpose()?.unwrap_or_default();
    let of_all = fields.get("postprocess").map(|at| overrides(&at)).transpose()?.unwrap_or_default();
    listed(&fields.require("objects", r#""objects": [{"text": "liver"}]"#)?, space, of_all)
}

fn listed(list: &At<'_>, space: Space, of_all: Overrides) -> Result<Vec<Prompt>, JsonError> {
    let objects = list.list(OBJECTS)?;
    if objects.len() == 0 {
        return Err(list.refuse(OBJECTS));
    }
    objects.map(|object| prompt(&object, space, of_all)).collect()
}

fn prompt(object: &At<'_>, space_of_all: Space, postprocess_of_all: Overrides) -> Result<Prompt, JsonError> {
    let fields = object.fields(OBJECT, &["name", "text", "points", "box", "space", "postprocess"], |_| false)?;
    let own_space = fields.get("space").map(|at| space(&at)).transpose()?;
    let mut prompt = Prompt::new().space(own_space.unwrap_or(space_of_all));
    let own = fields.get("postprocess").map(|at| overrides(&at)).transpose()?.unwrap_or_default();
    prompt.postprocess = own.over(postprocess_of_all);
    if let Some(name) = fields.get("name") {
        prompt = prompt.named(name.text("a name, for example \"lesion\"")?);
    }
    if let Some(text) = fields.get("text") {
        prompt = prompt.with_text(text.text("a name, for example \"liver\"")?);
    }
    if let Some(points) = fields.get("points") {
        let expected = "a list of points, for example [[211, 160, 47, 1], [190, 150, 47, 0]]";
        for point in points.list(expected)? {
            let (at, label) = match point.numbers(3..=4, POINT)?[..] {
                [i, j, k] | [i, j, k, 1.0] => ([i, j, k], PointLabel::Foreground),
                [i, j, k, 0.0] => ([i, j, k], PointLabel::Background),
                [.., label] => {
                    let found = format!("{label} as its fourth number, which must be 1 (inside) or 0 (outside)");
                    return Err(point.refuse_as(POINT, found));
                }
                [] => return Err(point.refuse(POINT)),
            };
            prompt = prompt.point(at, label);
        }
    }
    if let Some(corners) = fields.get("box") {
        match corners.numbers(6..=6, BOX)?[..] {
            [i0, j0, k0, i1, j1, k1] => prompt = prompt.bounding_box([i0, j0, k0], [i1, j1, k1]),
            _ => return Err(corners.refuse(BOX)),
        }
    }
    Ok(prompt)
}

fn overrides(at: &At<'_>) -> Result<Overrides, JsonError> {
    let known = ["keep_with_prompt", "smooth_mm", "fill_holes", "min_volume_ml", "largest_component", "neighbours"];
    let fields = at.fields(POSTPROCESS, &known, |_| false)?;
    let flag = |name: &str| fields.get(name).map(|at| at.boolean("true or false")).transpose();
    let number = |name: &str, unit: &str, checked: fn(f64) -> Result<f64, &'static str>| {
        let read = |at: At<'_>| checked(at.number(unit)?).map_err(|expected| at.refuse(expected));
        fields.get(name).map(read).transpose()
    };
    let neighbours = |at: At<'_>| {
        let expected = "6, 18 or 26";
        Neighbours::of_count(at.whole(6..=26, expected)?).ok_or_else(|| at.refuse(expected))
    };
    Ok(Overrides {
        keep_with_prompt: flag("keep_with_prompt")?,
        smooth_mm: number("smooth_mm", "a number of millimetres, for example 1.5", checked_smooth_mm)?,
        fill_holes: flag("fill_holes")?,
        min_volume_ml: number("min_volume_ml", "a number of millilitres, for example 0.5", checked_min_volume_ml)?,
        largest_component: flag("largest_component")?,
        neighbours: fields.get("neighbours").map(neighbours).transpose()?,
    })
}

fn space(at: &At<'_>) -> Result<Space, JsonError> {
    let expected = "\"voxel\", \"ras\", \"lps\" or \"window\"";
    match at.text(expected)? {
        "voxel" => Ok(Space::Voxel),
        "ras" => Ok(Space::Ras),
        "lps" => Ok(Space::Lps),
        "window" => Ok(Space::Window),
        _ => Err(at.refuse(expected)),
    }
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
    fn postprocessing_of_an_object_takes_precedence_over_that_of_all() {
        let text = r#"{"schema_version": 1, "postprocess": {"largest_component": true, "min_volume_ml": 0.5, "neighbours": 6},
            "objects": [{"text": "liver"}, {"text": "lungs", "postprocess": {"largest_component": false, "smooth_mm": 0}}]}"#;
        let of_all = Overrides {
            largest_component: Some(true),
            min_volume_ml: Some(0.5),
            neighbours: Some(Neighbours::Six),
            ..Overrides::default()
        };
        let own = Overrides { largest_component: Some(false), smooth_mm: Some(0.0), ..of_all };
        let found: Vec<Overrides> =
            parse_prompts(text).expect("a good file").iter().map(|prompt| prompt.postprocess).collect();
        assert_eq!(found, [of_all, own]);
    }

    #[test]
    fn a_mistake_is_named_with_its_object_and_place() {
        let file = |objects: &str| format!(r#"{{"schema_version": 1, "objects": [{objects}]}}"#);
        for (text, part) in [
            (r#"[{"text": "liver"}]"#.to_owned(), "`objects`, for example {\"schema_version\": 1"),
            (r#"[{"text": "liver"}]"#.to_owned(), "found a list of 1 value (line 1, column 1)"),
            (r#"{"objects": []}"#.to_owned(), "expected the field `schema_version`, for example \"schema_version\": 1"),
            (
                r#"{"schema_version": 2, "objects": []}"#.to_owned(),
                "expected 1, the version that this program reads; found the number 2",
            ),
            (r#"{"schema_version": "1", "objects": []}"#.to_owned(), "(a number has no quotes)"),
            (r#"{"schema_version": 1}"#.to_owned(), "the field `objects`"),
            (r#"{"schema_version": 1, "object": []}"#.to_owned(), "did you mean `objects`?"),
            (
                file(""),
                "`objects`: expected a list of at least one object, for example [{\"text\": \"liver\"}]; found an empty list",
            ),
            (file(r#""liver""#), "`objects[0]`: expected an object, for example"),
            (file(r#"{"txt": "liver"}"#), "found the field `txt` (did you mean `text`?)"),
            (file(r#"{"text": ["liver", "spleen"]}"#), "`objects[0].text`: expected a name"),
            (
                file(r#"{"text": "spleen"}, {"points": [20, 20, 12]}"#),
                "`objects[1].points[0]`: expected [i, j, k] or [i, j, k, 1|0], for example [211, 160, 47, 1]; found the number 20 (line 1, column 67)",
            ),
            (file(r#"{"points": {"i": 1}}"#), "`objects[0].points`: expected a list of points"),
            (file(r#"{"points": [{"i": 1, "j": 2, "k": 3}]}"#), "found an object with the fields `i`, `j`, `k`"),
            (file(r#"{"points": [[1, 2]]}"#), "found a list of 2 values"),
            (file(r#"{"points": [[1, 2, 3, 7]]}"#), "found 7 as its fourth number, which must be 1 (inside) or 0"),
            (file(r#"{"points": [[1, 2, "3"]]}"#), "`objects[0].points[0][2]`: expected a number in [i, j, k]"),
            (file(r#"{"box": [[1, 2, 3], [30, 30, 20]]}"#), "`objects[0].box`: expected [i0, j0, k0, i1, j1, k1]"),
            (file(r#"{"box": [1, 2, 3, 4, 5, true]}"#), "`objects[0].box[5]`: expected a number in [i0"),
            (
                file(r#"{"text": "a", "space": "mm"}"#),
                "expected \"voxel\", \"ras\", \"lps\" or \"window\"; found the text \"mm\"",
            ),
            (
                file(r#"{"text": "a", "postprocess": true}"#),
                "`objects[0].postprocess`: expected an object, for example {\"largest_component\": true",
            ),
            (
                file(r#"{"text": "a", "postprocess": {"largest_components": true}}"#),
                "found the field `largest_components` (did you mean `largest_component`?)",
            ),
            (
                file(r#"{"text": "a", "postprocess": {"fill_holes": 1}}"#),
                "`objects[0].postprocess.fill_holes`: expected true or false; found the number 1",
            ),
            (
                file(r#"{"text": "a", "postprocess": {"smooth_mm": true}}"#),
                "expected a number of millimetres, for example 1.5; found true",
            ),
            (
                file(r#"{"text": "a", "postprocess": {"smooth_mm": 51}}"#),
                "expected a number of millimetres from 0 (off) to 50; found the number 51",
            ),
            (
                file(r#"{"text": "a", "postprocess": {"min_volume_ml": -1}}"#),
                "expected a number of millilitres, 0 (off) or more; found the number -1",
            ),
            (
                file(r#"{"text": "a", "postprocess": {"neighbours": 8}}"#),
                "`objects[0].postprocess.neighbours`: expected 6, 18 or 26; found the number 8",
            ),
            (file(r#"{"text": "liver",}"#), "remove the comma"),
            (file(r#"{"points": [[1, 2, NaN]]}"#), "JSON has no such number"),
            ("<html>".to_owned(), "HTML"),
            (String::new(), "an empty file"),
        ] {
            let error = parse_prompts(&text).expect_err("a bad file").to_string();
            assert!(error.contains(part), "{text}: {error}");
            for word in ["struct", "tuple", "invalid type", "sequence", "f64", "map"] {
                assert!(!error.contains(word), "{word} in {error}");
            }
        }
        let text = format!("\u{feff}{}", file(r#"{"text": "liver", "name": null}"#).replace(' ', "\r\n"));
        assert_eq!(parse_prompts(&text).expect("good"), [Prompt::text("liver")]);
    }
}
