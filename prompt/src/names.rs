//! Warnings about the names of objects: what they are called, and which texts the model was trained with.

use std::collections::BTreeMap;

use segvol_base::{Warning, WarningCode};
use segvol_names::Names;

use crate::prompt::Prompt;

/// One list of warnings per prompt: its text is unknown to the model, or an earlier prompt has the same name. Without
/// `names`, every text is taken to be known.
pub fn name_warnings(names: Option<&Names>, prompts: &[Prompt]) -> Vec<Vec<Warning>> {
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let of_prompt = |(index, prompt): (usize, &Prompt)| {
        let object = prompt.name();
        let mut warnings = Vec::new();
        if let Some(advice) = prompt.as_text().and_then(|text| names?.advice(text)) {
            warnings.push(Warning::new(WarningCode::NameUnknown, format!("object {object:?}: {advice}")));
        }
        match first.get(&object.trim().to_lowercase()) {
            Some(earlier) => {
                let message = format!("object {object:?}: objects {earlier} and {} have the same name", index + 1);
                warnings.push(Warning::new(WarningCode::NameDuplicate, message));
            }
            None => {
                first.insert(object.trim().to_lowercase(), index + 1);
            }
        }
        warnings
    };
    prompts.iter().enumerate().map(of_prompt).collect()
}

#[cfg(test)]
mod tests {
    use segvol_volume::PointLabel;

    use super::*;

    #[test]
    fn only_texts_are_compared_with_the_models_names_and_all_objects_with_each_other() {
        let names = Names::new("a test", vec!["liver".into(), "left kidney".into()]).expect("names");
        let click = |name: &str| Prompt::new().named(name).point([1.0; 3], PointLabel::Foreground);
        let prompts = [
            Prompt::text("LIVER"),
            Prompt::text("kidney_left").named("left"),
            click("pancreas"),
            Prompt::text("left kidney").named("Liver "),
            click("liver"),
        ];
        let codes = |names: Option<&Names>| -> Vec<Vec<&str>> {
            let warnings = name_warnings(names, &prompts);
            warnings.iter().map(|list| list.iter().map(|warning| warning.code.name()).collect()).collect()
        };
        let (unknown, twice) = (vec!["name_unknown"], vec!["name_duplicate"]);
        assert_eq!(codes(Some(&names)), [vec![], unknown, vec![], twice.clone(), twice.clone()]);
        assert_eq!(codes(None), [vec![], vec![], vec![], twice.clone(), twice]);
        let warnings = name_warnings(Some(&names), &prompts);
        assert!(
            warnings[1][0].message.starts_with("object \"left\": ")
                && warnings[1][0].message.contains("\"left kidney\"")
        );
        assert!(warnings[4][0].message.contains("objects 1 and 5"), "{:?}", warnings[4]);
    }
}
