//! The settings of a cohort, as its manifest has them.

use maud::{Markup, html};
use serde_json::Value;

use crate::tables::scrolled;
use crate::text::shown;

/// What the settings are called on the page. Others have the names of the manifest.
const NAMES: [(&str, &str); 16] = [
    ("tool", "Program"),
    ("bundle_sha256", "Bundle (SHA-256 of its manifest)"),
    ("provider", "Provider"),
    ("precision", "Precision"),
    ("profile", "Profile"),
    ("orientation", "Orientation"),
    ("zoom_in", "Zoom-in pass"),
    ("overlap", "Overlap of windows, at least"),
    ("independent", "Windows of each object as if it were alone"),
    ("straighten", "Sheared scans straightened"),
    ("threshold", "Threshold"),
    ("affine", "Affine"),
    ("fill_gaps", "Missing slices interpolated"),
    ("pattern", "Names of output files"),
    ("prompts", "Objects"),
    ("postprocessing", "Postprocessing"),
];

/// A table of these settings, an object of JSON. What is not set has no line.
pub(crate) fn table(settings: &Value) -> Markup {
    let all = settings.as_object();
    let known = NAMES.iter().filter_map(|&(key, title)| Some((title.to_owned(), key, all?.get(key)?)));
    let is_known = |key: &str| NAMES.iter().any(|(name, _)| *name == key);
    let others = all.into_iter().flatten().filter(|(key, _)| !is_known(key));
    let others = others.map(|(key, value)| (shown(&key.replace('_', " ")), key.as_str(), value));
    let lines = known.chain(others).filter(|(.., value)| !value.is_null());
    scrolled(
        "Settings",
        &html! { tbody { @for (title, key, value) in lines { tr {
            th scope="row" { (title) }
            td.setting { (shown(&said(key, value))) }
        } } } },
    )
}

fn said(key: &str, value: &Value) -> String {
    // What connects voxels changes nothing by itself.
    let is_off = |steps: &Value| steps.as_object().is_some_and(|steps| steps.keys().all(|step| step == "neighbours"));
    match (key, value) {
        ("prompts", prompts) => names(prompts),
        ("postprocessing", Value::Array(list)) if list.iter().all(is_off) => "no".to_owned(),
        _ => text(value),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Bool(is_set) => if *is_set { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text.clone(),
        // One of equal ones says it all.
        Value::Array(list) if list.len() > 1 && list.iter().all(|other| *other == list[0]) => {
            format!("{}, for each object", text(&list[0]))
        }
        Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| format!("{} {}", key.replace('_', " "), text(value)))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}

/// The names of objects, each with what else was said about it.
fn names(prompts: &Value) -> String {
    let one = |prompt: &Value| {
        let field = |name: &str| prompt.get(name).and_then(Value::as_str);
        let name = field("name").or_else(|| field("text")).unwrap_or("an object without a name");
        let text = field("text").filter(|text| *text != name).map(|text| format!("text {text}"));
        let points = prompt.get("points").and_then(Value::as_array).map_or(0, Vec::len);
        let points = (points > 0).then(|| if points == 1 { "1 point".to_owned() } else { format!("{points} points") });
        let boxed = prompt.get("bounding_box").filter(|bounds| !bounds.is_null()).map(|_| "box".to_owned());
        let more = text.into_iter().chain(points).chain(boxed).collect::<Vec<_>>().join(", ");
        if more.is_empty() { name.to_owned() } else { format!("{name} ({more})") }
    };
    prompts.as_array().map_or_else(|| text(prompts), |list| list.iter().map(one).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_said_in_words() {
        let settings = json!({
            "tool": "segvol 1", "zoom_in": true, "overlap": 0.5, "affine": null, "new_one": ["a", "b"],
            "postprocessing": [{"fill_holes": true, "neighbours": 26}, {"fill_holes": true, "neighbours": 26}],
            "prompts": [
                {"name": null, "text": "liver", "points": [], "bounding_box": null, "space": "voxel"},
                {"name": "<lesion>", "text": "liver tumor", "points": [[[1, 2, 3], 1]], "bounding_box": {"min": 1}, "space": "ras"},
            ],
        });
        let found = table(&settings).into_string();
        for part in [
            "<th scope=\"row\">Program</th><td class=\"setting\">segvol 1</td>",
            "<th scope=\"row\">Zoom-in pass</th><td class=\"setting\">yes</td>",
            ">0.5</td>",
            ">liver; &lt;lesion&gt; (text liver tumor, 1 point, box)</td>",
            "<th scope=\"row\">new one</th><td class=\"setting\">a, b</td>",
            ">fill holes yes, neighbours 26, for each object</td>",
        ] {
            assert!(found.contains(part), "no {part:?} in {found}");
        }
        assert!(!found.contains("Affine"), "{found}");
        let off = table(&json!({"postprocessing": [{"neighbours": 26}, {"neighbours": 6}]})).into_string();
        assert!(off.contains("<th scope=\"row\">Postprocessing</th><td class=\"setting\">no</td>"), "{off}");
        assert_eq!(table(&json!("other")).into_string().matches("<tr>").count(), 0);
    }
}
